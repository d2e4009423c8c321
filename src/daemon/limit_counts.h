/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_LIMIT_COUNTS_H
#define DAEMON_LIMIT_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/config.h>

struct tg_ban;
struct tg_decision;

/* What was decided by each limit, since the start. */
enum limit_count {
	LIMIT_COUNT_BAN,     /* a source is held back */
	LIMIT_COUNT_OBSERVE, /* it would be, if the limit were enforced */
	LIMIT_COUNT_EXTEND,  /* a ban goes on, or became longer or stronger */
	LIMIT_COUNT_PROVE, /* the sockets have proven the source: the measure that was asked for */
	LIMIT_COUNT_LIFT,  /* a ban ended before its time */
	LIMIT_COUNT_EXPIRE,
	LIMIT_COUNT_COUNT
};

/*
 * One entry for each limit of the policy in force, behind one for bans by hand and one for
 * automatic bans whose limit that policy does not have. Named, so that counts outlive a reload.
 */
struct limit_counts {
	struct limit_counts_entry {
		char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1];
		uint64_t counts[LIMIT_COUNT_COUNT];
	} * entries;
	size_t count;
	/* Of the entries, grows with each policy: an index is good for one generation only. */
	uint64_t generation;
};

/*
 * From now on decisions name limits of this config. Counts of limits that it does not have are
 * forgotten. Without memory for it nothing is counted any more, which the next policy mends.
 */
void limit_counts_follow(struct limit_counts *counts, const struct tg_config *config);
void limit_counts_finish(struct limit_counts *counts);
/* The entry of a ban, or count when nothing is counted. */
size_t limit_counts_find(const struct limit_counts *counts, const struct tg_config *config,
			 const struct tg_ban *ban);
void limit_counts_add(struct limit_counts *counts, const struct tg_config *config,
		      const struct tg_decision *decision);

#endif
