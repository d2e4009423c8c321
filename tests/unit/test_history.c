/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of events: order, what is overwritten, what is lost to whom, and whom a line concerns.
 */
#include "daemon/history.h"

#include <stdlib.h>

#include <tcpguard/addr.h>

#include "test.h"

static struct history *history;

static struct tg_prefix prefix(const char *text)
{
	struct tg_prefix result = {.len = 0};
	CHECK(tg_prefix_parse(text, &result) == NULL);
	return result;
}

/* Lines are the numbers that they should have. */
static void add(const char *source)
{
	char line[32];
	const struct tg_prefix about = source ? prefix(source) : (struct tg_prefix){.len = 0};
	const int len = snprintf(line, sizeof(line), "%" PRIu64 "\n", history_next(history));
	history_add(history, line, (size_t)len, source ? &about : NULL);
}

/* What the next line says; 0: there is none. */
static uint64_t read_next(uint64_t *number, const struct tg_prefix *wanted)
{
	size_t len = 0;
	const char *line = history_read(history, number, wanted, &len);
	if (!line)
		return 0;
	CHECK(len >= 2 && line[len - 1] == '\n');
	return strtoull(line, NULL, 10);
}

TEST(an_empty_one)
{
	uint64_t number = history_last(history, HISTORY_KEPT, NULL);
	CHECK_U64(history_next(history), 1);
	CHECK_U64(number, 1);
	CHECK_U64(history_catch_up(history, &number), 0);
	CHECK_U64(read_next(&number, NULL), 0);
}

TEST(order_until_it_is_full)
{
	for (uint64_t i = 1; i <= HISTORY_KEPT; i++)
		add(NULL);
	uint64_t number = history_last(history, HISTORY_KEPT, NULL);
	CHECK_U64(number, 1);
	CHECK_U64(history_catch_up(history, &number), 0);
	for (uint64_t i = 1; i <= HISTORY_KEPT; i++)
		CHECK_U64(read_next(&number, NULL), i);
	CHECK_U64(read_next(&number, NULL), 0);
	CHECK_U64(history_last(history, 0, NULL), HISTORY_KEPT + 1);
	CHECK_U64(history_last(history, 3, NULL), HISTORY_KEPT - 2);
}

TEST(the_oldest_give_way)
{
	for (uint64_t i = 1; i <= 2 * HISTORY_KEPT + 7; i++)
		add(NULL);
	uint64_t number = history_last(history, UINT64_MAX, NULL);
	CHECK_U64(number, HISTORY_KEPT + 8);
	for (uint64_t i = 0; i < HISTORY_KEPT; i++)
		CHECK_U64(read_next(&number, NULL), HISTORY_KEPT + 8 + i);
	CHECK_U64(read_next(&number, NULL), 0);
}

TEST(a_slow_reader_is_told_how_many)
{
	uint64_t number = 1;
	add(NULL);
	add(NULL);
	CHECK_U64(history_catch_up(history, &number), 0);
	CHECK_U64(read_next(&number, NULL), 1);
	for (uint64_t i = 3; i <= HISTORY_KEPT + 2; i++)
		add(NULL);
	/* The second is the oldest that has gone. */
	CHECK_U64(history_catch_up(history, &number), 1);
	CHECK_U64(history_catch_up(history, &number), 0);
	CHECK_U64(read_next(&number, NULL), 3);
	for (uint64_t i = 0; i < 3 * HISTORY_KEPT; i++)
		add(NULL);
	/* All that were kept then, but the third, which it has read. */
	CHECK_U64(history_catch_up(history, &number), 3 * HISTORY_KEPT - 1);
	CHECK_U64(read_next(&number, NULL), 3 * HISTORY_KEPT + 3);
}

TEST(whom_a_line_concerns)
{
	const struct tg_prefix one = prefix("10.78.1.1"), net = prefix("10.78.1.0/24");
	const struct tg_prefix other = prefix("10.78.2.1"), six = prefix("::1");
	add("10.78.1.1/32");
	add("10.78.2.1/32");
	add(NULL);
	add("10.78.1.0/24");
	add("10.78.1.9/32");
	uint64_t number = history_last(history, 5, &one);
	CHECK_U64(read_next(&number, &one), 1);
	CHECK_U64(read_next(&number, &one), 4); /* covers it */
	CHECK_U64(read_next(&number, &one), 0);
	CHECK_U64(number, 6);
	number = history_last(history, 2, &net);
	CHECK_U64(read_next(&number, &net), 4);
	CHECK_U64(read_next(&number, &net), 5);
	number = history_last(history, 1, &other);
	CHECK_U64(read_next(&number, &other), 2);
	CHECK_U64(history_last(history, 1, &six), 1);
	number = 1;
	CHECK_U64(read_next(&number, &six), 0);
}

TEST(a_line_of_full_length)
{
	char line[HISTORY_LINE_MAX];
	uint64_t number = history_next(history);
	size_t len = 0;
	memset(line, 'x', sizeof(line));
	history_add(history, line, sizeof(line), NULL);
	const char *text = history_read(history, &number, NULL, &len);
	CHECK(text && len == sizeof(line) && memcmp(text, line, len) == 0);
}

#define RUN_FRESH(name)                     \
	do {                                \
		history = history_create(); \
		CHECK(history != NULL);     \
		RUN(name);                  \
		history_destroy(history);   \
	} while (0)

int main(void)
{
	RUN_FRESH(an_empty_one);
	RUN_FRESH(order_until_it_is_full);
	RUN_FRESH(the_oldest_give_way);
	RUN_FRESH(a_slow_reader_is_told_how_many);
	RUN_FRESH(whom_a_line_concerns);
	RUN_FRESH(a_line_of_full_length);
	return DONE();
}
