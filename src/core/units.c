/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns durations and rates as text: what people may write, and how we write it back. */
#include <tcpguard/units.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {
	{"w", UINT64_C(7) * 24 * 3600 * 1000},
	{"d", UINT64_C(24) * 3600 * 1000},
	{"h", UINT64_C(3600) * 1000},
	{"m", UINT64_C(60) * 1000},
	{"s", UINT64_C(1000)},
	{"ms", UINT64_C(1)},
};

/*
 * Decimal digits without a leading zero, which YAML readers take for octal. Stops at
 * the first other character. A number that does not fit is UINT64_MAX, which every
 * caller's bound refuses.
 */
static const char *number_parse(const char *text, uint64_t *ret_number, const char **ret_end)
{
	uint64_t number = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9'; p++) {
		const uint64_t digit = (uint64_t)(*p - '0');
		number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
	}
	if (p == text)
		return "it does not begin with a whole number";
	if (text[0] == '0' && p - text > 1)
		return "a number has a leading zero";
	*ret_number = number;
	*ret_end = p;
	return NULL;
}

const char *tg_duration_parse(const char *text, uint64_t *ret_ms)
{
	uint64_t number;
	const char *unit;
	const char *error = number_parse(text, &number, &unit);
	if (error)
		return error;
	if (*unit == '\0')
		return "the unit is missing: one of ms s m h d w";
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (number == 0)
			return "a time of zero";
		if (number > TG_DURATION_MAX_MS / units[i].ms)
			return "it is longer than 365d";
		*ret_ms = number * units[i].ms;
		return NULL;
	}
	if (strpbrk(unit, "0123456789"))
		return "it is not one number and one unit: write 90m, not 1h30m";
	return "the unit is not one of ms s m h d w";
}

const char *tg_rate_parse(const char *text, struct tg_rate *ret_rate)
{
	uint64_t count, per_ms;
	const char *slash;
	const char *error = number_parse(text, &count, &slash);
	if (error)
		return error;
	if (*slash != '/')
		return "it is not COUNT/TIME, such as 100/10s";
	if (count == 0)
		return "a count of zero";
	if (count > UINT32_MAX)
		return "the count is over 4294967295";
	if (slash[1] < '0' || slash[1] > '9')
		return "the time has no number: write 5/1s, not 5/s";
	error = tg_duration_parse(slash + 1, &per_ms);
	if (error)
		return error;
	if (per_ms > UINT32_MAX)
		return "its time is longer than 49d";
	*ret_rate = (struct tg_rate){.count = (uint32_t)count, .per_ms = (uint32_t)per_ms};
	return NULL;
}

const char *tg_duration_format(uint64_t ms, char buf[static TG_DURATION_STRLEN])
{
	size_t i = 0;
	while (i < ARRAY_SIZE(units) - 1 && (ms == 0 || ms % units[i].ms != 0))
		i++;
	if (ms == 0)
		i = ARRAY_SIZE(units) - 2; /* "0s": what is left of a ban that ends now */
	/* 20 digits, a unit of two and the NUL are 23 */
	(void)snprintf(buf, TG_DURATION_STRLEN, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
	return buf;
}

const char *tg_rate_format(const struct tg_rate *rate, char buf[static TG_RATE_STRLEN])
{
	char per[TG_DURATION_STRLEN];
	/* 10 digits, a slash and a duration are at most 34 */
	(void)snprintf(buf, TG_RATE_STRLEN, "%" PRIu32 "/%s", rate->count,
		       tg_duration_format(rate->per_ms, per));
	return buf;
}
