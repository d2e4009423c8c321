/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_KILL_H
#define DAEMON_CONTROL_KILL_H

struct control_client;
struct daemon;
struct killer_order;
struct killer_result;
struct tg_ban;
struct tg_record;

/* The request `kill`: ends what a source has, without a ban. */
void control_kill(void *data, struct control_client *client, const struct tg_record *request);
/* What a ban with kill asks for, now that the kernel holds it. */
void control_kill_banned(struct daemon *daemon, const struct tg_ban *ban);
/* Of killer.h: tells the log, and who asked. */
void control_kill_done(void *data, const struct killer_order *order,
		       const struct killer_result *result);

#endif
