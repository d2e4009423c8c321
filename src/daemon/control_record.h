/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_RECORD_H
#define DAEMON_CONTROL_RECORD_H

#include "control.h"
#include "recorder.h"

struct daemon;

/* The request `record`: a trace of what the engine is told, until the client goes. */
void control_record(void *data, struct control_client *client, const struct tg_record *request);
/* Since start, of all clients. */
void control_record_stats(const struct daemon *daemon, struct recorder_stats *ret_stats);

#endif
