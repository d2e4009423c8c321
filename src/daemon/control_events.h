/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_EVENTS_H
#define DAEMON_CONTROL_EVENTS_H

struct control_client;
struct daemon;
struct tg_decision;
struct tg_record;

/* The request "events": what was decided lately, and from now on. */
void control_events(void *data, struct control_client *client, const struct tg_record *request);
/* Remembers what people want to know of; the rest is nothing to tell. */
void events_add(struct daemon *daemon, const struct tg_decision *decision);
/* At the end of a turn: whoever follows and has not been told of all. */
void events_wake(struct daemon *daemon);

#endif
