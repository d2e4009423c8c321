/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_FUSES_H
#define DAEMON_FUSES_H

#include <stdbool.h>

#include "netfilter/fuse_log.h"

struct daemon;
struct loop_fd;

/* What the packet path's fuses tell, and what is told of them. */
struct fuses {
	struct fuse_log *log; /* NULL: it cannot be had now, or no limit has a fuse */
	struct loop_fd *source;
	struct fuse_log_stats before; /* of logs that were replaced */
	/* The last meter that had no room, and when that was; TG_NEVER: none yet. */
	char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1];
	tg_time full_at;
};

void fuses_init(struct fuses *fuses);
void fuses_finish(struct fuses *fuses);
/* The log is open while it is wanted; and what is wrong. At start, at every policy, now and then.
 */
void fuses_check(struct daemon *daemon);
void fuses_stats(const struct fuses *fuses, struct fuse_log_stats *ret_stats);

#endif
