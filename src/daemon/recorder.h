/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_RECORDER_H
#define DAEMON_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/engine.h>
#include <tcpguard/trace.h>

struct tg_strbuf;

/*
 * One client's trace: what the engine is told from now on, behind a picture of what it
 * knew before. Never larger than it is made: what a slow client leaves no room for is
 * counted, told as a GAP, and healed by a new picture.
 */
struct recorder;

/* Encoded events that wait for the client: some 100,000. */
#define RECORDER_BUFFER (1024 * 1024)

/* What a picture is made of, at the time of a call. */
struct recorder_view {
	const struct tg_engine *engine;
	const struct tg_config *config;
	const struct tg_prefix_set *protected, *admins;
	tg_time now;
};

struct recorder_stats {
	uint64_t events, lost;
};

/* NULL when memory runs out. */
struct recorder *recorder_create(const struct tg_trace_header *header);
void recorder_destroy(struct recorder *recorder);
/* Before the engine is told. */
void recorder_event(struct recorder *recorder, const struct tg_event *event);
/*
 * Appends the next some KiB as lines of the control socket. False when the trace cannot
 * go on: more prefixes are protected than one can hold.
 */
bool recorder_fill(struct recorder *recorder, const struct recorder_view *view,
		   struct tg_strbuf *out);
/* Is there anything for recorder_fill to append? */
bool recorder_waits(const struct recorder *recorder);
void recorder_stats(const struct recorder *recorder, struct recorder_stats *ret_stats);

#endif
