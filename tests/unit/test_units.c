/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations and rates: what is read, what is refused, and that what is written reads back. */
#include <stdlib.h>
#include <time.h>

#include <tcpguard/units.h>

#include "base/util.h"
#include "test.h"

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

TEST(duration_good)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
		{"1ms", 1},           {"1500ms", 1500},      {"1s", 1000},
		{"10m", 600000},      {"1h", 3600000},       {"24h", 86400000},
		{"1d", 86400000},     {"7d", 604800000},     {"1w", 604800000},
		{"52w", 31449600000}, {"365d", 31536000000}, {"31536000000ms", 31536000000},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 0;
		CHECK(tg_duration_parse(cases[i].text, &ms) == NULL);
		CHECK_U64(ms, cases[i].ms);
	}
}

TEST(duration_bad)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "whole number"},
		{"m", "whole number"},
		{" 1m", "whole number"},
		{"-1m", "whole number"},
		{"+1m", "whole number"},
		{".5m", "whole number"},
		{"1", "unit is missing"},
		{"0", "unit is missing"},
		{"1m ", "unit is not one of"},
		{"1 m", "unit is not one of"},
		{"1M", "unit is not one of"},
		{"1min", "unit is not one of"},
		{"1y", "unit is not one of"},
		{"1us", "unit is not one of"},
		{"1h30m", "one number and one unit"},
		{"1.5h", "one number and one unit"},
		{"1:30", "one number and one unit"},
		{"01m", "leading zero"},
		{"00m", "leading zero"},
		{"0m", "zero"},
		{"0ms", "zero"},
		{"366d", "365d"},
		{"53w", "365d"},
		{"31536000001ms", "365d"},
		{"18446744073709551615ms", "365d"},
		{"18446744073709551616ms", "365d"},
		{"18446744073709551617s", "365d"},
		{"99999999999999999999999999999999999w", "365d"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 4711;
		const char *fault = tg_duration_parse(cases[i].text, &ms);
		CHECK(fault != NULL);
		if (fault && !strstr(fault, cases[i].words))
			CHECK_STR(fault, cases[i].words);
		CHECK_U64(ms, 4711);
	}
}

TEST(rate_good)
{
	static const struct {
		const char *text;
		uint32_t count, per_ms;
	} cases[] = {
		{"5/1s", 5, 1000},
		{"100/10s", 100, 10000},
		{"1/1ms", 1, 1},
		{"1/7w", 1, 4233600000U},
		{"4294967295/1s", 4294967295U, 1000},
		{"1/49d", 1, 4233600000U},
		{"1/4294967295ms", 1, 4294967295U},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tg_rate rate = {0};
		CHECK(tg_rate_parse(cases[i].text, &rate) == NULL);
		CHECK_U64(rate.count, cases[i].count);
		CHECK_U64(rate.per_ms, cases[i].per_ms);
	}
}

TEST(rate_bad)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "whole number"},
		{"/1s", "whole number"},
		{"-5/1s", "whole number"},
		{"5", "COUNT/TIME"},
		{"5s", "COUNT/TIME"},
		{"5 /1s", "COUNT/TIME"},
		{"0.5/1s", "COUNT/TIME"},
		{"5/", "write 5/1s"},
		{"5/s", "write 5/1s"},
		{"5/ 1s", "write 5/1s"},
		{"5/-1s", "write 5/1s"},
		{"5//1s", "write 5/1s"},
		{"5/1", "unit is missing"},
		{"5/1s/1s", "one number and one unit"},
		{"05/1s", "leading zero"},
		{"5/01s", "leading zero"},
		{"0/1s", "count of zero"},
		{"5/0s", "time of zero"},
		{"4294967296/1s", "4294967295"},
		{"18446744073709551617/1s", "4294967295"},
		{"5/4294967296ms", "49d"},
		{"5/50d", "49d"},
		{"5/400d", "365d"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tg_rate rate = {.count = 4711, .per_ms = 12};
		const char *fault = tg_rate_parse(cases[i].text, &rate);
		CHECK(fault != NULL);
		if (fault && !strstr(fault, cases[i].words))
			CHECK_STR(fault, cases[i].words);
		CHECK_U64(rate.count, 4711);
		CHECK_U64(rate.per_ms, 12);
	}
}

TEST(format)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{0, "0s"},          {1, "1ms"},
		{999, "999ms"},     {1000, "1s"},
		{1500, "1500ms"},   {60000, "1m"},
		{90000, "90s"},     {600000, "10m"},
		{3600000, "1h"},    {86400000, "1d"},
		{604800000, "1w"},  {31536000000, "365d"},
		{1209600000, "2w"}, {UINT64_MAX, "18446744073709551615ms"},
	};
	char text[TG_DURATION_STRLEN], rate_text[TG_RATE_STRLEN];
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_STR(tg_duration_format(cases[i].ms, text), cases[i].text);
	const struct tg_rate rate = {.count = 100, .per_ms = 10000};
	CHECK_STR(tg_rate_format(&rate, rate_text), "100/10s");
	const struct tg_rate longest = {.count = UINT32_MAX, .per_ms = UINT32_MAX};
	CHECK_STR(tg_rate_format(&longest, rate_text), "4294967295/4294967295ms");
}

TEST(round_trip)
{
	for (int i = 0; i < 100000; i++) {
		char text[TG_DURATION_STRLEN], rate_text[TG_RATE_STRLEN];
		/* All magnitudes, and round numbers among them. */
		uint64_t ms = next_random() % TG_DURATION_MAX_MS >> next_random() % 35;
		static const uint64_t round[] = {1, 1000, 60000, 3600000, 86400000};
		ms -= ms % round[next_random() % ARRAY_SIZE(round)];
		if (ms == 0)
			ms = 1;
		uint64_t back = 0;
		CHECK(tg_duration_parse(tg_duration_format(ms, text), &back) == NULL);
		CHECK_U64(back, ms);
		const struct tg_rate rate = {
			.count = (uint32_t)(next_random() >> 32 >> next_random() % 31) | 1,
			.per_ms = (uint32_t)(next_random() >> 32 >> next_random() % 31) | 1,
		};
		struct tg_rate again = {0};
		CHECK(tg_rate_parse(tg_rate_format(&rate, rate_text), &again) == NULL);
		CHECK(again.count == rate.count && again.per_ms == rate.per_ms);
	}
}

int main(int argc, char **argv)
{
	state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", state);
	state = state * 2654435761U + 1; /* never 0 for the generator above */
	RUN(duration_good);
	RUN(duration_bad);
	RUN(rate_good);
	RUN(rate_bad);
	RUN(format);
	RUN(round_trip);
	return DONE();
}
