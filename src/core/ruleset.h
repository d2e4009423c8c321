/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_RULESET_H
#define CORE_RULESET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>
#include <tcpguard/event.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "source_table.h"

/* The rates of a view, as bits: what one flow pours into the buckets. */
#define POURED_NEW 1u
#define POURED_FAILED 2u

/* A limit as the engine reads it on every flow. */
struct ruleset_limit {
	const struct tg_limit *limit;
	uint16_t index;    /* in its policy */
	enum tg_mode mode; /* the config's, or what overrides it */
	uint16_t slots;    /* bits of a source's states that the measure adds up; of a rate: 0 */
	uint8_t pours;     /* of a rate: POURED_NEW or POURED_FAILED; else 0 */
	/* Of a rate: a bucket is one time, in which a flow costs `cost` and which may run `room`
	 * ahead. */
	uint16_t bucket; /* of the source's buckets */
	uint64_t cost;
	uint64_t room;
	bool acts; /* some step does more than observe */
	bool up;   /* of a total: its state is live; bans.c says so */
};

/* What a total knows for each of its limits. */
struct ruleset_service {
	uint64_t bucket;
	uint32_t told; /* tick in which the offence was last told */
	bool has_sample;
	struct tg_flow_key sample; /* that crossed it last */
	/* While its state is live and acts; services.c. */
	tg_time pressed;    /* when it was last over half of the threshold */
	uint64_t packets;   /* that its element has met, as last told */
	uint32_t finished;  /* handshakes of SYNPROXY, as last told */
	bool has_finished;  /* they were told */
	bool blind;         /* nothing was told yet of an element that was there before */
	uint64_t held_back; /* SYNs in a second that came to nothing */
	uint32_t heard;     /* tick in which that was */
	uint32_t asked;     /* and in which it was asked for last */
};

/* A second, and the part of the next one that has begun, in ticks. */
#define TOTAL_PARTS 5

/* A policy's whole traffic as one source, which nothing can push out of a table. */
struct ruleset_total {
	struct source source;  /* only its states mean something */
	uint32_t destinations; /* that this host has a SYN under way to */
	/* Handshakes begun less those finished, by tick: parts that go around. services.c */
	int32_t begun[TOTAL_PARTS];
	uint32_t begun_tick;              /* the last part that was written */
	uint32_t requests;                /* as the sockets last told, while conntrack does not */
	struct ruleset_service *services; /* one for each limit of the view */
};

/* What an established flow had moved when it was last asked for; idle.c. */
struct ruleset_idle {
	uint32_t bytes;   /* wraps */
	uint16_t packets; /* wraps */
	uint16_t since;   /* tg_ruleset.idle_unit; wraps */
};

/*
 * The limits of one policy that count by the same prefix lengths: they share a
 * count. A source has one entry in the source table for each view it shows up in.
 * The totals of a policy are a view, too; in the source table it has
 * destinations only, if it asks for them.
 */
struct ruleset_view {
	uint16_t policy;
	uint8_t len[TG_FAMILY_COUNT];
	uint64_t mask[TG_FAMILY_COUNT][2]; /* of an address of len, as its bytes lie in memory */
	uint8_t alone[TG_FAMILY_COUNT];    /* bit of flow.alone; 0: its length has none */
	uint16_t limit_count;
	struct ruleset_limit *limits;
	uint16_t slots; /* those of all limits */
	/* By the slot that a flow leaves, SLOT_NONE too: those that it must come to, as bits, for
	 * the measure of any limit to rise. */
	uint16_t rises[TG_TCP_STATE_COUNT + 1];
	uint8_t pours;               /* those of all limits */
	bool asks_address;           /* the policy's match names addresses */
	bool of_hosts;               /* its sources are what other views of the policy count as
					hosts; before these */
	bool counts_hosts;           /* some limit wants them */
	bool asks_idle;              /* some limit does */
	bool counts_destinations;    /* of a total: some limit is a fan-out */
	struct ruleset_total *total; /* NULL: by source */
};

/* The views that a flow to some port may belong to; its address decides the rest. */
struct ruleset_class {
	uint64_t policies; /* bit mask; what makes it a class */
	uint16_t view_count, total_count;
	const uint16_t *views;  /* by source */
	const uint16_t *totals; /* behind them */
	bool asks_idle;         /* some limit does; the address decides */
	bool asks_fan_out;
};

struct tg_ruleset {
	const struct tg_config *config; /* borrowed */
	struct tg_prefix_set *allow;
	uint16_t class_of_port[65536];
	struct ruleset_class *classes;
	size_t class_count;
	struct ruleset_view *views;
	uint16_t view_count;
	uint16_t bucket_count;              /* rates of the view by source that has the most */
	uint32_t bucket_sources;            /* rows of buckets, for each family */
	uint64_t *buckets[TG_FAMILY_COUNT]; /* row of a source = its slot in the source table */
	size_t bucket_room;                 /* of each family; more than all rows, if inherited */
	struct ruleset_idle *idle;          /* by index of flow; NULL: no limit asks */
	size_t idle_count;
	uint32_t idle_unit;  /* of ruleset_idle.since, in ticks */
	uint32_t idle_units; /* without payload for so many, a flow is idle */
	size_t memory;
};

/* Each is one host to `min-hosts`. */
static inline uint8_t ruleset_host_len(unsigned family)
{
	return family == TG_IPV4 ? 32 : 64;
}

/* Does a source of the view know how many hosts it has? One host at most where it is no wider. */
static inline bool ruleset_has_hosts(const struct ruleset_view *view, unsigned family)
{
	return view->counts_hosts && view->len[family] < ruleset_host_len(family);
}

/* The source of the view that the address belongs to: tg_addr_mask(), twice on every event. */
static inline struct tg_addr ruleset_mask(const struct ruleset_view *view,
					  const struct tg_addr *addr)
{
	const uint64_t *mask = view->mask[addr->family];
	const uint64_t words[2] = {load_word(addr->bytes, 0) & mask[0],
				   load_word(addr->bytes, 1) & mask[1]};
	struct tg_addr masked = {.family = addr->family};
	memcpy(masked.bytes, words, sizeof(words));
	return masked;
}

/* Distinct lengths that a flow remembers a bit for; the others are worked out each time. */
#define RULESET_LEN_SLOTS 6

static inline const struct ruleset_class *ruleset_class(const struct tg_ruleset *ruleset,
							uint16_t port)
{
	return &ruleset->classes[ruleset->class_of_port[port]];
}

/* The policy's match but for the port, which the class has answered. */
bool ruleset_match_address(const struct tg_policy *policy, const struct tg_addr *addr);

/* Counts of the one mean the same as counts of the other: same policies, lengths and buckets. */
bool ruleset_same_shape(const struct tg_ruleset *a, const struct tg_ruleset *b);

/*
 * Takes the tables of the one in force before, where they are large enough, and leaves its own,
 * which nothing has touched, in their place: so a reload needs no second copy. With the same shape
 * they go on as they are, and so do the totals; else what stands in them means nothing.
 */
void ruleset_inherit(struct tg_ruleset *ruleset, struct tg_ruleset *old, bool same_shape);
/* The bytes of tables that it would not inherit. */
size_t ruleset_grows(const struct tg_ruleset *ruleset, const struct tg_ruleset *old);

/* Indexes by name; TG_NO_INDEX. */
uint16_t ruleset_find_policy(const struct tg_ruleset *ruleset, const char *name);
uint16_t ruleset_find_limit(const struct tg_ruleset *ruleset, uint16_t policy, const char *name);
/* That a limit of the ruleset belongs to. */
const struct ruleset_view *ruleset_view(const struct tg_ruleset *ruleset,
					const struct ruleset_limit *limit);
/* NULL if there is none. */
struct ruleset_limit *ruleset_limit(const struct tg_ruleset *ruleset, uint16_t policy,
				    uint16_t limit);

#endif
