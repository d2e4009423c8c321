/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_FUSE_LOG_H
#define NETFILTER_FUSE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

struct nlmsghdr;

/* What the packet path tells of its fuses: one message of NFLOG for each source that ran over one.
 */
struct fuse_log;

struct fuse_log_stats {
	uint64_t received;  /* messages, also those of the next two */
	uint64_t full;      /* a source found no room in a meter: at most one a second and meter */
	uint64_t malformed; /* not of our rules */
	uint64_t foreign;   /* not sent by the kernel */
	uint64_t lost;      /* messages that found no room */
};

/* 0 or -errno: -EBUSY when another program reads the group of our rules. */
int fuse_log_create(struct fuse_log **ret_log);
void fuse_log_destroy(struct fuse_log *log);
unsigned fuse_log_group(void);
int fuse_log_fd(const struct fuse_log *log);

/*
 * At most cap messages; the number of events in out, or -errno. full is called for each meter that
 * had no room for somebody. *ret_more is false when the socket was drained.
 */
typedef void fuse_log_full_fn(void *data, const char *policy, const char *limit);
int fuse_log_receive(struct fuse_log *log, tg_time now, struct tg_event *out, size_t cap,
		     bool *ret_more, fuse_log_full_fn *full, void *data);
void fuse_log_stats(const struct fuse_log *log, struct fuse_log_stats *ret_stats);

enum fuse_kind { FUSE_BLOWN, FUSE_FULL, FUSE_MALFORMED };
/* One whole message. *ret_fuse is written unless it is malformed; without a source of a FULL. */
enum fuse_kind fuse_log_decode(const struct nlmsghdr *message, struct tg_fuse *ret_fuse);

#endif
