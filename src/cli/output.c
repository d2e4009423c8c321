/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How things look to people: tables, colours, times. */
#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"

const char *output_time(uint64_t seconds, char buf[static OUTPUT_TIME_STRLEN])
{
	time_t time = (time_t)seconds;
	struct tm tm;
	if (!gmtime_r(&time, &tm) ||
	    strftime(buf, OUTPUT_TIME_STRLEN, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		memcpy(buf, "?", 2);
	return buf;
}

const char *output_span(uint64_t seconds, char buf[static OUTPUT_SPAN_STRLEN])
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	for (size_t i = 0; i < ARRAY_SIZE(units) - 1; i++) {
		uint64_t whole = seconds / units[i].seconds;
		uint64_t rest = seconds % units[i].seconds / units[i + 1].seconds;
		if (whole == 0)
			continue;
		if (rest > 0)
			(void)snprintf(buf, OUTPUT_SPAN_STRLEN, "%" PRIu64 " %s %" PRIu64 " %s",
				       whole, units[i].name, rest, units[i + 1].name);
		else
			(void)snprintf(buf, OUTPUT_SPAN_STRLEN, "%" PRIu64 " %s", whole,
				       units[i].name);
		return buf;
	}
	(void)snprintf(buf, OUTPUT_SPAN_STRLEN, "%" PRIu64 " s", seconds);
	return buf;
}

const char *output_color(bool color, enum output_color which)
{
	if (!color)
		return "";
	switch (which) {
	case OUTPUT_PLAIN:
		return "\033[0m";
	case OUTPUT_BOLD:
		return "\033[1m";
	case OUTPUT_RED:
		return "\033[1;31m";
	case OUTPUT_YELLOW:
		return "\033[33m";
	case OUTPUT_GREEN:
		return "\033[32m";
	case OUTPUT_DIM:
		return "\033[2m";
	}
	return "";
}

void output_text(FILE *out, const char *text)
{
	struct tg_strbuf safe;
	tg_strbuf_init(&safe);
	tg_text_escape(&safe, text);
	(void)fputs(safe.text, out);
	tg_strbuf_finish(&safe);
}

/* Characters, not bytes. */
static size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

size_t output_fit(const char *text, size_t width)
{
	const size_t len = strlen(text);
	size_t at = 0;
	if (width == 0)
		return len;
	for (; at < len; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80 && width-- == 0)
			break;
	return at;
}

static void print_row(const struct output_table *table, const char *const *cells)
{
	for (size_t i = 0; i < table->column_count; i++) {
		size_t width = text_width(cells[i]);
		size_t pad = table->widths[i] > width ? table->widths[i] - width : 0;
		bool last = i + 1 == table->column_count;
		if (table->columns[i].right)
			(void)fprintf(table->out, "%*s%s", (int)pad, "", cells[i]);
		else
			(void)fprintf(table->out, "%s%*s", cells[i], last ? 0 : (int)pad, "");
		(void)fputs(last ? "" : "  ", table->out);
	}
}

static void flush_rows(struct output_table *table)
{
	const char *titles[OUTPUT_COLUMNS_MAX];
	for (size_t i = 0; i < table->column_count; i++)
		titles[i] = table->columns[i].title;
	if (!table->flushed && table->row_count > 0) {
		(void)fputs(output_color(table->color, OUTPUT_BOLD), table->out);
		print_row(table, titles);
		(void)fprintf(table->out, "%s\n", output_color(table->color, OUTPUT_PLAIN));
	}
	for (size_t row = 0; row < table->row_count; row++) {
		char **cells = table->cells + row * table->column_count;
		print_row(table, (const char *const *)cells);
		(void)fputc('\n', table->out);
		for (size_t i = 0; i < table->column_count; i++)
			free(cells[i]);
	}
	table->row_count = 0;
	table->flushed = true;
}

void output_table_init(struct output_table *table, FILE *out, bool color,
		       const struct output_column *columns, size_t count)
{
	*table = (struct output_table){
		.out = out, .color = color, .columns = columns, .column_count = count};
	for (size_t i = 0; i < count; i++)
		table->widths[i] = text_width(columns[i].title);
	table->cells = calloc(OUTPUT_ROWS_MAX * count, sizeof(*table->cells));
}

static char *copy_cell(const char *text)
{
	struct tg_strbuf safe;
	tg_strbuf_init(&safe);
	tg_text_escape(&safe, text && *text ? text : "-");
	char *copy = strdup(safe.text);
	tg_strbuf_finish(&safe);
	return copy;
}

void output_table_row(struct output_table *table, const char *const *cells)
{
	char *copies[OUTPUT_COLUMNS_MAX] = {NULL};
	bool complete = table->cells != NULL;
	table->total++;
	for (size_t i = 0; i < table->column_count && complete; i++) {
		copies[i] = copy_cell(cells[i]);
		complete = copies[i] != NULL;
	}
	if (!complete) { /* no memory: better a row that is missing than none at all */
		for (size_t i = 0; i < table->column_count; i++)
			free(copies[i]);
		return;
	}
	for (size_t i = 0; i < table->column_count && !table->flushed; i++)
		table->widths[i] = MAX(table->widths[i], text_width(copies[i]));
	memcpy(table->cells + table->row_count * table->column_count, copies,
	       table->column_count * sizeof(copies[0]));
	if (++table->row_count == OUTPUT_ROWS_MAX || table->flushed)
		flush_rows(table);
}

void output_table_finish(struct output_table *table)
{
	flush_rows(table);
	free(table->cells);
	table->cells = NULL;
}
