/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy is read while one allocation after the other fails. What must hold each time: no
 * crash, no leak (under a sanitizer), and no config without a word about why; never one that
 * lacks a part. Linked with --wrap, so that only our own allocations fail.
 */
#include <stdlib.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>

#include "test.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

/* Calls until one fails; it and, if all_after, every later one. Below zero: none does. */
static long left = -1;
static bool all_after;

static bool fails(void)
{
	if (left < 0)
		return false;
	if (left > 0) {
		left--;
		return false;
	}
	if (!all_after)
		left = -1;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
	return fails() ? NULL : __real_strndup(text, len);
}

/* The number of allocations that were tried before one load went through. */
static long sweep(const char *path, bool good, bool every)
{
	all_after = every;
	for (long n = 0; n < 100000; n++) {
		struct tg_diag diag;
		tg_diag_init(&diag);
		left = n;
		struct tg_config *config = tg_config_load(path, NULL, &diag);
		const bool failed = all_after ? left == 0 : left < 0;
		left = -1;
		if (!config)
			CHECK(diag.count > 0 || diag.lost);
		else
			CHECK(good && config->policy_count == 3 && config->allow_count > 0);
		tg_config_destroy(config);
		tg_diag_finish(&diag);
		if (!failed)
			return n;
	}
	return -1;
}

static const char *good_path, *bad_path;

TEST(one_fails)
{
	long count = sweep(good_path, true, false);
	printf("# %ld allocations\n", count);
	CHECK(count > 10);
}

TEST(all_after_one_fail)
{
	CHECK(sweep(good_path, true, true) > 10);
}

TEST(while_errors_are_reported)
{
	CHECK(sweep(bad_path, false, false) > 10);
	CHECK(sweep(bad_path, false, true) > 10);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	good_path = argv[1];
	bad_path = argv[2];
	RUN(one_fails);
	RUN(all_after_one_fail);
	RUN(while_errors_are_reported);
	return DONE();
}
