/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

/* Memory that is freed at once: one owner for everything that a file was read into. */
struct tg_arena_block;
struct tg_arena {
	struct tg_arena_block *blocks;
};

void tg_arena_init(struct tg_arena *arena);
void tg_arena_finish(struct tg_arena *arena);

/* Zeroed, aligned for anything. NULL when memory runs out or count * size overflows. */
void *tg_arena_alloc(struct tg_arena *arena, size_t count, size_t size);
char *tg_arena_strndup(struct tg_arena *arena, const char *text, size_t len);

#endif
