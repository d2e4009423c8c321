/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ban_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"

#define BAN_OUT_OF_HEAP UINT32_MAX
#define BAN_NO_REASON UINT32_MAX

/* Reasons are given by hand, so that few bans have one; when they run out, the ban goes without. */
#define BANS_PER_REASON 8

struct ban_reason {
	uint32_t next; /* in the free list */
	char text[TG_REASON_MAX];
};

struct ban_table {
	struct ban *bans;
	uint32_t *buckets;
	uint32_t *heap; /* ids, the earliest end first */
	struct ban_reason *reasons;
	uint32_t bucket_mask;
	uint32_t max_bans, used, count, heap_count, free;
	uint32_t max_reasons, reasons_used, reason_free;
	uint32_t dirty_head, dirty_tail;
	uint32_t record_head, record_tail, record_count; /* oldest first */
	uint8_t seed[16];
};

struct ban_table *ban_table_create(uint32_t max_bans, const uint8_t seed[16])
{
	struct ban_table *table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	uint32_t buckets = 64;
	while (buckets < max_bans && buckets < UINT32_C(1) << 31)
		buckets *= 2;
	table->bucket_mask = buckets - 1;
	table->max_bans = max_bans;
	table->max_reasons = max_bans / BANS_PER_REASON + 1;
	table->free = table->dirty_head = table->dirty_tail = TG_BAN_NONE;
	table->record_head = table->record_tail = TG_BAN_NONE;
	table->reason_free = BAN_NO_REASON;
	memcpy(table->seed, seed, sizeof(table->seed));
	table->bans = calloc(max_bans, sizeof(*table->bans));
	table->heap = calloc(max_bans, sizeof(*table->heap));
	table->reasons = calloc(table->max_reasons, sizeof(*table->reasons));
	table->buckets = malloc(buckets * sizeof(*table->buckets));
	if (!table->bans || !table->heap || !table->reasons || !table->buckets) {
		ban_table_destroy(table);
		return NULL;
	}
	memset(table->buckets, 0xff, buckets * sizeof(*table->buckets));
	return table;
}

void ban_table_destroy(struct ban_table *table)
{
	if (!table)
		return;
	free(table->bans);
	free(table->heap);
	free(table->reasons);
	free(table->buckets);
	free(table);
}

static uint32_t *ban_bucket(const struct ban_table *table, uint16_t policy, uint8_t scope,
			    const struct tg_prefix *source)
{
	uint8_t key[21];
	memcpy(key, source->addr.bytes, 16);
	key[16] = source->addr.family;
	key[17] = source->len;
	key[18] = scope;
	memcpy(key + 19, &policy, sizeof(policy));
	return &table->buckets[tg_siphash13(table->seed, key, sizeof(key)) & table->bucket_mask];
}

uint32_t ban_table_find(const struct ban_table *table, uint16_t policy, enum tg_scope scope,
			const struct tg_prefix *source)
{
	uint32_t id = *ban_bucket(table, policy, (uint8_t)scope, source);
	while (id != TG_BAN_NONE) {
		const struct ban *ban = &table->bans[id];
		if (ban->policy == policy && ban->scope == scope &&
		    tg_prefix_equal(&ban->source, source))
			break;
		id = ban->next;
	}
	return id;
}

static void ban_chain(struct ban_table *table, uint32_t id)
{
	struct ban *ban = &table->bans[id];
	uint32_t *bucket = ban_bucket(table, ban->policy, ban->scope, &ban->source);
	ban->next = *bucket;
	*bucket = id;
}

static void ban_unchain(struct ban_table *table, uint32_t id)
{
	const struct ban *ban = &table->bans[id];
	uint32_t *link = ban_bucket(table, ban->policy, ban->scope, &ban->source);
	while (*link != id)
		link = &table->bans[*link].next;
	*link = ban->next;
}

uint32_t ban_table_insert(struct ban_table *table, uint16_t policy, enum tg_scope scope,
			  const struct tg_prefix *source)
{
	if (table->free == TG_BAN_NONE && table->used == table->max_bans &&
	    table->record_head != TG_BAN_NONE)
		ban_table_remove(table, table->record_head);
	uint32_t id = table->free;
	if (id != TG_BAN_NONE)
		table->free = table->bans[id].next;
	else if (table->used < table->max_bans)
		id = table->used++;
	else
		return TG_BAN_NONE;
	/* A version of an earlier ban with this id must not answer for the new one. */
	const uint32_t version = table->bans[id].version;
	table->bans[id] = (struct ban){
		.source = *source,
		.life = BAN_LIVE,
		.scope = (uint8_t)scope,
		.policy = policy,
		.limit = TG_NO_INDEX,
		.witness = TG_NO_INDEX,
		.version = version + 1,
		.heap = BAN_OUT_OF_HEAP,
		.dirty_next = TG_BAN_NONE,
		.reason = BAN_NO_REASON,
	};
	ban_chain(table, id);
	table->count++;
	return id;
}

static void reason_free(struct ban_table *table, struct ban *ban)
{
	if (ban->reason == BAN_NO_REASON)
		return;
	table->reasons[ban->reason].next = table->reason_free;
	table->reason_free = ban->reason;
	ban->reason = BAN_NO_REASON;
}

/* Out of the list of records; a ban outside the heap then, and counted. */
static void record_unlink(struct ban_table *table, uint32_t id)
{
	struct ban *ban = &table->bans[id];
	if (ban->heap == TG_BAN_NONE)
		table->record_head = ban->dirty_next;
	else
		table->bans[ban->heap].dirty_next = ban->dirty_next;
	if (ban->dirty_next == TG_BAN_NONE)
		table->record_tail = ban->heap;
	else
		table->bans[ban->dirty_next].heap = ban->heap;
	ban->heap = BAN_OUT_OF_HEAP;
	ban->dirty_next = TG_BAN_NONE;
	table->record_count--;
	table->count++;
}

void ban_table_remember(struct ban_table *table, uint32_t id, tg_time until)
{
	struct ban *ban = &table->bans[id];
	ban_table_drop_until(table, id);
	reason_free(table, ban);
	ban->life = BAN_RECORD;
	ban->until = until;
	ban->heap = table->record_tail;
	ban->dirty_next = TG_BAN_NONE;
	if (table->record_tail == TG_BAN_NONE)
		table->record_head = id;
	else
		table->bans[table->record_tail].dirty_next = id;
	table->record_tail = id;
	table->record_count++;
	table->count--;
}

void ban_table_recall(struct ban_table *table, uint32_t id)
{
	record_unlink(table, id);
	struct ban *ban = &table->bans[id];
	ban->life = BAN_LIVE;
	ban->installed = false;
	ban->remember = false;
	ban->witness = TG_NO_INDEX;
	ban->asked = 0;
	ban->acked = 0;
}

uint32_t ban_table_oldest_record(const struct ban_table *table)
{
	return table->record_head;
}

uint32_t ban_table_records(const struct ban_table *table)
{
	return table->record_count;
}

void ban_table_remove(struct ban_table *table, uint32_t id)
{
	struct ban *ban = &table->bans[id];
	if (ban->life == BAN_RECORD)
		record_unlink(table, id);
	ban_table_drop_until(table, id);
	ban_unchain(table, id);
	reason_free(table, ban);
	ban->life = BAN_FREE;
	ban->next = table->free;
	table->free = id;
	table->count--;
}

void ban_table_rekey(struct ban_table *table, uint32_t id, uint16_t policy)
{
	ban_unchain(table, id);
	table->bans[id].policy = policy;
	ban_chain(table, id);
}

struct ban *ban_table_at(struct ban_table *table, uint32_t id)
{
	return &table->bans[id];
}

uint32_t ban_table_next(const struct ban_table *table, uint32_t id)
{
	while (id < table->used && table->bans[id].life == BAN_FREE)
		id++;
	return id < table->used ? id : TG_BAN_NONE;
}

/* The earlier; the lower id where two end at once, so that a replay takes the same order. */
static bool heap_before(const struct ban_table *table, uint32_t a, uint32_t b)
{
	const tg_time ta = table->bans[a].wake, tb = table->bans[b].wake;
	return ta != tb ? ta < tb : a < b;
}

static void heap_put(struct ban_table *table, uint32_t position, uint32_t id)
{
	table->heap[position] = id;
	table->bans[id].heap = position;
}

static void heap_up(struct ban_table *table, uint32_t position)
{
	const uint32_t id = table->heap[position];
	while (position > 0) {
		uint32_t parent = (position - 1) / 2;
		if (!heap_before(table, id, table->heap[parent]))
			break;
		heap_put(table, position, table->heap[parent]);
		position = parent;
	}
	heap_put(table, position, id);
}

static void heap_down(struct ban_table *table, uint32_t position)
{
	const uint32_t id = table->heap[position];
	for (;;) {
		uint32_t child = position * 2 + 1;
		if (child >= table->heap_count)
			break;
		if (child + 1 < table->heap_count &&
		    heap_before(table, table->heap[child + 1], table->heap[child]))
			child++;
		if (!heap_before(table, table->heap[child], id))
			break;
		heap_put(table, position, table->heap[child]);
		position = child;
	}
	heap_put(table, position, id);
}

void ban_table_set_until(struct ban_table *table, uint32_t id, tg_time until)
{
	struct ban *ban = &table->bans[id];
	ban->until = until;
	if (ban->heap == BAN_OUT_OF_HEAP)
		heap_put(table, table->heap_count++, id);
	ban_table_set_wake(table, id, until);
}

void ban_table_set_wake(struct ban_table *table, uint32_t id, tg_time wake)
{
	struct ban *ban = &table->bans[id];
	ban->wake = wake;
	heap_up(table, ban->heap);
	heap_down(table, ban->heap);
}

void ban_table_drop_until(struct ban_table *table, uint32_t id)
{
	const uint32_t position = table->bans[id].heap;
	if (position == BAN_OUT_OF_HEAP)
		return;
	table->bans[id].heap = BAN_OUT_OF_HEAP;
	const uint32_t last = table->heap[--table->heap_count];
	if (last == id)
		return;
	heap_put(table, position, last);
	heap_up(table, position);
	heap_down(table, table->bans[last].heap);
}

uint32_t ban_table_first(const struct ban_table *table)
{
	return table->heap_count > 0 ? table->heap[0] : TG_BAN_NONE;
}

void ban_table_mark(struct ban_table *table, uint32_t id)
{
	struct ban *ban = &table->bans[id];
	if (ban->dirty)
		return;
	ban->dirty = true;
	ban->dirty_next = TG_BAN_NONE;
	if (table->dirty_head == TG_BAN_NONE)
		table->dirty_head = id;
	else
		table->bans[table->dirty_tail].dirty_next = id;
	table->dirty_tail = id;
}

uint32_t ban_table_take_dirty(struct ban_table *table)
{
	const uint32_t id = table->dirty_head;
	if (id != TG_BAN_NONE) {
		table->dirty_head = table->bans[id].dirty_next;
		table->bans[id].dirty = false;
	}
	return id;
}

bool ban_table_has_dirty(const struct ban_table *table)
{
	return table->dirty_head != TG_BAN_NONE;
}

void ban_table_set_reason(struct ban_table *table, uint32_t id, const char *reason)
{
	struct ban *ban = &table->bans[id];
	reason_free(table, ban);
	if (reason[0] == '\0')
		return;
	uint32_t r = table->reason_free;
	if (r != BAN_NO_REASON)
		table->reason_free = table->reasons[r].next;
	else if (table->reasons_used < table->max_reasons)
		r = table->reasons_used++;
	else
		return;
	ban->reason = r;
	(void)snprintf(table->reasons[r].text, TG_REASON_MAX, "%s", reason); /* cut, not refused */
}

const char *ban_table_reason(const struct ban_table *table, uint32_t id)
{
	const uint32_t reason = table->bans[id].reason;
	return reason == BAN_NO_REASON ? "" : table->reasons[reason].text;
}

uint32_t ban_table_count(const struct ban_table *table)
{
	return table->count;
}

uint32_t ban_table_capacity(const struct ban_table *table)
{
	return table->max_bans;
}

size_t ban_table_memory(const struct ban_table *table)
{
	return sizeof(*table) +
	       (size_t)table->max_bans * (sizeof(*table->bans) + sizeof(*table->heap)) +
	       ((size_t)table->bucket_mask + 1) * sizeof(*table->buckets) +
	       (size_t)table->max_reasons * sizeof(*table->reasons);
}
