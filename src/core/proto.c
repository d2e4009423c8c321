/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lines of the control socket. Strict on what it reads: a line that this writer
 * would not have written (but for encoding more than it must) is malformed.
 */
#include <tcpguard/proto.h>

#include <string.h>

#include "base/strbuf.h"
#include "base/text.h"

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_word(const char *text)
{
	if (!*text)
		return false;
	while (is_word_char(*text))
		text++;
	return !*text;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* In place: the result is never longer. A NUL inside would hide what follows it. */
static bool decode_value(char *text)
{
	char *out = text;
	for (; *text; text++) {
		if (*text != '%') {
			if ((unsigned char)*text < 0x20 || *text == 0x7f)
				return false;
			*out++ = *text;
			continue;
		}
		int high = hex_digit(text[1]);
		int low = high < 0 ? -1 : hex_digit(text[2]);
		if (low < 0 || (high == 0 && low == 0))
			return false;
		*out++ = (char)(high << 4 | low);
		text += 2;
	}
	*out = '\0';
	return true;
}

static bool parse_field(char *word, struct tg_record *record)
{
	char *equals = strchr(word, '=');
	if (!equals || record->count == TG_PROTO_FIELDS_MAX)
		return false;
	*equals = '\0';
	if (!is_word(word) || tg_record_get(record, word) || !decode_value(equals + 1))
		return false;
	record->fields[record->count].key = word;
	record->fields[record->count++].value = equals + 1;
	return true;
}

bool tg_record_parse(char *line, struct tg_record *ret_record)
{
	struct tg_record record;
	record.count = 0;
	char *next = strchr(line, ' ');
	if (next)
		*next++ = '\0';
	if (!is_word(line))
		return false;
	record.name = line;
	while (next) {
		char *word = next;
		next = strchr(word, ' ');
		if (next)
			*next++ = '\0';
		if (!parse_field(word, &record))
			return false;
	}
	ret_record->name = record.name;
	ret_record->count = record.count;
	memcpy(ret_record->fields, record.fields, record.count * sizeof(record.fields[0]));
	return true;
}

const char *tg_record_get(const struct tg_record *record, const char *key)
{
	for (size_t i = 0; i < record->count; i++)
		if (strcmp(record->fields[i].key, key) == 0)
			return record->fields[i].value;
	return NULL;
}

bool tg_record_get_u64(const struct tg_record *record, const char *key, uint64_t *ret_value)
{
	const char *text = tg_record_get(record, key);
	return text && tg_text_u64(text, ret_value);
}

void tg_record_begin(struct tg_strbuf *out, const char *name)
{
	tg_strbuf_puts(out, name);
}

void tg_record_put(struct tg_strbuf *out, const char *key, const char *value)
{
	tg_strbuf_putc(out, ' ');
	tg_strbuf_puts(out, key);
	tg_strbuf_putc(out, '=');
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;
		/* Bytes of UTF-8 pass, so that socat shows them; what splits or ends does not. */
		if (c > 0x20 && c != 0x7f && c != '%')
			tg_strbuf_putc(out, (char)c);
		else
			tg_strbuf_printf(out, "%%%02X", c);
	}
}

void tg_record_put_u64(struct tg_strbuf *out, const char *key, uint64_t value)
{
	tg_strbuf_printf(out, " %s=%llu", key, (unsigned long long)value);
}

void tg_record_end(struct tg_strbuf *out)
{
	tg_strbuf_putc(out, '\n');
}
