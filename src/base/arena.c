/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns blocks of memory that live and die together. */
#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK 16384

struct tg_arena_block {
	struct tg_arena_block *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

void tg_arena_init(struct tg_arena *arena)
{
	*arena = (struct tg_arena){0};
}

void tg_arena_finish(struct tg_arena *arena)
{
	while (arena->blocks) {
		struct tg_arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
}

void *tg_arena_alloc(struct tg_arena *arena, size_t count, size_t size)
{
	if (size > 0 && count > (SIZE_MAX / 2) / size)
		return NULL;
	size_t bytes = (count * size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	struct tg_arena_block *block = arena->blocks;
	if (!block || block->size - block->used < bytes) {
		size_t want = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
		block = calloc(1, sizeof(*block) + want);
		if (!block)
			return NULL;
		block->size = want;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	void *p = block->bytes + block->used;
	block->used += bytes;
	return p;
}

char *tg_arena_strndup(struct tg_arena *arena, const char *text, size_t len)
{
	char *copy = tg_arena_alloc(arena, len + 1, 1);
	if (copy)
		memcpy(copy, text, len);
	return copy;
}
