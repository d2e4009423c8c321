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
#include "flow_table.h"

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

/* The policy's view by these lengths, or NULL's: its total; a new one if there is none yet. */
static struct ruleset_view *view_for(struct tg_ruleset *ruleset, uint16_t policy,
				     const uint8_t *len)
{
	for (uint16_t i = 0; i < ruleset->view_count; i++) {
		struct ruleset_view *view = &ruleset->views[i];
		if (view->policy != policy || (len == NULL) != (view->total != NULL))
			continue;
		if (!len || memcmp(view->len, len, sizeof(view->len)) == 0)
			return view;
	}
	const size_t limits = ruleset->config->policies[policy].limit_count;
	struct ruleset_view *view = &ruleset->views[ruleset->view_count++];
	view->policy = policy;
	view->asks_address = ruleset->config->policies[policy].address_count > 0;
	view->limits = calloc(limits, sizeof(*view->limits));
	ruleset->memory += limits * sizeof(*view->limits);
	if (len) {
		memcpy(view->len, len, sizeof(view->len));
		return view->limits ? view : NULL;
	}
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		view->len[f] = tg_family_bits((enum tg_family)f); /* of destinations */
	view->total = calloc(1, sizeof(*view->total));
	if (!view->limits || !view->total)
		return NULL;
	view->total->services = calloc(limits, sizeof(*view->total->services));
	ruleset->memory += sizeof(*view->total) + limits * sizeof(*view->total->services);
	return view->total->services ? view : NULL;
}

/* The bits of a source's states that a measure adds up; see SOURCE_IDLE. */
static uint16_t measure_slots(enum tg_measure measure)
{
	switch (measure) {
	case TG_MEASURE_CONCURRENT:
		return CONCURRENT_SLOTS;
	case TG_MEASURE_HALF_OPEN:
		return HALF_OPEN_STATES;
	case TG_MEASURE_TIME_WAIT:
		return STATE_BIT(TG_TCP_TIME_WAIT);
	case TG_MEASURE_CLOSE_WAIT:
		return STATE_BIT(TG_TCP_CLOSE_WAIT);
	case TG_MEASURE_FIN_WAIT:
		return STATE_BIT(TG_TCP_FIN_WAIT);
	case TG_MEASURE_LAST_ACK:
		return STATE_BIT(TG_TCP_LAST_ACK);
	case TG_MEASURE_IDLE:
		return STATE_BIT(SOURCE_IDLE);
	case TG_MEASURE_NEW:
	case TG_MEASURE_FAILED:
	case TG_MEASURE_FAN_OUT:
	case TG_MEASURE_COUNT:
		break;
	}
	return 0;
}

static void view_add_limit(struct ruleset_view *view, const struct tg_limit *limit, uint16_t index,
			   const enum tg_mode *mode_override)
{
	struct ruleset_limit *entry = &view->limits[view->limit_count++];
	*entry = (struct ruleset_limit){
		.limit = limit,
		.index = index,
		.mode = mode_override ? *mode_override : limit->mode,
		.slots = measure_slots(limit->measure),
	};
	if (tg_measure_is_rate(limit->measure)) {
		entry->pours = limit->measure == TG_MEASURE_NEW ? POURED_NEW : POURED_FAILED;
		entry->cost = limit->window_ms * TG_MSEC / limit->threshold;
		entry->cost = MAX(entry->cost, 1);
		entry->room = entry->cost * ((uint64_t)limit->threshold + limit->burst);
	}
	view->slots |= entry->slots;
	for (unsigned from = 0; from < ARRAY_SIZE(view->rises); from++)
		if (!in_states(entry->slots, from))
			view->rises[from] |= entry->slots;
	view->pours |= entry->pours;
	entry->acts = tg_limit_acts(limit);
	view->counts_hosts |= limit->min_hosts > 0;
	view->asks_idle |= limit->measure == TG_MEASURE_IDLE;
	view->counts_destinations |= limit->measure == TG_MEASURE_FAN_OUT;
}

static bool is_total(const struct tg_limit *limit)
{
	return limit->total || limit->measure == TG_MEASURE_FAN_OUT;
}

static bool wants_hosts(const struct tg_policy *policy)
{
	for (size_t i = 0; i < policy->limit_count; i++)
		if (policy->limits[i].min_hosts > 0 && !is_total(&policy->limits[i]))
			return true;
	return false;
}

static bool views_create(struct tg_ruleset *ruleset, const enum tg_mode *mode_override)
{
	static const uint8_t host_len[TG_FAMILY_COUNT] = {32, 64};
	const struct tg_config *config = ruleset->config;
	size_t most = 0;
	for (size_t p = 0; p < config->policy_count; p++)
		most += config->policies[p].limit_count + 1;
	ruleset->views = calloc(MAX(most, 1), sizeof(*ruleset->views));
	ruleset->memory += most * sizeof(*ruleset->views);
	if (!ruleset->views)
		return false;
	for (uint16_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *policy = &config->policies[p];
		if (wants_hosts(policy)) {
			struct ruleset_view *hosts = view_for(ruleset, p, host_len);
			if (!hosts)
				return false;
			hosts->of_hosts = true;
		}
		for (uint16_t i = 0; i < policy->limit_count; i++) {
			const struct tg_limit *limit = &policy->limits[i];
			struct ruleset_view *view =
				view_for(ruleset, p, is_total(limit) ? NULL : limit->prefix_len);
			if (!view)
				return false;
			view_add_limit(view, limit, i, mode_override);
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
		if (view->total)
			continue; /* its buckets and its count are its own */
		for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
			uint8_t *slot = &lengths[f][view->len[f]];
			if (*slot == 0)
				*slot = ++used[f];
			if (*slot <= RULESET_LEN_SLOTS)
				view->alone[f] = (uint8_t)(1u << (*slot - 1));
			struct tg_addr ones = {.family = (uint8_t)f};
			memset(ones.bytes, 0xff, sizeof(ones.bytes));
			const struct tg_prefix mask = tg_addr_mask(&ones, view->len[f]);
			memcpy(view->mask[f], mask.addr.bytes, sizeof(view->mask[f]));
		}
		uint16_t buckets = 0;
		for (uint16_t i = 0; i < view->limit_count; i++)
			if (view->limits[i].pours)
				view->limits[i].bucket = buckets++;
		ruleset->bucket_count = MAX(ruleset->bucket_count, buckets);
	}
}

static bool class_fill(struct tg_ruleset *ruleset, struct ruleset_class *class)
{
	uint16_t *views = calloc(MAX(ruleset->view_count, 1), sizeof(*views));
	if (!views)
		return false;
	ruleset->memory += ruleset->view_count * sizeof(*views);
	class->views = views;
	for (unsigned totals = 0; totals < 2; totals++) {
		for (uint16_t v = 0; v < ruleset->view_count; v++) {
			const struct ruleset_view *view = &ruleset->views[v];
			if (!(class->policies >> view->policy & 1) || !view->total != !totals)
				continue;
			views[class->view_count + class->total_count] = v;
			class->view_count += !totals;
			class->total_count += totals;
			class->asks_idle |= view->asks_idle;
			class->asks_fan_out |= view->counts_destinations;
		}
	}
	class->totals = views + class->view_count;
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
	ruleset->memory += capacity * sizeof(*ruleset->classes);
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

static bool idle_create(struct tg_ruleset *ruleset, const struct tg_engine_params *params)
{
	if (!tg_config_measures(ruleset->config, TG_MEASURE_IDLE))
		return true;
	ruleset->idle_count = params->max_flows;
	/* So fine that 16 bits of units are a thousand times as long as what is measured. */
	const uint64_t ms = FLOW_TICK / TG_MSEC;
	const uint64_t after = MAX((ruleset->config->idle_after_ms + ms - 1) / ms, 1);
	ruleset->idle_unit = (uint32_t)MAX(after / 64, 1);
	ruleset->idle_units = (uint32_t)((after + ruleset->idle_unit - 1) / ruleset->idle_unit);
	ruleset->idle = calloc(MAX(ruleset->idle_count, 1), sizeof(*ruleset->idle));
	ruleset->memory += ruleset->idle_count * sizeof(*ruleset->idle);
	return ruleset->idle != NULL;
}

static bool buckets_create(struct tg_ruleset *ruleset, const struct tg_engine_params *params)
{
	ruleset->bucket_sources = source_table_room(params->max_sources);
	if (ruleset->bucket_count == 0)
		return true;
	ruleset->bucket_room = (size_t)ruleset->bucket_sources * ruleset->bucket_count;
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		ruleset->buckets[f] = calloc(ruleset->bucket_room, sizeof(*ruleset->buckets[f]));
		if (!ruleset->buckets[f])
			return false;
		ruleset->memory += ruleset->bucket_room * sizeof(*ruleset->buckets[f]);
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
	ruleset->memory =
		sizeof(*ruleset) + config->allow_count * sizeof(struct tg_protected_prefix);
	ruleset->allow = allow_create(config);
	if (!ruleset->allow || !views_create(ruleset, mode_override))
		goto err;
	views_number(ruleset);
	if (!classes_create(ruleset) || !buckets_create(ruleset, params) ||
	    !idle_create(ruleset, params))
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
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		free(ruleset->views[v].limits);
		if (ruleset->views[v].total)
			free(ruleset->views[v].total->services);
		free(ruleset->views[v].total);
	}
	free(ruleset->idle);
	free(ruleset->views);
	tg_prefix_set_destroy(ruleset->allow);
	free(ruleset);
}

void tg_ruleset_withhold(struct tg_ruleset *ruleset, enum tg_action action)
{
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		struct ruleset_view *view = &ruleset->views[v];
		for (uint16_t i = 0; i < view->limit_count; i++)
			if (tg_limit_has(view->limits[i].limit, action))
				view->limits[i].mode = TG_MODE_OBSERVE;
	}
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

static bool same_limits(const struct ruleset_view *a, const struct ruleset_view *b)
{
	if (a->limit_count != b->limit_count)
		return false;
	for (uint16_t i = 0; i < a->limit_count; i++)
		if (a->limits[i].limit->measure != b->limits[i].limit->measure ||
		    strcmp(a->limits[i].limit->name, b->limits[i].limit->name) != 0)
			return false;
	return true;
}

static bool same_view(const struct ruleset_view *a, const struct ruleset_view *b)
{
	return a->policy == b->policy && !a->total == !b->total && a->of_hosts == b->of_hosts &&
	       a->counts_hosts == b->counts_hosts && memcmp(a->len, b->len, sizeof(a->len)) == 0 &&
	       same_limits(a, b);
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
		if (!same_view(&a->views[v], &b->views[v]))
			return false;
	return true;
}

static bool inherits_buckets(const struct tg_ruleset *ruleset, const struct tg_ruleset *old)
{
	const size_t rows = ruleset->bucket_sources;
	return ruleset->bucket_count > 0 && old->bucket_room >= rows * ruleset->bucket_count;
}

static bool inherits_idle(const struct tg_ruleset *ruleset, const struct tg_ruleset *old)
{
	return ruleset->idle && old->idle && ruleset->idle_count == old->idle_count;
}

size_t ruleset_grows(const struct tg_ruleset *ruleset, const struct tg_ruleset *old)
{
	size_t bytes = 0;
	if (!inherits_buckets(ruleset, old))
		bytes += TG_FAMILY_COUNT * ruleset->bucket_room * sizeof(*ruleset->buckets[0]);
	if (ruleset->idle && !inherits_idle(ruleset, old))
		bytes += ruleset->idle_count * sizeof(*ruleset->idle);
	return bytes;
}

static void inherit_buckets(struct tg_ruleset *ruleset, struct tg_ruleset *old)
{
	const size_t own = ruleset->bucket_room, theirs = old->bucket_room;
	const size_t bytes = TG_FAMILY_COUNT * sizeof(*ruleset->buckets[0]);
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		uint64_t *buckets = ruleset->buckets[f];
		ruleset->buckets[f] = old->buckets[f];
		old->buckets[f] = buckets;
	}
	ruleset->bucket_room = theirs;
	old->bucket_room = own;
	ruleset->memory = ruleset->memory - own * bytes + theirs * bytes;
	old->memory = old->memory - theirs * bytes + own * bytes;
}

static void inherit_totals(struct tg_ruleset *ruleset, const struct tg_ruleset *old)
{
	for (uint16_t v = 0; v < old->view_count; v++) {
		const struct ruleset_total *from = old->views[v].total;
		struct ruleset_total *to = ruleset->views[v].total;
		if (!from)
			continue;
		memcpy(to->services, from->services,
		       old->views[v].limit_count * sizeof(*to->services));
		to->source = from->source;
		to->destinations = from->destinations;
	}
}

void ruleset_inherit(struct tg_ruleset *ruleset, struct tg_ruleset *old, bool same_shape)
{
	if (ruleset == old)
		return;
	if (inherits_buckets(ruleset, old))
		inherit_buckets(ruleset, old);
	if (inherits_idle(ruleset, old)) {
		struct ruleset_idle *idle = ruleset->idle;
		ruleset->idle = old->idle;
		old->idle = idle;
	}
	if (same_shape)
		inherit_totals(ruleset, old);
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

const struct ruleset_view *ruleset_view(const struct tg_ruleset *ruleset,
					const struct ruleset_limit *limit)
{
	uint16_t v = 0;
	while (limit < ruleset->views[v].limits ||
	       limit >= ruleset->views[v].limits + ruleset->views[v].limit_count)
		v++;
	return &ruleset->views[v];
}
