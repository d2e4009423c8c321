/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_RECOUNT_H
#define TESTS_RECOUNT_H

/*
 * What every count of an engine must be, worked out from its flows the slow way. The invariant: a
 * flow stands in a source exactly when the source was born before the flow was last counted, a
 * host in a prefix exactly when the prefix was born before the host's first flow came.
 */
#include "core/engine_state.h"
#include "test.h"

static bool recount_matches(const struct tg_engine *engine, const struct ruleset_view *view,
			    const struct flow *flow, const uint8_t side[16])
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr addr = counts_addr(&flow->key, side);
	return class->policies >> view->policy & 1 &&
	       ruleset_match_address(&ruleset->config->policies[view->policy], &addr);
}

/* The flow's source in the view, by prefixes alone. */
static bool recount_belongs(struct tg_engine *engine, const struct source *source,
			    enum tg_family family, const struct flow *flow)
{
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	const bool outbound = view->total != NULL;
	const struct tg_addr addr =
		counts_addr(&flow->key, outbound ? flow->key.dst : flow->key.src);
	const uint8_t bits = tg_family_bits(family);
	if (flow->key.family != family || flow->outbound != outbound ||
	    !recount_matches(engine, view, flow, outbound ? flow->key.src : flow->key.dst))
		return false;
	struct tg_prefix prefix = tg_addr_mask(&addr, view->len[family]);
	const bool alone = view->len[family] < bits && bans_cover(engine, &prefix);
	if (alone)
		prefix = tg_addr_mask(&addr, bits);
	return alone == SOURCE_VIEW_ALONE(source->view) &&
	       memcmp(prefix.addr.bytes, source->addr, 16) == 0;
}

static uint32_t recount_hosts(struct tg_engine *engine, const struct source *prefix,
			      enum tg_family family)
{
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(prefix->view)];
	struct source_table *table = engine->sources[family];
	uint32_t hosts = 0;
	for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
	     slot = source_table_next(table, slot + 1)) {
		const struct source *host = source_table_at(table, slot);
		const struct ruleset_view *of =
			&engine->ruleset->views[SOURCE_VIEW_INDEX(host->view)];
		struct tg_addr addr = {.family = (uint8_t)family};
		memcpy(addr.bytes, host->addr, 16);
		const struct tg_prefix masked = tg_addr_mask(&addr, view->len[family]);
		hosts += of->of_hosts && of->policy == view->policy &&
			 !SOURCE_VIEW_ALONE(host->view) && source_flows(host) > 0 &&
			 prefix->born <= host->born &&
			 memcmp(masked.addr.bytes, prefix->addr, 16) == 0;
	}
	return hosts;
}

static void recount_source(struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	uint32_t states[TG_TCP_STATE_COUNT] = {0};
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		const struct flow *flow = flow_table_at(engine->flows, i);
		if (flow_slot(flow) != SLOT_NONE && source->born <= flow_counted(flow) &&
		    recount_belongs(engine, source, family, flow))
			states[flow_slot(flow)]++;
	}
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		CHECK_U64(source->states[s], states[s]);
	CHECK(source->base <= source_sum(source, CONCURRENT_SLOTS));
	if (ruleset_has_hosts(view, family) && !SOURCE_VIEW_ALONE(source->view))
		CHECK_U64(source->hosts, recount_hosts(engine, source, family));
	else
		CHECK_U64(source->hosts, 0);
}

static void recount_total(struct tg_engine *engine, uint16_t v)
{
	const struct ruleset_view *view = &engine->ruleset->views[v];
	uint32_t states[TG_TCP_STATE_COUNT] = {0}, destinations = 0;
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		const struct flow *flow = flow_table_at(engine->flows, i);
		if (flow_slot(flow) != SLOT_NONE && !flow->outbound &&
		    recount_matches(engine, view, flow, flow->key.dst))
			states[flow_slot(flow)]++;
	}
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		CHECK_U64(view->total->source.states[s], states[s]);
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		struct source_table *table = engine->sources[f];
		for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
		     slot = source_table_next(table, slot + 1)) {
			const struct source *source = source_table_at(table, slot);
			destinations +=
				SOURCE_VIEW_INDEX(source->view) == v && source_flows(source) > 0;
		}
	}
	CHECK_U64(view->total->destinations, destinations);
}

/* Slow: every source against every flow. */
static void recount_check(struct tg_engine *engine)
{
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		const struct flow *flow = flow_table_at(engine->flows, i);
		CHECK(!flow->idle || (flow->state == TG_TCP_ESTABLISHED && !flow->ended &&
				      idle_asks(engine, flow)));
		CHECK(!flow->outbound || flow->ended || flow->state == TG_TCP_SYN_SENT);
	}
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		for (uint32_t slot = source_table_next(engine->sources[f], 0); slot != SOURCE_NONE;
		     slot = source_table_next(engine->sources[f], slot + 1))
			recount_source(engine, (enum tg_family)f, slot);
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++)
		if (engine->ruleset->views[v].total)
			recount_total(engine, v);
}

#endif
