/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_EVENTS_H
#define DAEMON_CONTROL_EVENTS_H

#include <stdbool.h>

#include "happening.h"
#include "health.h"

struct control_client;
struct daemon;
struct tg_decision;
struct tg_record;

/* The request "events": what was decided lately, and from now on. */
void control_events(void *data, struct control_client *client, const struct tg_record *request);
/* Remembers what people want to know of; the rest is nothing to tell. */
void events_add(struct daemon *daemon, const struct tg_decision *decision);
/* To the log and to whoever reads events: what is none of the engine's decisions. */
void events_tell(struct daemon *daemon, enum happening what, const char *cause, const char *format,
		 ...) __attribute__((format(printf, 4, 5)));
/* The same of a reason to be degraded; data is the daemon. */
void events_tell_health(void *data, enum health_reason reason, bool on, const char *text);
/* At the end of a turn: what was lost since, or is made up for. */
void events_tell_gaps(struct daemon *daemon);
/* At the end of a turn: whoever follows and has not been told of all. */
void events_wake(struct daemon *daemon);

#endif
