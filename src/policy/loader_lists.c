/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the named lists and `allow`. Whoever is on a list is safe from us, so that a
 * list is read whole or not at all: one bad entry, and nothing is loaded.
 */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/diag.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/util.h"
#include "schema.h"

static bool prefixes_add(struct prefixes *prefixes, const struct tg_prefix *add, size_t count)
{
	if (count > prefixes->capacity - prefixes->count) {
		size_t capacity = MAX(prefixes->capacity * 2, prefixes->count + count);
		capacity = MAX(capacity, (size_t)64);
		struct tg_prefix *items =
			reallocarray(prefixes->items, capacity, sizeof(*prefixes->items));
		if (!items)
			return false;
		prefixes->items = items;
		prefixes->capacity = capacity;
	}
	if (count > 0)
		memcpy(prefixes->items + prefixes->count, add, count * sizeof(*add));
	prefixes->count += count;
	return true;
}

/* Counts against the bound of all lists, too. */
static bool list_add(struct loader *loader, struct list *list, const struct tg_prefix *prefix)
{
	if (loader->list_prefix_count == LOADER_PREFIXES_MAX) {
		schema_error(list->named.value, "the lists have more than %d entries in all",
			     LOADER_PREFIXES_MAX);
		return false;
	}
	if (!prefixes_add(&list->prefixes, prefix, 1)) {
		loader_memory(loader);
		return false;
	}
	loader->list_prefix_count++;
	return true;
}

static bool read_inline(struct loader *loader, struct list *list)
{
	const struct yaml_tree_node *node = list->named.value;
	bool good = true;
	for (uint32_t i = 0; i < node->count; i++) {
		struct tg_prefix prefix;
		if (!schema_prefix(node->items[i], &prefix))
			good = false;
		else if (!list_add(loader, list, &prefix))
			return false;
	}
	return good;
}

/* The characters that are not continuation bytes. */
static uint32_t characters(const char *text, size_t len)
{
	uint32_t count = 0;
	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

/* One line: blanks, an address or prefix, blanks, a comment; each may be missing. */
static bool read_line(struct source *source, uint32_t line, const char *text, size_t len,
		      struct tg_prefix *ret_prefix, bool *ret_found)
{
	char word[SOURCE_QUOTED], copy[512];
	const char *comment = memchr(text, '#', len);
	if (comment)
		len = (size_t)(comment - text);
	while (len > 0 && memchr(" \t\r", text[len - 1], 3))
		len--;
	size_t start = 0;
	while (start < len && (text[start] == ' ' || text[start] == '\t'))
		start++;
	*ret_found = start < len;
	if (start == len)
		return true;
	size_t end = start;
	while (end < len && text[end] != ' ' && text[end] != '\t')
		end++;
	const uint32_t col = (uint32_t)start + 1, width = characters(text + start, end - start);
	if (end < len) {
		while (text[end] == ' ' || text[end] == '\t')
			end++; /* a word follows: what is behind the last one was cut above */
		source_error(source, line, characters(text, end) + 1, 1,
			     "one address or prefix on a line; a comment begins with '#'");
		return false;
	}
	(void)snprintf(copy, sizeof(copy), "%.*s", (int)MIN(end - start, sizeof(copy) - 1),
		       text + start); /* cut: then it is no address in any case */
	const char *fault = tg_prefix_parse(copy, ret_prefix);
	if (fault)
		source_error(source, line, col, width, "'%s': %s", source_quote(copy, word), fault);
	return !fault;
}

static bool read_lines(struct loader *loader, struct list *list, struct source *source)
{
	bool good = source_scan(source);
	const char *at = source->text, *end = source->text + source->len;
	for (uint32_t line = 1; good && at < end; line++) {
		struct tg_prefix prefix;
		bool found = false;
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		if (!stop)
			stop = end;
		/* After a bad line the rest is still checked. */
		bool fine = read_line(source, line, at, (size_t)(stop - at), &prefix, &found);
		if (!fine)
			list->good = false;
		else if (found && !list_add(loader, list, &prefix))
			good = false;
		at = stop + (stop < end);
	}
	return good;
}

static bool read_file(struct loader *loader, struct list *list, const struct yaml_tree_node *file)
{
	char quoted[SOURCE_QUOTED];
	_cleanup_free_ char *path = NULL;
	if (file->kind != YAML_TREE_SCALAR || file->text[0] == '\0') {
		schema_error(file, "'file' wants the name of a file");
		return false;
	}
	if (!loader->dir) {
		schema_error(file, "no list files can be read here");
		return false;
	}
	if (asprintf(&path, "%s%s%s", file->text[0] == '/' ? "" : loader->dir,
		     file->text[0] == '/' ? "" : "/", file->text) < 0)
		path = NULL; /* which asprintf leaves undefined */
	struct source *source = tg_arena_alloc(&loader->scratch, 1, sizeof(*source));
	char *name = path ? tg_arena_strndup(loader->arena, path, strlen(path)) : NULL;
	if (!source || !name) {
		loader_memory(loader);
		return false;
	}
	int error = source_read(source, name, loader_stands_for(loader, path), loader->diag);
	loader->list_sources[loader->list_source_count++] = source;
	if (error < 0) {
		schema_error(file, "'%s' cannot be read: %s", source_quote(path, quoted),
			     source_reason(error));
		return false;
	}
	list->good = true;
	if (!read_lines(loader, list, source) || !list->good)
		return false;
	/* A download that failed leaves an empty file, and would leave nobody allowed. */
	if (list->prefixes.count == 0)
		schema_error(file, "'%s' holds no address; if that is meant, write '%s: []'",
			     source_quote(path, quoted), list->named.key->text);
	return list->prefixes.count > 0;
}

static void read_list(struct loader *loader, struct list *list)
{
	static const char *const keys[] = {"file"};
	const struct yaml_tree_node *node = list->named.value, *file;
	if (node->kind == YAML_TREE_SEQUENCE) {
		list->good = read_inline(loader, list);
	} else if (node->kind != YAML_TREE_MAPPING) {
		schema_error(node, "the list '%s' wants addresses in [ ], or {file: NAME}",
			     list->named.key->text);
	} else if (schema_keys(node, "a list", keys, ARRAY_SIZE(keys), &file)) {
		if (file)
			list->good = read_file(loader, list, file);
		else
			schema_error(node, "the list '%s' wants addresses in [ ], or {file: NAME}",
				     list->named.key->text);
	}
}

void loader_read_lists(struct loader *loader)
{
	for (size_t i = 0; i < loader->list_count; i++)
		read_list(loader, &loader->lists[i]);
}

static void unknown_list(struct loader *loader, const struct yaml_tree_node *node)
{
	const char *names[LOADER_LISTS_MAX];
	char quoted[SOURCE_QUOTED];
	if (loader->incomplete || loader->diag->lost)
		return; /* it may be in the file that could not be read; or nobody will read it */
	for (size_t i = 0; i < loader->list_count; i++)
		names[i] = loader->lists[i].named.key->text;
	const char *near = tg_nearest_word(node->text, names, loader->list_count);
	source_quote(node->text, quoted);
	if (near)
		schema_error(node, "there is no list '%s'; did you mean '%s'?", quoted, near);
	else
		schema_error(node, "there is no list '%s', and it is no address", quoted);
}

/* A word with a dot, a colon or a slash, or that begins with a digit, is meant as an address. */
static bool is_list_name(const struct yaml_tree_node *node)
{
	return node->kind == YAML_TREE_SCALAR && !yaml_tree_is_null(node) &&
	       !strpbrk(node->text, ".:/") && !(node->text[0] >= '0' && node->text[0] <= '9');
}

/* False only when nothing more can be added. */
static bool allow_add(struct loader *loader, const struct yaml_tree_node *node,
		      struct prefixes *allow)
{
	struct tg_prefix prefix;
	const struct tg_prefix *add = &prefix;
	size_t count = 1;
	if (is_list_name(node)) {
		size_t i = 0;
		while (i < loader->list_count &&
		       strcmp(loader->lists[i].named.key->text, node->text) != 0)
			i++;
		if (i == loader->list_count) {
			unknown_list(loader, node);
			return true;
		}
		add = loader->lists[i].prefixes.items;
		count = loader->lists[i].prefixes.count;
	} else if (!schema_prefix(node, &prefix)) {
		return true;
	}
	if (allow->count + count > LOADER_PREFIXES_MAX) {
		schema_error(node, "'allow' has more than %d entries", LOADER_PREFIXES_MAX);
		return false;
	}
	if (!prefixes_add(allow, add, count)) {
		loader_memory(loader);
		return false;
	}
	return true;
}

void loader_resolve_allow(struct loader *loader)
{
	struct prefixes allow = {0};
	for (size_t i = 0; i < loader->allow_count; i++) {
		const struct yaml_tree_node *node = loader->allow[i];
		for (uint32_t k = 0; k < node->count; k++) {
			if (!allow_add(loader, node->items[k], &allow))
				goto out;
		}
	}
	struct tg_prefix *copy = tg_arena_alloc(loader->arena, allow.count, sizeof(*copy));
	if (!copy) {
		loader_memory(loader);
		goto out;
	}
	if (allow.count > 0)
		memcpy(copy, allow.items, allow.count * sizeof(*copy));
	loader->config->allow = copy;
	loader->config->allow_count = allow.count;
out:
	free(allow.items);
}

void loader_finish_lists(struct loader *loader)
{
	for (size_t i = 0; i < loader->list_count; i++)
		free(loader->lists[i].prefixes.items);
	for (size_t i = 0; i < loader->list_source_count; i++)
		source_finish(loader->list_sources[i]);
}
