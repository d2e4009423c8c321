/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_RULESET_H
#define CORE_RULESET_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

/* A limit as the engine reads it on every flow. */
struct ruleset_limit {
	const struct tg_limit *limit;
	uint16_t index;    /* in its policy */
	enum tg_mode mode; /* the config's, or what overrides it */
	/* Of `new`: a bucket is one time, in which a flow costs `cost` and which may run `room`
	 * ahead. */
	uint16_t bucket; /* of the source's buckets */
	uint64_t cost;
	uint64_t room;
	bool up; /* of a total: its state is live; bans.c says so */
};

/*
 * The limits of one policy that count by the same prefix lengths: they share a
 * count. A source has one entry in the source table for each view it shows up in.
 */
struct ruleset_view {
	uint16_t policy;
	uint8_t len[TG_FAMILY_COUNT];
	uint8_t len_slot[TG_FAMILY_COUNT]; /* of the ruleset's distinct lengths */
	uint16_t limit_count;
	struct ruleset_limit *limits;
	bool counts_concurrent; /* there is such a limit */
};

/* The views that a flow to some port may belong to; its address decides the rest. */
struct ruleset_class {
	uint64_t policies; /* bit mask; what makes it a class */
	uint16_t view_count;
	const uint16_t *views;
};

struct tg_ruleset {
	const struct tg_config *config; /* borrowed */
	struct tg_prefix_set *allow;
	uint16_t class_of_port[65536];
	struct ruleset_class *classes;
	size_t class_count;
	struct ruleset_view *views;
	uint16_t view_count;
	uint16_t bucket_count;              /* `new` limits of the view that has the most */
	uint32_t bucket_sources;            /* rows of buckets, for each family */
	uint64_t *buckets[TG_FAMILY_COUNT]; /* row of a source = its slot in the source table */
	size_t memory;
};

/* Lengths that a flow remembers a bit for; the others are worked out each time. */
#define RULESET_LEN_SLOTS 8

static inline const struct ruleset_class *ruleset_class(const struct tg_ruleset *ruleset,
							uint16_t port)
{
	return &ruleset->classes[ruleset->class_of_port[port]];
}

/* The policy's match but for the port, which the class has answered. */
bool ruleset_match_address(const struct tg_policy *policy, const struct tg_addr *addr);

/* Counts of the one mean the same as counts of the other: same policies, lengths and buckets. */
bool ruleset_same_shape(const struct tg_ruleset *a, const struct tg_ruleset *b);

/* Indexes by name; TG_NO_INDEX. */
uint16_t ruleset_find_policy(const struct tg_ruleset *ruleset, const char *name);
uint16_t ruleset_find_limit(const struct tg_ruleset *ruleset, uint16_t policy, const char *name);
/* NULL if there is none. */
struct ruleset_limit *ruleset_limit(const struct tg_ruleset *ruleset, uint16_t policy,
				    uint16_t limit);

#endif
