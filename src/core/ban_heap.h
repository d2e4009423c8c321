/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_BAN_HEAP_H
#define CORE_BAN_HEAP_H

#include "ban_table.h"

#define BAN_NOWHERE UINT32_MAX

enum ban_order {
	BY_WAKE, /* struct ban.heap is the position */
	BY_END   /* struct ban.ends; what is only observed goes first */
};

/* Ids of bans, the first in order at the root. A ban knows its position, so that it can be moved
 * and removed.
 */
struct ban_heap {
	uint32_t *ids;
	uint32_t count;
	enum ban_order order;
};

/* Into the heap, or to its new place there. */
void ban_heap_put(struct ban_heap *heap, struct ban *bans, uint32_t id);
/* If it is in there. */
void ban_heap_remove(struct ban_heap *heap, struct ban *bans, uint32_t id);
/* The first that is not that one; TG_BAN_NONE. */
uint32_t ban_heap_first(const struct ban_heap *heap, const struct ban *bans, uint32_t but);

#endif
