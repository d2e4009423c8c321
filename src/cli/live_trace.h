/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_LIVE_TRACE_H
#define CLI_LIVE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct tg_record;
struct tg_strbuf;

/* A trace that the daemon writes while it happens: the request `record`. */

/* An exit status, after a complaint. */
int live_trace_ask(struct client *client);
/* Appends what a record of the answer holds of the trace. False: malformed, or memory ran out. */
bool live_trace_bytes(const struct tg_record *record, struct tg_strbuf *bytes);

#endif
