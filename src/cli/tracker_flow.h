/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TRACKER_FLOW_H
#define CLI_TRACKER_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/event.h>

#include "packet.h"

/* One connection as connection tracking sees it. Direction 0 is that of its first SYN. */
struct tracker_flow {
	struct tg_flow_key key;
	enum tg_tcp_state state;
	uint32_t end[2];      /* one beyond the last byte that a side has sent */
	uint32_t acked[2];    /* the last byte that a side has acknowledged */
	uint32_t ignored_end; /* of the SYN that was let pass and not believed */
	bool has_end[2], has_acked[2];
	bool ignored;
	bool replied;   /* there was a packet of direction 1 */
	bool both_open; /* a SYN came from both sides */
	bool fin_seen;
	bool last_rst[2];  /* the last packet was a reset, from there */
	bool last_ack[2];  /* it was an acknowledgement or data, from there */
	uint32_t last_end; /* one beyond it */
};

enum tracker_step {
	TRACKER_INVALID, /* says nothing about the flow */
	TRACKER_PASSED,  /* nor does this, and it may yet turn out to be right */
	TRACKER_TAKEN,   /* the state is what it says now, and its time begins anew */
	TRACKER_REFUSED, /* a reset was the only answer: the flow is gone at once */
	TRACKER_REOPEN   /* the flow is over, and this SYN begins another */
};

/* A SYN alone, with flags that may be. */
bool tracker_flow_may_begin(const struct packet *packet);
void tracker_flow_begin(struct tracker_flow *flow, const struct packet *packet);
enum tracker_step tracker_flow_step(struct tracker_flow *flow, int dir,
				    const struct packet *packet);
/* One of the sides waits for an acknowledgement. */
bool tracker_flow_unacked(const struct tracker_flow *flow);

#endif
