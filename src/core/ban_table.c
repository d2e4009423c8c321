/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ban_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"
#include "ban_heap.h"

/* Ids beyond the live bans: what leaves in one loop turn or two, until the kernel says that it is
 * gone.
 */
#define SPARE_LEAST 64
#define BANS_PER_SPARE 16
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
	struct ban_heap wakes, ends;
	struct ban_reason *reasons;
	uint32_t bucket_mask;
	uint32_t max_bans, ids, used, free;
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
	table->ids = max_bans + max_bans / BANS_PER_SPARE + SPARE_LEAST;
	while (buckets < table->ids && buckets < UINT32_C(1) << 31)
		buckets *= 2;
	table->bucket_mask = buckets - 1;
	table->max_bans = max_bans;
	table->max_reasons = max_bans / BANS_PER_REASON + 1;
	table->free = table->dirty_head = table->dirty_tail = TG_BAN_NONE;
	table->record_head = table->record_tail = TG_BAN_NONE;
	table->reason_free = BAN_NO_REASON;
	memcpy(table->seed, seed, sizeof(table->seed));
	table->bans = calloc(table->ids, sizeof(*table->bans));
	table->wakes = (struct ban_heap){calloc(table->ids, sizeof(uint32_t)), .order = BY_WAKE};
	table->ends = (struct ban_heap){calloc(table->ids, sizeof(uint32_t)), .order = BY_END};
	table->reasons = calloc(table->max_reasons, sizeof(*table->reasons));
	table->buckets = malloc(buckets * sizeof(*table->buckets));
	if (!table->bans || !table->wakes.ids || !table->ends.ids || !table->reasons ||
	    !table->buckets) {
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
	free(table->wakes.ids);
	free(table->ends.ids);
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
	if (table->free == TG_BAN_NONE && table->used == table->ids &&
	    table->record_head != TG_BAN_NONE)
		ban_table_remove(table, table->record_head);
	uint32_t id = table->free;
	if (id != TG_BAN_NONE)
		table->free = table->bans[id].next;
	else if (table->used < table->ids)
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
		.heap = BAN_NOWHERE,
		.ends = BAN_NOWHERE,
		.dirty_next = TG_BAN_NONE,
		.reason = BAN_NO_REASON,
	};
	ban_chain(table, id);
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

/* Out of the list of records; a ban outside the heap then. */
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
	ban->heap = BAN_NOWHERE;
	ban->dirty_next = TG_BAN_NONE;
	table->record_count--;
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

/* A ban by hand is nobody's to evict, and the state of a service says what its policy is in. */
static bool may_go(const struct ban *ban)
{
	return ban->policy != TG_NO_INDEX && !tg_prefix_is_total(&ban->source);
}

void ban_table_set_until(struct ban_table *table, uint32_t id, tg_time until)
{
	struct ban *ban = &table->bans[id];
	ban->until = until;
	ban->wake = until;
	ban_heap_put(&table->wakes, table->bans, id);
	if (may_go(ban))
		ban_heap_put(&table->ends, table->bans, id);
}

void ban_table_set_wake(struct ban_table *table, uint32_t id, tg_time wake)
{
	table->bans[id].wake = wake;
	ban_heap_put(&table->wakes, table->bans, id);
}

void ban_table_drop_until(struct ban_table *table, uint32_t id)
{
	ban_heap_remove(&table->wakes, table->bans, id);
	ban_heap_remove(&table->ends, table->bans, id);
}

uint32_t ban_table_first(const struct ban_table *table)
{
	return ban_heap_first(&table->wakes, table->bans, TG_BAN_NONE);
}

uint32_t ban_table_soonest(const struct ban_table *table, uint32_t stays)
{
	return ban_heap_first(&table->ends, table->bans, stays);
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

uint32_t ban_table_live(const struct ban_table *table)
{
	return table->wakes.count;
}

uint32_t ban_table_capacity(const struct ban_table *table)
{
	return table->max_bans;
}

uint32_t ban_table_ids(const struct ban_table *table)
{
	return table->ids;
}

bool ban_table_has_spare(const struct ban_table *table)
{
	return table->free != TG_BAN_NONE || table->used < table->ids ||
	       table->record_head != TG_BAN_NONE;
}

size_t ban_table_memory(const struct ban_table *table)
{
	return sizeof(*table) + (size_t)table->ids * (sizeof(*table->bans) + 2 * sizeof(uint32_t)) +
	       ((size_t)table->bucket_mask + 1) * sizeof(*table->buckets) +
	       (size_t)table->max_reasons * sizeof(*table->reasons);
}
