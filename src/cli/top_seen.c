/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns two sets of hashes of connections, to tell which of them began between two looks. */
#include "top_seen.h"

#include <stdlib.h>

#define SEEN_AT_FIRST 4096

static uint64_t *find(const struct top_seen_set *set, uint64_t hash)
{
	for (size_t at = hash;; at++) {
		uint64_t *slot = &set->slots[at & (set->room - 1)];
		if (*slot == 0 || *slot == hash)
			return slot;
	}
}

/* Never more than half full. */
static bool grow(struct top_seen_set *set)
{
	if (set->count * 2 < set->room)
		return true;
	struct top_seen_set bigger = *set;
	bigger.room = set->room ? set->room * 2 : SEEN_AT_FIRST;
	if (bigger.room / 2 > TOP_SEEN_MAX)
		return false;
	bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i] != 0)
			*find(&bigger, set->slots[i]) = set->slots[i];
	free(set->slots);
	*set = bigger;
	return true;
}

void top_seen_finish(struct top_seen *seen)
{
	free(seen->now.slots);
	free(seen->before.slots);
	*seen = (struct top_seen){0};
}

void top_seen_begin(struct top_seen *seen)
{
	free(seen->before.slots);
	seen->before = seen->now;
	seen->now = (struct top_seen_set){0};
	seen->looks += seen->looks < 2;
}

bool top_seen_can_tell(const struct top_seen *seen)
{
	return seen->looks == 2 && !seen->before.partial;
}

bool top_seen_add(struct top_seen *seen, uint64_t hash)
{
	hash |= hash == 0; /* 0 is a free slot */
	if (!grow(&seen->now)) {
		seen->now.partial = true;
	} else {
		uint64_t *slot = find(&seen->now, hash);
		seen->now.count += *slot == 0;
		*slot = hash;
	}
	if (!top_seen_can_tell(seen))
		return false;
	return seen->before.room == 0 || *find(&seen->before, hash) == 0;
}
