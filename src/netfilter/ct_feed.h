/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_FEED_H
#define NETFILTER_CT_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

/*
 * Conntrack as a stream of engine events: the subscription, its exact loss
 * count, the dumps that heal a loss, and single questions about one flow. Owns
 * the sockets and when a resync is due; reads no clock.
 */
struct ct_feed;

struct ct_feed_params {
	uint32_t receive_buffer; /* bytes asked for with SO_RCVBUFFORCE; 0: the default of 32 MiB */
	tg_time now;
};

struct ct_feed_stats {
	uint64_t received; /* messages of the subscription, also the ignored and malformed */
	uint64_t lost;     /* messages the kernel could not deliver (SK_MEMINFO_DROPS) */
	uint64_t ignored;  /* not TCP, or nothing the engine needs */
	uint64_t malformed;
	uint64_t foreign;             /* not sent by the kernel (nl_pid != 0) */
	uint64_t dumped;              /* entries told by dumps */
	uint64_t stale;               /* entries of dumps and answers that an event had overtaken */
	uint64_t dumps, dumps_failed; /* complete ones; begun and cut off, or not begun */
	uint64_t questions;           /* flows asked about */
	uint64_t questions_failed;    /* of those: no answer, or an error; and those refused */
	uint32_t receive_buffer;      /* bytes the kernel granted */
	enum tg_feed_step step;       /* what conntrack is asked to tell */
	tg_time step_since;
	bool behind; /* the last step down was for what waited, not for what was lost */
	uint64_t steps_down, steps_up;
};

/* What conntrack is asked to tell; how it came to that is in the stats. */
enum tg_feed_step ct_feed_step(const struct ct_feed *feed);

/* Subscribes; 0 or -errno. The first resync is due at once. */
int ct_feed_create(const struct ct_feed_params *params, struct ct_feed **ret_feed);
void ct_feed_destroy(struct ct_feed *feed);

/* Subscription; readable when events wait. And: dumps and answers. */
int ct_feed_event_fd(const struct ct_feed *feed);
int ct_feed_query_fd(const struct ct_feed *feed);

/*
 * Fills out with at most cap events from the subscription (a GAP first, if messages were lost since
 * the last call; a FEED, if conntrack is asked for less or for more from now on), and looks at no
 * more than cap messages. The number of events, or -errno. *ret_more is false when the socket was
 * drained, and also when a dump or questions are under way and some thousand events were told since
 * the last ct_feed_query: then the rest waits for that.
 */
int ct_feed_receive(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t cap,
		    bool *ret_more);

/*
 * The same for the query socket: RESYNC_BEGIN, dumped FLOW_STATE, RESYNC_END or RESYNC_FAILED, and
 * the answers to questions. Starts a resync when one is due. Looks at no more than cap messages of
 * each kind.
 */
int ct_feed_query(struct ct_feed *feed, tg_time now, struct tg_event *out, size_t cap,
		  bool *ret_more);

/* When ct_feed_query wants to be called although nothing is readable; TG_NEVER. */
tg_time ct_feed_deadline(const struct ct_feed *feed);

/*
 * Asks the kernel about these flows; the answers come through ct_feed_query. 0 or -errno: -EBUSY
 * when more wait for an answer than the feed keeps (2,048). Then those beyond were not
 * asked, and are counted: ask again later.
 */
int ct_feed_verify(struct ct_feed *feed, const struct tg_flow_key *keys, size_t count);

void ct_feed_stats(const struct ct_feed *feed, struct ct_feed_stats *ret_stats);

#endif
