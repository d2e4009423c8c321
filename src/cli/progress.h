/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* How often, and how long nothing is shown at first. */
#define PROGRESS_EVERY_MS 500

/*
 * How far long work is: one line of stderr that is written over, on a terminal only, and gone when
 * the work is done. What is printed meanwhile hides it first.
 */
struct progress {
	bool wanted, shown;
	uint64_t begun_ms, next_ms;
};

void progress_begin(struct progress *progress);
/* Whether to show now; reads a clock, if it is wanted at all. */
bool progress_is_due(struct progress *progress);
uint64_t progress_ms(const struct progress *progress); /* since its begin */
/* Shorter than a line. */
void progress_show(struct progress *progress, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same with what part of it is done, where all is known. */
void progress_show_part(struct progress *progress, uint64_t done, uint64_t all, const char *format,
			...) __attribute__((format(printf, 4, 5)));
void progress_hide(struct progress *progress);
/* Whoever complains may not know of it: its line is empty after this. */
void progress_clear_line(void);

#endif
