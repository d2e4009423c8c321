/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the count of a policy's whole traffic, both families together. It stands in the ruleset and
 * not in the source table: no flood of sources can push it out.
 */
#include <string.h>

#include "base/util.h"
#include "engine_state.h"

static void total_offence(struct tg_engine *engine, const struct ruleset_view *view, uint16_t i,
			  uint32_t measured, uint32_t threshold, const struct tg_flow_key *flow)
{
	static const struct tg_prefix total = {.len = TG_TOTAL_LEN};
	const struct ruleset_limit *limit = &view->limits[i];
	struct ruleset_service *service = &view->total->services[i];
	/* While it lasts nothing follows but that it lasts: once a tick is enough in a flood. */
	if (limit->up && service->told == engine->tick)
		return;
	service->told = engine->tick;
	if (flow) {
		service->sample = *flow;
		service->has_sample = true;
	}
	offences_ban(engine, view, limit, &total, measured, threshold);
}

uint32_t totals_measure(const struct tg_engine *engine, const struct ruleset_view *view,
			const struct ruleset_limit *limit)
{
	const struct ruleset_total *total = view->total;
	if (limit->pours)
		return sources_level(total->services[limit - view->limits].bucket, engine->now,
				     limit);
	if (limit->limit->measure == TG_MEASURE_FAN_OUT)
		return total->destinations;
	if (limit->limit->measure == TG_MEASURE_HALF_OPEN && engine->stats.feed != TG_FEED_ALL)
		return total->requests;
	return source_sum(&total->source, limit->slots);
}

uint32_t totals_new_level(const struct tg_engine *engine, const struct ruleset_view *view)
{
	uint32_t most = 0;
	for (uint16_t i = 0; i < view->limit_count; i++)
		if (view->limits[i].pours == POURED_NEW)
			most = MAX(most, sources_level(view->total->services[i].bucket, engine->now,
						       &view->limits[i]));
	return most;
}

static void total_move(struct tg_engine *engine, const struct ruleset_view *view,
		       const struct flow *flow, unsigned from, unsigned to, unsigned poured)
{
	struct ruleset_total *total = view->total;
	services_move(engine, total, from, to, poured);
	if (to == TG_TCP_ESTABLISHED && from != SLOT_NONE && engine->stats.services > 0)
		services_established(engine, view, &flow->key);
	if (to != SLOT_NONE)
		total->source.states[to]++;
	if (from != SLOT_NONE)
		total->source.states[from]--;
	const bool rises = in_states(view->rises[from], to) && !engine->stats.stale;
	if (!rises && !(poured & view->pours))
		return;
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		uint32_t threshold = limit->limit->threshold, measured;
		if (limit->pours) {
			threshold += limit->limit->burst;
			if (!(limit->pours & poured) ||
			    !sources_pour(&total->services[i].bucket, engine->now, limit))
				continue;
			measured = threshold + 1;
		} else {
			if (!rises || !in_states(limit->slots, to) || in_states(limit->slots, from))
				continue;
			measured = source_sum(&total->source, limit->slots);
			if (measured <= threshold)
				continue;
		}
		total_offence(engine, view, i, measured, threshold, &flow->key);
	}
}

void totals_move(struct tg_engine *engine, const struct flow *flow, unsigned from, unsigned to,
		 unsigned poured)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	for (uint16_t i = 0; i < class->total_count; i++) {
		const struct ruleset_view *view = &ruleset->views[class->totals[i]];
		if (counts_match(engine, view, flow))
			total_move(engine, view, flow, from, to, poured);
	}
}

void totals_judge(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct tg_flow_key *flow, enum tg_measure measure)
{
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		if (limit->pours ||
		    (measure != TG_MEASURE_COUNT && limit->limit->measure != measure))
			continue;
		const uint32_t measured = totals_measure(engine, view, limit);
		if (measured > limit->limit->threshold)
			total_offence(engine, view, i, measured, limit->limit->threshold, flow);
	}
}

void totals_empty(struct tg_engine *engine)
{
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++) {
		struct ruleset_total *total = engine->ruleset->views[v].total;
		if (!total)
			continue;
		memset(&total->source, 0, sizeof(total->source));
		total->destinations = 0;
	}
}
