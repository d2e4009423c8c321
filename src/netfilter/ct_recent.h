/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_RECENT_H
#define NETFILTER_CT_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/event.h>

/*
 * What the subscription said lately about which flow. The kernel writes a part of a
 * dump, or an answer, before we read it; what it says about a flow that an event named
 * since is old, and an old word would bring an ended flow back to life.
 */
struct ct_recent;

struct ct_recent_news {
	struct tg_flow_key key;
	uint32_t timeout_s;
	uint8_t state; /* enum tg_tcp_state */
	bool ended;
	bool used; /* the slot, not the flow */
};

/* NULL when memory runs out. */
struct ct_recent *ct_recent_create(void);
void ct_recent_destroy(struct ct_recent *recent);

/* Forgets everything, and hashes with another key. */
void ct_recent_reset(struct ct_recent *recent, uint64_t salt);
/* Forgets what was noted before the last turn; room is then again as at first. */
void ct_recent_turn(struct ct_recent *recent);

/* How many flows may still be noted before the next turn. */
unsigned ct_recent_room(const struct ct_recent *recent);
/* Needs room. */
void ct_recent_note(struct ct_recent *recent, const struct tg_flow_event *flow, bool ended);
/* The last word about a flow, or NULL. */
const struct ct_recent_news *ct_recent_find(const struct ct_recent *recent,
					    const struct tg_flow_key *key);

#endif
