/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Durations counted by bounds that never change, so that counts of many hosts add up. */
#define TG_HISTOGRAM_BOUNDS 14

struct tg_histogram {
	uint64_t counts[TG_HISTOGRAM_BOUNDS + 1]; /* of each bound alone; the last: beyond them */
	uint64_t sum_ns;
};

/* In microseconds, ascending: at most so long. index is below TG_HISTOGRAM_BOUNDS. */
uint64_t tg_histogram_bound_us(size_t index);
void tg_histogram_add(struct tg_histogram *histogram, uint64_t ns);

#endif
