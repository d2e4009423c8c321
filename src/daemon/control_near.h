/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_NEAR_H
#define DAEMON_CONTROL_NEAR_H

struct control_client;
struct tg_record;

/* The request `near`: of some sources at once, what is in force and the limit that is nearest. */
void control_near(void *data, struct control_client *client, const struct tg_record *request);

#endif
