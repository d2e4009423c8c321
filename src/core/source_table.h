/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_SOURCE_TABLE_H
#define CORE_SOURCE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

#include "base/util.h"

#define SOURCE_NONE UINT32_MAX

/* view of a source: the ruleset's view, shifted, and whether it is a single address of a wider
 * view. */
#define SOURCE_VIEW(view, alone) ((uint16_t)((view) << 1 | ((alone) ? 1 : 0)))
#define SOURCE_VIEW_INDEX(source_view) ((source_view) >> 1)
#define SOURCE_VIEW_ALONE(source_view) ((source_view)&1)

/*
 * The states that measures add up, as bits. Flows in CLOSE are counted by nobody, and its place in
 * a source is that of the idle ones among those in ESTABLISHED, which it does not hold twice.
 */
#define SOURCE_IDLE TG_TCP_CLOSE
#define STATE_BIT(state) (1u << (state))
#define HALF_OPEN_STATES (STATE_BIT(TG_TCP_SYN_SENT) | STATE_BIT(TG_TCP_SYN_RECV))
#define CONCURRENT_STATES                                             \
	(STATE_BIT(TG_TCP_ESTABLISHED) | STATE_BIT(TG_TCP_FIN_WAIT) | \
	 STATE_BIT(TG_TCP_CLOSE_WAIT) | STATE_BIT(TG_TCP_LAST_ACK))
#define CONCURRENT_SLOTS (CONCURRENT_STATES | STATE_BIT(SOURCE_IDLE))

static inline bool in_states(unsigned states, unsigned state)
{
	return states >> state & 1;
}

/* Without padding, so that a set of eight and their tags are eight cache lines. */
struct source {
	uint8_t addr[16];   /* masked */
	uint64_t born : 48; /* engine's sequence: flows counted earlier do not stand in states */
	uint64_t view : 16;
	uint16_t base; /* concurrent flows that an earlier ban has answered; see counts_forgive() */
	uint16_t hosts;     /* distinct addresses in it that have a flow, where a limit asks */
	uint16_t last_seen; /* in SOURCE_SEEN_TICKS; wraps */
	uint32_t states[TG_TCP_STATE_COUNT]; /* see SOURCE_IDLE */
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct source) == 62, "with its tag, a source has 64 bytes");

/* Four seconds; 16 bits of them are three days. */
#define SOURCE_SEEN_TICKS 16
static inline uint16_t source_seen(uint32_t tick)
{
	return (uint16_t)(tick / SOURCE_SEEN_TICKS);
}

/*
 * The counts of one family's sources: a fixed table of sets of eight, hashed with SipHash,
 * because attackers choose the keys. A source has two sets to live in, so that the table fills to
 * three quarters before anybody has to go. Then the one with the fewest flows goes, the longest
 * silent of these, and is counted: a flood of single flows cannot push out a source that
 * holds many.
 */
#define SOURCE_WAYS 8

/* The tags first, so that a search reads one line before it reads a source. 0: free. */
struct source_set {
	uint16_t tags[SOURCE_WAYS];
	struct source sources[SOURCE_WAYS];
};
_Static_assert(sizeof(struct source_set) == 512, "a set is eight cache lines");

/* What was found out about a source ahead of the event that asks for it. */
struct source_ahead {
	uint64_t addr[2];
	uint32_t sets[2];
	uint32_t slot; /* where it stood then, very likely; SOURCE_NONE */
	uint16_t tag;
	uint16_t view;
};

struct source_table {
	void *memory;
	struct source_set *sets; /* in memory */
	uint32_t set_count;
	uint32_t count;
	uint64_t evicted;
	struct source last_evicted;
	uint8_t seed[16];
	const struct source_ahead *expected; /* source_table_expect() */
	unsigned expected_count;
};

/* The slots that a table for so many sources has: as many, rounded up to whole sets. */
uint32_t source_table_room(uint32_t max_sources);
/* What such a table takes. */
size_t source_table_bytes(uint32_t max_sources);
struct source_table *source_table_create(uint32_t max_sources, const uint8_t seed[16]);
void source_table_destroy(struct source_table *table);
void source_table_clear(struct source_table *table);

/* SOURCE_NONE. */
uint32_t source_table_find(const struct source_table *table, const uint8_t addr[16], uint16_t view);
/* Finds or makes; *ret_made tells which. Never fails: it evicts. */
uint32_t source_table_get(struct source_table *table, const uint8_t addr[16], uint16_t view,
			  uint32_t tick, bool *ret_made);
static inline struct source *source_table_at(struct source_table *table, uint32_t slot)
{
	return &table->sets[slot / SOURCE_WAYS].sources[slot % SOURCE_WAYS];
}

/*
 * Brings what a later call about this source reads into the cache: first the tags of its first
 * set, where nearly all are as long as the table has much room; some time later the source itself
 * if it is in there (which: 0), or else the tags of the other set; and again some time later the
 * source in that one (1). Then, before that call: what is expected. An
 * expectation that is wrong costs time only; it must live until the next, or none, is told.
 */
void source_table_ahead_set(const struct source_table *table, const uint8_t addr[16], uint16_t view,
			    struct source_ahead *ret_ahead);
void source_table_ahead_source(const struct source_table *table, unsigned which,
			       struct source_ahead *ahead);
static inline void source_table_expect(struct source_table *table,
				       const struct source_ahead *expected, unsigned count)
{
	table->expected = expected;
	table->expected_count = count;
}

/* In use by this source? */
static inline bool source_stands_at(const struct source_table *table, uint32_t slot,
				    const uint8_t addr[16], uint16_t view)
{
	const struct source_set *set = &table->sets[slot / SOURCE_WAYS];
	const struct source *source = &set->sources[slot % SOURCE_WAYS];
	return set->tags[slot % SOURCE_WAYS] != 0 && source->view == view &&
	       load_word(source->addr, 0) == load_word(addr, 0) &&
	       load_word(source->addr, 1) == load_word(addr, 1);
}

/* Where it stands, if that is what the nth expectation says; SOURCE_NONE: look for it. */
static inline uint32_t source_table_expected(const struct source_table *table, unsigned n,
					     const uint8_t addr[16], uint16_t view)
{
	if (n >= table->expected_count)
		return SOURCE_NONE;
	const uint32_t slot = table->expected[n].slot;
	if (slot == SOURCE_NONE || !source_stands_at(table, slot, addr, view))
		return SOURCE_NONE;
	return slot;
}

/* The first slot in use at or after slot; SOURCE_NONE at the end. */
uint32_t source_table_next(const struct source_table *table, uint32_t slot);
uint32_t source_table_count(const struct source_table *table);
uint32_t source_table_capacity(const struct source_table *table);
uint64_t source_table_evicted(const struct source_table *table);
/* The one that was evicted last, as it was. */
const struct source *source_table_last_evicted(const struct source_table *table);
size_t source_table_memory(const struct source_table *table);

/* Those of its flows that stand in one of the slots, which are bits. */
static inline uint32_t source_sum(const struct source *source, unsigned slots)
{
	uint32_t sum = 0;
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		if (in_states(slots, s))
			sum += source->states[s];
	return sum;
}

static inline uint32_t source_flows(const struct source *source)
{
	uint32_t sum = 0;
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		sum += source->states[s];
	return sum;
}

#endif
