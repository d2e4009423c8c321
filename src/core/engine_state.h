/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_ENGINE_STATE_H
#define CORE_ENGINE_STATE_H

#include <string.h>

#include <tcpguard/engine.h>

#include "ban_table.h"
#include "flow_table.h"
#include "ruleset.h"
#include "source_table.h"

/*
 * What the parts of the engine share. engine.c owns time, dispatch and what is
 * asked from outside; flows.c owns the counts; offences.c and operator.c decide, bans.c carries it
 * out.
 */

/* What is to be told and is no change of a ban. Taken at the end of every loop turn. */
#define ENGINE_NOTES 2048
/* Of these kept for the operator's requests, one of which may come with each event. */
#define ENGINE_NOTES_RESERVED 64

/* After the kernel refused a change; then twice as long each time. */
#define ENGINE_RETRY_FIRST (250 * TG_MSEC)

struct tg_engine {
	struct flow_table *flows;
	struct source_table *sources[TG_FAMILY_COUNT];
	struct ban_table *bans;
	struct tg_ruleset *ruleset;
	const struct tg_prefix_set *protected;

	tg_time now;
	tg_time epoch; /* ticks count from here */
	uint32_t tick;
	bool started;

	uint64_t sequence; /* grows when a source is made; see struct source.born */
	uint8_t parity;    /* of the last resync begun */
	bool gap_in_resync;

	uint32_t verify_left;  /* questions that this tick may still ask */
	tg_time refused_noted; /* when a refused offence was last told */
	tg_time retry_at;      /* TG_NEVER: the kernel refused nothing */
	tg_time retry_delay;

	struct tg_decision *notes;
	uint32_t notes_head, notes_count;

	struct tg_engine_stats stats;
};

static inline const struct tg_config *engine_config(const struct tg_engine *engine)
{
	return engine->ruleset->config;
}

/* notes.c */
/* A new decision to tell, or NULL when there is no room (counted). */
struct tg_decision *notes_add(struct tg_engine *engine, enum tg_decision_type type,
			      enum tg_cause cause, bool reserved);
size_t notes_take(struct tg_engine *engine, struct tg_decision *out, size_t cap);

/* flows.c */
void flows_new(struct tg_engine *engine, const struct tg_flow_event *event);
void flows_state(struct tg_engine *engine, const struct tg_flow_event *event);
void flows_end(struct tg_engine *engine, const struct tg_flow_event *event);
void flows_gap(struct tg_engine *engine, uint64_t lost);
void flows_resync_begin(struct tg_engine *engine);
void flows_resync_end(struct tg_engine *engine);
void flows_resync_failed(struct tg_engine *engine);
void flows_expire(struct tg_engine *engine);
/* All counts anew from the flows, because the ruleset's views changed, or only who is protected. */
void flows_recount(struct tg_engine *engine, bool other_views);

/* counts.c */
/* The bits of states that a measure adds up. */
#define STATE_BIT(state) (1u << (state))
#define HALF_OPEN_STATES (STATE_BIT(TG_TCP_SYN_SENT) | STATE_BIT(TG_TCP_SYN_RECV))
#define CONCURRENT_STATES                                             \
	(STATE_BIT(TG_TCP_ESTABLISHED) | STATE_BIT(TG_TCP_FIN_WAIT) | \
	 STATE_BIT(TG_TCP_CLOSE_WAIT) | STATE_BIT(TG_TCP_LAST_ACK))

static inline bool in_states(unsigned states, unsigned state)
{
	return states >> state & 1;
}

static inline struct tg_addr counts_addr(const struct tg_flow_key *key, const uint8_t bytes[16])
{
	struct tg_addr addr = {.family = key->family};
	memcpy(addr.bytes, bytes, 16);
	return addr;
}

/* One of this host's addresses: its flows are nobody's offence. */
bool counts_is_own(const struct tg_engine *engine, const struct tg_addr *addr);
/* Works out what a new flow remembers of its source; again when the answer may have changed. */
void counts_settle(struct tg_engine *engine, struct flow *flow);
/*
 * The flow goes from one state to another in every source it belongs to; TG_TCP_UNKNOWN:
 * was not, or is no more, counted. began: `new` is to count it, too.
 */
void counts_move(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to,
		 bool began);
/* Around a count of all flows anew, from TG_TCP_UNKNOWN each. */
void counts_begin_anew(struct tg_engine *engine, bool other_views);
void counts_end_anew(struct tg_engine *engine);
/* Every source against every limit: when many counts changed at once. */
void counts_judge_all(struct tg_engine *engine);
/*
 * A drop of this source under this policy (TG_NO_INDEX: any) is over. The connections it was
 * for may linger, because what would have ended them was dropped; they are not held against
 * the source again. Once: as long as one of them may be open, the next ban forgives no more,
 * so that nobody gathers connections from ban to ban.
 */
void counts_forgive(struct tg_engine *engine, uint16_t policy, const struct tg_prefix *prefix);
/* The source's name: its view's prefix length, or a single address. */
struct tg_prefix counts_source_prefix(const struct tg_engine *engine, enum tg_family family,
				      uint32_t slot);
/*
 * What the source's measure is now for this limit of the view; of a rate, what its bucket holds in
 * flows, rounded up. What a drop was forgiven is left out. False: the source is not counted.
 */
bool counts_measure(const struct tg_engine *engine, const struct ruleset_limit *limit,
		    const struct ruleset_view *view, const struct tg_prefix *source,
		    uint32_t *ret_measured);
/* Of a limit of a total: the flow that crossed it last; NULL: none yet. */
const struct tg_flow_key *counts_sample(const struct tg_engine *engine, uint16_t policy,
					uint16_t limit);
/* What the fullest bucket of a source holds now, in flows. */
uint32_t counts_new_level(const struct tg_engine *engine, enum tg_family family, uint32_t slot);

/* bans.c */
/* What it must not be banned for: a protected or allowed address that the prefix touches; or NULL.
 */
const struct tg_protected_prefix *bans_cover(const struct tg_engine *engine,
					     const struct tg_prefix *source);
/* Does an offence against it lead to more than a report now? */
bool bans_enforces(const struct tg_engine *engine, const struct ruleset_limit *limit);
/* Around every change of a ban that is in the table; a new one needs no begin. */
void bans_begin(struct tg_engine *engine, const struct ban *ban);
void bans_change(struct tg_engine *engine, uint32_t id, enum tg_cause cause);
void bans_lift(struct tg_engine *engine, uint32_t id, enum tg_cause cause, uint32_t request);
uint32_t bans_lift_all(struct tg_engine *engine, enum tg_cause cause, uint32_t request);
void bans_adopt(struct tg_engine *engine, const struct tg_adopt *adopt);
void bans_ack(struct tg_engine *engine, uint32_t id, uint32_t version, int error);
void bans_lost(struct tg_engine *engine);
/* What the sockets prove about a drop in the form of a rate-limit. */
void bans_witness(struct tg_engine *engine, const struct tg_witness *witness);
/* What its element has counted: does its source still try? */
void bans_traffic(struct tg_engine *engine, const struct tg_traffic *traffic);
void bans_panic(struct tg_engine *engine, bool on);
void bans_protect(struct tg_engine *engine);
void bans_policy(struct tg_engine *engine, const struct tg_ruleset *old);
void bans_expire(struct tg_engine *engine);
void bans_retry(struct tg_engine *engine);
size_t bans_take(struct tg_engine *engine, struct tg_decision *out, size_t cap);
void bans_describe(const struct tg_engine *engine, uint32_t id, struct tg_ban *ret_ban);

/* offences.c */
void offences_ban(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct ruleset_limit *limit, const struct tg_prefix *source,
		  uint32_t measured, uint32_t threshold);

/* operator.c */
void operator_ban(struct tg_engine *engine, const struct tg_ban_request *request);
void operator_unban(struct tg_engine *engine, const struct tg_ban_request *request);

#endif
