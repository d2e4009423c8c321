/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_PREFETCH_H
#define CORE_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

struct tg_engine;

/* How many events the first look at one comes before its step. */
#define PREFETCH_AHEAD 12
#define PREFETCH_RING 16

/* What is known of the events between the first look at them and their step. */
struct prefetch {
	const struct tg_event *events;
	size_t count;
	uint64_t hashes[PREFETCH_RING]; /* of the flow's key */
	uint32_t flows[PREFETCH_RING];  /* the first of its bucket */
};

/*
 * Walks a vector of events ahead of the engine: prefetch_begin, then prefetch_next
 * before the step of each event, in order. Nothing of what it does changes a decision.
 */
void prefetch_begin(struct prefetch *prefetch, struct tg_engine *engine,
		    const struct tg_event *events, size_t count);
void prefetch_next(struct prefetch *prefetch, struct tg_engine *engine, size_t index);

#endif
