/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_UNITS_H
#define TCPGUARD_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Durations and rates as people write them: "10m", "1h30m" is not one; "5/1s", "100/10s". Units: ms
 * s m h d w. */

struct tg_rate {
	uint32_t count;
	uint32_t per_ms;
};

#define TG_DURATION_MAX_MS ((uint64_t)365 * 24 * 3600 * 1000)
#define TG_DURATION_STRLEN 24
#define TG_RATE_STRLEN 40

/* NULL, or a static sentence that says what is wrong; the out-parameter is then untouched. Zero is
 * refused. */
const char *tg_duration_parse(const char *text, uint64_t *ret_ms);
const char *tg_rate_parse(const char *text, struct tg_rate *ret_rate);

/* The largest unit that divides it: 600000 is "10m", 1500 is "1500ms". */
const char *tg_duration_format(uint64_t ms, char buf[static TG_DURATION_STRLEN]);
const char *tg_rate_format(const struct tg_rate *rate, char buf[static TG_RATE_STRLEN]);

#endif
