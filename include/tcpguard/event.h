/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_EVENT_H
#define TCPGUARD_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/addr.h>
#include <tcpguard/ban.h>
#include <tcpguard/clock.h>

struct tg_prefix_set;
struct tg_ruleset;

/* Everything that can happen to the engine. Same ruleset, seed and events give the same decisions,
 * byte for byte. */
enum tg_event_type {
	TG_EVENT_FLOW_NEW,      /* conntrack made an entry */
	TG_EVENT_FLOW_STATE,    /* an entry changed, or was found by a dump or a question */
	TG_EVENT_FLOW_END,      /* an entry is gone */
	TG_EVENT_GAP,           /* flow events were lost */
	TG_EVENT_RESYNC_BEGIN,  /* a dump has begun: what follows as DUMPED is what there is */
	TG_EVENT_RESYNC_END,    /* and is complete: what it did not name is gone */
	TG_EVENT_RESYNC_FAILED, /* and was cut off: nothing follows from its silence */
	TG_EVENT_TICK,          /* time went by */
	TG_EVENT_ACK,           /* what became of a decision */
	TG_EVENT_ADOPT,         /* a ban was found in the kernel at start */
	TG_EVENT_SINK_LOST,     /* the kernel may have lost any of the bans */
	TG_EVENT_WITNESS,       /* the answer to a WITNESS: what the sockets prove */
	TG_EVENT_TRAFFIC,       /* the answer to a PROBE: what a ban's element has counted */
	TG_EVENT_FUSE,          /* a source ran over a limit's fuse, ahead of conntrack */
	TG_EVENT_OPERATOR_BAN,
	TG_EVENT_OPERATOR_UNBAN,
	TG_EVENT_PANIC,     /* on: lift all, and only observe; off: back to what the policy says */
	TG_EVENT_PROTECTED, /* the host's own addresses, gateways, resolvers … changed */
	TG_EVENT_FEED,      /* from now on conntrack tells more, or less */
	TG_EVENT_REQUESTS,  /* how many handshakes the host's sockets wait for, where it tells less
			     */
	TG_EVENT_ADMINS,    /* who has a live session of an admin changed */
	TG_EVENT_POLICY     /* another ruleset from now on */
};

/*
 * How much conntrack tells. Rates can be trusted as long as it tells what begins; counts of flows
 * with all of it alone.
 */
enum tg_feed_step {
	TG_FEED_ALL,
	TG_FEED_NO_UPDATES, /* not how flows go on */
	TG_FEED_NEW,        /* that they begin, and nothing else */
	TG_FEED_NOTHING,
	TG_FEED_STEP_COUNT
};
const char *tg_feed_step_name(enum tg_feed_step step);

/* The order is that of DESIGN's status: states{}. */
enum tg_tcp_state {
	TG_TCP_SYN_SENT,
	TG_TCP_SYN_RECV,
	TG_TCP_ESTABLISHED,
	TG_TCP_FIN_WAIT,
	TG_TCP_CLOSE_WAIT,
	TG_TCP_LAST_ACK,
	TG_TCP_TIME_WAIT,
	TG_TCP_CLOSE,
	TG_TCP_STATE_COUNT,
	TG_TCP_UNKNOWN = TG_TCP_STATE_COUNT /* the message did not say */
};

/*
 * A conntrack entry: zone and original tuple, as the client sent it, whatever NAT
 * made of it. A conntrack id is no key: KERNEL facts, a reused tuple can carry the
 * same id. No padding: hashed and compared as bytes.
 */
struct tg_flow_key {
	uint8_t src[16]; /* IPv4 in the first four, the rest zero */
	uint8_t dst[16];
	uint16_t sport; /* host byte order */
	uint16_t dport;
	uint16_t zone;
	uint8_t family; /* enum tg_family */
	uint8_t zero;
};
_Static_assert(sizeof(struct tg_flow_key) == 40, "a flow key has no padding");

struct tg_flow_event {
	struct tg_flow_key key;
	uint8_t state;      /* enum tg_tcp_state */
	bool dumped;        /* FLOW_STATE: told by a dump, not by an event */
	bool answered;      /* FLOW_STATE, FLOW_END: the answer to a VERIFY */
	bool counted;       /* packets and bytes are told: conntrack accounting is on */
	uint32_t timeout_s; /* until the kernel gives the entry up, from now; 0: not told */
	/* Both directions since the flow began, with IP headers. */
	uint64_t packets, bytes;
};

struct tg_event {
	enum tg_event_type type;
	tg_time at;
	union {
		struct tg_flow_event flow; /* FLOW_* */
		uint64_t lost;             /* GAP: messages since the last GAP */
		struct {
			uint32_t ban; /* as in the decision */
			uint32_t version;
			int error; /* 0, or an errno */
		} ack;
		struct tg_adopt adopt;
		struct tg_witness witness;
		struct tg_traffic traffic;
		struct tg_fuse fuse;
		struct tg_ban_request request;         /* OPERATOR_BAN, OPERATOR_UNBAN */
		bool panic;                            /* PANIC: on or off */
		enum tg_feed_step feed;                /* FEED */
		struct tg_requests requests;           /* REQUESTS */
		const struct tg_prefix_set *protected; /* PROTECTED: borrowed until the next one */
		const struct tg_prefix_set *admins;    /* ADMINS: borrowed until the next one */
		/* POLICY: borrowed until the next one; its tables are written to. Take what waits
		 * first: a REFUSE keeps the indexes of the policy that it was decided under. */
		struct tg_ruleset *ruleset;
	};
};

const char *tg_tcp_state_name(enum tg_tcp_state state);

#endif
