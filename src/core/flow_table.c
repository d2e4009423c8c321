/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"

/* Flows that the hand looks at, each a cache miss. */
#define CANDIDATES 8

/* A wheel_prev that is a slot's head instead of a flow. */
#define WHEEL_HEAD UINT32_C(0x80000000)
/* Armed nowhere. */
#define WHEEL_OFF UINT32_C(0x7fffffff)

#define KEY_WORDS 5u
_Static_assert(sizeof(struct tg_flow_key) == KEY_WORDS * sizeof(uint64_t), "a key is all words");

static bool key_equal(const struct tg_flow_key *a, const struct tg_flow_key *b)
{
	uint64_t differs = 0;
	for (unsigned i = 0; i < KEY_WORDS; i++)
		differs |= load_word(a, i) ^ load_word(b, i);
	return differs == 0;
}

/*
 * Of IPv4 only what can differ, which is no secret: the length keeps the two families apart. The
 * last byte of a key is always zero, and SipHash has its length in that place.
 */
static uint64_t key_hash(const struct flow_table *table, const struct tg_flow_key *key)
{
	const uint64_t last = le64toh(load_word(key, KEY_WORDS - 1)) & UINT64_MAX >> 8;
	struct siphash s = siphash_begin(table->seed);
	if (key->family == TG_IPV4) {
		uint32_t addrs[2];
		memcpy(&addrs[0], key->src, sizeof(addrs[0]));
		memcpy(&addrs[1], key->dst, sizeof(addrs[1]));
		siphash_word(&s, addrs[0] | (uint64_t)addrs[1] << 32);
		return siphash_end(&s, last, 8 + 7);
	}
	for (unsigned i = 0; i < KEY_WORDS - 1; i++)
		siphash_word(&s, le64toh(load_word(key, i)));
	return siphash_end(&s, last, sizeof(*key) - 1);
}

static uint32_t bucket_count(uint32_t max_flows)
{
	uint32_t buckets = 1024;
	while (buckets < max_flows && buckets < WHEEL_HEAD)
		buckets *= 2;
	return buckets;
}

size_t flow_table_bytes(uint32_t max_flows)
{
	return sizeof(struct flow_table) + ((size_t)max_flows + 1) * sizeof(struct flow) +
	       (size_t)bucket_count(max_flows) * sizeof(uint32_t);
}

struct flow_table *flow_table_create(uint32_t max_flows, const uint8_t seed[16])
{
	struct flow_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	const uint32_t buckets = bucket_count(max_flows);
	table->max_flows = max_flows;
	table->bucket_mask = buckets - 1;
	table->free = FLOW_NONE;
	table->cursor = FLOW_NONE;
	memcpy(table->seed, seed, sizeof(table->seed));
	/* Untouched, so that what is never used costs no page. */
	table->memory = calloc((size_t)max_flows + 1, sizeof(*table->flows));
	table->buckets = malloc(buckets * sizeof(*table->buckets));
	if (!table->memory || !table->buckets) {
		flow_table_destroy(table);
		return NULL;
	}
	const uintptr_t rest = (uintptr_t)table->memory % sizeof(*table->flows);
	table->flows = (void *)((uint8_t *)table->memory +
				(sizeof(*table->flows) - rest) % sizeof(*table->flows));
	table->hashed_key = &table->own_key;
	table->hashed = key_hash(table, &table->own_key);
	memset(table->buckets, 0xff, buckets * sizeof(*table->buckets));
	memset(table->wheel, 0xff, sizeof(table->wheel));
	return table;
}

void flow_table_destroy(struct flow_table *table)
{
	if (!table)
		return;
	free(table->memory);
	free(table->buckets);
	free(table);
}

static uint32_t *flow_bucket(struct flow_table *table, const struct tg_flow_key *key)
{
	if (key != table->hashed_key && !key_equal(key, table->hashed_key)) {
		table->hashed = key_hash(table, key);
		table->own_key = *key;
		table->hashed_key = &table->own_key;
	}
	return &table->buckets[table->hashed & table->bucket_mask];
}

uint32_t flow_table_find(struct flow_table *table, const struct tg_flow_key *key)
{
	uint32_t i = *flow_bucket(table, key);
	while (i != FLOW_NONE && !key_equal(&table->flows[i].key, key))
		i = table->flows[i].next;
	return i;
}

uint64_t flow_table_ahead_bucket(const struct flow_table *table, const struct tg_flow_key *key)
{
	const uint64_t hash = key_hash(table, key);
	__builtin_prefetch(&table->buckets[hash & table->bucket_mask], 1);
	return hash;
}

uint32_t flow_table_ahead_flow(const struct flow_table *table, uint64_t hash)
{
	const uint32_t i = table->buckets[hash & table->bucket_mask];
	if (i != FLOW_NONE)
		__builtin_prefetch(&table->flows[i], 1);
	return i;
}

void flow_table_ahead_links(const struct flow_table *table, uint32_t index)
{
	if (index == FLOW_NONE)
		return;
	const struct flow *flow = &table->flows[index];
	if (flow->next != FLOW_NONE)
		__builtin_prefetch(&table->flows[flow->next], 1);
	/* Its neighbours in the wheel are written when its deadline moves. */
	if (flow->wheel_prev < table->used)
		__builtin_prefetch(&table->flows[flow->wheel_prev], 1);
	if (flow->wheel_next < table->used)
		__builtin_prefetch(&table->flows[flow->wheel_next], 1);
}

void flow_table_forget(struct flow_table *table)
{
	table->own_key = *table->hashed_key;
	table->hashed_key = &table->own_key;
}

uint32_t flow_table_insert(struct flow_table *table, const struct tg_flow_key *key)
{
	uint32_t i = table->free;
	if (i != FLOW_NONE)
		table->free = table->flows[i].next;
	else if (table->used < table->max_flows)
		i = table->used++;
	else
		return FLOW_NONE;
	uint32_t *bucket = flow_bucket(table, key);
	table->flows[i] = (struct flow){.key = *key, .next = *bucket, .wheel_prev = WHEEL_OFF};
	*bucket = i;
	table->count++;
	return i;
}

uint32_t flow_table_least(struct flow_table *table)
{
	uint32_t least = table->hand;
	for (unsigned n = 0; n < CANDIDATES; n++) {
		const uint32_t i = table->hand;
		const struct flow *flow = &table->flows[i], *other = &table->flows[least];
		if (flow_worth(flow) < flow_worth(other) ||
		    (flow_worth(flow) == flow_worth(other) && flow->deadline < other->deadline))
			least = i;
		table->hand = i + 1 < table->max_flows ? i + 1 : 0;
	}
	return least;
}

static void wheel_unlink(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	if (flow->wheel_prev == WHEEL_OFF)
		return;
	if (table->cursor == index)
		table->cursor = flow->wheel_next;
	if (flow->wheel_prev & WHEEL_HEAD)
		table->wheel[flow->wheel_prev & ~WHEEL_HEAD] = flow->wheel_next;
	else
		table->flows[flow->wheel_prev].wheel_next = flow->wheel_next;
	if (flow->wheel_next != FLOW_NONE)
		table->flows[flow->wheel_next].wheel_prev = flow->wheel_prev;
	flow->wheel_prev = WHEEL_OFF;
}

void flow_table_set_deadline(struct flow_table *table, uint32_t index, uint32_t tick)
{
	struct flow *flow = &table->flows[index];
	if (flow->wheel_prev != WHEEL_OFF && flow->deadline == tick)
		return;
	wheel_unlink(table, index);
	/* A deadline in a slot that the wheel has passed, or is cleaning, would wait a whole turn.
	 */
	flow->deadline = MAX(tick, table->tick + 1 + table->turning);
	uint32_t slot = flow->deadline % FLOW_WHEEL_SLOTS;
	flow->wheel_next = table->wheel[slot];
	flow->wheel_prev = WHEEL_HEAD | slot;
	if (flow->wheel_next != FLOW_NONE)
		table->flows[flow->wheel_next].wheel_prev = index;
	table->wheel[slot] = index;
}

void flow_table_remove(struct flow_table *table, uint32_t index)
{
	struct flow *flow = &table->flows[index];
	wheel_unlink(table, index);
	uint32_t *link = flow_bucket(table, &flow->key);
	while (*link != index)
		link = &table->flows[*link].next;
	*link = flow->next;
	flow->key.family = UINT8_MAX; /* for flow_table_next */
	flow->next = table->free;
	table->free = index;
	table->count--;
}

uint32_t flow_table_expire(struct flow_table *table, uint32_t tick)
{
	/* After a long sleep one whole turn passes every slot. */
	if (!table->turning && tick - table->tick > FLOW_WHEEL_SLOTS && tick > table->tick)
		table->tick = tick - FLOW_WHEEL_SLOTS;
	while (table->tick < tick) {
		if (!table->turning) {
			table->cursor = table->wheel[(table->tick + 1) % FLOW_WHEEL_SLOTS];
			table->turning = true;
		}
		while (table->cursor != FLOW_NONE) {
			uint32_t i = table->cursor;
			table->cursor = table->flows[i].wheel_next;
			if (table->cursor != FLOW_NONE)
				__builtin_prefetch(&table->flows[table->cursor], 1);
			if (table->flows[i].deadline <= tick) {
				wheel_unlink(table, i);
				return i;
			}
		}
		table->turning = false;
		table->tick++;
	}
	return FLOW_NONE;
}

uint32_t flow_table_count(const struct flow_table *table)
{
	return table->count;
}

uint32_t flow_table_next(const struct flow_table *table, uint32_t index)
{
	while (index < table->used && table->flows[index].key.family >= TG_FAMILY_COUNT)
		index++;
	return index < table->used ? index : FLOW_NONE;
}

size_t flow_table_memory(const struct flow_table *table)
{
	return flow_table_bytes(table->max_flows);
}
