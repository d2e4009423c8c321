/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_YAML_TREE_H
#define POLICY_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;
struct tg_arena;

/* The language nests 5 deep. */
#define YAML_TREE_DEPTH_MAX 32
/* Five times the largest allow list that we promise to load quickly; 64 MiB of nodes. */
#define YAML_TREE_NODES_MAX 1000000
/* A writer gives one to each list that it uses twice. They are searched one by one. */
#define YAML_TREE_ANCHORS_MAX 256

enum yaml_tree_kind { YAML_TREE_SCALAR, YAML_TREE_SEQUENCE, YAML_TREE_MAPPING };

/* An alias is the node it names, shared: a tree may hold one node many times, but no cycle. */
struct yaml_tree_node {
	struct source *source;
	const char *text; /* scalar: without a NUL inside; else NULL */
	const struct yaml_tree_node *
		*items;            /* sequence: members; mapping: key, value, key, value … */
	uint32_t count;            /* of items; of pairs in a mapping */
	uint32_t line, col, width; /* from 1, in characters */
	uint8_t kind;              /* enum yaml_tree_kind */
	bool plain;                /* scalar: without quotes */
};

/*
 * Reads the one document of a file. The nodes live in arena and point to source. A file
 * without a document is a success with NULL. False: an error was reported.
 */
bool yaml_tree_read(struct source *source, struct tg_arena *arena,
		    const struct yaml_tree_node **ret_root);

static inline const struct yaml_tree_node *yaml_tree_key(const struct yaml_tree_node *mapping,
							 uint32_t i)
{
	return mapping->items[2 * (size_t)i];
}

static inline const struct yaml_tree_node *yaml_tree_value(const struct yaml_tree_node *mapping,
							   uint32_t i)
{
	return mapping->items[2 * (size_t)i + 1];
}

/* What YAML calls null: nothing at all, ~ or null. */
bool yaml_tree_is_null(const struct yaml_tree_node *node);

/* The value of a key of a mapping, or NULL. node may be NULL or no mapping. */
const struct yaml_tree_node *yaml_tree_get(const struct yaml_tree_node *node, const char *key);

#endif
