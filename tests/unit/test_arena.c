/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that lives and dies together: zeroed, aligned, apart, and never too small. */
#include <stdalign.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "test.h"

static uint64_t seed;

TEST(zeroed_and_aligned)
{
	struct tg_arena arena;
	tg_arena_init(&arena);
	for (size_t size = 0; size < 300; size++) {
		unsigned char *p = tg_arena_alloc(&arena, 1, size);
		CHECK(p != NULL);
		CHECK_U64((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			CHECK_U64(p[i], 0);
		memset(p, 0xff, size);
	}
	tg_arena_finish(&arena);
}

/* Small ones among some that need a block of their own; nobody writes into another's. */
TEST(apart)
{
	enum { COUNT = 2000 };
	static struct {
		unsigned char *p;
		size_t size;
	} given[COUNT];
	struct tg_arena arena;
	tg_arena_init(&arena);
	srandom((unsigned)seed);
	for (size_t i = 0; i < COUNT; i++) {
		size_t size = (size_t)random() % (random() % 20 == 0 ? 40000 : 200);
		given[i].p = tg_arena_alloc(&arena, size, 1);
		given[i].size = size;
		CHECK(given[i].p != NULL);
		memset(given[i].p, (int)(i % 251) + 1, size);
	}
	for (size_t i = 0; i < COUNT; i++) {
		for (size_t k = 0; k < given[i].size; k++) {
			if (given[i].p[k] != i % 251 + 1) {
				CHECK(!"overwritten");
				break;
			}
		}
	}
	tg_arena_finish(&arena);
}

TEST(overflow)
{
	struct tg_arena arena;
	tg_arena_init(&arena);
	CHECK(tg_arena_alloc(&arena, SIZE_MAX, 2) == NULL);
	CHECK(tg_arena_alloc(&arena, SIZE_MAX / 2 + 1, 2) == NULL);
	CHECK(tg_arena_alloc(&arena, 1, SIZE_MAX) == NULL);
	CHECK(tg_arena_alloc(&arena, 0, SIZE_MAX) != NULL);
	CHECK(tg_arena_alloc(&arena, 0, 0) != NULL);
	CHECK(tg_arena_alloc(&arena, 1, 8) != NULL);
	tg_arena_finish(&arena);
}

TEST(strndup)
{
	struct tg_arena arena;
	tg_arena_init(&arena);
	CHECK_STR(tg_arena_strndup(&arena, "abcdef", 3), "abc");
	CHECK_STR(tg_arena_strndup(&arena, "", 0), "");
	/* 15 and 16 characters: with and without room for the NUL in the rounding */
	CHECK_STR(tg_arena_strndup(&arena, "0123456789abcde", 15), "0123456789abcde");
	CHECK_STR(tg_arena_strndup(&arena, "0123456789abcdef", 16), "0123456789abcdef");
	tg_arena_finish(&arena);
	tg_arena_finish(&arena);
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", seed);
	RUN(zeroed_and_aligned);
	RUN(apart);
	RUN(overflow);
	RUN(strndup);
	return DONE();
}
