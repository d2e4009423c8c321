/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_BAN_H
#define TCPGUARD_BAN_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/addr.h>
#include <tcpguard/clock.h>
#include <tcpguard/config.h>

/* An entry in force against a source: the words that engine, sink, control socket and log share. */

enum tg_origin { TG_ORIGIN_AUTO, TG_ORIGIN_OPERATOR, TG_ORIGIN_COUNT };

/* With its NUL; what fits into the comment of a set element beside the rest. */
#define TG_REASON_MAX 96

/* Index of a policy or a limit: none, because the ban was made by hand. */
#define TG_NO_INDEX UINT16_MAX

#define TG_BAN_NONE UINT32_MAX

/*
 * One ban is one set element: policy, scope and source name it. Two limits of one
 * policy that hold back the same source in the same scope share it: the stronger wins.
 */
struct tg_ban {
	uint32_t id;      /* slot in the engine's table; stable while the ban lives */
	uint32_t version; /* grows with every change that the kernel must learn */
	struct tg_prefix source;
	enum tg_action action;
	enum tg_scope scope;
	enum tg_origin origin;
	uint16_t policy;   /* index into tg_config.policies, or TG_NO_INDEX */
	uint16_t limit;    /* index into that policy's limits, or TG_NO_INDEX */
	bool enforced;     /* false: only observed; always so of TG_ACTION_OBSERVE */
	bool unproven;     /* a drop in the form of a rate-limit: no witness has proven it yet */
	bool kill;         /* the source's connections end when the kernel has it */
	struct tg_rate to; /* of TG_ACTION_RATE_LIMIT; of TG_ACTION_CAP: count flows, per_ms 0 */
	uint32_t measured; /* at the offence */
	uint32_t threshold;
	uint32_t offence; /* 1: the first; also the step of the ladder */
	tg_time since;
	tg_time until;              /* finite, always */
	uint64_t forget_ms;         /* after its end its offence still counts for so long */
	char reason[TG_REASON_MAX]; /* by hand: what the operator wrote; else empty */
};

/* OPERATOR_BAN, OPERATOR_UNBAN. */
struct tg_ban_request {
	uint32_t request; /* not 0; comes back in the decisions it causes */
	/* unban: every ban on exactly this source; for a single address also those that cover it */
	struct tg_prefix source;
	bool all;              /* unban: everything there is, source does not matter */
	enum tg_action action; /* not OBSERVE */
	enum tg_scope scope;   /* NEW or EVERYTHING */
	struct tg_rate to;
	uint64_t expire_ms;
	bool force; /* also against an address with a live session of an admin */
	char reason[TG_REASON_MAX];
};

/* A set element as found in the kernel at start, or what the state directory remembers. */
struct tg_adopt {
	bool stored; /* from the state directory: the kernel does not have it yet. What it does have
			is told before, and counts */
	bool record; /* nothing but its offence, for left_ms; stored */
	bool unproven; /* a rate-limit that stands in for what a witness has not proven */
	struct tg_prefix source;
	enum tg_action action;
	enum tg_scope scope;
	enum tg_origin origin;
	char policy[TG_NAME_MAX + 1]; /* empty: by hand */
	char limit[TG_NAME_MAX + 1];
	struct tg_rate to;
	uint32_t measured;
	uint32_t threshold;
	uint32_t offence;
	uint64_t age_ms;  /* since the offence */
	uint64_t left_ms; /* until the kernel removes it; 0: an element without an end, which the
			     engine gives one */
	char reason[TG_REASON_MAX];
};

/*
 * WITNESS: how many connections of this source to this policy's ports the kernel's own sockets
 * prove, of those that the limit measures. Named, not numbered, so that it means the
 * same to another policy in a replay.
 */
struct tg_witness {
	struct tg_prefix source;
	char policy[TG_NAME_MAX + 1];
	char limit[TG_NAME_MAX + 1];
	uint32_t proven;
};

/* TRAFFIC: packets that a ban's set element has met since it was made. */
struct tg_traffic {
	struct tg_prefix source;
	enum tg_scope scope;
	char policy[TG_NAME_MAX + 1]; /* empty: by hand */
	uint64_t packets;
	/* Of SYNPROXY, whose element meets the SYNs of real clients, too. */
	bool proxied;
	uint32_t finished; /* handshakes that SYNPROXY of this host has seen through; wraps */
};

/* REQUESTS: handshakes to a policy's ports that the host's sockets have answered and wait for. */
struct tg_requests {
	char policy[TG_NAME_MAX + 1];
	uint32_t count;
};

/*
 * FUSE: this address, as a part of its source, has sent more SYNs than the limit allows flows: the
 * packet path has counted them. Named, as a witness is.
 */
struct tg_fuse {
	struct tg_addr source;
	char policy[TG_NAME_MAX + 1];
	char limit[TG_NAME_MAX + 1];
	/* What the limit was: to another one, as of a replay, it says something if that is no
	 * looser. */
	uint32_t threshold, window_ms, burst;
};

/* What becomes of a ban when another policy takes the place of the running one. */
enum tg_fate {
	TG_FATE_STAYS,
	TG_FATE_ENDS,
	TG_FATE_BEGINS /* it was only observed, and is to be in force now; but for a brake */
};
/*
 * limit: that of the other policy of the same names, or NULL; enforces: it does more than observe.
 * For a ban by a policy whose source is not protected.
 */
enum tg_fate tg_ban_fate(const struct tg_ban *ban, const struct tg_limit *limit, bool enforces);

/*
 * The source of the bans of a limit of a total: each limit has a state of its own. By name: the
 * place of a limit in its policy may be another after a reload.
 */
struct tg_prefix tg_ban_total(const char *limit);

const char *tg_origin_name(enum tg_origin origin);
/* What still passes: "5/1s" of a rate-limit, "20" of a cap; NULL: the action has none. */
const char *tg_ban_to_format(const struct tg_ban *ban, char buf[static TG_RATE_STRLEN]);

#endif
