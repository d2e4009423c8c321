/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns a config in the form in which the engine asks it: from a port to the counts
 * that a flow belongs to, in one step. All allocation that a policy needs happens
 * here, so that taking a new one into use cannot fail.
 */
#include "ruleset.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "source_table.h"

static struct tg_prefix_set *allow_create(const struct tg_config *config)
{
	struct tg_protected_prefix *members = calloc(MAX(config->allow_count, 1), sizeof(*members));
	if (!members)
		return NULL;
	for (size_t i = 0; i < config->allow_count; i++)
		members[i] = (struct tg_protected_prefix){config->allow[i], TG_PROTECT_ALLOWED};
	struct tg_prefix_set *set = tg_prefix_set_create(members, config->allow_count);
	free(members);
	return set;
}

/* The view that limit of policy counts in; a new one if there is none yet. */
static struct ruleset_view *view_for(struct tg_ruleset *ruleset, uint16_t policy,
				     const struct tg_limit *limit)
{
	for (uint16_t i = 0; i < ruleset->view_count; i++) {
		struct ruleset_view *view = &ruleset->views[i];
		if (view->policy == policy &&
		    memcmp(view->len, limit->prefix_len, sizeof(view->len)) == 0)
			return view;
	}
	struct ruleset_view *view = &ruleset->views[ruleset->view_count++];
	view->policy = policy;
	memcpy(view->len, limit->prefix_len, sizeof(view->len));
	return view;
}

static void view_add_limit(struct ruleset_view *view, const struct tg_limit *limit, uint16_t index,
			   const enum tg_mode *mode_override)
{
	struct ruleset_limit *entry = &view->limits[view->limit_count++];
	*entry = (struct ruleset_limit){
		.limit = limit,
		.index = index,
		.mode = mode_override ? *mode_override : limit->mode,
	};
	if (limit->measure == TG_MEASURE_NEW) {
		entry->cost = limit->window_ms * TG_MSEC / limit->threshold;
		entry->cost = MAX(entry->cost, 1);
		entry->room = entry->cost * ((uint64_t)limit->threshold + limit->burst);
	}
	view->counts_concurrent |= limit->measure == TG_MEASURE_CONCURRENT;
}

static bool views_create(struct tg_ruleset *ruleset, const enum tg_mode *mode_override)
{
	const struct tg_config *config = ruleset->config;
	size_t limits = 0;
	for (size_t p = 0; p < config->policy_count; p++)
		limits += config->policies[p].limit_count;
	ruleset->views = calloc(MAX(limits, 1), sizeof(*ruleset->views));
	if (!ruleset->views)
		return false;
	for (uint16_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *policy = &config->policies[p];
		for (uint16_t i = 0; i < policy->limit_count; i++) {
			struct ruleset_view *view = view_for(ruleset, p, &policy->limits[i]);
			if (!view->limits)
				view->limits = calloc(policy->limit_count, sizeof(*view->limits));
			if (!view->limits)
				return false;
			view_add_limit(view, &policy->limits[i], i, mode_override);
		}
	}
	return true;
}

static void views_number(struct tg_ruleset *ruleset)
{
	uint8_t lengths[TG_FAMILY_COUNT][129] = {0};
	uint8_t used[TG_FAMILY_COUNT] = {0};
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		struct ruleset_view *view = &ruleset->views[v];
		for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
			uint8_t *slot = &lengths[f][view->len[f]];
			if (*slot == 0)
				*slot = ++used[f];
			view->len_slot[f] = *slot - 1;
		}
		uint16_t buckets = 0;
		for (uint16_t i = 0; i < view->limit_count; i++)
			if (view->limits[i].limit->measure == TG_MEASURE_NEW)
				view->limits[i].bucket = buckets++;
		ruleset->bucket_count = MAX(ruleset->bucket_count, buckets);
	}
}

static bool class_fill(struct tg_ruleset *ruleset, struct ruleset_class *class)
{
	uint16_t *views = calloc(MAX(ruleset->view_count, 1), sizeof(*views));
	if (!views)
		return false;
	for (uint16_t v = 0; v < ruleset->view_count; v++)
		if (class->policies >> ruleset->views[v].policy & 1)
			views[class->view_count++] = v;
	class->views = views;
	return true;
}

static uint64_t policies_of_port(const struct tg_config *config, uint16_t port)
{
	uint64_t policies = 0;
	for (size_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *policy = &config->policies[p];
		bool match = policy->port_count == 0;
		for (size_t i = 0; i < policy->port_count && !match; i++)
			match = port >= policy->ports[i].first && port <= policy->ports[i].last;
		if (match)
			policies |= UINT64_C(1) << p;
	}
	return policies;
}

/* A port can begin another class only where some range begins or has just ended. */
static void mark_edges(const struct tg_config *config, bool edges[65537])
{
	edges[0] = true;
	for (size_t p = 0; p < config->policy_count; p++) {
		for (size_t i = 0; i < config->policies[p].port_count; i++) {
			edges[config->policies[p].ports[i].first] = true;
			edges[config->policies[p].ports[i].last + 1] = true;
		}
	}
}

static bool classes_create(struct tg_ruleset *ruleset)
{
	bool *edges = calloc(65537, sizeof(*edges));
	size_t capacity = 0;
	if (!edges)
		return false;
	mark_edges(ruleset->config, edges);
	for (unsigned port = 0; port < 65536; port++)
		capacity += edges[port];
	ruleset->classes = calloc(capacity, sizeof(*ruleset->classes));
	bool ok = ruleset->classes != NULL;
	uint16_t current = 0;
	for (unsigned port = 0; ok && port < 65536; port++) {
		if (edges[port]) {
			uint64_t policies = policies_of_port(ruleset->config, (uint16_t)port);
			size_t c = 0;
			while (c < ruleset->class_count && ruleset->classes[c].policies != policies)
				c++;
			if (c == ruleset->class_count) {
				ruleset->classes[ruleset->class_count++].policies = policies;
				ok = class_fill(ruleset, &ruleset->classes[c]);
			}
			current = (uint16_t)c;
		}
		ruleset->class_of_port[port] = current;
	}
	free(edges);
	return ok;
}

static bool buckets_create(struct tg_ruleset *ruleset, const struct tg_engine_params *params)
{
	ruleset->bucket_sources = source_table_room(params->max_sources);
	ruleset->memory = sizeof(*ruleset);
	if (ruleset->bucket_count == 0)
		return true;
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		size_t count = (size_t)ruleset->bucket_sources * ruleset->bucket_count;
		ruleset->buckets[f] = calloc(count, sizeof(*ruleset->buckets[f]));
		if (!ruleset->buckets[f])
			return false;
		ruleset->memory += count * sizeof(*ruleset->buckets[f]);
	}
	return true;
}

struct tg_ruleset *tg_ruleset_create(const struct tg_config *config,
				     const struct tg_engine_params *params,
				     const enum tg_mode *mode_override)
{
	struct tg_ruleset *ruleset = calloc(1, sizeof(*ruleset));
	if (!ruleset)
		return NULL;
	ruleset->config = config;
	ruleset->allow = allow_create(config);
	if (!ruleset->allow || !views_create(ruleset, mode_override))
		goto err;
	views_number(ruleset);
	if (!classes_create(ruleset) || !buckets_create(ruleset, params))
		goto err;
	return ruleset;
err:
	tg_ruleset_destroy(ruleset);
	return NULL;
}

void tg_ruleset_destroy(struct tg_ruleset *ruleset)
{
	if (!ruleset)
		return;
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		free(ruleset->buckets[f]);
	for (size_t c = 0; c < ruleset->class_count; c++)
		free((void *)ruleset->classes[c].views);
	free(ruleset->classes);
	for (uint16_t v = 0; v < ruleset->view_count; v++)
		free(ruleset->views[v].limits);
	free(ruleset->views);
	tg_prefix_set_destroy(ruleset->allow);
	free(ruleset);
}

const struct tg_config *tg_ruleset_config(const struct tg_ruleset *ruleset)
{
	return ruleset->config;
}

bool ruleset_match_address(const struct tg_policy *policy, const struct tg_addr *addr)
{
	if (policy->address_count == 0)
		return true;
	for (size_t i = 0; i < policy->address_count; i++)
		if (tg_prefix_contains(&policy->addresses[i], addr))
			return true;
	return false;
}

static bool same_match(const struct tg_policy *a, const struct tg_policy *b)
{
	if (strcmp(a->name, b->name) != 0 || a->port_count != b->port_count ||
	    a->address_count != b->address_count)
		return false;
	for (size_t i = 0; i < a->port_count; i++)
		if (a->ports[i].first != b->ports[i].first || a->ports[i].last != b->ports[i].last)
			return false;
	for (size_t i = 0; i < a->address_count; i++)
		if (!tg_prefix_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	return true;
}

static bool same_buckets(const struct ruleset_view *a, const struct ruleset_view *b)
{
	if (a->limit_count != b->limit_count)
		return false;
	for (uint16_t i = 0; i < a->limit_count; i++)
		if (a->limits[i].limit->measure != b->limits[i].limit->measure ||
		    strcmp(a->limits[i].limit->name, b->limits[i].limit->name) != 0)
			return false;
	return true;
}

bool ruleset_same_shape(const struct tg_ruleset *a, const struct tg_ruleset *b)
{
	if (a->config->policy_count != b->config->policy_count || a->view_count != b->view_count ||
	    a->bucket_count != b->bucket_count || a->bucket_sources != b->bucket_sources ||
	    !tg_prefix_set_equal(a->allow, b->allow))
		return false;
	for (size_t p = 0; p < a->config->policy_count; p++)
		if (!same_match(&a->config->policies[p], &b->config->policies[p]))
			return false;
	for (uint16_t v = 0; v < a->view_count; v++)
		if (a->views[v].policy != b->views[v].policy ||
		    memcmp(a->views[v].len, b->views[v].len, sizeof(a->views[v].len)) != 0 ||
		    !same_buckets(&a->views[v], &b->views[v]))
			return false;
	return true;
}

uint16_t ruleset_find_policy(const struct tg_ruleset *ruleset, const char *name)
{
	for (uint16_t p = 0; p < ruleset->config->policy_count; p++)
		if (strcmp(ruleset->config->policies[p].name, name) == 0)
			return p;
	return TG_NO_INDEX;
}

uint16_t ruleset_find_limit(const struct tg_ruleset *ruleset, uint16_t policy, const char *name)
{
	if (policy >= ruleset->config->policy_count)
		return TG_NO_INDEX;
	const struct tg_policy *p = &ruleset->config->policies[policy];
	for (uint16_t i = 0; i < p->limit_count; i++)
		if (strcmp(p->limits[i].name, name) == 0)
			return i;
	return TG_NO_INDEX;
}

struct ruleset_limit *ruleset_limit(const struct tg_ruleset *ruleset, uint16_t policy,
				    uint16_t limit)
{
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		const struct ruleset_view *view = &ruleset->views[v];
		for (uint16_t i = 0; view->policy == policy && i < view->limit_count; i++)
			if (view->limits[i].index == limit)
				return &view->limits[i];
	}
	return NULL;
}
