/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine fed with anything. An expectation that does not hold ends it, with the events that led
 * there.
 */
#include <stdlib.h>

#include "step_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct step_world world;
	/* Twice is slow: when the input says so. */
	const bool twice = size > 0 && data[0] & 0x40;
	if (twice ? step_run_twice(&world, data, size) : step_run(&world, data, size, NULL))
		return 0;
	(void)step_run(&world, data, size, stderr); /* once more, to show it */
	(void)fprintf(stderr, "%s:%u: failed after %llu events: %s\n", world.wrong_file,
		      world.wrong_line, (unsigned long long)world.told_events, world.wrong);
	abort();
}
