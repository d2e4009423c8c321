/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the life of a flow, from the message that names it first until its end, its deadline or a
 * dump that no longer knows it. What it counts for is counts.c's.
 */
#include "base/util.h"
#include "engine_state.h"

/* While the kernel's answer is awaited; it comes within a loop turn or two. */
#define VERIFY_TICKS 8
/* Of a tick's questions, kept from those whether flows say anything, which come for ever. */
#define VERIFY_KEPT 128
/* When the budget of questions is used up, a flow that counts for a drop asks again then. */
#define VERIFY_LATER_TICKS 4
/* CTA_TIMEOUT is cut to seconds, so that up to one more is left. */
#define TIMEOUT_SLACK_TICKS 5

/*
 * A flow whose beginning no event told may have no events at all: with nf_conntrack_events=2 the
 * kernel gives none to entries older than the first listener, not even when they are deleted. So
 * it is asked for now and then.
 */
#define UNSEEN_CHECK_S 20

/* Far beyond every sane setting, and no overflow in ticks. */
#define TIMEOUT_MAX_S (UINT32_C(365) * 24 * 3600)

/* Used when a message tells no timeout: the kernel's defaults (nf_conntrack_proto_tcp.c). */
static const uint32_t default_timeout_s[TG_TCP_STATE_COUNT] = {
	[TG_TCP_SYN_SENT] = 120,  [TG_TCP_SYN_RECV] = 60,   [TG_TCP_ESTABLISHED] = 432000,
	[TG_TCP_FIN_WAIT] = 120,  [TG_TCP_CLOSE_WAIT] = 60, [TG_TCP_LAST_ACK] = 30,
	[TG_TCP_TIME_WAIT] = 120, [TG_TCP_CLOSE] = 10,
};

/* A flow whose failing can be told: not after a gap, in which it may have got further. */
static bool may_fail(const struct tg_engine *engine, const struct flow *flow)
{
	return !flow->ended && !flow->outbound && !engine->stats.stale &&
	       in_states(HALF_OPEN_STATES, flow->state);
}

/* What a flow is counted as. */
struct standing {
	unsigned state; /* of the host: enum tg_tcp_state; TG_TCP_UNKNOWN: not at all */
	unsigned slot;  /* of its sources */
};
static const struct standing nowhere = {TG_TCP_UNKNOWN, SLOT_NONE};

static struct standing standing_of(const struct flow *flow)
{
	if (flow->ended)
		return nowhere;
	return (struct standing){(unsigned)flow->state, flow_slot(flow)};
}

/* Brings the counts from what the flow was to what it is. */
static void flow_count(struct tg_engine *engine, struct flow *flow, struct standing was,
		       unsigned poured)
{
	const struct standing is = standing_of(flow);
	if (flow->outbound) {
		fan_out_move(engine, flow, was.slot, is.slot);
		return;
	}
	if (was.state != TG_TCP_UNKNOWN)
		engine->stats.states[was.state]--;
	if (is.state != TG_TCP_UNKNOWN)
		engine->stats.states[is.state]++;
	if (was.slot != is.slot || poured)
		counts_move(engine, flow, was.slot, is.slot, poured);
}

/*
 * Flows that this host opens are nobody's offence; one that it only tries to open is followed
 * where a limit asks whom it calls.
 */
static bool follows(const struct tg_engine *engine, const struct tg_flow_key *key,
		    bool *ret_outbound)
{
	const struct tg_addr src = counts_addr(key, key->src);
	*ret_outbound = counts_is_own(engine, &src);
	return !*ret_outbound || fan_out_follows(engine, key);
}

/* The same for an event, whose flow is *ret_index: one in the table is followed, or it would not be
 * there. */
static bool follows_event(struct tg_engine *engine, const struct tg_flow_key *key,
			  uint32_t *ret_index, bool *ret_outbound)
{
	*ret_index = flow_table_find(engine->flows, key);
	if (*ret_index == FLOW_NONE)
		return follows(engine, key, ret_outbound);
	*ret_outbound = flow_table_at(engine->flows, *ret_index)->outbound;
	return true;
}

static void flow_arm(struct tg_engine *engine, uint32_t index, uint32_t timeout_s)
{
	const struct flow *flow = flow_table_at(engine->flows, index);
	if (timeout_s == 0)
		timeout_s = default_timeout_s[flow->state];
	timeout_s = MIN(timeout_s, TIMEOUT_MAX_S);
	if (!flow->began && in_states(CONCURRENT_STATES, flow->state))
		timeout_s = MIN(timeout_s, UNSEEN_CHECK_S);
	uint32_t deadline =
		engine->tick + timeout_s * (uint32_t)(TG_SEC / FLOW_TICK) + TIMEOUT_SLACK_TICKS;
	if (flow->state == TG_TCP_ESTABLISHED && engine->ruleset->idle && idle_asks(engine, flow))
		deadline = MIN(deadline, idle_due(engine, index));
	flow_table_set_deadline(engine->flows, index, deadline);
}

static void flow_move(struct tg_engine *engine, uint32_t index, unsigned to, bool began,
		      uint32_t timeout_s)
{
	struct flow *flow = flow_table_at(engine->flows, index);
	const struct standing was = standing_of(flow);
	unsigned poured = began ? POURED_NEW : 0;
	if (to == TG_TCP_CLOSE && may_fail(engine, flow))
		poured |= POURED_FAILED;
	flow->state = to;
	flow->ended = 0;
	flow->asked = 0;
	flow->seen = engine->parity;
	flow->began |= began;
	/* Without a branch it is written together with the others: a store of its own, narrower
	 * than the load that follows, would stall that. */
	flow->idle &= to == TG_TCP_ESTABLISHED;
	if (to == TG_TCP_ESTABLISHED && was.state != TG_TCP_ESTABLISHED)
		idle_begin(engine, index);
	flow_count(engine, flow, was, poured);
	flow_arm(engine, index, timeout_s);
}

static void flow_drop(struct tg_engine *engine, uint32_t index, bool failed)
{
	struct flow *flow = flow_table_at(engine->flows, index);
	const struct standing was = standing_of(flow);
	flow->ended = 1;
	if (was.state != TG_TCP_UNKNOWN)
		flow_count(engine, flow, was, failed ? POURED_FAILED : 0);
	flow_table_remove(engine->flows, index);
}

/* Enters a flow that is not in the table, in place of a lesser one if that is full; counted by the
 * caller's move. state: what it is going to be. */
static uint32_t flow_enter(struct tg_engine *engine, const struct tg_flow_key *key, bool outbound,
			   unsigned state)
{
	uint32_t index = flow_table_insert(engine->flows, key);
	if (index == FLOW_NONE) {
		const uint32_t least = flow_table_least(engine->flows);
		if (flow_worth(flow_table_at(engine->flows, least)) > flow_state_worth(state)) {
			engine->stats.flows_refused++;
			return FLOW_NONE;
		}
		flow_drop(engine, least, false); /* what becomes of it nobody will know */
		engine->stats.flows_evicted++;
		index = flow_table_insert(engine->flows, key);
	}
	struct flow *flow = flow_table_at(engine->flows, index);
	flow->ended = 1; /* not counted yet */
	flow->outbound = outbound;
	if (!outbound)
		counts_settle(engine, flow);
	return index;
}

/* Gone. In a resync a part of the dump that is older than this may still name it: it is kept until
 * then. */
static void flow_end(struct tg_engine *engine, const struct tg_flow_key *key, uint32_t index,
		     bool outbound, bool failed)
{
	if (!engine->stats.resyncing) {
		if (index != FLOW_NONE)
			flow_drop(engine, index, failed);
		return;
	}
	if (index == FLOW_NONE)
		index = flow_enter(engine, key, outbound, TG_TCP_CLOSE);
	if (index == FLOW_NONE)
		return;
	struct flow *flow = flow_table_at(engine->flows, index);
	const struct standing was = standing_of(flow);
	flow->ended = 1;
	flow->began = 0;
	flow->idle = 0;
	flow->seen = engine->parity;
	flow->state = TG_TCP_CLOSE;
	if (was.state != TG_TCP_UNKNOWN)
		flow_count(engine, flow, was, failed ? POURED_FAILED : 0);
	flow_arm(engine, index, 0);
}

/* No room to follow it, but it did begin. */
static void flow_passes(struct tg_engine *engine, const struct tg_flow_key *key)
{
	struct flow passing = {.key = *key};
	counts_settle(engine, &passing);
	counts_move(engine, &passing, SLOT_NONE, SLOT_NONE, POURED_NEW);
}

/*
 * How it goes on will not be told, so that it must not stand in a count that it would never leave:
 * it begins, and that is all.
 */
static void flow_unfollowed(struct tg_engine *engine, const struct tg_flow_key *key, uint32_t index,
			    bool outbound)
{
	if (outbound)
		return;
	/* The end of the one before is what was not told. */
	if (index != FLOW_NONE)
		flow_end(engine, key, index, false, false);
	flow_passes(engine, key);
}

void flows_new(struct tg_engine *engine, const struct tg_flow_event *event)
{
	bool outbound;
	uint32_t index;
	if (!follows_event(engine, &event->key, &index, &outbound))
		return;
	if (engine->stats.feed != TG_FEED_ALL) {
		flow_unfollowed(engine, &event->key, index, outbound);
		return;
	}
	unsigned state = event->state == TG_TCP_UNKNOWN ? TG_TCP_SYN_SENT : event->state;
	if (outbound && state != TG_TCP_SYN_SENT) {
		flow_end(engine, &event->key, index, true, false);
		return;
	}
	if (index == FLOW_NONE) {
		index = flow_enter(engine, &event->key, outbound, state);
		if (index != FLOW_NONE)
			flow_move(engine, index, state, true, event->timeout_s);
		else if (!outbound)
			flow_passes(engine, &event->key);
		return;
	}
	const struct flow *flow = flow_table_at(engine->flows, index);
	const bool alive = !flow->ended &&
			   in_states(HALF_OPEN_STATES | STATE_BIT(TG_TCP_ESTABLISHED), flow->state);
	/*
	 * The same tuple again: a message that came twice, or after one that said more. Not
	 * after a gap: then the end of the flow before it is what was lost.
	 */
	if (alive && !engine->stats.stale)
		flow_move(engine, index, flow->state, !flow->began, event->timeout_s);
	else
		flow_move(engine, index, state, true, event->timeout_s);
}

/* What the answer to a question says beside the state: does the flow still carry anything? */
static void flow_answered(struct tg_engine *engine, uint32_t index,
			  const struct tg_flow_event *event)
{
	struct flow *flow = flow_table_at(engine->flows, index);
	if (flow->state != TG_TCP_ESTABLISHED || !idle_asks(engine, flow) ||
	    idle_due(engine, index) > engine->tick)
		return;
	const struct standing was = standing_of(flow);
	flow->idle = idle_answer(engine, index, event);
	flow_count(engine, flow, was, 0);
	flow_arm(engine, index, event->timeout_s);
}

void flows_state(struct tg_engine *engine, const struct tg_flow_event *event)
{
	bool outbound;
	uint32_t index;
	if (!follows_event(engine, &event->key, &index, &outbound))
		return;
	if (index == FLOW_NONE) {
		/* A late answer must not revive what an event has ended meanwhile. */
		if (event->state == TG_TCP_UNKNOWN || event->answered)
			return;
		/* The last of what was asked for before; a dump names what is followed again. */
		if (engine->stats.feed != TG_FEED_ALL && !event->dumped)
			return;
		if (outbound && event->state != TG_TCP_SYN_SENT) {
			if (!event->dumped)
				flow_end(engine, &event->key, index, true, false);
			return;
		}
		index = flow_enter(engine, &event->key, outbound, event->state);
		if (index != FLOW_NONE)
			flow_move(engine, index, event->state, false, event->timeout_s);
		return;
	}
	const struct flow *flow = flow_table_at(engine->flows, index);
	/* An event since the dump began knows better than the dump. */
	if (event->dumped && engine->stats.resyncing && flow->seen == engine->parity)
		return;
	if (event->answered && !flow->asked)
		return;
	const unsigned known =
		event->state == TG_TCP_UNKNOWN ? (unsigned)flow->state : event->state;
	if (flow->ended && event->state == TG_TCP_UNKNOWN)
		return;
	if (outbound && known != TG_TCP_SYN_SENT) {
		flow_end(engine, &event->key, index, true, false);
		return;
	}
	flow_move(engine, index, known, false, event->timeout_s);
	if (event->answered)
		flow_answered(engine, index, event);
}

void flows_end(struct tg_engine *engine, const struct tg_flow_event *event)
{
	bool outbound;
	uint32_t index;
	if (!follows_event(engine, &event->key, &index, &outbound))
		return;
	const struct flow *flow = index == FLOW_NONE ? NULL : flow_table_at(engine->flows, index);
	if (flow && event->answered && !flow->asked)
		return;
	/* The last message may say that it got further than any before it said. */
	const bool finished =
		in_states(CONCURRENT_STATES | STATE_BIT(TG_TCP_TIME_WAIT), event->state);
	flow_end(engine, &event->key, index, outbound, flow && !finished && may_fail(engine, flow));
}

void flows_gap(struct tg_engine *engine, uint64_t lost)
{
	engine->stats.gaps++;
	engine->stats.lost += lost;
	engine->stats.stale = true;
	engine->gap_in_resync = engine->stats.resyncing;
}

void flows_feed(struct tg_engine *engine, enum tg_feed_step step)
{
	engine->stats.feed = step;
	services_unasked(engine);
	/* Until a dump that begins when all is told again. */
	if (step == TG_FEED_ALL)
		return;
	engine->stats.stale = true;
	engine->gap_in_resync = engine->stats.resyncing;
}

void flows_resync_begin(struct tg_engine *engine)
{
	flows_resync_failed(engine); /* if another runs: whoever dumped does so anew */
	engine->parity ^= 1;
	engine->stats.resyncing = true;
	engine->gap_in_resync = false;
}

/* All that stay have the same parity, so that the next resync takes none of them for seen. */
static void drop_ended(struct tg_engine *engine, bool unseen)
{
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		struct flow *flow = flow_table_at(engine->flows, i);
		if (flow->ended || (unseen && flow->seen != engine->parity))
			flow_drop(engine, i, false);
		else
			flow->seen = engine->parity;
	}
}

void flows_resync_end(struct tg_engine *engine)
{
	if (!engine->stats.resyncing)
		return;
	drop_ended(engine, true);
	engine->stats.resyncing = false;
	engine->stats.resyncs++;
	/* Flows of a source that was pushed out stand in none until they move. */
	if (engine->evicted != counts_evicted(engine))
		flows_recount(engine, false);
	/* Who has finished a handshake that nobody told of passes by a budget, too. */
	engine->pass_again |= engine->stats.services > 0;
	const bool told = engine->stats.feed == TG_FEED_ALL;
	engine->stats.stale = engine->gap_in_resync || !told;
	/* Right now the counts are as the dump told them, also when something was lost since. Not
	 * when handshakes went on meanwhile that nobody told of. */
	if (told)
		counts_judge_all(engine);
}

void flows_resync_failed(struct tg_engine *engine)
{
	if (!engine->stats.resyncing)
		return;
	drop_ended(engine, false);
	engine->stats.resyncing = false;
	engine->stats.resyncs_failed++;
	engine->stats.stale = true;
}

static bool ask(struct tg_engine *engine, const struct flow *flow)
{
	const bool often = flow->state == TG_TCP_ESTABLISHED && idle_asks(engine, flow);
	if (engine->verify_left <= (often ? VERIFY_KEPT : 0))
		return false;
	struct tg_decision *note = notes_add(engine, TG_DECISION_VERIFY, TG_CAUSE_NONE, false);
	if (!note)
		return false;
	note->flow = flow->key;
	engine->verify_left--;
	engine->stats.verified++;
	return true;
}

void flows_expire(struct tg_engine *engine)
{
	for (uint32_t i = flow_table_expire(engine->flows, engine->tick); i != FLOW_NONE;
	     i = flow_table_expire(engine->flows, engine->tick)) {
		struct flow *flow = flow_table_at(engine->flows, i);
		const bool half_open = in_states(HALF_OPEN_STATES, flow->state);
		const bool concurrent = in_states(CONCURRENT_STATES, flow->state);
		/*
		 * Packets that change no state refresh the kernel's deadline without an
		 * event, so that ours is a suspicion. A half-open flow is worth one
		 * question and no more: a flood must not buy questions.
		 */
		if (!flow->ended && (concurrent || (half_open && !flow->asked)) &&
		    ask(engine, flow)) {
			flow->asked = 1;
			flow_table_set_deadline(engine->flows, i, engine->tick + VERIFY_TICKS);
		} else if (!flow->ended && concurrent) {
			flow_table_set_deadline(engine->flows, i,
						engine->tick + VERIFY_LATER_TICKS +
							idle_spread(engine, flow, i));
		} else {
			flow_drop(engine, i, may_fail(engine, flow));
		}
	}
}

void flows_recount(struct tg_engine *engine, bool other_views)
{
	counts_begin_anew(engine, other_views);
	/* What is pushed out from here on is missing in the new counts, too. */
	engine->evicted = counts_evicted(engine);
	const bool stale = engine->stats.stale;
	engine->stats.stale = true; /* judged together, below */
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		struct flow *flow = flow_table_at(engine->flows, i);
		bool outbound;
		if (!follows(engine, &flow->key, &outbound) || outbound != flow->outbound) {
			flow->ended = 1; /* stands in no count any more */
			flow_drop(engine, i, false);
			continue;
		}
		if (!outbound)
			counts_settle(engine, flow);
		flow->idle = flow->idle && idle_asks(engine, flow);
		if (!flow->ended)
			flow_count(engine, flow, nowhere, 0);
	}
	counts_end_anew(engine);
	engine->stats.stale = stale;
}
