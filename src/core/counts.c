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
	if (view->alone[src->family])
		return flow->alone & view->alone[src->family];
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
		if (view->alone[src.family] &&
		    must_stand_alone(engine, &src, view->len[src.family]))
			flow->alone |= view->alone[src.family];
	}
}

/* Of the connections that a drop has answered already none counts again, in whatever state it is
 * closing by now. */
static uint32_t forgiven(const struct ruleset_limit *limit, const struct source *source)
{
	return limit->slots & ~CONCURRENT_SLOTS ? 0 : source->base;
}

/* What may cross a limit: a flow that came to a state, and did not come from such a one. */
struct rise {
	unsigned to, from; /* bits of slots; to: 0 when counts cannot be trusted */
	unsigned poured;
	bool hosts; /* the prefix has one more */
};

static bool rises(const struct ruleset_limit *limit, const struct rise *rise)
{
	return (limit->slots & rise->to && !(limit->slots & rise->from)) ||
	       (rise->hosts && rise->to && limit->limit->min_hosts > 0);
}

uint32_t counts_hosts(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	if (ruleset_has_hosts(view, family) && !SOURCE_VIEW_ALONE(source->view))
		return source->hosts;
	return source_flows(source) > 0;
}

/* What one flow did to one source: which limits of the view does it cross? */
static void judge(struct tg_engine *engine, enum tg_family family, uint32_t slot,
		  const struct rise *rise)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		uint32_t threshold = limit->limit->threshold, measured;
		if (limit->pours) {
			threshold += limit->limit->burst;
			if (!(limit->pours & rise->poured) ||
			    !sources_pour(&sources_buckets(engine, family, slot)[limit->bucket],
					  engine->now, limit))
				continue;
			measured = threshold + 1;
		} else {
			if (!rises(limit, rise))
				continue;
			measured = source_sum(source, limit->slots);
			if (measured <= threshold + forgiven(limit, source))
				continue;
		}
		if (limit->limit->min_hosts > 0 &&
		    counts_hosts(engine, family, slot) < limit->limit->min_hosts)
			continue;
		const struct tg_prefix prefix = sources_prefix(engine, family, slot);
		if (!flood_suppresses(engine, view, limit, &prefix, measured, threshold))
			offences_ban(engine, view, limit, &prefix, measured, threshold);
	}
}

/* The entry of the source that the flow belongs to in the nth view of its class; made if there is
 * something to count. */
static uint32_t find_source(struct tg_engine *engine, const struct tg_addr *masked, unsigned n,
			    uint16_t source_view, bool make)
{
	struct source_table *table = engine->sources[masked->family];
	const uint32_t slot = source_table_expected(table, n, masked->bytes, source_view);
	if (slot == SOURCE_NONE)
		return make ? sources_make(engine, masked, source_view)
			    : source_table_find(table, masked->bytes, source_view);
	if (make)
		source_table_at(table, slot)->last_seen = source_seen(engine->tick);
	return slot;
}

void counts_move(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to,
		 unsigned poured)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr src = counts_addr(&flow->key, flow->key.src);
	const enum tg_family family = (enum tg_family)src.family;
	struct source_table *table = engine->sources[family];
	struct host_move host = {.policy = TG_NO_INDEX};
	/* Between a gap and its resync only rates can be trusted: they never count too much. */
	struct rise rise = {.poured = poured};
	if (to != from && to != SLOT_NONE && !engine->stats.stale)
		rise.to = STATE_BIT(to);
	if (from != SLOT_NONE)
		rise.from = STATE_BIT(from);
	/* First, so that a flood is known by the flow that begins it. */
	if (class->total_count > 0)
		totals_move(engine, flow, from, to, poured);
	for (uint16_t i = 0; i < class->view_count; i++) {
		const uint16_t v = class->views[i];
		const struct ruleset_view *view = &ruleset->views[v];
		if (!counts_match(engine, view, flow))
			continue;
		const bool alone = stands_alone(engine, flow, &src, view);
		const struct tg_addr masked = alone ? src : ruleset_mask(view, &src);
		const uint32_t slot = find_source(engine, &masked, i, SOURCE_VIEW(v, alone),
						  to != SLOT_NONE || poured & view->pours);
		if (slot == SOURCE_NONE)
			continue;
		struct source *source = source_table_at(table, slot);
		const uint32_t before = view->of_hosts ? source_flows(source) : 0;
		const bool stood = from != SLOT_NONE && source->born <= flow_counted(flow);
		if (stood && to != SLOT_NONE)
			sources_shift(source, from, to);
		else if (to != SLOT_NONE)
			sources_add(engine, family, source, to);
		else if (stood)
			sources_sub(engine, family, source, from);
		rise.hosts = false;
		if (view->of_hosts)
			host = hosts_moved(engine, family, slot, before);
		else if (view->counts_hosts && !alone && host.policy == view->policy &&
			 ruleset_has_hosts(view, family))
			rise.hosts = hosts_count(engine, family, &host, source);
		if (rise.to & view->rises[from] || poured & view->pours || rise.hosts)
			judge(engine, family, slot, &rise);
	}
	flow_set_counted(flow, engine->sequence);
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
		source->hosts = 0;
		if (counts_is_own(engine, &addr) && engine->ruleset->bucket_count > 0)
			memset(sources_buckets(engine, family, slot), 0,
			       engine->ruleset->bucket_count * sizeof(uint64_t));
	}
}

static void sources_settle(struct source_table *table)
{
	for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
	     slot = source_table_next(table, slot + 1)) {
		struct source *source = source_table_at(table, slot);
		source->base = (uint16_t)MIN(source->base, source_sum(source, CONCURRENT_SLOTS));
	}
}

void counts_judge_all(struct tg_engine *engine)
{
	static const struct rise all = {.to = UINT32_MAX};
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++)
		if (engine->ruleset->views[v].total)
			totals_judge(engine, &engine->ruleset->views[v], NULL, TG_MEASURE_COUNT);
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		const struct source_table *table = engine->sources[f];
		for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
		     slot = source_table_next(table, slot + 1)) {
			/* Under a total stand destinations, which offend against nothing. */
			const uint16_t v =
				SOURCE_VIEW_INDEX(source_table_at(engine->sources[f], slot)->view);
			if (!engine->ruleset->views[v].total)
				judge(engine, (enum tg_family)f, slot, &all);
		}
	}
}

void counts_forgive(struct tg_engine *engine, uint16_t policy, const struct tg_prefix *prefix)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const enum tg_family family = (enum tg_family)prefix->addr.family;
	const uint8_t bits = tg_family_bits(family);
	if (tg_prefix_is_total(prefix))
		return;
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		const struct ruleset_view *view = &ruleset->views[v];
		if (view->total || !(view->slots & CONCURRENT_SLOTS) ||
		    (policy != TG_NO_INDEX && view->policy != policy) ||
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
				(uint16_t)MIN(source_sum(source, CONCURRENT_SLOTS), UINT16_MAX);
	}
}

uint32_t counts_forgiven(const struct tg_engine *engine, const struct ruleset_limit *limit,
			 const struct tg_prefix *source)
{
	const struct ruleset_view *view = ruleset_view(engine->ruleset, limit);
	const enum tg_family family = (enum tg_family)source->addr.family;
	const uint16_t v = (uint16_t)(view - engine->ruleset->views);
	const uint32_t slot = source_table_find(engine->sources[family], source->addr.bytes,
						SOURCE_VIEW(v, source->len != view->len[family]));
	return slot == SOURCE_NONE || limit->pours
		       ? 0
		       : forgiven(limit, source_table_at(engine->sources[family], slot));
}

bool counts_measure(const struct tg_engine *engine, const struct ruleset_limit *limit,
		    const struct ruleset_view *view, const struct tg_prefix *source,
		    uint32_t *ret_measured)
{
	if (tg_prefix_is_total(source) != (view->total != NULL))
		return false;
	if (view->total) {
		*ret_measured = totals_measure(engine, view, limit);
		return true;
	}
	const enum tg_family family = (enum tg_family)source->addr.family;
	const uint16_t v = (uint16_t)(view - engine->ruleset->views);
	const uint32_t slot = source_table_find(engine->sources[family], source->addr.bytes,
						SOURCE_VIEW(v, source->len != view->len[family]));
	if (slot == SOURCE_NONE)
		return false;
	/* One host of too few does not hold a ban upon its neighbours. */
	if (counts_hosts(engine, family, slot) < limit->limit->min_hosts)
		return false;
	const struct source *entry = source_table_at(engine->sources[family], slot);
	const uint32_t sum = source_sum(entry, limit->slots);
	if (limit->pours)
		*ret_measured = sources_level(sources_buckets(engine, family, slot)[limit->bucket],
					      engine->now, limit);
	else
		*ret_measured = sum - MIN(sum, forgiven(limit, entry));
	return true;
}

uint32_t counts_established(const struct tg_engine *engine, const struct ruleset_limit *limit,
			    const struct tg_prefix *source)
{
	const struct ruleset_view *view = ruleset_view(engine->ruleset, limit);
	const enum tg_family family = (enum tg_family)source->addr.family;
	const uint16_t v = (uint16_t)(view - engine->ruleset->views);
	const uint32_t slot = source_table_find(engine->sources[family], source->addr.bytes,
						SOURCE_VIEW(v, source->len != view->len[family]));
	return slot == SOURCE_NONE
		       ? 0
		       : source_sum(source_table_at(engine->sources[family], slot),
				    STATE_BIT(TG_TCP_ESTABLISHED) | STATE_BIT(SOURCE_IDLE));
}

const struct tg_flow_key *counts_sample(const struct tg_engine *engine, uint16_t policy,
					uint16_t limit)
{
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++) {
		const struct ruleset_view *view = &engine->ruleset->views[v];
		for (uint16_t i = 0; view->policy == policy && view->total && i < view->limit_count;
		     i++)
			if (view->limits[i].index == limit && view->total->services[i].has_sample)
				return &view->total->services[i].sample;
	}
	return NULL;
}

uint32_t counts_new_level(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	uint32_t most = 0;
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		if (limit->pours != POURED_NEW)
			continue;
		const uint64_t bucket = sources_buckets(engine, family, slot)[limit->bucket];
		most = MAX(most, sources_level(bucket, engine->now, limit));
	}
	return most;
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
	totals_empty(engine);
	memset(engine->stats.states, 0, sizeof(engine->stats.states));
}

void counts_end_anew(struct tg_engine *engine)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		sources_settle(engine->sources[f]);
}

uint64_t counts_evicted(const struct tg_engine *engine)
{
	return source_table_evicted(engine->sources[TG_IPV4]) +
	       source_table_evicted(engine->sources[TG_IPV6]);
}
