/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How things look to people: tables, colours, times. */
#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

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

/* A last column with less room than this is better read below the others. */
#define ROOM_MIN 20
#define INDENT 4
#define TITLE 12

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

size_t output_width(void)
{
	struct winsize size = {0};
	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

/* Bytes of a colour at text, or 0. */
static size_t color_length(const char *text)
{
	if (text[0] != '\033' || text[1] != '[')
		return 0;
	const size_t len = 2 + strspn(text + 2, "0123456789;");
	return text[len] ? len + 1 : len;
}

/* Bytes up to the next blank or the end, and how many columns they take. */
static size_t word_length(const char *text, size_t len, size_t *ret_columns)
{
	size_t at = 0, columns = 0;
	while (at < len && (text[at] != ' ' || at == 0)) {
		const size_t color = color_length(text + at);
		columns += !color && ((unsigned char)text[at] & 0xc0) != 0x80;
		at += color ? color : 1;
	}
	*ret_columns = columns;
	return MIN(at, len);
}

/* len bytes of text within columns from column on; each word with the blank before it. */
static void wrap(FILE *out, const char *text, size_t len, size_t column, size_t indent,
		 size_t width)
{
	size_t at = 0;
	bool fresh = true; /* nothing stands in this line yet */
	while (at < len) {
		size_t columns;
		const size_t word = word_length(text + at, len - at, &columns);
		if (!fresh && column > indent && column + columns > width) {
			const size_t blank = text[at] == ' ';
			(void)fprintf(out, "\n%*s", (int)indent, "");
			(void)fwrite(text + at + blank, 1, word - blank, out);
			column = indent + columns - blank;
		} else {
			(void)fwrite(text + at, 1, word, out);
			column += columns;
		}
		fresh = false;
		at += word;
	}
}

static size_t indent_of(const char *line, size_t len)
{
	const bool titled = len > TITLE && line[TITLE - 1] == ' ' && line[TITLE - 2] == ' ' &&
			    line[TITLE] != ' ';
	return titled ? TITLE : INDENT;
}

void output_wrap(FILE *out, const char *text, size_t width)
{
	while (*text) {
		const size_t len = strcspn(text, "\n");
		if (width == 0)
			(void)fwrite(text, 1, len, out);
		else
			wrap(out, text, len, 0, indent_of(text, len), width);
		text += len;
		if (*text) {
			(void)fputc('\n', out);
			text++;
		}
	}
}

void output_wrap_at(FILE *out, const char *text, size_t column, size_t width)
{
	wrap(out, text, strlen(text), column, column, width > 0 ? width : SIZE_MAX);
}

/* Where the last column has its place, or below the others where they leave none. The blanks
   before it are its own. */
static void print_last(const struct output_table *table, const char *cell, size_t column)
{
	const bool fits = table->fit == 0 || column + text_width(cell) <= table->fit;
	const size_t indent = fits || column + ROOM_MIN <= table->fit ? column : INDENT;
	if (indent != column)
		(void)fprintf(table->out, "\n%*s", INDENT, "");
	else if (column > 0)
		(void)fputs("  ", table->out);
	wrap(table->out, cell, strlen(cell), indent, indent, fits ? SIZE_MAX : table->fit);
}

static void print_row(const struct output_table *table, const char *const *cells)
{
	size_t column = 0;
	for (size_t i = 0; i < table->column_count; i++) {
		size_t width = text_width(cells[i]);
		size_t pad = table->widths[i] > width ? table->widths[i] - width : 0;
		bool last = i + 1 == table->column_count;
		if (last && !table->columns[i].right) {
			print_last(table, cells[i], column);
			break;
		}
		(void)fputs(i > 0 ? "  " : "", table->out);
		if (table->columns[i].right)
			(void)fprintf(table->out, "%*s%s", (int)pad, "", cells[i]);
		else
			(void)fprintf(table->out, "%s%*s", cells[i], (int)pad, "");
		column += width + pad + 2;
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
