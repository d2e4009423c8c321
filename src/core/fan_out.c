/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns whom this host calls: its own flows that no answer has come to, counted by
 * destination. A destination has an entry in the source table, under the policy's total,
 * and the total knows how many of these have a flow. Nothing else counts such a flow.
 */
#include "engine_state.h"

bool fan_out_follows(const struct tg_engine *engine, const struct tg_flow_key *key)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, key->dport);
	const struct tg_addr src = counts_addr(key, key->src), dst = counts_addr(key, key->dst);
	if (!class->asks_fan_out || counts_is_own(engine, &dst))
		return false;
	for (uint16_t i = 0; i < class->total_count; i++) {
		const struct ruleset_view *view = &ruleset->views[class->totals[i]];
		if (view->counts_destinations &&
		    ruleset_match_address(&ruleset->config->policies[view->policy], &src))
			return true;
	}
	return false;
}

static void destination_move(struct tg_engine *engine, uint16_t v, const struct flow *flow,
			     unsigned from, unsigned to)
{
	const struct ruleset_view *view = &engine->ruleset->views[v];
	const struct tg_addr dst = counts_addr(&flow->key, flow->key.dst);
	const enum tg_family family = (enum tg_family)dst.family;
	struct source_table *table = engine->sources[family];
	const uint32_t slot = to != SLOT_NONE
				      ? sources_make(engine, &dst, SOURCE_VIEW(v, false))
				      : source_table_find(table, dst.bytes, SOURCE_VIEW(v, false));
	if (slot == SOURCE_NONE)
		return;
	struct source *source = source_table_at(table, slot);
	const bool before = source_flows(source) > 0;
	if (to != SLOT_NONE)
		sources_add(engine, family, source, to);
	if (from != SLOT_NONE && source->born <= flow_counted(flow))
		sources_sub(engine, family, source, from);
	const bool after = source_flows(source) > 0;
	view->total->destinations += (uint32_t)after - (uint32_t)before;
	if (after && !before && !engine->stats.stale)
		totals_judge(engine, view, &flow->key, TG_MEASURE_FAN_OUT);
}

void fan_out_move(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr src = counts_addr(&flow->key, flow->key.src);
	for (uint16_t i = 0; i < class->total_count; i++) {
		const struct ruleset_view *view = &ruleset->views[class->totals[i]];
		if (view->counts_destinations &&
		    ruleset_match_address(&ruleset->config->policies[view->policy], &src))
			destination_move(engine, class->totals[i], flow, from, to);
	}
	flow_set_counted(flow, engine->sequence);
}
