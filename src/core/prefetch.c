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

/* The sources that the flow most likely belongs to: which of them stand alone only the flow knows,
 * and they are few. */
static void look_for_sets(const struct tg_engine *engine, const struct tg_flow_key *key,
			  struct prefetch_event *event)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	event->source_count = 0;
	if (!ruleset)
		return;
	const struct ruleset_class *class = ruleset_class(ruleset, key->dport);
	const unsigned count = MIN(class->view_count, PREFETCH_VIEWS);
	const struct tg_addr src = counts_addr(key, key->src);
	for (unsigned i = 0; i < count; i++) {
		const uint16_t v = class->views[i];
		const struct tg_prefix masked =
			tg_addr_mask(&src, ruleset->views[v].len[src.family]);
		source_table_ahead_sets(engine->sources[src.family], masked.addr.bytes,
					SOURCE_VIEW(v, false),
					&event->sources[event->source_count++]);
	}
}

static void look_for_sources(const struct tg_engine *engine, const struct tg_flow_key *key,
			     struct prefetch_event *event)
{
	const enum tg_family family = (enum tg_family)key->family;
	const struct tg_ruleset *ruleset = engine->ruleset;
	for (unsigned i = 0; i < event->source_count; i++) {
		struct source_ahead *ahead = &event->sources[i];
		source_table_ahead_source(engine->sources[family], ahead);
		if (ahead->slot != SOURCE_NONE && ruleset->bucket_count > 0)
			__builtin_prefetch(sources_buckets(engine, family, ahead->slot), 1);
	}
}

/* The looks of one moment: one at each event that has come near enough. */
static void look(struct prefetch *prefetch, struct tg_engine *engine, size_t front)
{
	const struct tg_event *events = prefetch->events;
	const size_t flow = front - BEHIND_FLOW, links = front - BEHIND_LINKS; /* may wrap */
	if (front < prefetch->count && is_flow(&events[front])) {
		struct prefetch_event *event = &prefetch->ring[front % PREFETCH_RING];
		event->hash = flow_table_ahead_bucket(engine->flows, &events[front].flow.key);
		look_for_sets(engine, &events[front].flow.key, event);
	}
	if (flow < prefetch->count && is_flow(&events[flow])) {
		struct prefetch_event *event = &prefetch->ring[flow % PREFETCH_RING];
		event->flow = flow_table_ahead_flow(engine->flows, event->hash);
		look_for_sources(engine, &events[flow].flow.key, event);
	}
	if (links < prefetch->count && is_flow(&events[links]))
		flow_table_ahead_links(engine->flows, &events[links].flow.key,
				       prefetch->ring[links % PREFETCH_RING].flow);
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
	prefetch_end(engine);
	if (!is_flow(&prefetch->events[index]))
		return;
	const struct tg_flow_key *key = &prefetch->events[index].flow.key;
	const struct prefetch_event *event = &prefetch->ring[index % PREFETCH_RING];
	flow_table_hashed(engine->flows, key, event->hash);
	source_table_expect(engine->sources[key->family], event->sources, event->source_count);
}

void prefetch_end(struct tg_engine *engine)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		source_table_expect(engine->sources[f], NULL, 0);
}
