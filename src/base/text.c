/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the one answer to "may this byte be shown": log, terminal and JSON all ask here. */
#include "text.h"

#include "strbuf.h"

size_t tg_text_utf8(const char *text, uint32_t *ret_codepoint)
{
	const unsigned char *s = (const unsigned char *)text;
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80             ? 1
		     : (s[0] & 0xe0) == 0xc0 ? 2
		     : (s[0] & 0xf0) == 0xe0 ? 3
		     : (s[0] & 0xf8) == 0xf0 ? 4
					     : 0;
	if (len == 0)
		return 0;
	uint32_t c = len == 1 ? s[0] : s[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret_codepoint = c;
	return len;
}

/* Moves the cursor, ends lines or turns the direction of writing, and so can fake what is shown. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void tg_text_escape(struct tg_strbuf *out, const char *text)
{
	while (*text) {
		uint32_t c = 0;
		size_t len = tg_text_utf8(text, &c);
		if (len > 0 && !is_unsafe(c)) {
			tg_strbuf_append(out, text, len);
			text += len;
			continue;
		}
		for (size_t i = 0; i < (len > 0 ? len : 1); i++)
			tg_strbuf_printf(out, "\\x%02x", (unsigned char)*text++);
	}
}

void tg_text_escape_json(struct tg_strbuf *out, const char *text)
{
	while (*text) {
		uint32_t c = 0;
		size_t len = tg_text_utf8(text, &c);
		if (len == 0) {
			tg_strbuf_puts(out, "\\ufffd");
			text++;
			continue;
		}
		if (c == '"' || c == '\\')
			tg_strbuf_printf(out, "\\%c", (char)c);
		else if (is_unsafe(c))
			tg_strbuf_printf(out, "\\u%04x", (unsigned)c);
		else
			tg_strbuf_append(out, text, len);
		text += len;
	}
}

bool tg_text_u64(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	*ret_value = value;
	return true;
}
