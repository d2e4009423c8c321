/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_ENGINE_STATE_H
#define CORE_ENGINE_STATE_H

#include <string.h>

#include <tcpguard/engine.h>

#include "base/util.h"
#include "ban_table.h"
#include "flow_table.h"
#include "ruleset.h"
#include "source_table.h"

/*
 * What the parts of the engine share. engine.c owns time, dispatch and what is
 * asked from outside; flows.c owns flows and counts.c the counts; offences.c and operator.c decide,
 * bans.c carries it out.
 */

/* What is to be told and is no change of a ban. Taken at the end of every loop turn. */
#define ENGINE_NOTES 2048
/* Of these kept for the operator's requests, one of which may come with each event. */
#define ENGINE_NOTES_RESERVED 64

/* After the kernel refused a change; then twice as long each time. */
#define ENGINE_RETRY_FIRST (250 * TG_MSEC)

/* Bans made in a time that moves on, by parts of it. */
#define BRAKE_SLOTS 61
struct brake_window {
	tg_time unit;
	uint64_t last; /* the part that is now, in units */
	uint32_t made[BRAKE_SLOTS];
};

/* Of bans that are in force, proven, and by policies; brakes.c. */
struct brakes {
	struct brake_window minute, lately;
	uint32_t live;
	tg_time held;  /* when one held last; TG_NEVER */
	tg_time noted; /* when that was last told */
};

struct tg_engine {
	struct flow_table *flows;
	struct source_table *sources[TG_FAMILY_COUNT];
	struct ban_table *bans;
	struct tg_ruleset *ruleset;
	const struct tg_prefix_set *protected;
	const struct tg_prefix_set *admins;

	tg_time now;
	tg_time epoch; /* ticks count from here */
	uint32_t tick;
	tg_time next_tick; /* when it ends; 0 as long as no policy is there */
	bool started;

	uint64_t sequence; /* grows when a source is made; see struct source.born */
	uint8_t parity;    /* of the last resync begun */
	bool gap_in_resync;
	uint64_t evicted; /* sources, when all was last counted anew */

	uint32_t probe_left;   /* questions about bans that this tick may still ask */
	uint32_t verify_left;  /* questions that this tick may still ask */
	tg_time flood_noted;   /* when a suppressed offence was last told */
	tg_time refused_noted; /* when a refused offence was last told */
	tg_time retry_at;      /* TG_NEVER: the kernel refused nothing */
	tg_time retry_delay;

	struct brakes brakes;

	struct tg_decision *notes;
	uint32_t notes_head, notes_count;

	uint32_t pass_next; /* flow to look at next, for who passes by a budget; FLOW_NONE: done */
	uint16_t pass_view; /* of its totals: the one to look at next */
	uint32_t pass_left; /* that this tick may still let pass */
	bool pass_again;    /* some were not told */

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
/* What is to be asked about bans names limits of the policy that is going; who passes, it. */
void notes_drop_questions(struct tg_engine *engine);
/* What waits to be killed is named as the policy that has come names it. */
void notes_follow_policy(struct tg_engine *engine);
size_t notes_take(struct tg_engine *engine, struct tg_decision *out, size_t cap);

/* flows.c */
void flows_new(struct tg_engine *engine, const struct tg_flow_event *event);
void flows_state(struct tg_engine *engine, const struct tg_flow_event *event);
void flows_end(struct tg_engine *engine, const struct tg_flow_event *event);
void flows_gap(struct tg_engine *engine, uint64_t lost);
/* Conntrack tells more or less from now on. */
void flows_feed(struct tg_engine *engine, enum tg_feed_step step);
void flows_resync_begin(struct tg_engine *engine);
void flows_resync_end(struct tg_engine *engine);
void flows_resync_failed(struct tg_engine *engine);
void flows_expire(struct tg_engine *engine);
/* All counts anew from the flows, because the ruleset's views changed, or only who is protected. */
void flows_recount(struct tg_engine *engine, bool other_views);

/* counts.c */
/* Where a flow stands in the states of its sources. */
#define SLOT_NONE TG_TCP_UNKNOWN
static inline unsigned flow_slot(const struct flow *flow)
{
	if (flow->ended || flow->state == TG_TCP_CLOSE)
		return SLOT_NONE;
	return flow->idle ? (unsigned)SOURCE_IDLE : (unsigned)flow->state;
}

static inline struct tg_addr counts_addr(const struct tg_flow_key *key, const uint8_t bytes[16])
{
	struct tg_addr addr = {.family = key->family};
	memcpy(addr.bytes, bytes, 16);
	return addr;
}

/* The flow's port is the policy's: its address, too? */
static inline bool counts_match(const struct tg_engine *engine, const struct ruleset_view *view,
				const struct flow *flow)
{
	if (!view->asks_address)
		return true;
	const struct tg_addr dst = counts_addr(&flow->key, flow->key.dst);
	return ruleset_match_address(&engine_config(engine)->policies[view->policy], &dst);
}

/* One of this host's addresses: its flows are nobody's offence. */
bool counts_is_own(const struct tg_engine *engine, const struct tg_addr *addr);
/* Works out what a new flow remembers of its source; again when the answer may have changed. */
void counts_settle(struct tg_engine *engine, struct flow *flow);
/*
 * The flow goes from one slot to another in every source it belongs to; SLOT_NONE: was not, or is
 * no more, counted. poured: what it adds to the rates.
 */
void counts_move(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to,
		 unsigned poured);
/* Around a count of all flows anew, from SLOT_NONE each. */
void counts_begin_anew(struct tg_engine *engine, bool other_views);
void counts_end_anew(struct tg_engine *engine);
/* Sources pushed out, of both families. */
uint64_t counts_evicted(const struct tg_engine *engine);
/* Every source against every limit: when many counts changed at once. */
void counts_judge_all(struct tg_engine *engine);
/*
 * A drop of this source under this policy (TG_NO_INDEX: any) is over. The connections it was
 * for may linger, because what would have ended them was dropped; they are not held against
 * the source again. Once: as long as one of them may be open, the next ban forgives no more,
 * so that nobody gathers connections from ban to ban.
 */
void counts_forgive(struct tg_engine *engine, uint16_t policy, const struct tg_prefix *prefix);
/*
 * What the source's measure is now for this limit of the view; of a rate, what its bucket holds in
 * flows, rounded up. What a drop was forgiven is left out. False: the source is not counted.
 */
bool counts_measure(const struct tg_engine *engine, const struct ruleset_limit *limit,
		    const struct ruleset_view *view, const struct tg_prefix *source,
		    uint32_t *ret_measured);
/* The source's established flows to the limit's policy. */
uint32_t counts_established(const struct tg_engine *engine, const struct ruleset_limit *limit,
			    const struct tg_prefix *source);
/* How many of the source's flows an earlier drop has answered already, for this limit. */
uint32_t counts_forgiven(const struct tg_engine *engine, const struct ruleset_limit *limit,
			 const struct tg_prefix *source);
/* Of a limit of a total: the flow that crossed it last; NULL: none yet. */
const struct tg_flow_key *counts_sample(const struct tg_engine *engine, uint16_t policy,
					uint16_t limit);
/* Distinct hosts in a source that have a flow; where they are not counted, it is one itself. */
uint32_t counts_hosts(const struct tg_engine *engine, enum tg_family family, uint32_t slot);
/* What the fullest bucket of a source holds now, in flows. */
uint32_t counts_new_level(const struct tg_engine *engine, enum tg_family family, uint32_t slot);

/* flood.c */
/*
 * In a wide flood: an offence that the state of the whole service answers, because the source is
 * a small part of the flood, if it is real at all. Counted and told.
 */
bool flood_suppresses(struct tg_engine *engine, const struct ruleset_view *view,
		      const struct ruleset_limit *limit, const struct tg_prefix *source,
		      uint32_t measured, uint32_t threshold);

/* sources.c */
/* Finds or makes. What it evicts is taken out of what was counted by it. */
uint32_t sources_make(struct tg_engine *engine, const struct tg_addr *masked, uint16_t source_view);
/* One flow more, one less; one that stays, in another slot. */
static inline void sources_add(struct tg_engine *engine, enum tg_family family,
			       struct source *source, unsigned to)
{
	engine->stats.sources[family] += source_flows(source) == 0;
	source->states[to]++;
}

static inline void sources_sub(struct tg_engine *engine, enum tg_family family,
			       struct source *source, unsigned from)
{
	source->states[from]--;
	engine->stats.sources[family] -= source_flows(source) == 0;
	if (source->base > 0)
		source->base = (uint16_t)MIN(source->base, source_sum(source, CONCURRENT_SLOTS));
}
static inline void sources_shift(struct source *source, unsigned from, unsigned to)
{
	source->states[to]++;
	source->states[from]--;
	if (source->base > 0)
		source->base = (uint16_t)MIN(source->base, source_sum(source, CONCURRENT_SLOTS));
}
/* The source's name: its view's prefix length, or a single address. */
struct tg_prefix sources_prefix(const struct tg_engine *engine, enum tg_family family,
				uint32_t slot);
/* The buckets of a source. */
uint64_t *sources_buckets(const struct tg_engine *engine, enum tg_family family, uint32_t slot);
/* One more flow into the bucket of a limit; over its rim? */
bool sources_pour(uint64_t *bucket, tg_time now, const struct ruleset_limit *limit);
/* In flows, rounded up. */
uint32_t sources_level(uint64_t bucket, tg_time now, const struct ruleset_limit *limit);

/* hosts.c */
/* What one flow did to the entry of its host. */
struct host_move {
	uint16_t policy;
	bool came; /* it had no flow before */
	uint32_t slot;
	uint64_t born; /* of the entry */
};
/* The host's entry had so many flows before the move. Its prefixes learn of it. */
struct host_move hosts_moved(struct tg_engine *engine, enum tg_family family, uint32_t slot,
			     uint32_t before);
/* The flow's prefix, which may have been made after that: has it one host more? */
bool hosts_count(struct tg_engine *engine, enum tg_family family, struct host_move *move,
		 struct source *prefix);
/* The entry of a host with flows is gone. */
void hosts_evicted(struct tg_engine *engine, enum tg_family family, const struct source *host);

/* totals.c */
void totals_move(struct tg_engine *engine, const struct flow *flow, unsigned from, unsigned to,
		 unsigned poured);
/* Every limit of a total that is no rate; of one measure, unless TG_MEASURE_COUNT. flow: the cause;
 * NULL: many. */
void totals_judge(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct tg_flow_key *flow, enum tg_measure measure);
uint32_t totals_new_level(const struct tg_engine *engine, const struct ruleset_view *view);
/* No flow stands in any of them. */
void totals_empty(struct tg_engine *engine);
uint32_t totals_measure(const struct tg_engine *engine, const struct ruleset_view *view,
			const struct ruleset_limit *limit);

/* fan_out.c */
/* This host's own flow in SYN_SENT, to somebody else, that a limit asks for? */
bool fan_out_follows(const struct tg_engine *engine, const struct tg_flow_key *key);
/* As counts_move(), of such a flow. */
void fan_out_move(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to);

/* services.c */
/* A flow of the total went from one slot to another, as in counts_move(). */
void services_move(const struct tg_engine *engine, struct ruleset_total *total, unsigned from,
		   unsigned to, unsigned poured);
/* The measure is over the threshold: is that a flood, and not what the last one left behind? */
bool services_begins(const struct tg_engine *engine, const struct ruleset_view *view,
		     const struct ruleset_limit *limit);
/* The state of the limit is live from now on. adopted: its element was there before. */
void services_begin(struct tg_engine *engine, const struct ruleset_view *view,
		    const struct ruleset_limit *limit, bool adopted);
/* A flow of the total has finished its handshake. */
void services_established(struct tg_engine *engine, const struct ruleset_view *view,
			  const struct tg_flow_key *key);
/* Once a tick: what goes on, and what is over. */
void services_tick(struct tg_engine *engine);
/* What the element of a total's ban has dropped. */
void services_traffic(struct tg_engine *engine, uint32_t id, const struct tg_traffic *traffic);
/* What the sockets say of a policy's handshakes: as good as the counts where those are not told. */
void services_unasked(struct tg_engine *engine);
void services_requests(struct tg_engine *engine, const struct tg_requests *requests);
/* Who passes by a budget; as tg_engine_take(). */
size_t services_take(struct tg_engine *engine, struct tg_decision *out, size_t cap);

/* idle.c */
/* Is the flow to be asked whether it says anything? */
bool idle_asks(const struct tg_engine *engine, const struct flow *flow);
/*
 * How much later it is asked when there are more to ask than may be: so that all of them do not
 * come back together, again and again.
 */
uint32_t idle_spread(const struct tg_engine *engine, const struct flow *flow, uint32_t index);
/* From now on the flow is established. */
void idle_begin(struct tg_engine *engine, uint32_t index);
/* The tick in which it is to be asked next. */
uint32_t idle_due(const struct tg_engine *engine, uint32_t index);
/* The kernel's answer: is it idle? */
bool idle_answer(struct tg_engine *engine, uint32_t index, const struct tg_flow_event *event);
/* The marks of another ruleset, which have been inherited; NULL: there was none. */
void idle_policy(struct tg_engine *engine, const struct tg_ruleset *old);

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
/*
 * A place for a ban: a new one, or where one was, is on its way out, or lives already. A full table
 * gives up the ban that ends soonest; instead, if not TG_BAN_NONE, goes when the new one is there.
 * TG_BAN_NONE: not to be had, because all is full, or because something that is in force stands
 * where this would only be observed. What comes back is between begin and change.
 */
uint32_t bans_place(struct tg_engine *engine, uint16_t policy, enum tg_scope scope,
		    const struct tg_prefix *source, bool enforced, uint32_t instead,
		    bool *ret_full);
/* Would this limit make such a ban, in the same set? */
bool bans_survives(const struct ban *ban, const struct ruleset_limit *limit);
/* One more such ban, or (UINT32_MAX) one less: what bans_begin() and bans_change() do. */
void bans_account(struct tg_engine *engine, const struct ban *ban, uint32_t one);
void bans_ack(struct tg_engine *engine, uint32_t id, uint32_t version, int error);
void bans_lost(struct tg_engine *engine);
/* Of the offences of before, none counts any more. */
void bans_forget_all(struct tg_engine *engine);
void bans_panic(struct tg_engine *engine, bool on);
void bans_protect(struct tg_engine *engine);
void bans_policy(struct tg_engine *engine, const struct tg_ruleset *old);
void bans_expire(struct tg_engine *engine);
void bans_retry(struct tg_engine *engine);
size_t bans_take(struct tg_engine *engine, struct tg_decision *out, size_t cap);
void bans_describe(const struct tg_engine *engine, uint32_t id, struct tg_ban *ret_ban);

/* What a measure must exceed; of a rate, with its burst. */
static inline uint32_t bans_threshold(const struct tg_limit *limit)
{
	return limit->threshold + limit->burst;
}

/* adopt.c */
/* What the kernel had at start, or the state directory knows of. */
void adopt_ban(struct tg_engine *engine, const struct tg_adopt *adopt);

/* ladder.c */
/* What the kernel is to do. */
struct ladder_rung {
	enum tg_action action;
	struct tg_rate to;
	bool kill;
	bool proven; /* it does what only a witness allows */
};
/* The step of an offence, the first of which is 1. */
const struct tg_step *ladder_step(const struct tg_limit *limit, uint32_t offence);
/* It is more than a rate-limit, and waits for a witness. */
bool ladder_wants_proof(const struct tg_limit *limit, uint32_t offence);
/* That step in the set of a scope, with or without a witness. */
struct ladder_rung ladder_rung(const struct tg_limit *limit, uint32_t offence, enum tg_scope scope,
			       bool proven);
/* Is the step no more than what is proven and in force? */
bool ladder_covers(const struct ban *ban, const struct tg_step *step);
/* The offence whose step by this limit the ban is to be proven for; 0: none. */
uint32_t ladder_asked(const struct ban *ban, const struct ruleset_limit *limit);
/* How many offences of the source the policy remembers. */
uint32_t ladder_offences(const struct tg_engine *engine, uint16_t policy,
			 const struct tg_prefix *source);
tg_time ladder_end(const struct tg_engine *engine, const struct tg_limit *limit, uint32_t offence,
		   bool proven);
/* The ban does from now on what the step of its offence says; between begin and change. */
void ladder_apply(struct tg_engine *engine, struct ban *ban, const struct ruleset_limit *limit);
/* The ban goes on, one step further if there is one. */
void ladder_extend(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		   uint32_t measured, enum tg_cause cause);

/* brakes.c */
void brakes_init(struct brakes *brakes);
/* An admin's live session that the source would cover; or NULL. */
const struct tg_protected_prefix *brakes_admin(const struct tg_engine *engine,
					       const struct tg_prefix *source);
/* Must the ban not become what the step says, proven as it is? Counted and told. */
bool brakes_hold(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		 const struct tg_step *step, uint32_t measured);
/* One more ban that is in force, proven, and by a policy. */
void brakes_made(struct tg_engine *engine);
/* Did one hold lately? */
bool brakes_shown(const struct tg_engine *engine);
void brakes_admins(struct tg_engine *engine, const struct tg_prefix_set *admins);

/* witness.c */
/* The limit that waits for a witness to do more; TG_NO_INDEX: none. */
void witness_set(struct tg_engine *engine, struct ban *ban, uint16_t limit);
/* Asks for one, unless that was done lately. */
void witness_want(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		  uint32_t measured);
/* What the sockets prove about the source of a ban that is to become a stronger one. */
void witness_answer(struct tg_engine *engine, const struct tg_witness *witness);

/* insist.c */
/* A new end: when to ask for its packets. */
void insist_arm(struct tg_engine *engine, uint32_t id);
/* The ban has woken before its end. */
void insist_wake(struct tg_engine *engine, uint32_t id);
/* Its time is over: does it stay? Then it has been extended. */
bool insist_stays(struct tg_engine *engine, uint32_t id);
/* Asks what the ban's element has counted. False: nobody can be asked now. */
bool insist_ask(struct tg_engine *engine, uint32_t id);
/* What its element has counted: does its source still try? */
void insist_traffic(struct tg_engine *engine, const struct tg_traffic *traffic);

/* fuse.c */
/* The packet path has counted more SYNs of a source than a limit allows. */
void fuse_blown(struct tg_engine *engine, const struct tg_fuse *fuse);

/* offences.c */
void offences_ban(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct ruleset_limit *limit, const struct tg_prefix *source,
		  uint32_t measured, uint32_t threshold);

/* Tells of an offence that gets no ban; at most once a second since *noted, all are counted. */
void offences_refuse(struct tg_engine *engine, const struct ruleset_view *view,
		     const struct ruleset_limit *limit, const struct tg_prefix *source,
		     uint32_t measured, uint32_t threshold, enum tg_cause cause, tg_time *noted);
/*
 * After a ban that was proven: its rate-limit, which may become one again when a witness says so.
 * True: in its own place, so that it goes on.
 */
bool offences_stand_in(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit);

/* operator.c */
void operator_ban(struct tg_engine *engine, const struct tg_ban_request *request);
void operator_unban(struct tg_engine *engine, const struct tg_ban_request *request);

#endif
