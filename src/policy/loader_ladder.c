/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the ladders: what follows from a first, second, third offence. */
#include "loader.h"

#include <stdio.h>
#include <string.h>

#include <tcpguard/diag.h>

#include "base/nearest.h"
#include "base/util.h"
#include "schema.h"

#define FORGET_MIN_MS 1000

/* Lets more through than the one before it? */
static bool is_weaker(const struct tg_step *step, const struct tg_step *before)
{
	if (step->action != before->action)
		return step->action < before->action;
	if (step->scope != before->scope)
		return step->scope < before->scope;
	if (step->action == TG_ACTION_CAP)
		return step->cap > before->cap;
	return step->action == TG_ACTION_RATE_LIMIT &&
	       (uint64_t)step->to.count * before->to.per_ms >
		       (uint64_t)before->to.count * step->to.per_ms;
}

static bool read_step(const struct yaml_tree_node *node, const char *ladder, uint32_t index,
		      struct tg_step *steps)
{
	enum { ACTION, SCOPE, TO, EXPIRE, KILL };
	static const char *const keys[] = {"action", "scope", "to", "expire", "kill"};
	const struct yaml_tree_node *found[ARRAY_SIZE(keys)];
	char what[TG_NAME_MAX + 32];
	(void)snprintf(what, sizeof(what), "step %u of the ladder '%s'", index + 1, ladder);
	const bool good = schema_keys(node, "a step", keys, ARRAY_SIZE(keys), found);
	const struct loader_step_nodes nodes = {found[ACTION], found[SCOPE], found[TO],
						found[EXPIRE], found[KILL]};
	if (node->kind != YAML_TREE_MAPPING ||
	    !loader_step(node, what, &nodes, good, &steps[index]))
		return false;
	if (steps[index].action == TG_ACTION_SYNPROXY) {
		schema_error(node, "'action: synproxy' has nothing above it or below: it is no "
				   "step of a ladder, but the action of a limit with 'source: "
				   "total'");
		return false;
	}
	if (index == 0)
		return true;
	if (is_weaker(&steps[index], &steps[index - 1])) {
		schema_error(node,
			     "step %u is weaker than the one before it: a later offence "
			     "would be let off more lightly",
			     index + 1);
		return false;
	}
	/* What stands in until the source is proven: what it climbed from. */
	if (steps[index].action > TG_ACTION_RATE_LIMIT && steps[index - 1].to.count > 0)
		steps[index].to = steps[index - 1].to;
	return true;
}

static void read_steps(struct loader *loader, const struct yaml_tree_node *node,
		       struct ladder *ladder)
{
	if (!schema_sequence(node, "steps", "[{action: rate-limit, to: 5/1s, expire: 2m}]"))
		return;
	if (node->count == 0 || node->count > TG_STEPS_MAX) {
		schema_error(node, "'steps' wants from 1 to %d steps", TG_STEPS_MAX);
		return;
	}
	struct tg_step *steps = tg_arena_alloc(loader->arena, node->count, sizeof(*steps));
	if (!steps) {
		loader_memory(loader);
		return;
	}
	bool good = true;
	for (uint32_t i = 0; i < node->count; i++) {
		steps[i] = i > 0 ? steps[i - 1] : (struct tg_step){0};
		good &= read_step(node->items[i], ladder->named.key->text, i, steps);
	}
	ladder->steps = steps;
	ladder->step_count = good ? node->count : 0;
}

static void read_ladder(struct loader *loader, struct ladder *ladder)
{
	enum { STEPS, FORGET };
	static const char *const keys[] = {"steps", "forget-after"};
	const struct yaml_tree_node *found[ARRAY_SIZE(keys)];
	const char *name = ladder->named.key->text;
	const bool good =
		schema_keys(ladder->named.value, "a ladder", keys, ARRAY_SIZE(keys), found);
	ladder->name = tg_arena_strndup(loader->arena, name, strlen(name));
	if (!ladder->name)
		loader_memory(loader);
	if (found[STEPS])
		read_steps(loader, found[STEPS], ladder);
	else if (good)
		schema_error(ladder->named.key, "the ladder '%s' has no steps", name);
	if (found[FORGET])
		(void)schema_duration(found[FORGET], "forget-after", FORGET_MIN_MS,
				      TG_DURATION_MAX_MS, &ladder->forget_ms); /* reported */
	else if (good)
		schema_error(ladder->named.key,
			     "the ladder '%s' has no forget-after: how long an offence counts, "
			     "such as 7d",
			     name);
}

const struct ladder *loader_find_ladder(struct loader *loader, const struct yaml_tree_node *node)
{
	const char *names[TG_LADDERS_MAX];
	char quoted[SOURCE_QUOTED];
	if (node->kind != YAML_TREE_SCALAR || yaml_tree_is_null(node)) {
		schema_error(node, "'ladder' wants the name of a ladder");
		return NULL;
	}
	for (size_t i = 0; i < loader->ladder_count; i++) {
		names[i] = loader->ladders[i].named.key->text;
		if (strcmp(names[i], node->text) == 0)
			return &loader->ladders[i];
	}
	if (loader->incomplete || loader->diag->lost)
		return NULL; /* it may be in the file that could not be read */
	const char *near = tg_nearest_word(node->text, names, loader->ladder_count);
	source_quote(node->text, quoted);
	if (near)
		schema_error(node, "there is no ladder '%s'; did you mean '%s'?", quoted, near);
	else
		schema_error(node, "there is no ladder '%s'", quoted);
	return NULL;
}

void loader_resolve_ladders(struct loader *loader)
{
	for (size_t i = 0; i < loader->ladder_count; i++)
		read_ladder(loader, &loader->ladders[i]);
	if (loader->defaults[DEFAULT_LADDER])
		loader->ladder = loader_find_ladder(loader, loader->defaults[DEFAULT_LADDER]);
}
