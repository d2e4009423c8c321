/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the order in which the memory of the events to come is asked for. With a million sources
 * nearly every table an event touches lies in memory that no cache holds, and each
 * read depends on the one before it: bucket, flow, its neighbours in the wheel; tags, source,
 * buckets. Asked for some events ahead, the waits of a dozen events overlap.
 */
#include "prefetch.h"

#include "base/util.h"

/* The sources that the flow most likely belongs to: which of them stand alone only the flow knows,
 * and they are few. */
static void look_for_sets(const struct tg_engine *engine, const struct tg_flow_key *key,
			  struct prefetch_event *event)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	event->source_count = event->missing = 0;
	if (!ruleset)
		return;
	const struct ruleset_class *class = ruleset_class(ruleset, key->dport);
	const unsigned count = MIN(class->view_count, PREFETCH_VIEWS);
	const struct tg_addr src = counts_addr(key, key->src);
	for (unsigned i = 0; i < count; i++) {
		const uint16_t v = class->views[i];
		const struct tg_addr masked = ruleset_mask(&ruleset->views[v], &src);
		source_table_ahead_set(engine->sources[src.family], masked.bytes,
				       SOURCE_VIEW(v, false), &event->sources[i]);
	}
	event->source_count = event->missing = count;
}

static void look_for_sources(const struct tg_engine *engine, const struct tg_flow_key *key,
			     unsigned which, struct prefetch_event *event)
{
	const enum tg_family family = (enum tg_family)key->family;
	const struct tg_ruleset *ruleset = engine->ruleset;
	for (unsigned i = 0; i < event->source_count; i++) {
		struct source_ahead *ahead = &event->sources[i];
		if (ahead->slot != SOURCE_NONE)
			continue;
		source_table_ahead_source(engine->sources[family], which, ahead);
		if (ahead->slot == SOURCE_NONE)
			continue;
		event->missing--;
		if (ruleset->bucket_count > 0)
			__builtin_prefetch(sources_buckets(engine, family, ahead->slot), 1);
	}
}

/* The event behind the last one of the group. */
static size_t group_end(const struct prefetch *prefetch, size_t group)
{
	return MIN(group + PREFETCH_GROUP, prefetch->count);
}

static void look_first(struct prefetch *prefetch, struct tg_engine *engine, size_t group)
{
	const size_t end = group_end(prefetch, group);
	for (size_t i = group; i < end; i++) {
		struct prefetch_event *event = &prefetch->ring[i % PREFETCH_RING];
		const struct tg_flow_key *key = &prefetch->events[i].flow.key;
		if (!prefetch_is_flow(&prefetch->events[i]))
			continue;
		event->hash = flow_table_ahead_bucket(engine->flows, key);
		look_for_sets(engine, key, event);
	}
}

static void look_second(struct prefetch *prefetch, struct tg_engine *engine, size_t group)
{
	const size_t end = group_end(prefetch, group);
	for (size_t i = group; i < end; i++) {
		struct prefetch_event *event = &prefetch->ring[i % PREFETCH_RING];
		if (!prefetch_is_flow(&prefetch->events[i]))
			continue;
		event->flow = flow_table_ahead_flow(engine->flows, event->hash);
		look_for_sources(engine, &prefetch->events[i].flow.key, 0, event);
	}
}

static void look_third(struct prefetch *prefetch, struct tg_engine *engine, size_t group)
{
	const size_t end = group_end(prefetch, group);
	for (size_t i = group; i < end; i++) {
		struct prefetch_event *event = &prefetch->ring[i % PREFETCH_RING];
		if (!prefetch_is_flow(&prefetch->events[i]))
			continue;
		flow_table_ahead_links(engine->flows, event->flow);
		if (event->missing > 0)
			look_for_sources(engine, &prefetch->events[i].flow.key, 1, event);
	}
}

void prefetch_begin(struct prefetch *prefetch, struct tg_engine *engine,
		    const struct tg_event *events, size_t count)
{
	prefetch->events = events;
	prefetch->count = count;
	look_first(prefetch, engine, 0);
	look_first(prefetch, engine, PREFETCH_GROUP);
	look_second(prefetch, engine, 0);
}

void prefetch_group(struct prefetch *prefetch, struct tg_engine *engine, size_t index)
{
	look_first(prefetch, engine, index + 2 * PREFETCH_GROUP);
	look_second(prefetch, engine, index + PREFETCH_GROUP);
	look_third(prefetch, engine, index);
}

void prefetch_end(struct tg_engine *engine)
{
	flow_table_forget(engine->flows);
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		source_table_expect(engine->sources[f], NULL, 0);
}
