/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns two generations of a fixed hash table, the current and the one before the last
 * turn. Never more than half full, so that probing stays short.
 */
#include "netfilter/ct_recent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

/* More than the daemon takes in one turn of its loop; then the subscription waits for the dump. */
#define SLOTS 8192u
#define ROOM (SLOTS / 2)

struct generation {
	struct ct_recent_news slots[SLOTS];
	unsigned used;
};

struct ct_recent {
	struct generation generations[2];
	struct generation *current, *older;
	uint8_t key[16];
};

struct ct_recent *ct_recent_create(void)
{
	struct ct_recent *recent = calloc(1, sizeof(*recent));
	if (recent)
		ct_recent_reset(recent, 0);
	return recent;
}

void ct_recent_destroy(struct ct_recent *recent)
{
	free(recent);
}

static void generation_clear(struct generation *generation)
{
	if (generation->used > 0)
		memset(generation, 0, sizeof(*generation));
}

void ct_recent_reset(struct ct_recent *recent, uint64_t salt)
{
	/* Guessing where tuples meet needs our nanosecond clock and where the heap lies. */
	const uint64_t place = (uint64_t)(uintptr_t)recent;
	memcpy(recent->key, &salt, sizeof(salt));
	memcpy(recent->key + sizeof(salt), &place, sizeof(place));
	generation_clear(&recent->generations[0]);
	generation_clear(&recent->generations[1]);
	recent->current = &recent->generations[0];
	recent->older = &recent->generations[1];
}

void ct_recent_turn(struct ct_recent *recent)
{
	struct generation *spare = recent->older;
	generation_clear(spare);
	recent->older = recent->current;
	recent->current = spare;
}

unsigned ct_recent_room(const struct ct_recent *recent)
{
	return ROOM - recent->current->used;
}

/* The slot that holds the key, or the free one where it belongs. */
static const struct ct_recent_news *slot_for(const struct ct_recent *recent,
					     const struct generation *generation,
					     const struct tg_flow_key *key)
{
	size_t i = tg_siphash13(recent->key, key, sizeof(*key)) % SLOTS;
	while (generation->slots[i].used &&
	       memcmp(&generation->slots[i].key, key, sizeof(*key)) != 0)
		i = (i + 1) % SLOTS;
	return &generation->slots[i];
}

void ct_recent_note(struct ct_recent *recent, const struct tg_flow_event *flow, bool ended)
{
	struct generation *current = recent->current;
	const size_t i = (size_t)(slot_for(recent, current, &flow->key) - current->slots);
	struct ct_recent_news *slot = &current->slots[i];
	if (!slot->used) {
		assert(current->used < ROOM);
		current->used++;
	}
	*slot = (struct ct_recent_news){
		.key = flow->key,
		.timeout_s = flow->timeout_s,
		.state = flow->state,
		.ended = ended,
		.used = true,
	};
}

const struct ct_recent_news *ct_recent_find(const struct ct_recent *recent,
					    const struct tg_flow_key *key)
{
	const struct generation *order[] = {recent->current, recent->older};
	for (unsigned i = 0; i < 2; i++) {
		if (order[i]->used == 0)
			continue;
		const struct ct_recent_news *slot = slot_for(recent, order[i], key);
		if (slot->used)
			return slot;
	}
	return NULL;
}
