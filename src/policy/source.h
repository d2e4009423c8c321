/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_SOURCE_H
#define POLICY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tg_diag;

/* A list of 200,000 addresses has 8 MiB at most. More is a mistake, such as a log file's name. */
#define SOURCE_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* One file in memory, and the way from a place in it to an error. */
struct source {
	const char *name; /* as people know it; borrowed */
	char *text;       /* NUL behind it; a byte order mark in front is not part of it */
	size_t len;
	struct tg_diag *diag; /* borrowed */
	void *memory;
	/* Where the last line asked for begins: errors mostly come in the order of the lines. */
	uint32_t seen_line;
	size_t seen_at;
};

/*
 * Regular files only, and without hanging on any other. 0 or -errno; -EFBIG is over
 * SOURCE_BYTES_MAX, -ENOTSUP no regular file. The source is finished by the caller in any case.
 */
int source_read(struct source *source, const char *name, const char *path, struct tg_diag *diag);
/* The same from memory; copies. False when memory runs out. */
bool source_from_text(struct source *source, const char *name, const void *text, size_t len,
		      struct tg_diag *diag);
void source_finish(struct source *source);
/* For people: "No such file or directory". */
const char *source_reason(int error);

/*
 * False, and an error at its place, unless the text is UTF-8 of printable characters
 * and the line breaks are those that every editor knows.
 */
bool source_scan(struct source *source);

/* Finds the line; false if there is none. *ret_text is not terminated. */
bool source_line(struct source *source, uint32_t line, const char **ret_text, size_t *ret_len);

/* A value as it is quoted in a sentence: cut between characters, so that it stays one. */
#define SOURCE_QUOTED 64
const char *source_quote(const char *text, char buf[static SOURCE_QUOTED]);

/* An error at a place, with its line; the same error at the same place is told once. */
void source_error(struct source *source, uint32_t line, uint32_t col, uint32_t width,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
