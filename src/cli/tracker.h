/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TRACKER_H
#define CLI_TRACKER_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

#include "packet.h"

/*
 * Follows TCP connections by their packets and tells what Linux's connection tracking would have
 * told: a flow begins with a SYN alone (as with nf_conntrack_tcp_loose=0), and ends by the kernel's
 * default timeouts. Beside it, an answer about each flow now and then, as the daemon gets one when
 * it asks: what its packets and bytes are, and how long it has left.
 */
struct tracker;

/* In the order of time. The event lives for the call. */
typedef void tracker_event_fn(void *data, const struct tg_event *event);

struct tracker_stats {
	uint64_t flows;   /* begun */
	uint64_t strays;  /* packets of no flow: their connection was not seen to begin */
	uint64_t invalid; /* packets that cannot be where they are */
	uint64_t evicted; /* flows given up for a newer one, because there were too many */
	size_t live, peak;
};

/*
 * seed is of the hash alone: the events do not depend on it. NULL when memory runs out. max_flows
 * is from 1; 150 bytes of memory for each are used as they come.
 */
struct tracker *tracker_create(size_t max_flows, const uint8_t seed[static 16],
			       tracker_event_fn *told, void *data);
void tracker_destroy(struct tracker *tracker);

/* Time that goes back is taken as standing still. */
void tracker_packet(struct tracker *tracker, tg_time at, const struct packet *packet);
/* What is due until then, without a packet. */
void tracker_advance(struct tracker *tracker, tg_time to);
void tracker_stats(const struct tracker *tracker, struct tracker_stats *ret_stats);

#endif
