/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_PREFETCH_H
#define CORE_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

#include "source_table.h"

struct tg_engine;

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
	struct source_ahead sources[PREFETCH_VIEWS];
};

struct prefetch {
	const struct tg_event *events;
	size_t count;
	struct prefetch_event ring[PREFETCH_RING];
};

/*
 * Walks a vector of events ahead of the engine: prefetch_begin, then prefetch_next
 * before the step of each event, in order, and prefetch_end. Nothing of what it does changes a
 * decision.
 */
void prefetch_begin(struct prefetch *prefetch, struct tg_engine *engine,
		    const struct tg_event *events, size_t count);
void prefetch_next(struct prefetch *prefetch, struct tg_engine *engine, size_t index);
void prefetch_end(struct tg_engine *engine);

#endif
