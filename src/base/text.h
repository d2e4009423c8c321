/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tg_strbuf;

/*
 * Text from outside, made fit to be shown: what a terminal, a log reader or a JSON
 * parser would take for more than text is written as an escape.
 */

/* Length of the UTF-8 character at text (1 to 4), or 0 if it is none. text ends with NUL. */
size_t tg_text_utf8(const char *text, uint32_t *ret_codepoint);

/* Control characters, bidirectional overrides and broken UTF-8 become \xNN; backslash stays. */
void tg_text_escape(struct tg_strbuf *out, const char *text);

/* The inside of a JSON string; broken UTF-8 becomes U+FFFD. */
void tg_text_escape_json(struct tg_strbuf *out, const char *text);

/* Decimal digits only, no sign, no overflow. */
bool tg_text_u64(const char *text, uint64_t *ret_value);

#endif
