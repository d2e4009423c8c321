/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OUTPUT_TIME_STRLEN 32
#define OUTPUT_SPAN_STRLEN 48
#define OUTPUT_COLUMNS_MAX 16
/* Rows that decide the widths; those after them are printed as they come. */
#define OUTPUT_ROWS_MAX 1000

/* RFC 3339, UTC. */
const char *output_time(uint64_t seconds, char buf[static OUTPUT_TIME_STRLEN]);
/* "3 d 4 h", "59 s": the two largest units. */
const char *output_span(uint64_t seconds, char buf[static OUTPUT_SPAN_STRLEN]);

enum output_color {
	OUTPUT_PLAIN,
	OUTPUT_BOLD,
	OUTPUT_RED,
	OUTPUT_YELLOW,
	OUTPUT_GREEN,
	OUTPUT_DIM
};
/* The sequence that begins a colour, or "" when color is false. PLAIN ends it. */
const char *output_color(bool color, enum output_color which);

/* Escaped: what came from outside moves no cursor. */
void output_text(FILE *out, const char *text);

/* How many bytes of text are width characters at most; width 0: all. */
size_t output_fit(const char *text, size_t width);

/* Columns of the terminal that standard output is, or 0: it is none, and nothing is to be cut. */
size_t output_width(void);
/*
 * Lines of text, which may have colours in them, broken at blanks so that they have width columns
 * at most; 0: as they are. What goes on does so below where the value of a line begins: after a
 * title of 12 columns, else after 4. A word that is too long stays whole.
 */
void output_wrap(FILE *out, const char *text, size_t width);
/* One line of text that begins at column and goes on below it. */
void output_wrap_at(FILE *out, const char *text, size_t column, size_t width);

struct output_column {
	const char *title;
	bool right;
};

/* A table with aligned columns, without a trailing blank. Where it would be wider than fit, the
   last column is broken at blanks, or goes below the others where they leave it no room. */
struct output_table {
	FILE *out;
	bool color;
	const struct output_column *columns;
	size_t column_count;
	size_t fit; /* columns to stay within if that can be; 0: as wide as it gets. Set after init
		     */
	size_t widths[OUTPUT_COLUMNS_MAX];
	char **cells; /* rows that wait, row by row */
	size_t row_count;
	size_t total;
	bool flushed;
};
void output_table_init(struct output_table *table, FILE *out, bool color,
		       const struct output_column *columns, size_t count);
/* Copies; NULL cells are "-". */
void output_table_row(struct output_table *table, const char *const *cells);
/* Prints what waits; a table without rows prints nothing. */
void output_table_finish(struct output_table *table);

#endif
