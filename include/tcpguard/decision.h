/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_DECISION_H
#define TCPGUARD_DECISION_H

#include <stdint.h>

#include <tcpguard/ban.h>
#include <tcpguard/event.h>
#include <tcpguard/protect.h>

enum tg_decision_type {
	TG_DECISION_BAN,    /* a new ban, or one whose end or action changed; if enforced: make the
			       kernel hold it, then ACK */
	TG_DECISION_LIFT,   /* a ban ends before its time; if enforced: take it out of the kernel,
			       then ACK */
	TG_DECISION_EXPIRE, /* its time is over; the kernel takes the element out by itself */
	TG_DECISION_REFUSE, /* an offence or a request that gets no ban */
	TG_DECISION_VERIFY, /* ask the kernel whether this flow still exists; answer with FLOW_STATE
			       or FLOW_END */
	TG_DECISION_WITNESS, /* ask the kernel's sockets how many of the ban's measured connections
				are real; answer with WITNESS, or not at all if nobody can tell */
	TG_DECISION_PROBE,   /* ask the kernel what the ban's element has counted; answer with
				TRAFFIC */
	TG_DECISION_PASS,    /* this source has finished a handshake: let it pass by the policy's
				budget of SYNs. Nothing comes back */
	TG_DECISION_KILL,    /* the kernel holds the ban: end what its source has, within the ban's
				scope. Nothing comes back */
	TG_DECISION_COUNT
};

enum tg_cause {
	TG_CAUSE_NONE,
	/* of BAN */
	TG_CAUSE_OFFENCE,
	TG_CAUSE_OPERATOR,
	TG_CAUSE_EXTENDED,  /* a running ban whose source is still over its limit, or that the
			       operator made longer or stronger */
	TG_CAUSE_INSISTS,   /* its time is over, but its source goes on sending: it stays */
	TG_CAUSE_WITNESSED, /* the source is real: the drop that was asked for. Also of LIFT: of the
			       rate-limit that stood in for it */
	TG_CAUSE_AGAIN,     /* also of LIFT: the kernel refused or lost it: another try; nothing new
			       for the log */
	/* of LIFT */
	TG_CAUSE_EXPIRED, /* its time is over, but the kernel, which refused its last change, may
			     hold it for longer */
	TG_CAUSE_UNBAN,
	TG_CAUSE_RELOAD, /* the limit is gone, or only observes now */
	TG_CAUSE_PANIC,
	TG_CAUSE_PROTECTED, /* also of REFUSE: the source covers an address that must not be banned
			     */
	TG_CAUSE_EVICTED,   /* the table was full: of the automatic bans it would have ended soonest
			     */
	/* of REFUSE */
	TG_CAUSE_TABLE_FULL, /* no room for another ban */
	TG_CAUSE_NOT_FOUND,  /* nothing to unban */
	TG_CAUSE_PANIC_MODE, /* a ban by hand while panic is on */
	TG_CAUSE_FLOOD,      /* a wide flood of SYNs is under way, of which this source is a small
				part, if it is real at all: the service's state answers it */
	/* of REFUSE: proven, but it stays a rate-limit */
	TG_CAUSE_BRAKE_RATE,    /* too many bans in a minute */
	TG_CAUSE_BRAKE_SOURCES, /* too many of the sources */
	TG_CAUSE_BRAKE_FLOWS,   /* it has too many of the established flows to be one attacker */
	TG_CAUSE_COUNT
};

struct tg_decision {
	enum tg_decision_type type;
	enum tg_cause cause;
	tg_time at;
	uint32_t request; /* of the operator's request that caused it, or 0 */
	union {
		/* BAN, LIFT, EXPIRE, WITNESS, PROBE, REFUSE (its id is then TG_BAN_NONE) */
		struct tg_ban ban;
		struct tg_flow_key flow; /* VERIFY */
		struct {
			struct tg_addr source;
			uint16_t policy;
		} pass; /* PASS */
	};
	/* BAN: the kernel has confirmed the same but for its end, which moves. */
	bool renewed;
	/* BAN of a source that is a total: the flow that crossed the limit. */
	bool has_sample;
	struct tg_flow_key sample;
	/* REFUSE and LIFT with TG_CAUSE_PROTECTED: what it would have covered. */
	struct tg_prefix covers;
	enum tg_protect_kind covers_kind;
};

const char *tg_cause_name(enum tg_cause cause);

#endif
