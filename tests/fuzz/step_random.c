/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inputs that look like traffic: mere random bytes rarely bring one source over a limit. */
#include "step_world.h"

#include "base/util.h"
#include "random.h"

/* As many entries as an event is likely; see the table of tell_next(). */
static const uint8_t likely[] = {0,  0,  1,  1,  1,  2,  3,  3,  4,  4,  4,  5,  5,  5,  5,
				 5,  5,  6,  6,  6,  7,  7,  7,  8,  9,  10, 11, 12, 13, 13,
				 14, 15, 16, 16, 17, 18, 19, 19, 19, 20, 21, 21, 21, 22, 23,
				 23, 23, 24, 25, 26, 27, 28, 29, 30, 5,  8,  7,  5,  31};

static uint8_t any_byte(void)
{
	return (uint8_t)random_below(256);
}

size_t step_random(uint64_t seed, uint8_t *out, size_t cap)
{
	random_state = seed;
	const size_t size = STEP_HEAD_SIZE + 1 + random_below((uint32_t)(cap - STEP_HEAD_SIZE));
	for (size_t i = 0; i < size; i++)
		out[i] = any_byte();
	/* Of every second stream: nothing is ever full, and the kernel answers at once. */
	if (random_below(2) == 0)
		out[0] = (uint8_t)((out[0] & 0x40) | 0x80);
	/* One address or a few of a network, as floods come. */
	const uint8_t focus = any_byte();
	for (size_t i = STEP_HEAD_SIZE; i + 4 <= size;) {
		const uint8_t op = likely[random_below(ARRAY_SIZE(likely))];
		out[i++] = (uint8_t)(op | any_byte() << 5);
		if (op <= 6 || op == 20 || op == 22 || op == 24 || op == 25 || op == 17) {
			out[i] = random_below(4) ? focus : (uint8_t)(focus ^ random_below(4));
			out[i + 1] &= random_below(3) ? 0x7f : 0x87;
			i += op <= 3 || op == 5 || op == 6 || op == 17 ? 3 : 2;
		} else if (op == 13) {
			i += 2 * 2 * (out[i - 1] >> 5);
		}
	}
	return size;
}
