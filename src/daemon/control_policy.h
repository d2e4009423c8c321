/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_POLICY_H
#define DAEMON_CONTROL_POLICY_H

struct control_client;
struct tg_record;

/* The request `policy`. */
void control_policy(void *data, struct control_client *client, const struct tg_record *request);

#endif
