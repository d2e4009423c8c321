/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "source_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

#define WAYS 8

/* Beside the sources, so that a search reads one line of tags before it reads a source. 0: free. */
struct source_set {
	uint16_t tags[WAYS];
};

struct source_table {
	struct source *sources;
	struct source_set *sets;
	uint32_t set_mask;
	uint32_t count;
	uint64_t evicted;
	uint8_t seed[16];
};

uint32_t source_table_room(uint32_t max_sources)
{
	uint32_t sets = 1;
	while (sets < UINT32_C(1) << 28 && sets * WAYS < max_sources)
		sets *= 2;
	return sets * WAYS;
}

struct source_table *source_table_create(uint32_t max_sources, const uint8_t seed[16])
{
	struct source_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	const uint32_t sets = source_table_room(max_sources) / WAYS;
	table->set_mask = sets - 1;
	memcpy(table->seed, seed, sizeof(table->seed));
	table->sets = calloc(sets, sizeof(*table->sets));
	table->sources = calloc((size_t)sets * WAYS, sizeof(*table->sources));
	if (!table->sets || !table->sources) {
		source_table_destroy(table);
		return NULL;
	}
	return table;
}

void source_table_destroy(struct source_table *table)
{
	if (!table)
		return;
	free(table->sets);
	free(table->sources);
	free(table);
}

void source_table_clear(struct source_table *table)
{
	memset(table->sets, 0, ((size_t)table->set_mask + 1) * sizeof(*table->sets));
	table->count = 0;
}

/* Two sets may hold a source, and a new one goes to the emptier: so both fill evenly, to the rim.
 */
struct source_place {
	uint32_t sets[2];
	uint16_t tag;
};

static struct source_place source_place(const struct source_table *table, const uint8_t addr[16],
					uint16_t view)
{
	uint8_t key[18];
	memcpy(key, addr, 16);
	memcpy(key + 16, &view, sizeof(view));
	const uint64_t hash = tg_siphash13(table->seed, key, sizeof(key));
	const uint16_t tag = (uint16_t)(hash >> 48);
	return (struct source_place){
		.sets = {(uint32_t)hash & table->set_mask,
			 (uint32_t)(hash >> 24) & table->set_mask},
		.tag = tag ? tag : 1,
	};
}

static uint32_t source_search(const struct source_table *table, const struct source_place *place,
			      const uint8_t addr[16], uint16_t view)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct source_set *set = &table->sets[place->sets[i]];
		for (uint32_t way = 0; way < WAYS; way++) {
			if (set->tags[way] != place->tag)
				continue;
			const uint32_t slot = place->sets[i] * WAYS + way;
			const struct source *source = &table->sources[slot];
			if (source->view == view && memcmp(source->addr, addr, 16) == 0)
				return slot;
		}
	}
	return SOURCE_NONE;
}

uint32_t source_table_find(const struct source_table *table, const uint8_t addr[16], uint16_t view)
{
	const struct source_place place = source_place(table, addr, view);
	return source_search(table, &place, addr, view);
}

static unsigned set_used(const struct source_set *set)
{
	unsigned used = 0;
	for (uint32_t way = 0; way < WAYS; way++)
		used += set->tags[way] != 0;
	return used;
}

/* The source that matters least in both sets: fewest flows, then longest silent. */
static uint32_t source_victim(struct source_table *table, const struct source_place *place)
{
	uint32_t best = SOURCE_NONE, best_flows = UINT32_MAX, best_seen = 0;
	for (uint32_t i = 0; i < 2 * WAYS; i++) {
		const uint32_t slot = place->sets[i / WAYS] * WAYS + i % WAYS;
		const struct source *source = &table->sources[slot];
		const uint32_t flows = source_flows(source);
		if (flows < best_flows || (flows == best_flows && source->last_seen < best_seen)) {
			best = slot;
			best_flows = flows;
			best_seen = source->last_seen;
		}
	}
	table->count--;
	/* One whose flows have all ended has nothing left to lose but its buckets. */
	table->evicted += best_flows > 0;
	return best;
}

/* Room for a source that is not there: in the emptier set, or a victim's. */
static uint32_t source_room(struct source_table *table, const struct source_place *place)
{
	const unsigned used[2] = {set_used(&table->sets[place->sets[0]]),
				  set_used(&table->sets[place->sets[1]])};
	const uint32_t set = place->sets[used[1] < used[0]];
	for (uint32_t way = 0; way < WAYS; way++)
		if (table->sets[set].tags[way] == 0)
			return set * WAYS + way;
	return source_victim(table, place);
}

uint32_t source_table_get(struct source_table *table, const uint8_t addr[16], uint16_t view,
			  uint32_t tick, bool *ret_made)
{
	const struct source_place place = source_place(table, addr, view);
	uint32_t slot = source_search(table, &place, addr, view);
	*ret_made = slot == SOURCE_NONE;
	if (*ret_made) {
		slot = source_room(table, &place);
		table->sets[slot / WAYS].tags[slot % WAYS] = place.tag;
		table->sources[slot] = (struct source){.view = view};
		memcpy(table->sources[slot].addr, addr, 16);
		table->count++;
	}
	table->sources[slot].last_seen = tick;
	return slot;
}

struct source *source_table_at(struct source_table *table, uint32_t slot)
{
	return &table->sources[slot];
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
	return (table->set_mask + 1) * WAYS;
}

uint64_t source_table_evicted(const struct source_table *table)
{
	return table->evicted;
}

size_t source_table_memory(const struct source_table *table)
{
	return sizeof(*table) + ((size_t)table->set_mask + 1) *
					(sizeof(*table->sets) + WAYS * sizeof(*table->sources));
}
