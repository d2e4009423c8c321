/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the bounds. They suit a netlink transaction: some 50 us for one element, 8 to 16 ms for one
   that is refused, 50 ms for the largest; and a second, after which its caller gives up. */
#include "histogram.h"

static const uint32_t bounds_us[TG_HISTOGRAM_BOUNDS] = {
	25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000,
};

uint64_t tg_histogram_bound_us(size_t index)
{
	return bounds_us[index];
}

void tg_histogram_add(struct tg_histogram *histogram, uint64_t ns)
{
	size_t i = 0;
	while (i < TG_HISTOGRAM_BOUNDS && ns > bounds_us[i] * UINT64_C(1000))
		i++;
	histogram->counts[i]++;
	histogram->sum_ns += ns;
}
