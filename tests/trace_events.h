/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_TRACE_EVENTS_H
#define TESTS_TRACE_EVENTS_H

/* Do two events say the same? By field: unions and padding hold what was there before. */
#include <stdbool.h>
#include <string.h>

#include <tcpguard/event.h>
#include <tcpguard/protect.h>

static inline bool same_rate(const struct tg_rate *a, const struct tg_rate *b)
{
	return a->count == b->count && a->per_ms == b->per_ms;
}

static inline bool same_flow(const struct tg_flow_event *a, const struct tg_flow_event *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key)) == 0 && a->state == b->state &&
	       a->dumped == b->dumped && a->answered == b->answered &&
	       a->timeout_s == b->timeout_s && a->counted == b->counted &&
	       a->packets == b->packets && a->bytes == b->bytes;
}

static inline bool same_adopt(const struct tg_adopt *a, const struct tg_adopt *b)
{
	return a->stored == b->stored && a->record == b->record && a->unproven == b->unproven &&
	       tg_prefix_equal(&a->source, &b->source) && a->action == b->action &&
	       a->scope == b->scope && a->origin == b->origin &&
	       strcmp(a->policy, b->policy) == 0 && strcmp(a->limit, b->limit) == 0 &&
	       same_rate(&a->to, &b->to) && a->measured == b->measured &&
	       a->threshold == b->threshold && a->offence == b->offence && a->age_ms == b->age_ms &&
	       a->left_ms == b->left_ms && strcmp(a->reason, b->reason) == 0;
}

static inline bool same_witness(const struct tg_witness *a, const struct tg_witness *b)
{
	return tg_prefix_equal(&a->source, &b->source) && strcmp(a->policy, b->policy) == 0 &&
	       strcmp(a->limit, b->limit) == 0 && a->proven == b->proven;
}

static inline bool same_traffic(const struct tg_traffic *a, const struct tg_traffic *b)
{
	return tg_prefix_equal(&a->source, &b->source) && a->scope == b->scope &&
	       strcmp(a->policy, b->policy) == 0 && a->packets == b->packets &&
	       a->proxied == b->proxied && a->finished == b->finished;
}

static inline bool same_request(const struct tg_ban_request *a, const struct tg_ban_request *b)
{
	return a->request == b->request && a->scope == b->scope && a->force == b->force &&
	       tg_prefix_equal(&a->source, &b->source) && a->all == b->all &&
	       a->action == b->action && same_rate(&a->to, &b->to) &&
	       a->expire_ms == b->expire_ms && strcmp(a->reason, b->reason) == 0;
}

static inline bool same_event(const struct tg_event *a, const struct tg_event *b)
{
	if (a->type != b->type || a->at != b->at)
		return false;
	switch (a->type) {
	case TG_EVENT_FLOW_NEW:
	case TG_EVENT_FLOW_STATE:
	case TG_EVENT_FLOW_END:
		return same_flow(&a->flow, &b->flow);
	case TG_EVENT_GAP:
		return a->lost == b->lost;
	case TG_EVENT_ADOPT:
		return same_adopt(&a->adopt, &b->adopt);
	case TG_EVENT_WITNESS:
		return same_witness(&a->witness, &b->witness);
	case TG_EVENT_TRAFFIC:
		return same_traffic(&a->traffic, &b->traffic);
	case TG_EVENT_FUSE:
		return tg_addr_equal(&a->fuse.source, &b->fuse.source) &&
		       strcmp(a->fuse.policy, b->fuse.policy) == 0 &&
		       strcmp(a->fuse.limit, b->fuse.limit) == 0 &&
		       a->fuse.threshold == b->fuse.threshold &&
		       a->fuse.window_ms == b->fuse.window_ms && a->fuse.burst == b->fuse.burst;
	case TG_EVENT_OPERATOR_BAN:
	case TG_EVENT_OPERATOR_UNBAN:
		return same_request(&a->request, &b->request);
	case TG_EVENT_FEED:
		return a->feed == b->feed;
	case TG_EVENT_REQUESTS:
		return a->requests.count == b->requests.count &&
		       strcmp(a->requests.policy, b->requests.policy) == 0;
	case TG_EVENT_PANIC:
		return a->panic == b->panic;
	case TG_EVENT_PROTECTED:
		return tg_prefix_set_equal(a->protected, b->protected);
	case TG_EVENT_ADMINS:
		return tg_prefix_set_equal(a->admins, b->admins);
	case TG_EVENT_RESYNC_BEGIN:
	case TG_EVENT_RESYNC_END:
	case TG_EVENT_RESYNC_FAILED:
	case TG_EVENT_TICK:
	case TG_EVENT_ACK:
	case TG_EVENT_SINK_LOST:
	case TG_EVENT_POLICY:
		break;
	}
	return true;
}

#endif
