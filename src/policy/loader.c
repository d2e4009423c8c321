/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the merge: what several files say becomes one set of settings, lists and
 * policies. The same thing said twice is an error that names both places.
 */
#include "loader.h"

#include <string.h>

#include <tcpguard/diag.h>

#include "base/util.h"
#include "schema.h"

enum top_key {
	TOP_VERSION,
	TOP_MODE,
	TOP_DEFAULTS,
	TOP_LISTS,
	TOP_ALLOW,
	TOP_LADDERS,
	TOP_POLICIES,
	TOP_BRAKES,
	TOP_HOOK,
	TOP_INTERFACES,
	TOP_ADMIN_PORTS,
	TOP_EVENT_MASK,
	TOP_COUNT
};
static const char *const top_keys[] = {"version", "mode",       "defaults",    "lists",
				       "allow",   "ladders",    "policies",    "brakes",
				       "hook",    "interfaces", "admin-ports", "event-mask"};
static const char *const default_keys[] = {"source",      "ladder",    "idle-after",
					   "max-sources", "max-flows", "max-bans"};
static const char *const brake_keys[] = {"max-bans-per-minute", "max-share-of-sources",
					 "max-share-of-flows"};

void loader_memory(struct loader *loader)
{
	const char *name = loader->file_count > 0 ? loader->files[0]->source.name : "policy";
	tg_diag_add(loader->diag, name, 0, 0, 1, NULL, "out of memory");
}

static void error_twice(const struct yaml_tree_node *node, const char *what, const char *name,
			const struct yaml_tree_node *first)
{
	schema_error(node, "%s '%s' is given twice (first in %s:%u)", what, name,
		     first->source->name, first->line);
}

static void merge_setting(const struct yaml_tree_node **setting, const struct yaml_tree_node *node,
			  const char *name)
{
	if (!node)
		return;
	if (*setting)
		error_twice(node, "the setting", name, *setting);
	else
		*setting = node;
}

static void merge_version(const struct policy_file *file, const struct yaml_tree_node *node,
			  bool is_main)
{
	uint32_t version = 0;
	if (!node && is_main)
		schema_error(file->root, "the main file wants 'version: 1'");
	else if (node && schema_number(node, "version", 1, UINT32_MAX, &version) && version != 1)
		schema_error(node,
			     "version %u of the language is not known; this tcpguard reads "
			     "version 1",
			     version);
}

static void merge_lists(struct loader *loader, const struct yaml_tree_node *node)
{
	if (node->kind != YAML_TREE_MAPPING) {
		schema_error(node, "'lists' wants a mapping of names to lists");
		return;
	}
	for (uint32_t i = 0; i < node->count; i++) {
		const struct yaml_tree_node *key = yaml_tree_key(node, i);
		const struct yaml_tree_node *first = NULL;
		if (!schema_name(key, "a list"))
			continue;
		for (size_t k = 0; k < loader->list_count && !first; k++) {
			if (strcmp(loader->lists[k].named.key->text, key->text) == 0)
				first = loader->lists[k].named.key;
		}
		if (first) {
			error_twice(key, "the list", key->text, first);
		} else if (loader->list_count == LOADER_LISTS_MAX) {
			schema_error(key, "more than %d lists", LOADER_LISTS_MAX);
			return;
		} else {
			loader->lists[loader->list_count++] = (struct list){
				.named = {.key = key, .value = yaml_tree_value(node, i)},
			};
		}
	}
}

static void merge_ladders(struct loader *loader, const struct yaml_tree_node *node)
{
	if (node->kind != YAML_TREE_MAPPING) {
		schema_error(node, "'ladders' wants a mapping of names to ladders");
		return;
	}
	for (uint32_t i = 0; i < node->count; i++) {
		const struct yaml_tree_node *key = yaml_tree_key(node, i);
		const struct yaml_tree_node *first = NULL;
		if (!schema_name(key, "a ladder"))
			continue;
		for (size_t k = 0; k < loader->ladder_count && !first; k++) {
			if (strcmp(loader->ladders[k].named.key->text, key->text) == 0)
				first = loader->ladders[k].named.key;
		}
		if (first) {
			error_twice(key, "the ladder", key->text, first);
		} else if (loader->ladder_count == TG_LADDERS_MAX) {
			schema_error(key, "more than %d ladders", TG_LADDERS_MAX);
			return;
		} else {
			loader->ladders[loader->ladder_count++].named =
				(struct named){.key = key, .value = yaml_tree_value(node, i)};
		}
	}
}

static const struct yaml_tree_node *merge_nodes(struct loader *loader,
						const struct yaml_tree_node *earlier,
						const struct yaml_tree_node *later);

static bool merge_pairs(struct loader *loader, struct yaml_tree_node *node,
			const struct yaml_tree_node *earlier, const struct yaml_tree_node *later)
{
	for (uint32_t i = 0; i < earlier->count; i++) {
		const struct yaml_tree_node *key = yaml_tree_key(earlier, i);
		const struct yaml_tree_node *value = yaml_tree_value(earlier, i);
		const struct yaml_tree_node *over = yaml_tree_get(later, key->text);
		if (over)
			value = merge_nodes(loader, value, over);
		if (!value)
			return false;
		node->items[2 * node->count] = key;
		node->items[2 * node->count++ + 1] = value;
	}
	for (uint32_t i = 0; i < later->count; i++) {
		const struct yaml_tree_node *key = yaml_tree_key(later, i);
		if (yaml_tree_get(earlier, key->text))
			continue;
		node->items[2 * node->count] = key;
		node->items[2 * node->count++ + 1] = yaml_tree_value(later, i);
	}
	return true;
}

/* later over earlier: mappings key by key, anything else is replaced. NULL: reported. */
static const struct yaml_tree_node *merge_nodes(struct loader *loader,
						const struct yaml_tree_node *earlier,
						const struct yaml_tree_node *later)
{
	if (earlier->kind != YAML_TREE_MAPPING || later->kind != YAML_TREE_MAPPING)
		return later;
	const size_t most = (size_t)earlier->count + later->count;
	loader->merged_count += most;
	if (most > 2 * TG_LIMITS_MAX || loader->merged_count > LOADER_MERGED_MAX) {
		schema_error(later, "too much to override");
		return NULL;
	}
	struct yaml_tree_node *node = tg_arena_alloc(&loader->scratch, 1, sizeof(*node));
	const struct yaml_tree_node **items =
		tg_arena_alloc(&loader->scratch, 2 * most, sizeof(*items));
	if (!node || !items) {
		loader_memory(loader);
		return NULL;
	}
	*node = *later;
	node->items = items;
	node->count = 0;
	return merge_pairs(loader, node, earlier, later) ? node : NULL;
}

static void merge_policy(struct loader *loader, const struct yaml_tree_node *key,
			 const struct yaml_tree_node *value)
{
	struct named *first = NULL;
	bool override = false;
	const struct yaml_tree_node *word = yaml_tree_get(value, "override");
	if (!schema_name(key, "a policy") || (word && !schema_bool(word, "override", &override)))
		return;
	for (size_t i = 0; i < loader->policy_count && !first; i++) {
		if (strcmp(loader->policies[i].key->text, key->text) == 0)
			first = &loader->policies[i];
	}
	if (first && !override) {
		error_twice(key, "the policy", key->text, first->key);
	} else if (first) {
		const struct yaml_tree_node *merged = merge_nodes(loader, first->value, value);
		if (merged)
			first->value = merged;
	} else if (loader->policy_count == TG_POLICIES_MAX) {
		if (!loader->too_many_policies)
			schema_error(key, "more than %d policies", TG_POLICIES_MAX);
		loader->too_many_policies = true;
	} else if (override && !loader->incomplete) {
		schema_error(word, "there is no earlier policy '%s' to override", key->text);
	} else {
		loader->policies[loader->policy_count++] =
			(struct named){.key = key, .value = value};
	}
}

static void merge_policies(struct loader *loader, const struct yaml_tree_node *node)
{
	if (node->kind != YAML_TREE_MAPPING) {
		schema_error(node, "'policies' wants a mapping of names to policies");
		return;
	}
	for (uint32_t i = 0; i < node->count && !loader->too_many_policies; i++)
		merge_policy(loader, yaml_tree_key(node, i), yaml_tree_value(node, i));
}

/* Settings that stand together in a mapping; each is given once in all files. */
static void merge_settings(const struct yaml_tree_node **settings, const char *const *keys,
			   size_t count, const struct yaml_tree_node *node, const char *what)
{
	const struct yaml_tree_node *found[DEFAULT_COUNT];
	_Static_assert(ARRAY_SIZE(default_keys) == DEFAULT_COUNT &&
			       ARRAY_SIZE(brake_keys) <= DEFAULT_COUNT,
		       "found holds either");
	(void)schema_keys(node, what, keys, count, found); /* reported */
	for (size_t i = 0; i < count; i++)
		merge_setting(&settings[i], found[i], keys[i]);
}

void loader_merge(struct loader *loader, const struct policy_file *file, bool is_main)
{
	const struct yaml_tree_node *found[TOP_COUNT];
	if (!file->root || yaml_tree_is_null(file->root)) {
		if (is_main)
			tg_diag_add(loader->diag, file->source.name, 0, 0, 1, NULL,
				    "the file is empty; it wants at least 'version: 1'");
		else if (file->source.len == 0) /* what it allowed would be forgotten silently */
			tg_diag_add(loader->diag, file->source.name, 0, 0, 1, NULL,
				    "the file is empty, which is what a failed write leaves "
				    "behind; if it is meant, a comment will do");
		return;
	}
	if (file->root->kind != YAML_TREE_MAPPING) {
		schema_error(file->root, "a policy file is a mapping of keys and values");
		return;
	}
	(void)schema_keys(file->root, "the file", top_keys, TOP_COUNT, found); /* reported */
	merge_version(file, found[TOP_VERSION], is_main);
	merge_setting(&loader->mode, found[TOP_MODE], "mode");
	merge_setting(&loader->hook, found[TOP_HOOK], "hook");
	merge_setting(&loader->interfaces, found[TOP_INTERFACES], "interfaces");
	merge_setting(&loader->admin_ports, found[TOP_ADMIN_PORTS], "admin-ports");
	merge_setting(&loader->event_mask, found[TOP_EVENT_MASK], "event-mask");
	if (found[TOP_DEFAULTS])
		merge_settings(loader->defaults, default_keys, DEFAULT_COUNT, found[TOP_DEFAULTS],
			       "defaults");
	if (found[TOP_BRAKES])
		merge_settings(loader->brakes, brake_keys, BRAKE_COUNT, found[TOP_BRAKES],
			       "brakes");
	if (found[TOP_LISTS])
		merge_lists(loader, found[TOP_LISTS]);
	if (found[TOP_ALLOW] &&
	    schema_sequence(found[TOP_ALLOW], "allow", "[office, 192.0.2.0/24]"))
		loader->allow[loader->allow_count++] = found[TOP_ALLOW];
	if (found[TOP_LADDERS])
		merge_ladders(loader, found[TOP_LADDERS]);
	if (found[TOP_POLICIES])
		merge_policies(loader, found[TOP_POLICIES]);
}
