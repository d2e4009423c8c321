/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_PREFETCH_H
#define CORE_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

#include "engine_state.h"

/* Events are looked at in groups: the first time two groups before their steps. */
#define PREFETCH_GROUP 8
#define PREFETCH_RING (PREFETCH_GROUP * 4)

/* Views of a port; those beyond are not looked for ahead. */
#define PREFETCH_VIEWS 8

/* What is known of an event between the first look at it and its step. */
struct prefetch_event {
	uint64_t hash; /* of the flow's key */
	uint32_t flow; /* the first of its bucket */
	unsigned source_count;
	unsigned missing; /* of these sources, not found yet */
	struct source_ahead sources[PREFETCH_VIEWS];
};

struct prefetch {
	const struct tg_event *events;
	size_t count;
	struct prefetch_event ring[PREFETCH_RING];
};

/*
 * Walks a vector of events ahead of the engine: prefetch_begin; before each group of steps
 * prefetch_group with the index of its first event, before each step prefetch_expect, all in
 * order; and prefetch_end. Nothing of what they do changes a decision.
 */
void prefetch_begin(struct prefetch *prefetch, struct tg_engine *engine,
		    const struct tg_event *events, size_t count);
void prefetch_group(struct prefetch *prefetch, struct tg_engine *engine, size_t index);
void prefetch_end(struct tg_engine *engine);

static inline bool prefetch_is_flow(const struct tg_event *event)
{
	return event->type <= TG_EVENT_FLOW_END;
}

/* Tells the tables what was found out about this event. */
static inline void prefetch_expect(const struct prefetch *prefetch, struct tg_engine *engine,
				   size_t index)
{
	const struct tg_flow_key *key = &prefetch->events[index].flow.key;
	const struct prefetch_event *event = &prefetch->ring[index % PREFETCH_RING];
	/* The other table's, too: what the ring held for it may be another event's by now. */
	source_table_expect(engine->sources[TG_IPV4], NULL, 0);
	source_table_expect(engine->sources[TG_IPV6], NULL, 0);
	if (!prefetch_is_flow(&prefetch->events[index]))
		return;
	flow_table_hashed(engine->flows, key, event->hash);
	source_table_expect(engine->sources[key->family], event->sources, event->source_count);
}

#endif
