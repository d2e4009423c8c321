/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what a single value of the policy language may be, and the sentence when it is not. */
#include "schema.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>

#include "base/nearest.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "source.h"
#include "words.h"

void schema_error(const struct yaml_tree_node *node, const char *format, ...)
{
	struct tg_strbuf message;
	tg_strbuf_init(&message);
	va_list args;
	va_start(args, format);
	tg_strbuf_vprintf(&message, format, args);
	va_end(args);
	source_error(node->source, node->line, node->col, node->width, "%s",
		     message.failed ? "out of memory" : message.text);
	tg_strbuf_finish(&message);
}

/* "a list", for "wants …, not a list". */
static const char *kind_name(const struct yaml_tree_node *node)
{
	if (yaml_tree_is_null(node))
		return "nothing";
	switch ((enum yaml_tree_kind)node->kind) {
	case YAML_TREE_SCALAR:
		return "a single value";
	case YAML_TREE_SEQUENCE:
		return "a list";
	case YAML_TREE_MAPPING:
		return "a mapping";
	}
	return "?";
}

static bool is_word(const struct yaml_tree_node *node, const char *what, const char *wants)
{
	if (node->kind == YAML_TREE_SCALAR && !yaml_tree_is_null(node))
		return true;
	schema_error(node, "'%s' wants %s, not %s", what, wants, kind_name(node));
	return false;
}

static void unknown_key(const struct yaml_tree_node *key, const char *what, const char *const *keys,
			size_t count)
{
	char quoted[SOURCE_QUOTED];
	struct tg_strbuf list;
	if (key->source->diag->lost)
		return; /* nobody will read it, and the search below costs time */
	const char *near = tg_nearest_word(key->text, keys, count);
	source_quote(key->text, quoted);
	if (words_not_built(key->text)) {
		schema_error(key, "'%s' is known, but not built yet in this version", quoted);
		return;
	}
	if (near) {
		schema_error(key, "unknown key '%s' in %s; did you mean '%s'?", quoted, what, near);
		return;
	}
	tg_strbuf_init(&list);
	for (size_t i = 0; i < count; i++)
		tg_strbuf_printf(&list, "%s%s", i > 0 ? ", " : "", keys[i]);
	schema_error(key, "unknown key '%s' in %s; there are: %s", quoted, what, list.text);
	tg_strbuf_finish(&list);
}

bool schema_keys(const struct yaml_tree_node *node, const char *what, const char *const *keys,
		 size_t count, const struct yaml_tree_node **found)
{
	bool good = true;
	for (size_t i = 0; i < count; i++)
		found[i] = NULL;
	if (node->kind != YAML_TREE_MAPPING) {
		schema_error(node, "%s wants a mapping of keys and values, not %s", what,
			     kind_name(node));
		return false;
	}
	for (uint32_t i = 0; i < node->count; i++) {
		const struct yaml_tree_node *key = yaml_tree_key(node, i);
		size_t k = 0;
		while (k < count && strcmp(key->text, keys[k]) != 0)
			k++;
		if (k < count) {
			found[k] = yaml_tree_value(node, i);
		} else {
			unknown_key(key, what, keys, count);
			good = false;
		}
	}
	return good;
}

bool schema_sequence(const struct yaml_tree_node *node, const char *what, const char *example)
{
	if (node->kind == YAML_TREE_SEQUENCE)
		return true;
	schema_error(node, "'%s' wants a list such as %s, not %s", what, example, kind_name(node));
	return false;
}

/* NULL if the text is a whole number that fits in 32 bits. */
static const char *number_fault(const char *text, uint64_t *ret_number)
{
	const size_t digits = strspn(text, "0123456789");
	uint64_t number = 0;
	if (text[0] == '-' && strspn(text + 1, "0123456789") > 0)
		return "is negative";
	if (digits == 0 || text[digits] != '\0')
		return "is not a whole number";
	if (digits > 1 && text[0] == '0')
		return "has a leading zero, which YAML readers take for octal";
	for (size_t i = 0; i < digits && number <= UINT32_MAX; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	*ret_number = number;
	return NULL;
}

bool schema_number(const struct yaml_tree_node *node, const char *what, uint32_t least,
		   uint32_t most, uint32_t *ret_number)
{
	char quoted[SOURCE_QUOTED];
	uint64_t number = 0;
	if (!is_word(node, what, "a whole number"))
		return false;
	const char *fault = number_fault(node->text, &number);
	if (fault)
		schema_error(node,
			     "'%s' wants a whole number from %" PRIu32 " to %" PRIu32 "; '%s' %s",
			     what, least, most, source_quote(node->text, quoted), fault);
	else if (number < least || number > most)
		schema_error(node, "'%s' is out of range: %s is not from %" PRIu32 " to %" PRIu32,
			     what, source_quote(node->text, quoted), least, most);
	else
		*ret_number = (uint32_t)number;
	return !fault && number >= least && number <= most;
}

bool schema_duration(const struct yaml_tree_node *node, const char *what, uint64_t least_ms,
		     uint64_t most_ms, uint64_t *ret_ms)
{
	char quoted[SOURCE_QUOTED], least[TG_DURATION_STRLEN], most[TG_DURATION_STRLEN];
	uint64_t ms = 0;
	if (!is_word(node, what, "a time such as 10m"))
		return false;
	const char *fault = tg_duration_parse(node->text, &ms);
	if (fault) {
		schema_error(node, "'%s' wants a time such as 10m; '%s': %s", what,
			     source_quote(node->text, quoted), fault);
		return false;
	}
	if (ms < least_ms || ms > most_ms) {
		schema_error(node, "'%s' is out of range: %s is not from %s to %s", what,
			     node->text, tg_duration_format(least_ms, least),
			     tg_duration_format(most_ms, most));
		return false;
	}
	*ret_ms = ms;
	return true;
}

bool schema_rate(const struct yaml_tree_node *node, const char *what, struct tg_rate *ret_rate)
{
	char quoted[SOURCE_QUOTED];
	if (!is_word(node, what, "a rate such as 100/10s"))
		return false;
	const char *fault = tg_rate_parse(node->text, ret_rate);
	if (fault)
		schema_error(node, "'%s' wants a rate such as 100/10s; '%s': %s", what,
			     source_quote(node->text, quoted), fault);
	return !fault;
}

bool schema_share(const struct yaml_tree_node *node, const char *what, uint32_t *ret_thousandths)
{
	char quoted[SOURCE_QUOTED];
	if (!is_word(node, what, "a percentage such as 25%"))
		return false;
	const char *text = node->text;
	const size_t whole = strspn(text, "0123456789");
	uint32_t thousandths = 0;
	for (size_t i = 0; i < whole && i < 3; i++)
		thousandths = thousandths * 10 + (uint32_t)(text[i] - '0');
	thousandths *= 10;
	const char *rest = text + whole;
	if (rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9') {
		thousandths += (uint32_t)(rest[1] - '0');
		rest += 2;
	}
	const bool good = whole > 0 && whole <= 3 && strcmp(rest, "%") == 0 && thousandths > 0 &&
			  thousandths <= 1000;
	if (good)
		*ret_thousandths = thousandths;
	else
		schema_error(node,
			     "'%s' wants a percentage from 0.1%% to 100%%, such as 25%%; not '%s'",
			     what, source_quote(text, quoted));
	return good;
}

bool schema_word(const struct yaml_tree_node *node, const char *what, const char *const *words,
		 size_t count, size_t *ret_index)
{
	char quoted[SOURCE_QUOTED];
	struct tg_strbuf wants;
	tg_strbuf_init(&wants);
	for (size_t i = 0; i < count; i++)
		tg_strbuf_printf(&wants, "%s%s", i > 0 ? " or " : "", words[i]);
	if (!is_word(node, what, wants.text)) {
		tg_strbuf_finish(&wants);
		return false;
	}
	size_t i = 0;
	while (i < count && strcmp(node->text, words[i]) != 0)
		i++;
	const char *near = tg_nearest_word(node->text, words, count);
	source_quote(node->text, quoted);
	if (i < count)
		*ret_index = i;
	else if (words_not_built(node->text))
		schema_error(node, "%s '%s' is known, but not built yet in this version", what,
			     quoted);
	else if (near)
		schema_error(node, "'%s' wants %s, not '%s'; did you mean '%s'?", what, wants.text,
			     quoted, near);
	else
		schema_error(node, "'%s' wants %s, not '%s'", what, wants.text, quoted);
	tg_strbuf_finish(&wants);
	return i < count;
}

bool schema_bool(const struct yaml_tree_node *node, const char *what, bool *ret_value)
{
	char quoted[SOURCE_QUOTED];
	if (!is_word(node, what, "true or false"))
		return false;
	const bool yes = strcmp(node->text, "true") == 0 || strcmp(node->text, "True") == 0;
	const bool no = strcmp(node->text, "false") == 0 || strcmp(node->text, "False") == 0;
	if (!yes && !no)
		schema_error(node, "'%s' wants true or false, not '%s'", what,
			     source_quote(node->text, quoted));
	else
		*ret_value = yes;
	return yes || no;
}

/* "- fe80::" is a mapping of "fe80:" to nothing for every reader of YAML. */
static bool is_cut_address(const struct yaml_tree_node *node)
{
	struct tg_prefix prefix;
	char text[TG_ADDR_STRLEN + 2];
	if (node->kind != YAML_TREE_MAPPING || node->count != 1 ||
	    !yaml_tree_is_null(yaml_tree_value(node, 0)))
		return false;
	const struct yaml_tree_node *key = yaml_tree_key(node, 0);
	if (strlen(key->text) > TG_ADDR_STRLEN)
		return false;
	(void)snprintf(text, sizeof(text), "%s:", key->text); /* it fits */
	return tg_prefix_parse(text, &prefix) == NULL;
}

bool schema_prefix(const struct yaml_tree_node *node, struct tg_prefix *ret_prefix)
{
	char quoted[SOURCE_QUOTED];
	if (is_cut_address(node)) {
		schema_error(node, "an IPv6 address that ends in '::' must be quoted: \"%s:\"",
			     yaml_tree_key(node, 0)->text);
		return false;
	}
	if (node->kind != YAML_TREE_SCALAR || yaml_tree_is_null(node)) {
		schema_error(node, "an address or prefix is wanted here, not %s", kind_name(node));
		return false;
	}
	const char *fault = tg_prefix_parse(node->text, ret_prefix);
	if (fault)
		schema_error(node, "'%s': %s", source_quote(node->text, quoted), fault);
	return !fault;
}

bool schema_name(const struct yaml_tree_node *node, const char *what)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-";
	char quoted[SOURCE_QUOTED];
	const char *text = node->text;
	source_quote(text, quoted);
	if (strlen(text) > TG_NAME_MAX)
		schema_error(node, "the name of %s is longer than %d characters", what,
			     TG_NAME_MAX);
	else if (words_yaml_constant(text))
		schema_error(node,
			     "'%s' cannot name %s: YAML readers take it for a boolean or "
			     "for nothing",
			     quoted, what);
	else if (strspn(text, letters) == 0 || text[strspn(text, rest)] != '\0')
		schema_error(node,
			     "'%s' cannot name %s: a letter, then letters, digits, '-' and "
			     "'_'",
			     quoted, what);
	else
		return true;
	return false;
}
