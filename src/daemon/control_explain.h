/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_EXPLAIN_H
#define DAEMON_CONTROL_EXPLAIN_H

struct control_client;
struct tg_record;

/* The request `explain`: all that is known about one address, and why it is held back or not. */
void control_explain(void *data, struct control_client *client, const struct tg_record *request);

#endif
