/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the flows of a capture: their table, their deadlines, and what is told about them. What a
 * packet means to a flow is tracker_flow.c's. A deadline is of its class, so that the flows of a
 * class stand in a list in the order in which they end.
 */
#include "tracker.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"
#include "tracker_flow.h"

#define NONE UINT32_MAX
/* Fifteen minutes of being told about without a packet; then it is told about less often. */
#define TELL_QUIET_MAX 45

/* Deadline classes: those of the states, and of unacknowledged data. */
#define CLASS_UNACKED TG_TCP_STATE_COUNT
#define CLASS_COUNT (TG_TCP_STATE_COUNT + 1)

enum { LINK_END, LINK_TELL, LINK_COUNT };

enum { TELL_OFTEN, TELL_SELDOM, TELL_NEVER };

/* Often is thrice in the default idle-after. Seldom keeps a jump in the capture's time bounded: an
   established flow lives five days. */
static const tg_time tell_every[TELL_NEVER] = {
	[TELL_OFTEN] = 20 * TG_SEC, [TELL_SELDOM] = 900 * TG_SEC};

struct list {
	uint32_t head, tail;
};

struct entry {
	struct tracker_flow flow;
	uint64_t packets, bytes;
	tg_time until; /* the kernel would give it up */
	tg_time told;  /* until, as it was told last */
	tg_time tell;  /* when something is told about it again */
	struct {
		uint32_t prev, next;
	} links[LINK_COUNT];
	uint32_t chain; /* tracker.buckets; tracker.spare */
	uint8_t class;
	uint8_t quiet;   /* times it was told about since its last packet, up to TELL_QUIET_MAX */
	uint8_t telling; /* in which of tracker.tell */
};

struct tracker {
	tracker_event_fn *event_told;
	void *data;
	uint8_t seed[16];
	struct entry *entries;
	uint32_t *buckets; /* index + 1 */
	uint64_t bucket_mask;
	uint32_t max, used, spare; /* used: entries beyond were never touched */
	struct list end[CLASS_COUNT];
	struct list tell[TELL_NEVER];
	tg_time now;
	tg_time due; /* nothing happens before */
	struct tracker_stats stats;
};

/* The kernel's defaults: nf_conntrack_proto_tcp.c. */
static const uint32_t class_timeout_s[CLASS_COUNT] = {
	[TG_TCP_SYN_SENT] = 120,  [TG_TCP_SYN_RECV] = 60,   [TG_TCP_ESTABLISHED] = 432000,
	[TG_TCP_FIN_WAIT] = 120,  [TG_TCP_CLOSE_WAIT] = 60, [TG_TCP_LAST_ACK] = 30,
	[TG_TCP_TIME_WAIT] = 120, [TG_TCP_CLOSE] = 10,      [CLASS_UNACKED] = 300,
};

static void list_append(struct tracker *tracker, struct list *list, int link, uint32_t index)
{
	struct entry *entry = &tracker->entries[index];
	entry->links[link].prev = list->tail;
	entry->links[link].next = NONE;
	if (list->tail == NONE)
		list->head = index;
	else
		tracker->entries[list->tail].links[link].next = index;
	list->tail = index;
}

static void list_remove(struct tracker *tracker, struct list *list, int link, uint32_t index)
{
	const struct entry *entry = &tracker->entries[index];
	const uint32_t prev = entry->links[link].prev, next = entry->links[link].next;
	if (prev == NONE)
		list->head = next;
	else
		tracker->entries[prev].links[link].next = next;
	if (next == NONE)
		list->tail = prev;
	else
		tracker->entries[next].links[link].prev = prev;
}

/* Both directions of a flow have the same. */
static uint32_t *bucket_of(const struct tracker *tracker, const struct tg_flow_key *key)
{
	uint8_t ends[2][18], both[36];
	memcpy(ends[0], key->src, 16);
	memcpy(ends[0] + 16, &key->sport, 2);
	memcpy(ends[1], key->dst, 16);
	memcpy(ends[1] + 16, &key->dport, 2);
	const int first = memcmp(ends[0], ends[1], sizeof(ends[0])) > 0;
	memcpy(both, ends[first], 18);
	memcpy(both + 18, ends[!first], 18);
	return &tracker->buckets[tg_siphash13(tracker->seed, both, sizeof(both)) &
				 tracker->bucket_mask];
}

static uint32_t find(const struct tracker *tracker, const struct tg_flow_key *key, int *ret_dir)
{
	struct tg_flow_key reply = *key;
	memcpy(reply.src, key->dst, 16);
	memcpy(reply.dst, key->src, 16);
	reply.sport = key->dport;
	reply.dport = key->sport;
	for (uint32_t i = *bucket_of(tracker, key); i > 0; i = tracker->entries[i - 1].chain) {
		const struct tg_flow_key *known = &tracker->entries[i - 1].flow.key;
		const bool same = memcmp(known, key, sizeof(*key)) == 0;
		if (!same && memcmp(known, &reply, sizeof(reply)) != 0)
			continue;
		*ret_dir = !same;
		return i - 1;
	}
	return NONE;
}

static void tell(struct tracker *tracker, enum tg_event_type type, struct entry *entry,
		 bool answered)
{
	struct tg_event event = {.type = type,
				 .at = tracker->now,
				 .flow = {.key = entry->flow.key,
					  .state = (uint8_t)entry->flow.state,
					  .answered = answered}};
	if (type != TG_EVENT_FLOW_END) {
		/* Cut to seconds, as the kernel tells it; a second more is what the engine grants.
		 */
		event.flow.timeout_s =
			(uint32_t)MAX((entry->until - tracker->now) / TG_SEC, (tg_time)1);
		entry->told = entry->until;
	}
	if (answered) {
		event.flow.counted = true;
		event.flow.packets = entry->packets;
		event.flow.bytes = entry->bytes;
	}
	tracker->event_told(tracker->data, &event);
}

static void stop_telling(struct tracker *tracker, uint32_t index)
{
	struct entry *entry = &tracker->entries[index];
	if (entry->telling != TELL_NEVER)
		list_remove(tracker, &tracker->tell[entry->telling], LINK_TELL, index);
	entry->telling = TELL_NEVER;
}

static void plan_telling(struct tracker *tracker, uint32_t index)
{
	struct entry *entry = &tracker->entries[index];
	stop_telling(tracker, index);
	entry->telling = entry->quiet < TELL_QUIET_MAX ? TELL_OFTEN : TELL_SELDOM;
	entry->tell = tracker->now + tell_every[entry->telling];
	tracker->due = MIN(tracker->due, entry->tell);
	list_append(tracker, &tracker->tell[entry->telling], LINK_TELL, index);
}

static bool is_closing(const struct entry *entry)
{
	return entry->flow.state == TG_TCP_TIME_WAIT || entry->flow.state == TG_TCP_CLOSE;
}

/* An answer as to a question: for what it was idle, or that its time is longer than was told. */
static void tell_again(struct tracker *tracker, uint32_t index)
{
	struct entry *entry = &tracker->entries[index];
	if (is_closing(entry)) {
		stop_telling(tracker, index);
		return;
	}
	if (entry->flow.state == TG_TCP_ESTABLISHED || entry->until != entry->told)
		tell(tracker, TG_EVENT_FLOW_STATE, entry, true);
	if (entry->quiet < TELL_QUIET_MAX)
		entry->quiet++;
	plan_telling(tracker, index);
}

/* Its time begins anew. */
static void arm(struct tracker *tracker, uint32_t index)
{
	struct entry *entry = &tracker->entries[index];
	entry->class = (uint8_t)entry->flow.state;
	if (entry->flow.state == TG_TCP_ESTABLISHED && tracker_flow_unacked(&entry->flow))
		entry->class = CLASS_UNACKED;
	entry->until = tracker->now + class_timeout_s[entry->class] * TG_SEC;
	tracker->due = MIN(tracker->due, entry->until);
	list_append(tracker, &tracker->end[entry->class], LINK_END, index);
}

static void disarm(struct tracker *tracker, uint32_t index)
{
	list_remove(tracker, &tracker->end[tracker->entries[index].class], LINK_END, index);
}

static void end_flow(struct tracker *tracker, uint32_t index)
{
	struct entry *entry = &tracker->entries[index];
	tell(tracker, TG_EVENT_FLOW_END, entry, false);
	disarm(tracker, index);
	stop_telling(tracker, index);
	uint32_t *at = bucket_of(tracker, &entry->flow.key);
	while (*at != index + 1)
		at = &tracker->entries[*at - 1].chain;
	*at = entry->chain;
	entry->chain = tracker->spare;
	tracker->spare = index;
	tracker->stats.live--;
}

/* What connection tracking would miss least: what is over, then what never was answered. */
static void evict(struct tracker *tracker)
{
	static const uint8_t order[CLASS_COUNT] = {
		TG_TCP_CLOSE,      TG_TCP_TIME_WAIT, TG_TCP_SYN_SENT,
		TG_TCP_SYN_RECV,   TG_TCP_LAST_ACK,  TG_TCP_FIN_WAIT,
		TG_TCP_CLOSE_WAIT, CLASS_UNACKED,    TG_TCP_ESTABLISHED};
	for (size_t i = 0; i < CLASS_COUNT; i++) {
		const uint32_t index = tracker->end[order[i]].head;
		if (index == NONE)
			continue;
		end_flow(tracker, index);
		tracker->stats.evicted++;
		return;
	}
}

static void begin_flow(struct tracker *tracker, const struct packet *packet)
{
	if (tracker->spare == NONE && tracker->used == tracker->max)
		evict(tracker);
	uint32_t index = tracker->spare;
	if (index != NONE)
		tracker->spare = tracker->entries[index].chain;
	else
		index = tracker->used++;
	struct entry *entry = &tracker->entries[index];
	*entry = (struct entry){.packets = 1, .bytes = packet->bytes, .telling = TELL_NEVER};
	tracker_flow_begin(&entry->flow, packet);
	uint32_t *bucket = bucket_of(tracker, &entry->flow.key);
	entry->chain = *bucket;
	*bucket = index + 1;
	tracker->stats.flows++;
	tracker->stats.live++;
	tracker->stats.peak = MAX(tracker->stats.peak, tracker->stats.live);
	arm(tracker, index);
	plan_telling(tracker, index);
	tell(tracker, TG_EVENT_FLOW_NEW, entry, false);
}

static void take(struct tracker *tracker, uint32_t index, const struct packet *packet,
		 enum tg_tcp_state before)
{
	struct entry *entry = &tracker->entries[index];
	const bool was_seldom = entry->telling == TELL_SELDOM;
	entry->packets++;
	entry->bytes += packet->bytes;
	entry->quiet = 0;
	disarm(tracker, index);
	arm(tracker, index);
	if (entry->flow.state != before)
		tell(tracker, TG_EVENT_FLOW_STATE, entry, false);
	if (was_seldom || (entry->telling == TELL_NEVER && !is_closing(entry)))
		plan_telling(tracker, index);
}

void tracker_packet(struct tracker *tracker, tg_time at, const struct packet *packet)
{
	int dir = 0;
	tracker_advance(tracker, at);
	const uint32_t index = find(tracker, &packet->key, &dir);
	if (index == NONE) {
		if (tracker_flow_may_begin(packet))
			begin_flow(tracker, packet);
		else
			tracker->stats.strays++;
		return;
	}
	struct tracker_flow *flow = &tracker->entries[index].flow;
	const enum tg_tcp_state before = flow->state;
	switch (tracker_flow_step(flow, dir, packet)) {
	case TRACKER_INVALID:
		tracker->stats.invalid++;
		break;
	case TRACKER_PASSED:
		break;
	case TRACKER_TAKEN:
		take(tracker, index, packet, before);
		break;
	case TRACKER_REFUSED:
		end_flow(tracker, index);
		break;
	case TRACKER_REOPEN:
		end_flow(tracker, index);
		begin_flow(tracker, packet);
		break;
	}
}

/* The list whose head is due first, of those that end flows, then of those that tell. */
static tg_time find_due(const struct tracker *tracker, size_t *ret_list)
{
	tg_time due = TG_NEVER;
	for (size_t i = 0; i < CLASS_COUNT; i++) {
		const uint32_t head = tracker->end[i].head;
		if (head == NONE || tracker->entries[head].until >= due)
			continue;
		due = tracker->entries[head].until;
		*ret_list = i;
	}
	for (size_t i = 0; i < TELL_NEVER; i++) {
		const uint32_t head = tracker->tell[i].head;
		if (head == NONE || tracker->entries[head].tell >= due)
			continue;
		due = tracker->entries[head].tell;
		*ret_list = CLASS_COUNT + i;
	}
	return due;
}

void tracker_advance(struct tracker *tracker, tg_time to)
{
	/* due is too early after a deadline has moved, and never too late. */
	while (tracker->due <= to) {
		size_t list = 0;
		tracker->due = find_due(tracker, &list);
		if (tracker->due > to)
			break;
		tracker->now = MAX(tracker->now, tracker->due);
		if (list < CLASS_COUNT)
			end_flow(tracker, tracker->end[list].head);
		else
			tell_again(tracker, tracker->tell[list - CLASS_COUNT].head);
	}
	tracker->now = MAX(tracker->now, to);
}

void tracker_stats(const struct tracker *tracker, struct tracker_stats *ret_stats)
{
	*ret_stats = tracker->stats;
}

struct tracker *tracker_create(size_t max_flows, const uint8_t seed[static 16],
			       tracker_event_fn *told, void *data)
{
	struct tracker *tracker = malloc(sizeof(*tracker));
	if (!tracker)
		return NULL;
	*tracker = (struct tracker){.event_told = told,
				    .data = data,
				    .max = (uint32_t)MIN(max_flows, UINT32_MAX / 2),
				    .spare = NONE,
				    .due = TG_NEVER};
	memcpy(tracker->seed, seed, sizeof(tracker->seed));
	for (size_t i = 0; i < CLASS_COUNT; i++)
		tracker->end[i] = (struct list){NONE, NONE};
	for (size_t i = 0; i < TELL_NEVER; i++)
		tracker->tell[i] = (struct list){NONE, NONE};
	size_t buckets = 1;
	while (buckets < tracker->max)
		buckets *= 2;
	tracker->bucket_mask = buckets - 1;
	tracker->buckets = calloc(buckets, sizeof(*tracker->buckets));
	tracker->entries = calloc(tracker->max, sizeof(*tracker->entries));
	if (tracker->buckets && tracker->entries)
		return tracker;
	tracker_destroy(tracker);
	return NULL;
}

void tracker_destroy(struct tracker *tracker)
{
	if (!tracker)
		return;
	free(tracker->buckets);
	free(tracker->entries);
	free(tracker);
}
