/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "source_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"

#define WAYS SOURCE_WAYS
#define CACHE_LINE 64

/* So that the numbers of slots of both families fit into 32 bits. */
#define SOURCES_MOST (UINT32_C(1) << 30)

uint32_t source_table_room(uint32_t max_sources)
{
	const uint32_t sets = (MIN(max_sources, SOURCES_MOST) + WAYS - 1) / WAYS;
	return MAX(sets, 1) * WAYS;
}

size_t source_table_bytes(uint32_t max_sources)
{
	const size_t sets = source_table_room(max_sources) / WAYS;
	return sizeof(struct source_table) + (sets + 1) * sizeof(struct source_set);
}

struct source_table *source_table_create(uint32_t max_sources, const uint8_t seed[16])
{
	struct source_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	const uint32_t sets = source_table_room(max_sources) / WAYS;
	table->set_count = sets;
	memcpy(table->seed, seed, sizeof(table->seed));
	/* One set more, to begin at a cache line; and untouched, so that what is never used costs
	 * no page. */
	table->memory = calloc((size_t)sets + 1, sizeof(*table->sets));
	if (!table->memory) {
		free(table);
		return NULL;
	}
	const uintptr_t rest = (uintptr_t)table->memory % CACHE_LINE;
	table->sets = (void *)((uint8_t *)table->memory + (CACHE_LINE - rest) % CACHE_LINE);
	return table;
}

void source_table_destroy(struct source_table *table)
{
	if (!table)
		return;
	free(table->memory);
	free(table);
}

void source_table_clear(struct source_table *table)
{
	for (uint32_t i = 0; i < table->set_count; i++)
		memset(table->sets[i].tags, 0, sizeof(table->sets[i].tags));
	table->count = 0;
}

/* An address of four bytes, as all of IPv4, fits with its view into the last word of SipHash; the
 * length keeps it apart from a longer one. */
static inline uint64_t source_hash(const struct source_table *table, uint64_t high, uint64_t low,
				   uint16_t view)
{
	struct siphash s = siphash_begin(table->seed);
	if (low == 0 && high >> 32 == 0)
		return siphash_end(&s, high | (uint64_t)view << 32, 4 + sizeof(view));
	siphash_word(&s, high);
	siphash_word(&s, low);
	return siphash_end(&s, view, 16 + sizeof(view));
}

/* A set for 32 bits of a hash, whatever the number of sets; the high bits decide. */
static uint32_t set_of(const struct source_table *table, uint32_t bits)
{
	return (uint32_t)((uint64_t)bits * table->set_count >> 32);
}

/* Two sets may hold a source, and a new one goes to the emptier: so both fill evenly, to the rim.
 */
static struct source_ahead place_of(const struct source_table *table, uint64_t high, uint64_t low,
				    uint16_t view)
{
	const uint64_t hash = source_hash(table, le64toh(high), le64toh(low), view);
	const uint16_t tag = (uint16_t)(hash >> 48);
	return (struct source_ahead){
		.addr = {high, low},
		.sets = {set_of(table, (uint32_t)hash), set_of(table, (uint32_t)(hash >> 16))},
		.slot = SOURCE_NONE,
		.tag = tag ? tag : 1,
		.view = view,
	};
}

static struct source_ahead source_place(const struct source_table *table, const uint8_t addr[16],
					uint16_t view)
{
	const uint64_t high = load_word(addr, 0), low = load_word(addr, 1);
	for (unsigned i = 0; i < table->expected_count; i++) {
		const struct source_ahead *expected = &table->expected[i];
		if (expected->view == view && expected->addr[0] == high && expected->addr[1] == low)
			return *expected;
	}
	return place_of(table, high, low, view);
}

/* Four tags, the first one lowest. */
static uint64_t tags_word(const struct source_set *set, unsigned half)
{
	const uint16_t *tags = set->tags + half * 4;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return load_word(tags, 0);
#else
	return tags[0] | (uint64_t)tags[1] << 16 | (uint64_t)tags[2] << 32 |
	       (uint64_t)tags[3] << 48;
#endif
}

/* Of four tags, the lowest bit of each that is zero; above the first one perhaps of others, too. */
static uint64_t zero_tags(uint64_t four)
{
	return ((four - UINT64_C(0x0001000100010001)) & ~four & UINT64_C(0x8000800080008000)) >> 15;
}

/*
 * The ways that may have the tag: bit 16 n of the way n, and bit 16 n + 1 of the way n + 4. All at
 * once, because a loop over eight tags is most of what a lookup costs.
 */
static uint64_t set_matches(const struct source_set *set, uint16_t tag)
{
	const uint64_t wanted = tag * UINT64_C(0x0001000100010001);
	const uint64_t low = tags_word(set, 0) ^ wanted, high = tags_word(set, 1) ^ wanted;
	return zero_tags(low) | zero_tags(high) << 1;
}

static uint32_t first_way(uint64_t matches)
{
	const uint32_t bit = (uint32_t)__builtin_ctzll(matches);
	return bit / 16 + bit % 16 * 4;
}

static uint32_t source_search(const struct source_table *table, const struct source_ahead *place)
{
	const uint8_t *addr = (const uint8_t *)place->addr;
	if (place->slot != SOURCE_NONE && source_stands_at(table, place->slot, addr, place->view))
		return place->slot;
	for (unsigned i = 0; i < 2; i++) {
		const uint32_t set = place->sets[i];
		uint64_t ways = set_matches(&table->sets[set], place->tag);
		for (; ways != 0; ways &= ways - 1) {
			const uint32_t slot = set * WAYS + first_way(ways);
			if (source_stands_at(table, slot, addr, place->view))
				return slot;
		}
	}
	return SOURCE_NONE;
}

uint32_t source_table_find(const struct source_table *table, const uint8_t addr[16], uint16_t view)
{
	const struct source_ahead place = source_place(table, addr, view);
	return source_search(table, &place);
}

void source_table_ahead_set(const struct source_table *table, const uint8_t addr[16], uint16_t view,
			    struct source_ahead *ret_ahead)
{
	*ret_ahead = place_of(table, load_word(addr, 0), load_word(addr, 1), view);
	__builtin_prefetch(&table->sets[ret_ahead->sets[0]]);
}

void source_table_ahead_source(const struct source_table *table, unsigned which,
			       struct source_ahead *ahead)
{
	const struct source_set *set = &table->sets[ahead->sets[which]];
	const uint64_t ways = set_matches(set, ahead->tag);
	if (ways == 0) {
		__builtin_prefetch(&table->sets[ahead->sets[1]]);
		return;
	}
	const uint32_t way = first_way(ways);
	const uint8_t *source = (const uint8_t *)&set->sources[way];
	/* It may begin in one line and end in the next. */
	__builtin_prefetch(source, 1);
	__builtin_prefetch(source + sizeof(struct source) - 1, 1);
	ahead->slot = ahead->sets[which] * WAYS + way;
}

static unsigned set_used(const struct source_set *set)
{
	unsigned used = 0;
	for (uint32_t way = 0; way < WAYS; way++)
		used += set->tags[way] != 0;
	return used;
}

/* The source that matters least in both sets: fewest flows, then longest silent. */
static uint32_t source_victim(struct source_table *table, const struct source_ahead *place,
			      uint16_t now)
{
	uint32_t best = SOURCE_NONE, best_flows = UINT32_MAX;
	uint16_t best_silence = 0;
	for (uint32_t i = 0; i < 2 * WAYS; i++) {
		const uint32_t slot = place->sets[i / WAYS] * WAYS + i % WAYS;
		const struct source *source = source_table_at(table, slot);
		const uint32_t flows = source_flows(source);
		const uint16_t silence = (uint16_t)(now - source->last_seen);
		if (flows < best_flows || (flows == best_flows && silence > best_silence)) {
			best = slot;
			best_flows = flows;
			best_silence = silence;
		}
	}
	table->count--;
	/* One whose flows have all ended has nothing left to lose but its buckets. */
	if (best_flows > 0) {
		table->evicted++;
		table->last_evicted = *source_table_at(table, best);
	}
	return best;
}

/* Room for a source that is not there: in the emptier set, or a victim's. */
static uint32_t source_room(struct source_table *table, const struct source_ahead *place,
			    uint16_t now)
{
	const unsigned used[2] = {set_used(&table->sets[place->sets[0]]),
				  set_used(&table->sets[place->sets[1]])};
	const uint32_t set = place->sets[used[1] < used[0]];
	for (uint32_t way = 0; way < WAYS; way++)
		if (table->sets[set].tags[way] == 0)
			return set * WAYS + way;
	return source_victim(table, place, now);
}

uint32_t source_table_get(struct source_table *table, const uint8_t addr[16], uint16_t view,
			  uint32_t tick, bool *ret_made)
{
	const struct source_ahead place = source_place(table, addr, view);
	const uint16_t now = source_seen(tick);
	uint32_t slot = source_search(table, &place);
	*ret_made = slot == SOURCE_NONE;
	if (*ret_made) {
		slot = source_room(table, &place, now);
		table->sets[slot / WAYS].tags[slot % WAYS] = place.tag;
		struct source *source = source_table_at(table, slot);
		*source = (struct source){.view = view};
		memcpy(source->addr, addr, 16);
		table->count++;
	}
	source_table_at(table, slot)->last_seen = now;
	return slot;
}

uint32_t source_table_next(const struct source_table *table, uint32_t slot)
{
	const uint32_t capacity = source_table_capacity(table);
	while (slot < capacity && table->sets[slot / WAYS].tags[slot % WAYS] == 0)
		slot++;
	return slot < capacity ? slot : SOURCE_NONE;
}

uint32_t source_table_count(const struct source_table *table)
{
	return table->count;
}

uint32_t source_table_capacity(const struct source_table *table)
{
	return table->set_count * WAYS;
}

uint64_t source_table_evicted(const struct source_table *table)
{
	return table->evicted;
}

const struct source *source_table_last_evicted(const struct source_table *table)
{
	return &table->last_evicted;
}

size_t source_table_memory(const struct source_table *table)
{
	return source_table_bytes(table->set_count * WAYS);
}
