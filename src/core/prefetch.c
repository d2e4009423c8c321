/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the order in which the memory of the events to come is asked for. With a million sources
 * nearly every table an event touches lies in memory that no cache holds, and each
 * read depends on the one before it: bucket, flow, its neighbours in the wheel; tags, source,
 * buckets. Asked for some events ahead, the waits of a dozen events overlap.
 */
#include "prefetch.h"

#include "base/util.h"
#include "engine_state.h"

/* How many events after the first look the others come; memory takes some 100 ns, a step half that.
 */
#define BEHIND_FLOW 4
#define BEHIND_LINKS 8
_Static_assert(PREFETCH_AHEAD < PREFETCH_RING, "the ring holds all that is under way");

static bool is_flow(const struct tg_event *event)
{
	return event->type <= TG_EVENT_FLOW_END;
}

/* What to do with each source that the flow most likely belongs to. */
typedef void source_fn(struct tg_engine *engine, const struct tg_prefix *source,
		       uint16_t source_view);

static inline __attribute__((always_inline)) void
each_source(struct tg_engine *engine, const struct tg_flow_key *key, source_fn *look)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	if (!ruleset)
		return;
	const struct ruleset_class *class = ruleset_class(ruleset, key->dport);
	const struct tg_addr src = counts_addr(key, key->src);
	const struct tg_addr dst = counts_addr(key, key->dst);
	for (uint16_t i = 0; i < class->view_count; i++) {
		const uint16_t v = class->views[i];
		const struct ruleset_view *view = &ruleset->views[v];
		if (!ruleset_match_address(&ruleset->config->policies[view->policy], &dst))
			continue;
		/* Which sources stand alone only the flow knows; they are few. */
		const struct tg_prefix masked = tg_addr_mask(&src, view->len[src.family]);
		look(engine, &masked, SOURCE_VIEW(v, false));
	}
}

static void look_for_sets(struct tg_engine *engine, const struct tg_prefix *source,
			  uint16_t source_view)
{
	source_table_ahead_sets(engine->sources[source->addr.family], source->addr.bytes,
				source_view);
}

static void look_for_source(struct tg_engine *engine, const struct tg_prefix *source,
			    uint16_t source_view)
{
	const enum tg_family family = (enum tg_family)source->addr.family;
	const uint32_t slot = source_table_ahead_source(engine->sources[family],
							source->addr.bytes, source_view);
	if (slot != SOURCE_NONE && engine->ruleset->views[SOURCE_VIEW_INDEX(source_view)].pours)
		__builtin_prefetch(sources_buckets(engine, family, slot), 1);
}

/* The looks of one moment: one at each event that has come near enough. */
static void look(struct prefetch *prefetch, struct tg_engine *engine, size_t front)
{
	const struct tg_event *events = prefetch->events;
	const size_t flow = front - BEHIND_FLOW, links = front - BEHIND_LINKS; /* may wrap */
	if (front < prefetch->count && is_flow(&events[front]))
		prefetch->hashes[front % PREFETCH_RING] =
			flow_table_ahead_bucket(engine->flows, &events[front].flow.key);
	if (flow < prefetch->count && is_flow(&events[flow])) {
		prefetch->flows[flow % PREFETCH_RING] = flow_table_ahead_flow(
			engine->flows, prefetch->hashes[flow % PREFETCH_RING]);
		each_source(engine, &events[flow].flow.key, look_for_sets);
	}
	if (links < prefetch->count && is_flow(&events[links])) {
		flow_table_ahead_links(engine->flows, &events[links].flow.key,
				       prefetch->flows[links % PREFETCH_RING]);
		each_source(engine, &events[links].flow.key, look_for_source);
	}
}

void prefetch_begin(struct prefetch *prefetch, struct tg_engine *engine,
		    const struct tg_event *events, size_t count)
{
	prefetch->events = events;
	prefetch->count = count;
	for (size_t front = 0; front < PREFETCH_AHEAD; front++)
		look(prefetch, engine, front);
}

void prefetch_next(struct prefetch *prefetch, struct tg_engine *engine, size_t index)
{
	look(prefetch, engine, index + PREFETCH_AHEAD);
	if (is_flow(&prefetch->events[index]))
		flow_table_hashed(engine->flows, &prefetch->events[index].flow.key,
				  prefetch->hashes[index % PREFETCH_RING]);
}
