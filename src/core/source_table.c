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

struct source_table *source_table_create(uint32_t max_sources, const uint8_t seed[16])
{
	struct source_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	uint32_t sets = 1;
	while (sets < UINT32_C(1) << 28 && sets * WAYS < max_sources)
		sets *= 2;
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

struct source_place {
	uint32_t set;
	uint16_t tag;
};

static struct source_place source_place(const struct source_table *table, const uint8_t addr[16],
					uint16_t view)
{
	uint8_t key[18];
	memcpy(key, addr, 16);
	memcpy(key + 16, &view, sizeof(view));
	uint64_t hash = tg_siphash13(table->seed, key, sizeof(key));
	uint16_t tag = (uint16_t)(hash >> 48);
	return (struct source_place){(uint32_t)hash & table->set_mask, tag ? tag : 1};
}

static uint32_t source_search(const struct source_table *table, struct source_place place,
			      const uint8_t addr[16], uint16_t view)
{
	const struct source_set *set = &table->sets[place.set];
	for (uint32_t way = 0; way < WAYS; way++) {
		if (set->tags[way] != place.tag)
			continue;
		uint32_t slot = place.set * WAYS + way;
		const struct source *source = &table->sources[slot];
		if (source->view == view && memcmp(source->addr, addr, 16) == 0)
			return slot;
	}
	return SOURCE_NONE;
}

uint32_t source_table_find(const struct source_table *table, const uint8_t addr[16], uint16_t view)
{
	return source_search(table, source_place(table, addr, view), addr, view);
}

/* A free way of the set, or the one whose source matters least. */
static uint32_t source_victim(struct source_table *table, uint32_t set_index)
{
	struct source_set *set = &table->sets[set_index];
	uint32_t best = 0, best_flows = UINT32_MAX, best_seen = 0;
	for (uint32_t way = 0; way < WAYS; way++) {
		if (set->tags[way] == 0)
			return way;
		const struct source *source = &table->sources[set_index * WAYS + way];
		uint32_t flows = source_flows(source);
		if (flows < best_flows || (flows == best_flows && source->last_seen < best_seen)) {
			best = way;
			best_flows = flows;
			best_seen = source->last_seen;
		}
	}
	table->count--;
	/* One whose flows have all ended has nothing left to lose but its buckets. */
	table->evicted += best_flows > 0;
	return best;
}

uint32_t source_table_get(struct source_table *table, const uint8_t addr[16], uint16_t view,
			  uint32_t tick, bool *ret_made)
{
	struct source_place place = source_place(table, addr, view);
	uint32_t slot = source_search(table, place, addr, view);
	*ret_made = slot == SOURCE_NONE;
	if (*ret_made) {
		uint32_t way = source_victim(table, place.set);
		slot = place.set * WAYS + way;
		table->sets[place.set].tags[way] = place.tag;
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
