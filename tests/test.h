/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

/*
 * A test program is main() with TEST(name) { … } cases run by RUN(name). It
 * prints TAP, so that the run counts cases and not programs, and goes on after a
 * failed check, so that one run shows them all.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int test_number, test_failures, test_total_failures;

#define TEST(name) static void test_##name(void)

#define RUN(name)                                                                            \
	do {                                                                                 \
		test_failures = 0;                                                           \
		test_##name();                                                               \
		printf("%sok %d - %s\n", test_failures ? "not " : "", ++test_number, #name); \
		fflush(stdout);                                                              \
		test_total_failures += test_failures;                                        \
	} while (0)

#define CHECK(condition)                                                                 \
	do {                                                                             \
		if (!(condition)) {                                                      \
			test_failures++;                                                 \
			printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
		}                                                                        \
	} while (0)

#define CHECK_U64(got, want)                                                              \
	do {                                                                              \
		uint64_t got_ = (uint64_t)(got), want_ = (uint64_t)(want);                \
		if (got_ != want_) {                                                      \
			test_failures++;                                                  \
			printf("# %s:%d: %s is %" PRIu64 ", not %" PRIu64 "\n", __FILE__, \
			       __LINE__, #got, got_, want_);                              \
		}                                                                         \
	} while (0)

#define CHECK_STR(got, want)                                                                    \
	do {                                                                                    \
		const char *got_ = (got), *want_ = (want);                                      \
		if (!got_ || !want_ || strcmp(got_, want_) != 0) {                              \
			test_failures++;                                                        \
			printf("# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #got, \
			       got_ ? got_ : "(null)", want_ ? want_ : "(null)");               \
		}                                                                               \
	} while (0)

#define DONE() (printf("1..%d\n", test_number), test_total_failures ? 1 : 0)

#endif
