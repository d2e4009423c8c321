/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the errors of a run and how they are shown. What it prints came from files
 * that somebody else may have written, so that nothing in them reaches the terminal
 * as a control character.
 */
#include <tcpguard/diag.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/util.h"

void tg_diag_init(struct tg_diag *diag)
{
	*diag = (struct tg_diag){0};
}

static void entry_finish(struct tg_diag_entry *entry)
{
	free(entry->file);
	free(entry->message);
	free(entry->source);
}

void tg_diag_finish(struct tg_diag *diag)
{
	for (size_t i = 0; i < diag->count; i++)
		entry_finish(&diag->entries[i]);
	free(diag->entries);
	tg_diag_init(diag);
}

static bool diag_reserve(struct tg_diag *diag)
{
	if (diag->count < diag->capacity)
		return true;
	size_t capacity = diag->capacity > 0 ? diag->capacity * 2 : 16;
	struct tg_diag_entry *entries =
		reallocarray(diag->entries, capacity, sizeof(*diag->entries));
	if (!entries)
		return false;
	diag->entries = entries;
	diag->capacity = capacity;
	return true;
}

void tg_diag_add(struct tg_diag *diag, const char *file, uint32_t line, uint32_t col,
		 uint32_t width, const char *source, const char *format, ...)
{
	if (diag->count >= TG_DIAG_MAX || !diag_reserve(diag)) {
		diag->lost = true;
		return;
	}
	struct tg_strbuf message;
	tg_strbuf_init(&message);
	va_list args;
	va_start(args, format);
	tg_strbuf_vprintf(&message, format, args);
	va_end(args);
	struct tg_diag_entry entry = {
		.file = strdup(file),
		.line = line,
		.col = col,
		.width = MAX(width, 1U),
		.message = message.failed ? NULL : strdup(message.text),
		.source = source ? strdup(source) : NULL,
	};
	tg_strbuf_finish(&message);
	if (!entry.file || !entry.message || (source && !entry.source)) {
		entry_finish(&entry);
		diag->lost = true;
		return;
	}
	diag->entries[diag->count++] = entry;
}

/* An entry with the places it is sorted by. */
struct ranked {
	struct tg_diag_entry entry;
	size_t file; /* its file's place in the order first seen */
	size_t at;   /* its own, so that the sort is stable */
};

static int ranked_compare(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->entry.line != y->entry.line)
		return x->entry.line < y->entry.line ? -1 : 1;
	if (x->entry.col != y->entry.col)
		return x->entry.col < y->entry.col ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

void tg_diag_sort(struct tg_diag *diag)
{
	struct ranked *ranked = diag->count > 0 ? calloc(diag->count, sizeof(*ranked)) : NULL;
	if (!ranked)
		return; /* the order they were found in is still readable */
	for (size_t i = 0; i < diag->count; i++) {
		size_t first = 0;
		while (strcmp(diag->entries[first].file, diag->entries[i].file) != 0)
			first++;
		ranked[i] = (struct ranked){.entry = diag->entries[i], .file = first, .at = i};
	}
	qsort(ranked, diag->count, sizeof(*ranked), ranked_compare);
	for (size_t i = 0; i < diag->count; i++)
		diag->entries[i] = ranked[i].entry;
	free(ranked);
}

/* Control characters, also those of U+0080 to U+009F, become '?'; a tab stays one if asked to. */
static void print_clean(struct tg_strbuf *out, const char *text, bool keep_tabs)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			tg_strbuf_putc(out, '?');
			p++;
		} else if ((*p < 0x20 && !(keep_tabs && *p == '\t')) || *p == 0x7f) {
			tg_strbuf_putc(out, '?');
		} else {
			tg_strbuf_putc(out, (char)*p);
		}
	}
}

/* Blanks up to the column, tabs where the line has tabs, so that the caret stands under its word.
 */
static void print_caret(struct tg_strbuf *out, const struct tg_diag_entry *entry)
{
	const unsigned char *p = (const unsigned char *)entry->source;
	tg_strbuf_puts(out, "      | ");
	for (uint32_t col = 1; col < entry->col && *p; col++) {
		tg_strbuf_putc(out, *p == '\t' ? '\t' : ' ');
		p++;
		while ((*p & 0xc0) == 0x80)
			p++;
	}
	tg_strbuf_putc(out, '^');
	uint32_t left = 0;
	for (; *p; p++)
		left += (*p & 0xc0) != 0x80;
	for (uint32_t i = 1; i < entry->width && i < left; i++)
		tg_strbuf_putc(out, '~');
	tg_strbuf_putc(out, '\n');
}

void tg_diag_print(const struct tg_diag *diag, struct tg_strbuf *out)
{
	for (size_t i = 0; i < diag->count; i++) {
		const struct tg_diag_entry *entry = &diag->entries[i];
		print_clean(out, entry->file, false);
		if (entry->line > 0)
			tg_strbuf_printf(out, ":%" PRIu32 ":%" PRIu32, entry->line, entry->col);
		tg_strbuf_puts(out, ": error: ");
		print_clean(out, entry->message, false);
		tg_strbuf_putc(out, '\n');
		if (entry->line == 0 || !entry->source)
			continue;
		tg_strbuf_printf(out, "%5" PRIu32 " | ", entry->line);
		print_clean(out, entry->source, true);
		tg_strbuf_putc(out, '\n');
		print_caret(out, entry);
	}
	if (diag->lost)
		tg_strbuf_puts(out, "error: there are more errors than are shown here\n");
}
