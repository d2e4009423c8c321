/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from YAML to a tree of nodes that know where they stand. The only file
 * that knows libyaml. What YAML can do and a policy does not need (tags, a second
 * document, merge keys, keys that are no words) is refused here, with its place.
 */
#include "yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/util.h"
#include "source.h"

struct anchor {
	const char *name;
	const struct yaml_tree_node *node;
};

struct builder {
	struct source *source;
	struct tg_arena *arena;
	/* Nodes whose collection is still open, one behind the other; first[] says where each
	 * begins. */
	const struct yaml_tree_node **pending;
	size_t pending_count, pending_capacity;
	struct yaml_tree_node *open[YAML_TREE_DEPTH_MAX];
	size_t first[YAML_TREE_DEPTH_MAX];
	unsigned depth;
	struct anchor anchors[YAML_TREE_ANCHORS_MAX];
	unsigned anchor_count;
	size_t node_count;
	const struct yaml_tree_node *root;
	bool document; /* one has begun */
};

static bool fail(struct builder *b, const yaml_mark_t *mark, const char *message)
{
	source_error(b->source, (uint32_t)mark->line + 1, (uint32_t)mark->column + 1, 1, "%s",
		     message);
	return false;
}

static bool fail_memory(struct builder *b)
{
	source_error(b->source, 0, 0, 1, "out of memory");
	return false;
}

/* Puts a node, new or shared, where it belongs: into the open collection, or at the root. */
static bool builder_add(struct builder *b, const struct yaml_tree_node *node,
			const yaml_mark_t *mark)
{
	if (++b->node_count > YAML_TREE_NODES_MAX)
		return fail(b, mark, "the file has more than 1000000 entries");
	if (b->depth == 0) {
		b->root = node;
		return true;
	}
	if (b->pending_count == b->pending_capacity) {
		size_t capacity = b->pending_capacity > 0 ? b->pending_capacity * 2 : 256;
		const struct yaml_tree_node **more =
			reallocarray(b->pending, capacity, sizeof(*b->pending));
		if (!more)
			return fail_memory(b);
		b->pending = more;
		b->pending_capacity = capacity;
	}
	b->pending[b->pending_count++] = node;
	return true;
}

static bool builder_anchor(struct builder *b, const yaml_char_t *name, struct yaml_tree_node *node,
			   const yaml_mark_t *mark)
{
	if (!name)
		return true;
	if (b->anchor_count == YAML_TREE_ANCHORS_MAX)
		return fail(b, mark, "the file has more than 256 anchors");
	const char *copy =
		tg_arena_strndup(b->arena, (const char *)name, strlen((const char *)name));
	if (!copy)
		return fail_memory(b);
	b->anchors[b->anchor_count++] = (struct anchor){.name = copy, .node = node};
	return true;
}

static struct yaml_tree_node *builder_node(struct builder *b, enum yaml_tree_kind kind,
					   const yaml_event_t *event)
{
	struct yaml_tree_node *node = tg_arena_alloc(b->arena, 1, sizeof(*node));
	if (!node)
		return NULL;
	const yaml_mark_t *start = &event->start_mark, *end = &event->end_mark;
	uint32_t width = 1;
	if (kind == YAML_TREE_SCALAR && start->line == end->line && end->column > start->column)
		width = (uint32_t)(end->column - start->column);
	*node = (struct yaml_tree_node){
		.source = b->source,
		.kind = (uint8_t)kind,
		.line = (uint32_t)start->line + 1,
		.col = (uint32_t)start->column + 1,
		.width = width,
	};
	return node;
}

static bool on_alias(struct builder *b, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	const uint32_t line = (uint32_t)event->start_mark.line + 1;
	const uint32_t col = (uint32_t)event->start_mark.column + 1;
	/* The last one counts: YAML lets an anchor be used again. */
	for (unsigned i = b->anchor_count; i-- > 0;) {
		if (strcmp(b->anchors[i].name, name) != 0)
			continue;
		for (unsigned d = 0; d < b->depth; d++) {
			if (b->open[d] == b->anchors[i].node)
				return fail(b, &event->start_mark,
					    "this alias stands inside of what it names");
		}
		return builder_add(b, b->anchors[i].node, &event->start_mark);
	}
	source_error(b->source, line, col, (uint32_t)strlen(name) + 1,
		     "there is no anchor '&%.60s' above this alias", name);
	return false;
}

static bool on_scalar(struct builder *b, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;
	const size_t len = event->data.scalar.length;
	if (event->data.scalar.tag)
		return fail(b, &event->start_mark,
			    "tags ('!name') are not understood; leave it out");
	if (strlen(value) != len)
		return fail(b, &event->start_mark, "a NUL character in a value");
	struct yaml_tree_node *node = builder_node(b, YAML_TREE_SCALAR, event);
	char *text = tg_arena_strndup(b->arena, value, len);
	if (!node || !text)
		return fail_memory(b);
	node->text = text;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return builder_add(b, node, &event->start_mark) &&
	       builder_anchor(b, event->data.scalar.anchor, node, &event->start_mark);
}

static bool on_start(struct builder *b, const yaml_event_t *event, enum yaml_tree_kind kind,
		     const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (tag)
		return fail(b, &event->start_mark,
			    "tags ('!name') are not understood; leave it out");
	if (b->depth == YAML_TREE_DEPTH_MAX)
		return fail(b, &event->start_mark, "nested deeper than 32");
	struct yaml_tree_node *node = builder_node(b, kind, event);
	if (!node)
		return fail_memory(b);
	if (!builder_add(b, node, &event->start_mark) ||
	    !builder_anchor(b, anchor, node, &event->start_mark))
		return false;
	b->open[b->depth] = node;
	b->first[b->depth] = b->pending_count;
	b->depth++;
	return true;
}

static int key_compare(const void *a, const void *b)
{
	const struct yaml_tree_node *const *x = a, *const *y = b;
	int order = strcmp((*x)->text, (*y)->text);
	if (order != 0)
		return order;
	if ((*x)->line != (*y)->line)
		return (*x)->line < (*y)->line ? -1 : 1;
	return (*x)->col < (*y)->col ? -1 : (*x)->col > (*y)->col;
}

static bool check_key(struct builder *b, const struct yaml_tree_node *key)
{
	const char *fault = NULL;
	if (key->kind != YAML_TREE_SCALAR)
		fault = "a key must be a word";
	else if (key->plain && strcmp(key->text, "<<") == 0)
		fault = "merge keys ('<<') are not understood; write the keys out";
	if (!fault)
		return true;
	source_error(b->source, key->line, key->col, key->width, "%s", fault);
	return false;
}

/* Sorted, because comparing each with each would take hours for a bad file. */
static bool check_keys(struct builder *b, const struct yaml_tree_node *mapping)
{
	char quoted[SOURCE_QUOTED];
	bool good = true;
	for (uint32_t i = 0; i < mapping->count; i++)
		good &= check_key(b, yaml_tree_key(mapping, i));
	if (!good || mapping->count < 2)
		return good;
	const struct yaml_tree_node **keys = calloc(mapping->count, sizeof(*keys));
	if (!keys)
		return fail_memory(b);
	for (uint32_t i = 0; i < mapping->count; i++)
		keys[i] = yaml_tree_key(mapping, i);
	qsort(keys, mapping->count, sizeof(*keys), key_compare);
	for (uint32_t i = 1; i < mapping->count; i++) {
		if (strcmp(keys[i]->text, keys[i - 1]->text) != 0)
			continue;
		source_error(b->source, keys[i]->line, keys[i]->col, keys[i]->width,
			     "key '%s' is given twice (first on line %u)",
			     source_quote(keys[i]->text, quoted), keys[i - 1]->line);
		good = false;
	}
	free(keys);
	return good;
}

/* A double key is reported and the reading goes on, so that the rest is checked, too. */
static bool on_end(struct builder *b, bool *good)
{
	struct yaml_tree_node *node = b->open[--b->depth];
	const size_t first = b->first[b->depth], count = b->pending_count - first;
	if (count > 0) {
		node->items = tg_arena_alloc(b->arena, count, sizeof(*node->items));
		if (!node->items)
			return fail_memory(b);
		memcpy(node->items, b->pending + first, count * sizeof(*node->items));
	}
	b->pending_count = first;
	node->count = (uint32_t)(node->kind == YAML_TREE_MAPPING ? count / 2 : count);
	if (node->kind == YAML_TREE_MAPPING && !check_keys(b, node))
		*good = false;
	return true;
}

static bool on_event(struct builder *b, const yaml_event_t *event, bool *good)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->document)
			return fail(b, &event->start_mark,
				    "a second document; a policy file holds one");
		b->document = true;
		return true;
	case YAML_ALIAS_EVENT:
		return on_alias(b, event);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(b, event, YAML_TREE_SEQUENCE, event->data.sequence_start.anchor,
				event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_start(b, event, YAML_TREE_MAPPING, event->data.mapping_start.anchor,
				event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(b, good);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return true;
}

/* The word around a place that could be an IPv6 address; its column, and its length or 0. */
static size_t address_around(struct source *source, uint32_t line, uint32_t *col, const char **word)
{
	static const char chars[] = "0123456789abcdefABCDEF:./";
	const char *text;
	size_t len;
	if (!source_line(source, line, &text, &len))
		return 0;
	size_t at = 0;
	for (uint32_t c = 1; c < *col && at < len; c++) {
		at++;
		while (at < len && ((unsigned char)text[at] & 0xc0) == 0x80)
			at++;
	}
	if (at == len && at > 0) {
		at--;
		--*col;
	}
	if (at >= len || !memchr(chars, text[at], sizeof(chars) - 1))
		return 0;
	while (at > 0 && memchr(chars, text[at - 1], sizeof(chars) - 1)) {
		at--;
		--*col;
	}
	size_t end = at;
	while (end < len && memchr(chars, text[end], sizeof(chars) - 1))
		end++;
	*word = text + at;
	return memmem(*word, end - at, "::", 2) ? end - at : 0;
}

/* libyaml's words, with the traps that people really fall into told in ours. */
static void report_syntax(struct source *source, const yaml_parser_t *parser)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		source_error(source, 0, 0, 1, "out of memory");
		return;
	}
	const yaml_mark_t *mark = &parser->problem_mark, *from = &parser->context_mark;
	uint32_t line = (uint32_t)mark->line + 1, col = (uint32_t)mark->column + 1;
	const char *text = "", *word = NULL;
	size_t text_len = 0, len = address_around(source, line, &col, &word);
	if (len > 0) {
		source_error(source, line, col, (uint32_t)len,
			     "an IPv6 address with '::' must be quoted here: \"%.*s\"",
			     (int)MIN(len, (size_t)60), word);
		return;
	}
	col = (uint32_t)mark->column + 1;
	const char *problem = parser->problem ? parser->problem : "this cannot be read";
	if (strstr(problem, "cannot start any token") &&
	    source_line(source, line, &text, &text_len) && memchr(text, '\t', text_len) &&
	    strspn(text, " \t") >= col)
		source_error(source, line, col, 1, "a tab; YAML is indented with blanks");
	else if (parser->context && from->line + 1 != line)
		source_error(source, line, col, 1, "%s, %s that begins on line %zu, column %zu",
			     problem, parser->context, from->line + 1, from->column + 1);
	else
		source_error(source, line, col, 1, "%s%s%s", problem, parser->context ? ", " : "",
			     parser->context ? parser->context : "");
}

static bool build(struct builder *b, yaml_parser_t *parser)
{
	bool good = true;
	for (;;) {
		yaml_event_t event;
		if (!yaml_parser_parse(parser, &event)) {
			report_syntax(b->source, parser);
			return false;
		}
		const bool end = event.type == YAML_STREAM_END_EVENT;
		const bool go_on = on_event(b, &event, &good);
		yaml_event_delete(&event);
		if (!go_on)
			return false;
		if (end)
			return good;
	}
}

bool yaml_tree_read(struct source *source, struct tg_arena *arena,
		    const struct yaml_tree_node **ret_root)
{
	yaml_parser_t parser;
	if (!source_scan(source))
		return false;
	struct builder *b = calloc(1, sizeof(*b));
	if (!b || !yaml_parser_initialize(&parser)) {
		source_error(source, 0, 0, 1, "out of memory");
		free(b);
		return false;
	}
	b->source = source;
	b->arena = arena;
	/* Told, not guessed: the scan above has seen that it is UTF-8. */
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)source->text, source->len);
	const bool good = build(b, &parser);
	if (good)
		*ret_root = b->root;
	yaml_parser_delete(&parser);
	free(b->pending);
	free(b);
	return good;
}

bool yaml_tree_is_null(const struct yaml_tree_node *node)
{
	return node->kind == YAML_TREE_SCALAR && node->plain &&
	       (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
		strcasecmp(node->text, "null") == 0);
}

const struct yaml_tree_node *yaml_tree_get(const struct yaml_tree_node *node, const char *key)
{
	if (!node || node->kind != YAML_TREE_MAPPING)
		return NULL;
	for (uint32_t i = 0; i < node->count; i++) {
		if (strcmp(yaml_tree_key(node, i)->text, key) == 0)
			return yaml_tree_value(node, i);
	}
	return NULL;
}
