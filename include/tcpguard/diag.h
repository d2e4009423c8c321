/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_DIAG_H
#define TCPGUARD_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tg_strbuf;

/*
 * What a reader found wrong, collected instead of printed, so that one run
 * shows every error. Owns copies of all texts.
 */
struct tg_diag_entry {
	char *file;
	uint32_t line;  /* from 1; 0: concerns the file as a whole */
	uint32_t col;   /* from 1, in characters */
	uint32_t width; /* characters the caret underlines, at least 1 */
	char *message;  /* without file, line and newline; the hint is part of it */
	char *source;   /* the line itself, or NULL */
};

struct tg_diag {
	struct tg_diag_entry *entries;
	size_t count;
	size_t capacity;
	bool lost; /* memory ran out, or over TG_DIAG_MAX errors; the rest is missing */
};

/* Nobody reads more; a generated file with a mistake in every line must not fill the memory. */
#define TG_DIAG_MAX 1000

void tg_diag_init(struct tg_diag *diag);
void tg_diag_finish(struct tg_diag *diag);

/* source may be NULL; texts are copied. */
void tg_diag_add(struct tg_diag *diag, const char *file, uint32_t line, uint32_t col,
		 uint32_t width, const char *source, const char *format, ...)
	__attribute__((format(printf, 7, 8)));

/* Sorted by file in the order first seen, then line, then column. */
void tg_diag_sort(struct tg_diag *diag);

/* gcc's form: "file:line:col: error: message", then the line and a caret under it. */
void tg_diag_print(const struct tg_diag *diag, struct tg_strbuf *out);

#endif
