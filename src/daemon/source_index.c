/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the order of things that are about sources, and the search in it. */
#include "source_index.h"

#include <stdlib.h>
#include <string.h>

int source_index_compare(const struct tg_prefix *a, const struct tg_prefix *b)
{
	if (a->addr.family != b->addr.family)
		return a->addr.family < b->addr.family ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
}

static int item_compare(const void *a, const void *b)
{
	return source_index_compare(a, b);
}

static struct tg_prefix *source_at(const struct source_index *index, size_t i)
{
	return (struct tg_prefix *)(void *)(index->items + i * index->size);
}

void source_index_build(struct source_index *index, void *items, size_t count, size_t size)
{
	*index = (struct source_index){.items = items, .count = count, .size = size};
	if (count > 0)
		qsort(items, count, size, item_compare);
	for (size_t i = 0; i < count; i++) {
		const struct tg_prefix *source = source_at(index, i);
		uint8_t *lens = index->lens[source->addr.family];
		unsigned *len_count = &index->len_count[source->addr.family];
		/* Sorted, so that a length that was seen is the last one. */
		if (*len_count == 0 || lens[*len_count - 1] != source->len)
			lens[(*len_count)++] = source->len;
	}
}

void source_index_find(const struct source_index *index, const struct tg_addr *addr,
		       void (*found)(void *data, void *item), void *data)
{
	for (unsigned i = 0; i < index->len_count[addr->family]; i++) {
		const struct tg_prefix source = tg_addr_mask(addr, index->lens[addr->family][i]);
		size_t low = 0, high = index->count;
		while (low < high) {
			const size_t middle = low + (high - low) / 2;
			if (source_index_compare(source_at(index, middle), &source) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		for (; low < index->count && tg_prefix_equal(source_at(index, low), &source); low++)
			found(data, source_at(index, low));
	}
}

const struct tg_prefix *source_index_only(const struct source_index *index)
{
	if (index->count == 0 ||
	    !tg_prefix_equal(source_at(index, 0), source_at(index, index->count - 1)))
		return NULL;
	return source_at(index, 0);
}
