/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

/* Numbers that a seed brings back: the test prints it and takes it as its argument. */
#include <stdint.h>

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((random_state >> 33) % n);
}

#endif
