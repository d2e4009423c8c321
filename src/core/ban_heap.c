/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the order of bans by time: a binary heap that each of them knows its place in. */
#include "ban_heap.h"

static uint32_t *position_of(const struct ban_heap *heap, struct ban *ban)
{
	return heap->order == BY_WAKE ? &ban->heap : &ban->ends;
}

/* The earlier; the lower id where two are at once, so that a replay takes the same order. */
static bool before(const struct ban_heap *heap, const struct ban *bans, uint32_t a, uint32_t b)
{
	const struct ban *x = &bans[a], *y = &bans[b];
	const tg_time tx = heap->order == BY_WAKE ? x->wake : x->until;
	const tg_time ty = heap->order == BY_WAKE ? y->wake : y->until;
	if (heap->order == BY_END && x->enforced != y->enforced)
		return y->enforced;
	return tx != ty ? tx < ty : a < b;
}

static void set(struct ban_heap *heap, struct ban *bans, uint32_t position, uint32_t id)
{
	heap->ids[position] = id;
	*position_of(heap, &bans[id]) = position;
}

static void sift(struct ban_heap *heap, struct ban *bans, uint32_t position)
{
	const uint32_t id = heap->ids[position];
	while (position > 0) {
		const uint32_t parent = (position - 1) / 2;
		if (!before(heap, bans, id, heap->ids[parent]))
			break;
		set(heap, bans, position, heap->ids[parent]);
		position = parent;
	}
	for (uint32_t child; (child = position * 2 + 1) < heap->count; position = child) {
		if (child + 1 < heap->count &&
		    before(heap, bans, heap->ids[child + 1], heap->ids[child]))
			child++;
		if (!before(heap, bans, heap->ids[child], id))
			break;
		set(heap, bans, position, heap->ids[child]);
	}
	set(heap, bans, position, id);
}

void ban_heap_put(struct ban_heap *heap, struct ban *bans, uint32_t id)
{
	if (*position_of(heap, &bans[id]) == BAN_NOWHERE)
		set(heap, bans, heap->count++, id);
	sift(heap, bans, *position_of(heap, &bans[id]));
}

void ban_heap_remove(struct ban_heap *heap, struct ban *bans, uint32_t id)
{
	const uint32_t position = *position_of(heap, &bans[id]);
	if (position == BAN_NOWHERE)
		return;
	*position_of(heap, &bans[id]) = BAN_NOWHERE;
	const uint32_t last = heap->ids[--heap->count];
	if (last == id)
		return;
	set(heap, bans, position, last);
	sift(heap, bans, position);
}

uint32_t ban_heap_first(const struct ban_heap *heap, const struct ban *bans, uint32_t but)
{
	if (heap->count == 0)
		return TG_BAN_NONE;
	if (heap->ids[0] != but)
		return heap->ids[0];
	if (heap->count == 1)
		return TG_BAN_NONE;
	/* The second is one of the root's two children. */
	if (heap->count == 2 || before(heap, bans, heap->ids[1], heap->ids[2]))
		return heap->ids[1];
	return heap->ids[2];
}
