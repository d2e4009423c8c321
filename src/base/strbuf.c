/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the growth of a string buffer and its one failure, memory. */
#include "strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char empty[1];

void tg_strbuf_init(struct tg_strbuf *buf)
{
	*buf = (struct tg_strbuf){.text = empty};
}

void tg_strbuf_finish(struct tg_strbuf *buf)
{
	if (buf->capacity > 0)
		free(buf->text);
	tg_strbuf_init(buf);
}

void tg_strbuf_clear(struct tg_strbuf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->capacity > 0)
		buf->text[0] = '\0';
}

/* Room for len more bytes and the NUL. */
static bool strbuf_reserve(struct tg_strbuf *buf, size_t len)
{
	if (buf->failed)
		return false;
	if (len < buf->capacity - buf->len && buf->capacity > 0)
		return true;
	size_t capacity = buf->capacity > 0 ? buf->capacity : 128;
	while (capacity - buf->len <= len && capacity <= SIZE_MAX / 2)
		capacity *= 2;
	char *text = capacity - buf->len > len
			     ? realloc(buf->capacity > 0 ? buf->text : NULL, capacity)
			     : NULL;
	if (!text) {
		buf->failed = true;
		return false;
	}
	buf->text = text;
	buf->capacity = capacity;
	return true;
}

void tg_strbuf_append(struct tg_strbuf *buf, const void *bytes, size_t len)
{
	if (!strbuf_reserve(buf, len))
		return;
	memcpy(buf->text + buf->len, bytes, len);
	buf->len += len;
	buf->text[buf->len] = '\0';
}

void tg_strbuf_puts(struct tg_strbuf *buf, const char *text)
{
	tg_strbuf_append(buf, text, strlen(text));
}

void tg_strbuf_putc(struct tg_strbuf *buf, char c)
{
	tg_strbuf_append(buf, &c, 1);
}

void tg_strbuf_vprintf(struct tg_strbuf *buf, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	if (len < 0) {
		buf->failed = true;
	} else if (strbuf_reserve(buf, (size_t)len)) {
		(void)vsnprintf(buf->text + buf->len, (size_t)len + 1, format,
				again); /* len bytes, as counted above */
		buf->len += (size_t)len;
	}
	va_end(again);
}

void tg_strbuf_printf(struct tg_strbuf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	tg_strbuf_vprintf(buf, format, args);
	va_end(args);
}

void tg_strbuf_consume(struct tg_strbuf *buf, size_t len)
{
	if (len > buf->len)
		len = buf->len;
	if (len == 0)
		return;
	memmove(buf->text, buf->text + len, buf->len - len + 1);
	buf->len -= len;
}
