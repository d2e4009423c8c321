/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts the parts together: the subscription, the dump, the questions, the schedule. It
 * keeps one promise of order: nothing old is told after something newer about the same
 * flow. The kernel writes parts of dumps and answers ahead of our reading, so while
 * either is under way the events that pass are noted, and what they overtook is
 * corrected or left out.
 */
#include "netfilter/ct_feed.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/util.h"
#include "netfilter/ct_ask.h"
#include "host/ct_decode.h"
#include "netfilter/ct_dump.h"
#include "netfilter/ct_recent.h"
#include "netfilter/ct_schedule.h"
#include "netfilter/ct_steps.h"
#include "host/nl_reader.h"
#include "host/nlsock.h"

/* The kernel grants twice that: 52,000 events, half a second of 100,000 in a second. */
#define RECEIVE_BUFFER (32u << 20)
/* An event takes 200 to 400 bytes, with labels, helper and security context below 1 KiB. */
#define EVENT_MAX 2048
/* Events for one system call. */
#define EVENTS 256
/* Of the buffer. So much waits after a stall of a tenth of a second, or when reading falls behind.
 */
#define BEHIND_PART 4

struct ct_feed {
	struct nlsock events;
	struct nl_reader reader;
	uint32_t drops; /* as the kernel last told */
	struct ct_dump dump;
	struct ct_recent *during_dump;
	struct ct_ask ask;
	struct ct_recent *during_ask;
	struct ct_schedule schedule;
	struct ct_steps steps;
	int query_fd; /* epoll of dump and ask */
	struct ct_feed_stats stats;
};

static int query_fd_add(struct ct_feed *feed, int fd)
{
	struct epoll_event interest = {.events = EPOLLIN};
	return epoll_ctl(feed->query_fd, EPOLL_CTL_ADD, fd, &interest) < 0 ? -errno : 0;
}

/* The step from which on each is not listened to. A group without a listener costs nothing. */
static const struct {
	unsigned group;
	enum tg_feed_step until;
} groups[] = {
	{NFNLGRP_CONNTRACK_NEW, TG_FEED_NOTHING},
	{NFNLGRP_CONNTRACK_UPDATE, TG_FEED_NO_UPDATES},
	{NFNLGRP_CONNTRACK_DESTROY, TG_FEED_NEW},
};

/* The buffer is sized before the first message can come. */
static int subscribe(struct ct_feed *feed, uint32_t receive_buffer)
{
	int error = nlsock_open(NETLINK_NETFILTER, &feed->events);
	if (error < 0)
		return error;
	error = nlsock_set_receive_buffer(&feed->events, receive_buffer,
					  &feed->stats.receive_buffer);
	if (error < 0)
		return error;
	error = nlsock_set_no_enobufs(&feed->events);
	for (size_t i = 0; error == 0 && i < ARRAY_SIZE(groups); i++)
		error = nlsock_join(&feed->events, groups[i].group);
	return error;
}

static int feed_init(struct ct_feed *feed, uint32_t receive_buffer, tg_time now)
{
	feed->during_dump = ct_recent_create();
	feed->during_ask = ct_recent_create();
	if (!feed->during_dump || !feed->during_ask)
		return -ENOMEM;
	int error = nl_reader_init(&feed->reader, EVENTS, EVENT_MAX);
	if (error < 0)
		return error;
	error = ct_dump_init(&feed->dump);
	if (error < 0)
		return error;
	error = ct_ask_init(&feed->ask);
	if (error < 0)
		return error;
	feed->query_fd = epoll_create1(EPOLL_CLOEXEC);
	if (feed->query_fd < 0)
		return -errno;
	error = query_fd_add(feed, feed->ask.sock.fd);
	if (error < 0)
		return error;
	ct_schedule_init(&feed->schedule);
	ct_steps_init(&feed->steps, now);
	return subscribe(feed, receive_buffer);
}

int ct_feed_create(const struct ct_feed_params *params, struct ct_feed **ret_feed)
{
	struct ct_feed *feed = malloc(sizeof(*feed));
	if (!feed)
		return -ENOMEM;
	*feed = (struct ct_feed){
		.events = NLSOCK_CLOSED,
		.dump = {.sock = NLSOCK_CLOSED},
		.ask = {.sock = NLSOCK_CLOSED},
		.query_fd = -1,
	};
	int error =
		feed_init(feed, params->receive_buffer ? params->receive_buffer : RECEIVE_BUFFER,
			  params->now);
	if (error < 0) {
		ct_feed_destroy(feed);
		return error;
	}
	*ret_feed = feed;
	return 0;
}

void ct_feed_destroy(struct ct_feed *feed)
{
	if (!feed)
		return;
	nlsock_close(&feed->events);
	nl_reader_finish(&feed->reader);
	ct_dump_finish(&feed->dump);
	ct_ask_finish(&feed->ask);
	ct_recent_destroy(feed->during_dump);
	ct_recent_destroy(feed->during_ask);
	if (feed->query_fd >= 0)
		(void)close(feed->query_fd); /* an epoll holds nothing that could be lost */
	free(feed);
}

int ct_feed_event_fd(const struct ct_feed *feed)
{
	return feed->events.fd;
}

int ct_feed_query_fd(const struct ct_feed *feed)
{
	return feed->query_fd;
}

static size_t put(struct tg_event *out, enum tg_event_type type, tg_time now)
{
	out->type = type;
	out->at = now;
	return 1;
}

static size_t put_flow(struct tg_event *out, enum tg_event_type type, tg_time now,
		       const struct tg_flow_event *flow)
{
	out->flow = *flow;
	return put(out, type, now);
}

/* Asks for more or for less; the engine is told before anything that comes of it. */
static size_t put_step(struct ct_feed *feed, tg_time now, struct tg_event *out, int *ret_error)
{
	const enum tg_feed_step step = feed->steps.step;
	for (size_t i = 0; i < ARRAY_SIZE(groups) && *ret_error == 0; i++)
		*ret_error = step < groups[i].until ? nlsock_join(&feed->events, groups[i].group)
						    : nlsock_leave(&feed->events, groups[i].group);
	if (step == TG_FEED_ALL)
		ct_schedule_want(&feed->schedule);
	out->feed = step;
	return put(out, TG_EVENT_FEED, now);
}

/*
 * What was lost, and what follows from it and from what waits: two events at most. The counter
 * wraps, its difference does not.
 */
static size_t look(struct ct_feed *feed, tg_time now, struct tg_event *out, int *ret_error)
{
	struct nlsock_load load;
	size_t n = 0;
	/* Cannot fail on our own socket; if it did, the next call would tell all. */
	if (nlsock_load(&feed->events, &load) < 0)
		return 0;
	const uint32_t lost = load.drops - feed->drops;
	if (lost > 0) {
		out->lost = lost;
		feed->drops = load.drops;
		feed->stats.lost += lost;
		ct_schedule_loss(&feed->schedule, now);
		n += put(out, TG_EVENT_GAP, now);
	}
	if (ct_steps_look(&feed->steps, now, lost > 0, load.queued > load.size / BEHIND_PART))
		n += put_step(feed, now, &out[n], ret_error);
	return n;
}

static void note(struct ct_feed *feed, const struct tg_flow_event *flow, bool ended)
{
	if (ct_dump_is_running(&feed->dump))
		ct_recent_note(feed->during_dump, flow, ended);
	if (ct_ask_pending(&feed->ask) > 0)
		ct_recent_note(feed->during_ask, flow, ended);
}

/* How many events can be noted where they must be. */
static unsigned note_room(const struct ct_feed *feed)
{
	unsigned room = UINT32_MAX;
	if (ct_dump_is_running(&feed->dump))
		room = ct_recent_room(feed->during_dump);
	if (ct_ask_pending(&feed->ask) > 0)
		room = MIN(room, ct_recent_room(feed->during_ask));
	return room;
}

static size_t put_event(struct ct_feed *feed, tg_time now, const struct nlmsghdr *message,
			struct tg_event *out)
{
	static const enum tg_event_type types[] = {
		[CT_NEW] = TG_EVENT_FLOW_NEW,
		[CT_UPDATE] = TG_EVENT_FLOW_STATE,
		[CT_DESTROY] = TG_EVENT_FLOW_END,
	};
	enum ct_kind kind;
	bool dying; /* of no matter: its DESTROY comes, too */
	feed->stats.received++;
	switch (ct_decode_flow(message, message->nlmsg_len, &kind, &dying, &out->flow)) {
	case CT_FLOW:
		note(feed, &out->flow, kind == CT_DESTROY);
		return put(out, types[kind], now);
	case CT_IGNORED:
		feed->stats.ignored++;
		break;
	case CT_MALFORMED:
		feed->stats.malformed++;
		break;
	}
	return 0;
}

int ct_feed_receive(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t cap,
		    bool *ret_more)
{
	int error = 0;
	size_t n = cap > 1 ? look(feed, now, out, &error) : 0;
	if (error < 0)
		return error;
	size_t budget = MIN(cap - n, (size_t)note_room(feed));
	bool drained = false;
	while (budget > 0) {
		const struct nlmsghdr *message = nl_reader_next(&feed->reader);
		if (message) {
			n += put_event(feed, now, message, &out[n]);
			budget--;
			continue;
		}
		if (drained)
			break;
		const unsigned want = (unsigned)MIN(budget, (size_t)EVENTS);
		int got = nl_reader_fill(&feed->reader, feed->events.fd, want);
		if (got < 0) {
			if (n == 0)
				return got;
			break; /* the next call meets it again */
		}
		drained = (unsigned)got < want;
	}
	/* Without room to note, another call gets no further until ct_feed_query was called. */
	*ret_more = note_room(feed) > 0 && (!drained || !nl_reader_is_empty(&feed->reader));
	return (int)n;
}

/* What is not told of meanwhile would be missing in what a dump makes good. */
static tg_time resync_due(const struct ct_feed *feed)
{
	return feed->steps.step == TG_FEED_ALL ? ct_schedule_due(&feed->schedule) : TG_NEVER;
}

static void begin_resync(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t *n)
{
	ct_schedule_begin(&feed->schedule, now);
	int error = ct_dump_begin(&feed->dump, now, NULL);
	if (error == 0)
		error = query_fd_add(feed, feed->dump.sock.fd);
	if (error < 0) {
		nlsock_close(&feed->dump.sock);
		ct_schedule_fail(&feed->schedule, now);
		feed->stats.dumps_failed++;
		return;
	}
	ct_recent_reset(feed->during_dump, now);
	*n += put(out, TG_EVENT_RESYNC_BEGIN, now);
}

/* An entry of a dump, or what an event since made of it. */
static size_t put_dumped(struct ct_feed *feed, tg_time now, struct ct_message *entry,
			 struct tg_event *out)
{
	const struct ct_recent_news *news = ct_recent_find(feed->during_dump, &entry->flow.key);
	if (entry->dying) {
		feed->stats.ignored++;
		return 0;
	}
	if (news) {
		feed->stats.stale++;
		if (news->ended)
			return 0;
		if (news->state != TG_TCP_UNKNOWN) {
			entry->flow.state = news->state;
			entry->flow.timeout_s = news->timeout_s;
		}
	}
	entry->flow.dumped = true;
	feed->stats.dumped++;
	return put_flow(out, TG_EVENT_FLOW_STATE, now, &entry->flow);
}

/* False when the dump has nothing to tell now. */
static bool step_dump(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t *n)
{
	struct ct_message entry;
	switch (ct_dump_next(&feed->dump, now, &entry)) {
	case CT_DUMP_WAIT:
		return false;
	case CT_DUMP_PART:
		ct_recent_turn(feed->during_dump);
		return true;
	case CT_DUMP_ENTRY:
		*n += put_dumped(feed, now, &entry, out);
		return true;
	case CT_DUMP_IGNORED:
		feed->stats.ignored++;
		return true;
	case CT_DUMP_MALFORMED:
		feed->stats.malformed++;
		return true;
	case CT_DUMP_END:
		ct_schedule_end(&feed->schedule, now);
		feed->stats.dumps++;
		*n += put(out, TG_EVENT_RESYNC_END, now);
		return false;
	case CT_DUMP_FAILED:
		ct_schedule_fail(&feed->schedule, now);
		feed->stats.dumps_failed++;
		*n += put(out, TG_EVENT_RESYNC_FAILED, now);
		return false;
	}
	return false;
}

/* False when there is no answer any more. */
static bool step_ask(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t *n)
{
	struct ct_message flow;
	const enum ct_ask_step step = ct_ask_next(&feed->ask, &flow);
	switch (step) {
	case CT_ASK_EMPTY:
		return false;
	case CT_ASK_STRAY:
		feed->stats.ignored++;
		return true;
	case CT_ASK_FAILED:
		return true;
	case CT_ASK_FLOW:
	case CT_ASK_GONE:
		break;
	}
	flow.flow.answered = true;
	/* What an event said meanwhile is newer, and it said all there is to know. */
	if (ct_recent_find(feed->during_ask, &flow.flow.key))
		feed->stats.stale++;
	else
		*n += put_flow(out, step == CT_ASK_GONE ? TG_EVENT_FLOW_END : TG_EVENT_FLOW_STATE,
			       now, &flow.flow);
	return true;
}

int ct_feed_query(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t cap,
		  bool *ret_more)
{
	size_t n = 0, budget = cap;
	bool answers = true, entries = true;
	int error = 0;
	/* Nothing may come any more that would have somebody look. */
	if (cap > 2 && now >= ct_steps_due(&feed->steps))
		n = look(feed, now, out, &error);
	if (error < 0)
		return error;
	if (n < cap && !ct_dump_is_running(&feed->dump) && now >= resync_due(feed))
		begin_resync(feed, now, &out[n], &n);
	for (; answers && budget > 0 && n < cap; budget--)
		answers = step_ask(feed, now, &out[n], &n);
	entries = ct_dump_is_running(&feed->dump);
	for (budget = cap; entries && budget > 0 && n < cap; budget--)
		entries = step_dump(feed, now, &out[n], &n);
	*ret_more = answers || entries;
	return (int)n;
}

tg_time ct_feed_deadline(const struct ct_feed *feed)
{
	/* Received, but there was no room to tell it; or an answer that did not come. */
	if (!nl_reader_is_empty(&feed->ask.reader) || ct_ask_pending(&feed->ask) > 0)
		return 0;
	const tg_time steps = ct_steps_due(&feed->steps);
	if (!ct_dump_is_running(&feed->dump))
		return MIN(steps, resync_due(feed));
	return nl_reader_is_empty(&feed->dump.reader) ? MIN(steps, ct_dump_deadline(&feed->dump))
						      : 0;
}

int ct_feed_verify(struct ct_feed *feed, const struct tg_flow_key *keys, size_t count)
{
	const size_t room = ct_ask_room(&feed->ask);
	size_t asked = 0;
	if (ct_ask_pending(&feed->ask) == 0)
		ct_recent_reset(feed->during_ask, feed->schedule.began);
	int error = ct_ask_send(&feed->ask, keys, MIN(count, room), &asked);
	feed->stats.questions += asked;
	feed->stats.questions_failed += count - asked;
	if (error < 0)
		return error;
	return asked < count ? -EBUSY : 0;
}

enum tg_feed_step ct_feed_step(const struct ct_feed *feed)
{
	return feed->steps.step;
}

void ct_feed_stats(const struct ct_feed *feed, struct ct_feed_stats *ret_stats)
{
	*ret_stats = feed->stats;
	ret_stats->received += feed->reader.malformed;
	ret_stats->malformed +=
		feed->reader.malformed + feed->dump.reader.malformed + feed->ask.reader.malformed;
	ret_stats->foreign =
		feed->reader.foreign + feed->dump.reader.foreign + feed->ask.reader.foreign;
	ret_stats->questions_failed += feed->ask.failed;
	ret_stats->step = feed->steps.step;
	ret_stats->step_since = feed->steps.since;
	ret_stats->behind = feed->steps.why == CT_STEPS_BEHIND;
	ret_stats->steps_down = feed->steps.downs;
	ret_stats->steps_up = feed->steps.ups;
}
