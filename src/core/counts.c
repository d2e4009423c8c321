/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the counts: what a flow adds to which source, what takes it away again, and which limits
 * that crosses. The invariant behind every figure: a flow stands in a source's states exactly
 * when the source was there (born) when the flow was last counted. So nothing that comes
 * twice, late or never can make a count negative or leave it drifting.
 */
#include <string.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "engine_state.h"

bool counts_is_own(const struct tg_engine *engine, const struct tg_addr *addr)
{
	const struct tg_protected_prefix *hit = tg_prefix_set_lookup(engine->protected, addr);
	return hit && (hit->kind == TG_PROTECT_OWN || hit->kind == TG_PROTECT_LOOPBACK);
}

static uint32_t sum_states(const struct source *source, unsigned states)
{
	uint32_t sum = 0;
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		if (in_states(states, s))
			sum += source->states[s];
	return sum;
}

/* A prefix that holds an address which must not be banned is not held responsible as a whole. */
static bool must_stand_alone(const struct tg_engine *engine, const struct tg_addr *src, uint8_t len)
{
	if (len >= tg_family_bits(src->family))
		return false;
	struct tg_prefix prefix = tg_addr_mask(src, len);
	return tg_prefix_set_overlap(engine->protected, &prefix) ||
	       tg_prefix_set_overlap(engine->ruleset->allow, &prefix);
}

static bool stands_alone(const struct tg_engine *engine, const struct flow *flow,
			 const struct tg_addr *src, const struct ruleset_view *view)
{
	const unsigned slot = view->len_slot[src->family];
	if (slot < RULESET_LEN_SLOTS)
		return flow->alone >> slot & 1;
	return must_stand_alone(engine, src, view->len[src->family]);
}

void counts_settle(struct tg_engine *engine, struct flow *flow)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr src = counts_addr(&flow->key, flow->key.src);
	flow->alone = 0;
	for (uint16_t i = 0; i < class->view_count; i++) {
		const struct ruleset_view *view = &ruleset->views[class->views[i]];
		const unsigned slot = view->len_slot[src.family];
		if (slot < RULESET_LEN_SLOTS &&
		    must_stand_alone(engine, &src, view->len[src.family]))
			flow->alone |= UINT64_C(1) << slot;
	}
}

static uint64_t *bucket_row(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	return ruleset->buckets[family] + (size_t)slot * ruleset->bucket_count;
}

static uint32_t source_make(struct tg_engine *engine, const struct tg_addr *masked, uint16_t view)
{
	struct source_table *table = engine->sources[masked->family];
	const uint64_t evicted = source_table_evicted(table);
	bool made;
	uint32_t slot = source_table_get(table, masked->bytes, view, engine->tick, &made);
	if (!made)
		return slot;
	source_table_at(table, slot)->born = ++engine->sequence;
	engine->stats.sources[masked->family] -= (uint32_t)(source_table_evicted(table) - evicted);
	if (engine->ruleset->bucket_count > 0)
		memset(bucket_row(engine, masked->family, slot), 0,
		       engine->ruleset->bucket_count * sizeof(uint64_t));
	return slot;
}

static void source_add(struct tg_engine *engine, enum tg_family family, struct source *source,
		       unsigned state)
{
	engine->stats.sources[family] += source_flows(source) == 0;
	source->states[state]++;
}

static void source_sub(struct tg_engine *engine, enum tg_family family, struct source *source,
		       unsigned state)
{
	source->states[state]--;
	engine->stats.sources[family] -= source_flows(source) == 0;
	if (source->base > 0)
		source->base = (uint16_t)MIN(source->base, sum_states(source, CONCURRENT_STATES));
}

struct tg_prefix counts_source_prefix(const struct tg_engine *engine, enum tg_family family,
				      uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	struct tg_prefix prefix = {.addr.family = (uint8_t)family, .len = view->len[family]};
	memcpy(prefix.addr.bytes, source->addr, 16);
	if (SOURCE_VIEW_ALONE(source->view))
		prefix.len = tg_family_bits(family);
	return prefix;
}

/* One more flow into the bucket; over its rim? A full bucket stays full, so that it drains in one
 * window. */
static bool bucket_pour(uint64_t *bucket, tg_time now, const struct ruleset_limit *limit)
{
	const uint64_t level = *bucket > now ? *bucket - now : 0;
	if (level + limit->cost > limit->room) {
		*bucket = now + limit->room;
		return true;
	}
	*bucket = now + level + limit->cost;
	return false;
}

/* What one flow did to one source: which limits of the view does it cross? */
static void judge(struct tg_engine *engine, enum tg_family family, uint32_t slot, unsigned raised,
		  bool began)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		uint32_t threshold = limit->limit->threshold, measured = 0;
		switch (limit->limit->measure) {
		case TG_MEASURE_CONCURRENT:
			if (raised & CONCURRENT_STATES)
				measured = sum_states(source, CONCURRENT_STATES);
			if (measured <= threshold + source->base)
				continue;
			break;
		case TG_MEASURE_HALF_OPEN:
			if (raised & HALF_OPEN_STATES)
				measured = sum_states(source, HALF_OPEN_STATES);
			if (measured <= threshold)
				continue;
			break;
		case TG_MEASURE_NEW:
			threshold += limit->limit->burst;
			if (!began || !bucket_pour(&bucket_row(engine, family, slot)[limit->bucket],
						   engine->now, limit))
				continue;
			measured = threshold + 1;
			break;
		case TG_MEASURE_TIME_WAIT:
		case TG_MEASURE_CLOSE_WAIT:
		case TG_MEASURE_FIN_WAIT:
		case TG_MEASURE_LAST_ACK:
		case TG_MEASURE_IDLE:
		case TG_MEASURE_FAILED:
		case TG_MEASURE_FAN_OUT:
		case TG_MEASURE_COUNT:
			continue;
		}
		struct tg_prefix prefix = counts_source_prefix(engine, family, slot);
		offences_ban(engine, view, limit, &prefix, measured, threshold);
	}
}

void counts_move(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to,
		 bool began)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr src = counts_addr(&flow->key, flow->key.src);
	const struct tg_addr dst = counts_addr(&flow->key, flow->key.dst);
	const enum tg_family family = (enum tg_family)src.family;
	/* Between a gap and its resync only `new` can be trusted: it never counts too much. */
	unsigned raised =
		to != from && to != TG_TCP_UNKNOWN && !engine->stats.stale ? STATE_BIT(to) : 0;
	if (from != TG_TCP_UNKNOWN) {
		engine->stats.states[from]--;
		/* Within a measure nothing was raised. */
		if (in_states(CONCURRENT_STATES, from))
			raised &= ~CONCURRENT_STATES;
		if (in_states(HALF_OPEN_STATES, from))
			raised &= ~HALF_OPEN_STATES;
	}
	if (to != TG_TCP_UNKNOWN)
		engine->stats.states[to]++;
	for (uint16_t i = 0; i < class->view_count; i++) {
		const uint16_t v = class->views[i];
		const struct ruleset_view *view = &ruleset->views[v];
		if (!ruleset_match_address(&ruleset->config->policies[view->policy], &dst))
			continue;
		const bool alone = stands_alone(engine, flow, &src, view);
		const uint8_t bits = tg_family_bits(family);
		const struct tg_prefix masked =
			tg_addr_mask(&src, alone ? bits : view->len[family]);
		const uint16_t source_view = SOURCE_VIEW(v, alone);
		struct source_table *table = engine->sources[family];
		uint32_t slot = to != TG_TCP_UNKNOWN || began
					? source_make(engine, &masked.addr, source_view)
					: source_table_find(table, masked.addr.bytes, source_view);
		if (slot == SOURCE_NONE)
			continue;
		struct source *source = source_table_at(table, slot);
		if (to != TG_TCP_UNKNOWN)
			source_add(engine, family, source, to);
		if (from != TG_TCP_UNKNOWN && source->born <= flow->counted)
			source_sub(engine, family, source, from);
		if (raised || began)
			judge(engine, family, slot, raised, began);
	}
	flow->counted = engine->sequence;
}

/*
 * No flow stands in a source any more; what it was forgiven and what it has begun stays, unless
 * it is one of our own addresses by now.
 */
static void sources_empty(struct tg_engine *engine, enum tg_family family)
{
	struct source_table *table = engine->sources[family];
	for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
	     slot = source_table_next(table, slot + 1)) {
		struct source *source = source_table_at(table, slot);
		struct tg_addr addr = {.family = (uint8_t)family};
		memcpy(addr.bytes, source->addr, 16);
		memset(source->states, 0, sizeof(source->states));
		if (counts_is_own(engine, &addr) && engine->ruleset->bucket_count > 0)
			memset(bucket_row(engine, family, slot), 0,
			       engine->ruleset->bucket_count * sizeof(uint64_t));
	}
}

static void sources_settle(struct source_table *table)
{
	for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
	     slot = source_table_next(table, slot + 1)) {
		struct source *source = source_table_at(table, slot);
		source->base = (uint16_t)MIN(source->base, sum_states(source, CONCURRENT_STATES));
	}
}

void counts_judge_all(struct tg_engine *engine)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		const struct source_table *table = engine->sources[f];
		for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
		     slot = source_table_next(table, slot + 1))
			judge(engine, (enum tg_family)f, slot, CONCURRENT_STATES | HALF_OPEN_STATES,
			      false);
	}
}

void counts_forgive(struct tg_engine *engine, uint16_t policy, const struct tg_prefix *prefix)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const enum tg_family family = (enum tg_family)prefix->addr.family;
	const uint8_t bits = tg_family_bits(family);
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		const struct ruleset_view *view = &ruleset->views[v];
		if (!view->counts_concurrent || (policy != TG_NO_INDEX && view->policy != policy) ||
		    (prefix->len != view->len[family] && prefix->len != bits))
			continue;
		const bool alone = prefix->len != view->len[family];
		uint32_t slot = source_table_find(engine->sources[family], prefix->addr.bytes,
						  SOURCE_VIEW(v, alone));
		if (slot == SOURCE_NONE)
			continue;
		struct source *source = source_table_at(engine->sources[family], slot);
		if (source->base == 0)
			source->base =
				(uint16_t)MIN(sum_states(source, CONCURRENT_STATES), UINT16_MAX);
	}
}

static uint32_t bucket_level(uint64_t bucket, tg_time now, const struct ruleset_limit *limit)
{
	const uint64_t level = bucket > now ? bucket - now : 0;
	return (uint32_t)((level + limit->cost - 1) / limit->cost);
}

bool counts_measure(const struct tg_engine *engine, const struct ruleset_limit *limit,
		    const struct ruleset_view *view, const struct tg_prefix *source,
		    uint32_t *ret_measured)
{
	const enum tg_family family = (enum tg_family)source->addr.family;
	const uint16_t v = (uint16_t)(view - engine->ruleset->views);
	if (tg_prefix_is_total(source))
		return false;
	const uint32_t slot =
		source_table_find(engine->sources[family], source->addr.bytes,
				  SOURCE_VIEW(v, source->len != view->len[family]));
	if (slot == SOURCE_NONE)
		return false;
	const struct source *entry = source_table_at(engine->sources[family], slot);
	if (limit->limit->measure == TG_MEASURE_CONCURRENT)
		*ret_measured = sum_states(entry, CONCURRENT_STATES) - entry->base;
	else if (limit->limit->measure == TG_MEASURE_HALF_OPEN)
		*ret_measured = sum_states(entry, HALF_OPEN_STATES);
	else
		*ret_measured = bucket_level(bucket_row(engine, family, slot)[limit->bucket],
					     engine->now, limit);
	return true;
}

const struct tg_flow_key *counts_sample(const struct tg_engine *engine, uint16_t policy,
					uint16_t limit)
{
	(void)engine; /* no total is counted */
	(void)policy;
	(void)limit;
	return NULL;
}

uint32_t counts_new_level(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	uint64_t most = 0;
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		if (limit->limit->measure != TG_MEASURE_NEW)
			continue;
		const uint64_t end = bucket_row(engine, family, slot)[limit->bucket];
		const uint64_t level = end > engine->now ? end - engine->now : 0;
		most = MAX(most, (level + limit->cost - 1) / limit->cost);
	}
	return (uint32_t)most;
}

void counts_begin_anew(struct tg_engine *engine, bool other_views)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		if (other_views)
			source_table_clear(engine->sources[f]);
		else
			sources_empty(engine, (enum tg_family)f);
		engine->stats.sources[f] = 0;
	}
	memset(engine->stats.states, 0, sizeof(engine->stats.states));
}

void counts_end_anew(struct tg_engine *engine)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		sources_settle(engine->sources[f]);
}
