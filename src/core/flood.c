/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what is different in a wide flood: many sources that each begin a few handshakes, most of
 * them forged. The state of the service answers it; a ban for each would ban people who
 * never spoke, and fill the tables with them.
 */
#include "engine_state.h"

/* A part of the flood that is no heavy hitter: so at most as many bans come of it. */
#define SMALL_PART 100

/* The policy's half-open flows, if there are too many by a limit of its total. */
static bool flood_of(const struct tg_engine *engine, uint16_t policy, uint32_t *ret_half_open)
{
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++) {
		const struct ruleset_view *view = &engine->ruleset->views[v];
		for (uint16_t i = 0; view->policy == policy && view->total && i < view->limit_count;
		     i++) {
			if (!view->limits[i].up ||
			    view->limits[i].limit->measure != TG_MEASURE_HALF_OPEN)
				continue;
			*ret_half_open = source_sum(&view->total->source, HALF_OPEN_STATES);
			return true;
		}
	}
	return false;
}

bool flood_suppresses(struct tg_engine *engine, const struct ruleset_view *view,
		      const struct ruleset_limit *limit, const struct tg_prefix *source,
		      uint32_t measured, uint32_t threshold)
{
	const enum tg_family family = (enum tg_family)source->addr.family;
	const enum tg_measure measure = limit->limit->measure;
	uint32_t all;
	if ((measure != TG_MEASURE_HALF_OPEN && !tg_measure_is_rate(measure)) ||
	    tg_prefix_is_total(source) || !flood_of(engine, view->policy, &all))
		return false;
	const uint32_t slot = source_table_find(
		engine->sources[family], source->addr.bytes,
		SOURCE_VIEW(view - engine->ruleset->views, source->len != view->len[family]));
	if (slot == SOURCE_NONE)
		return false;
	const struct source *entry = source_table_at(engine->sources[family], slot);
	const uint64_t half_open = source_sum(entry, HALF_OPEN_STATES);
	/* The flow that has just failed is unfinished, too, and no longer counted. */
	const bool unfinished =
		half_open + (measure == TG_MEASURE_FAILED) > source_sum(entry, CONCURRENT_SLOTS);
	if (!unfinished || half_open * SMALL_PART >= all)
		return false;
	engine->stats.suppressed++;
	offences_refuse(engine, view, limit, source, measured, threshold, TG_CAUSE_FLOOD,
			&engine->flood_noted);
	return true;
}
