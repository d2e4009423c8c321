/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A string that grows. When memory runs out it stops growing and says so in
 * failed, so that a writer checks once, at the end. text is always terminated
 * (and never NULL after init: an empty buffer points at a static "").
 */
struct tg_strbuf {
	char *text;
	size_t len;
	size_t capacity;
	bool failed;
};

void tg_strbuf_init(struct tg_strbuf *buf);
void tg_strbuf_finish(struct tg_strbuf *buf);
void tg_strbuf_clear(struct tg_strbuf *buf);
void tg_strbuf_append(struct tg_strbuf *buf, const void *bytes, size_t len);
void tg_strbuf_puts(struct tg_strbuf *buf, const char *text);
void tg_strbuf_putc(struct tg_strbuf *buf, char c);
void tg_strbuf_printf(struct tg_strbuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void tg_strbuf_vprintf(struct tg_strbuf *buf, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
/* Drops the first len bytes: what was sent. */
void tg_strbuf_consume(struct tg_strbuf *buf, size_t len);

#endif
