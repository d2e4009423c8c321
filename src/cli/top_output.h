/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TOP_OUTPUT_H
#define CLI_TOP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct names;
struct top_page;

struct top_look {
	bool color;
	size_t width;  /* lines are cut to it; 0: they are whole */
	size_t height; /* a screen's: as many rows as fit, and the keys; 0: all, and no keys */
	const char *newline;
	const struct names *names; /* of sources; NULL: not wanted */
};

void top_output_table(FILE *out, const struct top_look *look, const struct top_page *page);
void top_output_json(FILE *out, const struct names *names, const struct top_page *page);

#endif
