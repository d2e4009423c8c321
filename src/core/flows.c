/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the life of a flow, from the message that names it first until its end, its deadline or a
 * dump that no longer knows it. What it counts for is counts.c's.
 */
#include "base/util.h"
#include "engine_state.h"

/* While the kernel's answer is awaited; it comes within a loop turn or two. */
#define VERIFY_TICKS 8
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

/* Flows that this host opens are nobody's offence. */
static bool is_ours(const struct tg_engine *engine, const struct tg_flow_key *key)
{
	struct tg_addr src = counts_addr(key, key->src);
	return counts_is_own(engine, &src);
}

static void flow_arm(struct tg_engine *engine, uint32_t index, uint32_t timeout_s)
{
	const struct flow *flow = flow_table_at(engine->flows, index);
	if (timeout_s == 0)
		timeout_s = default_timeout_s[flow->state];
	timeout_s = MIN(timeout_s, TIMEOUT_MAX_S);
	if (!flow->began && in_states(CONCURRENT_STATES, flow->state))
		timeout_s = MIN(timeout_s, UNSEEN_CHECK_S);
	flow_table_set_deadline(engine->flows, index,
				engine->tick + timeout_s * (uint32_t)(TG_SEC / FLOW_TICK) +
					TIMEOUT_SLACK_TICKS);
}

static void flow_move(struct tg_engine *engine, uint32_t index, unsigned to, bool began,
		      uint32_t timeout_s)
{
	struct flow *flow = flow_table_at(engine->flows, index);
	const unsigned from = flow->ended ? (unsigned)TG_TCP_UNKNOWN : (unsigned)flow->state;
	flow->state = to;
	flow->ended = 0;
	flow->asked = 0;
	flow->seen = engine->parity;
	flow->began |= began;
	if (from != to || began)
		counts_move(engine, flow, from, to, began);
	flow_arm(engine, index, timeout_s);
}

static void flow_drop(struct tg_engine *engine, uint32_t index)
{
	struct flow *flow = flow_table_at(engine->flows, index);
	if (!flow->ended)
		counts_move(engine, flow, flow->state, TG_TCP_UNKNOWN, false);
	flow_table_remove(engine->flows, index);
}

/* Enters a flow that is not in the table; counted by the caller's move. */
static uint32_t flow_enter(struct tg_engine *engine, const struct tg_flow_key *key)
{
	uint32_t index = flow_table_insert(engine->flows, key);
	if (index == FLOW_NONE) {
		engine->stats.flows_refused++;
		return FLOW_NONE;
	}
	struct flow *flow = flow_table_at(engine->flows, index);
	flow->ended = 1; /* not counted yet */
	counts_settle(engine, flow);
	return index;
}

void flows_new(struct tg_engine *engine, const struct tg_flow_event *event)
{
	if (is_ours(engine, &event->key))
		return;
	unsigned state = event->state == TG_TCP_UNKNOWN ? TG_TCP_SYN_SENT : event->state;
	uint32_t index = flow_table_find(engine->flows, &event->key);
	if (index == FLOW_NONE) {
		index = flow_enter(engine, &event->key);
		if (index == FLOW_NONE) {
			/* No room to follow it, but it did begin. */
			struct flow passing = {.key = event->key};
			counts_settle(engine, &passing);
			counts_move(engine, &passing, TG_TCP_UNKNOWN, TG_TCP_UNKNOWN, true);
			return;
		}
		flow_move(engine, index, state, true, event->timeout_s);
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

void flows_state(struct tg_engine *engine, const struct tg_flow_event *event)
{
	if (is_ours(engine, &event->key))
		return;
	uint32_t index = flow_table_find(engine->flows, &event->key);
	if (index == FLOW_NONE) {
		/* A late answer must not revive what an event has ended meanwhile. */
		if (event->state == TG_TCP_UNKNOWN || event->answered)
			return;
		index = flow_enter(engine, &event->key);
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
	flow_move(engine, index, known, false, event->timeout_s);
}

void flows_end(struct tg_engine *engine, const struct tg_flow_event *event)
{
	if (is_ours(engine, &event->key))
		return;
	uint32_t index = flow_table_find(engine->flows, &event->key);
	if (index != FLOW_NONE && event->answered && !flow_table_at(engine->flows, index)->asked)
		return;
	if (!engine->stats.resyncing) {
		if (index != FLOW_NONE)
			flow_drop(engine, index);
		return;
	}
	/* A part of the dump that is older than this event may still name it. */
	if (index == FLOW_NONE)
		index = flow_enter(engine, &event->key);
	if (index == FLOW_NONE)
		return;
	struct flow *flow = flow_table_at(engine->flows, index);
	if (!flow->ended)
		counts_move(engine, flow, flow->state, TG_TCP_UNKNOWN, false);
	flow->ended = 1;
	flow->began = 0;
	flow->seen = engine->parity;
	flow->state = TG_TCP_CLOSE;
	flow_arm(engine, index, 0);
}

void flows_gap(struct tg_engine *engine, uint64_t lost)
{
	engine->stats.gaps++;
	engine->stats.lost += lost;
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
			flow_drop(engine, i);
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
	engine->stats.stale = engine->gap_in_resync;
	/* Right now the counts are as the dump told them, also when something was lost since. */
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
	if (engine->verify_left == 0)
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
						engine->tick + VERIFY_LATER_TICKS);
		} else {
			flow_drop(engine, i);
		}
	}
}

void flows_recount(struct tg_engine *engine, bool other_views)
{
	counts_begin_anew(engine, other_views);
	const bool stale = engine->stats.stale;
	engine->stats.stale = true; /* judged together, below */
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		struct flow *flow = flow_table_at(engine->flows, i);
		if (is_ours(engine, &flow->key)) {
			flow->ended = 1; /* stands in no count any more */
			flow_drop(engine, i);
			continue;
		}
		counts_settle(engine, flow);
		if (!flow->ended)
			counts_move(engine, flow, TG_TCP_UNKNOWN, flow->state, false);
	}
	counts_end_anew(engine);
	engine->stats.stale = stale;
}
