/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Captured frames: the first byte is the kind of link, then each frame comes with its length before
 * it, two bytes, and a byte of time. What they say goes through the tracker, whose events must be a
 * life that a connection can have.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/packet.h"
#include "cli/tracker.h"

#define FLOWS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told(void *data, const struct tg_event *event)
{
	tg_time *last = data;
	assert(event->at >= *last);
	assert(event->flow.state < TG_TCP_STATE_COUNT);
	assert((event->type == TG_EVENT_FLOW_END) == (event->flow.timeout_s == 0));
	*last = event->at;
}

/* A copy that ends where the frame does, so that a sanitizer sees what is read beyond. */
static void frame(struct tracker *tracker, enum packet_link link, tg_time at, const uint8_t *bytes,
		  size_t len)
{
	uint8_t *copy = malloc(len + 1);
	struct packet packet;
	if (!copy)
		return;
	memcpy(copy + 1, bytes, len);
	if (packet_decode(link, copy + 1, len, len, &packet) == PACKET_TCP)
		tracker_packet(tracker, at, &packet);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[16];
	tg_time last = 0, now = 0;
	struct tracker *tracker = tracker_create(FLOWS_MAX, seed, told, &last);
	if (!tracker || size == 0) {
		tracker_destroy(tracker);
		return 0;
	}
	const enum packet_link link = data[0] % PACKET_LINK_COUNT;
	for (size_t at = 1; size - at >= 3;) {
		const size_t want = (size_t)(data[at] << 8 | data[at + 1]);
		now += data[at + 2] * TG_SEC;
		at += 3;
		const size_t len = want < size - at ? want : size - at;
		frame(tracker, link, now, data + at, len);
		at += len;
	}
	struct tracker_stats stats;
	tracker_stats(tracker, &stats);
	assert(stats.live <= FLOWS_MAX && stats.peak <= FLOWS_MAX);
	/* All of them end. */
	tracker_advance(tracker, now + 6 * 24 * 3600 * TG_SEC);
	tracker_stats(tracker, &stats);
	assert(stats.live == 0);
	tracker_destroy(tracker);
	return 0;
}
