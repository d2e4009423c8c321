/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_METRICS_H
#define DAEMON_CONTROL_METRICS_H

struct control_client;
struct tg_record;

/* `metrics`: numbers only, with the names of policies and limits and never one of a source. */
void control_metrics(void *data, struct control_client *client, const struct tg_record *request);

#endif
