/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the counts: what a flow adds to which source, and what takes it away again.
 * The invariant behind every figure: a flow stands in a source's states exactly when
 * the source was there (born) when the flow was last counted. So nothing that comes
 * twice, late or never can make a count negative or leave it drifting.
 */
#include <string.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "engine_state.h"

/* The bits of states that a measure adds up. */
#define STATE_BIT(state) (1u << (state))
#define HALF_OPEN_STATES (STATE_BIT(TG_TCP_SYN_SENT) | STATE_BIT(TG_TCP_SYN_RECV))
#define CONCURRENT_STATES                                             \
	(STATE_BIT(TG_TCP_ESTABLISHED) | STATE_BIT(TG_TCP_FIN_WAIT) | \
	 STATE_BIT(TG_TCP_CLOSE_WAIT) | STATE_BIT(TG_TCP_LAST_ACK))

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

static bool in_states(unsigned states, unsigned state)
{
	return states >> state & 1;
}

static uint32_t sum_states(const struct source *source, unsigned states)
{
	uint32_t sum = 0;
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		if (in_states(states, s))
			sum += source->states[s];
	return sum;
}

static struct tg_addr key_addr(const struct tg_flow_key *key, const uint8_t bytes[16])
{
	struct tg_addr addr = {.family = key->family};
	memcpy(addr.bytes, bytes, 16);
	return addr;
}

static bool is_own(const struct tg_engine *engine, const struct tg_addr *addr)
{
	const struct tg_protected_prefix *hit = tg_prefix_set_lookup(engine->protected, addr);
	return hit && (hit->kind == TG_PROTECT_OWN || hit->kind == TG_PROTECT_LOOPBACK);
}

/* Flows that this host opens are nobody's offence. */
static bool is_ours(const struct tg_engine *engine, const struct tg_flow_key *key)
{
	struct tg_addr src = key_addr(key, key->src);
	return is_own(engine, &src);
}

/* A prefix that holds an address which must not be banned is not held responsible as a whole. */
static bool must_stand_alone(const struct tg_engine *engine, const struct tg_addr *src, uint8_t len)
{
	if (len >= tg_family_bits(src->family))
		return false;
	struct tg_prefix prefix = tg_addr_mask(src, len);
	return tg_prefix_set_overlap(engine->protected, &prefix) ||
	       tg_prefix_set_overlap(engine->ruleset->allow, &prefix);
}

static bool stands_alone(const struct tg_engine *engine, const struct flow *flow,
			 const struct tg_addr *src, const struct ruleset_view *view)
{
	const unsigned slot = view->len_slot[src->family];
	if (slot < RULESET_LEN_SLOTS)
		return flow->alone >> slot & 1;
	return must_stand_alone(engine, src, view->len[src->family]);
}

/* Answered once for each flow; flows_recount asks again when the answer may have changed. */
static void flow_settle(struct tg_engine *engine, struct flow *flow)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr src = key_addr(&flow->key, flow->key.src);
	flow->alone = 0;
	for (uint16_t i = 0; i < class->view_count; i++) {
		const struct ruleset_view *view = &ruleset->views[class->views[i]];
		const unsigned slot = view->len_slot[src.family];
		if (slot < RULESET_LEN_SLOTS &&
		    must_stand_alone(engine, &src, view->len[src.family]))
			flow->alone |= UINT64_C(1) << slot;
	}
}

static uint64_t *bucket_row(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	return ruleset->buckets[family] + (size_t)slot * ruleset->bucket_count;
}

static uint32_t source_make(struct tg_engine *engine, const struct tg_addr *masked, uint16_t view)
{
	struct source_table *table = engine->sources[masked->family];
	const uint64_t evicted = source_table_evicted(table);
	bool made;
	uint32_t slot = source_table_get(table, masked->bytes, view, engine->tick, &made);
	if (!made)
		return slot;
	source_table_at(table, slot)->born = ++engine->sequence;
	engine->stats.sources[masked->family] -= (uint32_t)(source_table_evicted(table) - evicted);
	if (engine->ruleset->bucket_count > 0)
		memset(bucket_row(engine, masked->family, slot), 0,
		       engine->ruleset->bucket_count * sizeof(uint64_t));
	return slot;
}

static void source_add(struct tg_engine *engine, enum tg_family family, struct source *source,
		       unsigned state)
{
	engine->stats.sources[family] += source_flows(source) == 0;
	source->states[state]++;
}

static void source_sub(struct tg_engine *engine, enum tg_family family, struct source *source,
		       unsigned state)
{
	source->states[state]--;
	engine->stats.sources[family] -= source_flows(source) == 0;
	if (source->base > 0)
		source->base = (uint16_t)MIN(source->base, sum_states(source, CONCURRENT_STATES));
}

struct tg_prefix flows_source_prefix(const struct tg_engine *engine, enum tg_family family,
				     uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	struct tg_prefix prefix = {.addr.family = (uint8_t)family, .len = view->len[family]};
	memcpy(prefix.addr.bytes, source->addr, 16);
	if (SOURCE_VIEW_ALONE(source->view))
		prefix.len = tg_family_bits(family);
	return prefix;
}

/* One more flow into the bucket; over its rim? A full bucket stays full, so that it drains in one
 * window. */
static bool bucket_pour(uint64_t *bucket, tg_time now, const struct ruleset_limit *limit)
{
	const uint64_t level = *bucket > now ? *bucket - now : 0;
	if (level + limit->cost > limit->room) {
		*bucket = now + limit->room;
		return true;
	}
	*bucket = now + level + limit->cost;
	return false;
}

/* What one flow did to one source: which limits of the view does it cross? */
static void judge(struct tg_engine *engine, enum tg_family family, uint32_t slot, unsigned raised,
		  bool began)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		uint32_t threshold = limit->limit->threshold, measured = 0;
		switch (limit->limit->measure) {
		case TG_MEASURE_CONCURRENT:
			if (raised & CONCURRENT_STATES)
				measured = sum_states(source, CONCURRENT_STATES);
			if (measured <= threshold + source->base)
				continue;
			break;
		case TG_MEASURE_HALF_OPEN:
			if (raised & HALF_OPEN_STATES)
				measured = sum_states(source, HALF_OPEN_STATES);
			if (measured <= threshold)
				continue;
			break;
		case TG_MEASURE_NEW:
			threshold += limit->limit->burst;
			if (!began || !bucket_pour(&bucket_row(engine, family, slot)[limit->bucket],
						   engine->now, limit))
				continue;
			measured = threshold + 1;
			break;
		case TG_MEASURE_COUNT:
			continue;
		}
		struct tg_prefix prefix = flows_source_prefix(engine, family, slot);
		offences_ban(engine, view, limit, &prefix, measured, threshold);
	}
}

/*
 * The flow goes from one state to another in every source it belongs to; TG_TCP_UNKNOWN:
 * was not, or is no more, counted. began: `new` is to count it, too.
 */
static void flow_count(struct tg_engine *engine, struct flow *flow, unsigned from, unsigned to,
		       bool began)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	const struct tg_addr src = key_addr(&flow->key, flow->key.src);
	const struct tg_addr dst = key_addr(&flow->key, flow->key.dst);
	const enum tg_family family = (enum tg_family)src.family;
	/* Between a gap and its resync only `new` can be trusted: it never counts too much. */
	unsigned raised =
		to != from && to != TG_TCP_UNKNOWN && !engine->stats.stale ? STATE_BIT(to) : 0;
	if (from != TG_TCP_UNKNOWN) {
		engine->stats.states[from]--;
		/* Within a measure nothing was raised. */
		if (in_states(CONCURRENT_STATES, from))
			raised &= ~CONCURRENT_STATES;
		if (in_states(HALF_OPEN_STATES, from))
			raised &= ~HALF_OPEN_STATES;
	}
	if (to != TG_TCP_UNKNOWN)
		engine->stats.states[to]++;
	for (uint16_t i = 0; i < class->view_count; i++) {
		const uint16_t v = class->views[i];
		const struct ruleset_view *view = &ruleset->views[v];
		if (!ruleset_match_address(&ruleset->config->policies[view->policy], &dst))
			continue;
		const bool alone = stands_alone(engine, flow, &src, view);
		const uint8_t bits = tg_family_bits(family);
		const struct tg_prefix masked =
			tg_addr_mask(&src, alone ? bits : view->len[family]);
		const uint16_t source_view = SOURCE_VIEW(v, alone);
		struct source_table *table = engine->sources[family];
		uint32_t slot = to != TG_TCP_UNKNOWN || began
					? source_make(engine, &masked.addr, source_view)
					: source_table_find(table, masked.addr.bytes, source_view);
		if (slot == SOURCE_NONE)
			continue;
		struct source *source = source_table_at(table, slot);
		if (to != TG_TCP_UNKNOWN)
			source_add(engine, family, source, to);
		if (from != TG_TCP_UNKNOWN && source->born <= flow->counted)
			source_sub(engine, family, source, from);
		if (raised || began)
			judge(engine, family, slot, raised, began);
	}
	flow->counted = engine->sequence;
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
		flow_count(engine, flow, from, to, began);
	flow_arm(engine, index, timeout_s);
}

static void flow_drop(struct tg_engine *engine, uint32_t index)
{
	struct flow *flow = flow_table_at(engine->flows, index);
	if (!flow->ended)
		flow_count(engine, flow, flow->state, TG_TCP_UNKNOWN, false);
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
	flow_settle(engine, flow);
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
			flow_settle(engine, &passing);
			flow_count(engine, &passing, TG_TCP_UNKNOWN, TG_TCP_UNKNOWN, true);
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
		flow_count(engine, flow, flow->state, TG_TCP_UNKNOWN, false);
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
	flows_judge_all(engine);
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
	struct tg_decision *note = engine_note(engine, TG_DECISION_VERIFY, TG_CAUSE_NONE, false);
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

/*
 * No flow stands in a source any more; what it was forgiven and what it has begun stays, unless
 * it is one of our own addresses by now.
 */
static void sources_empty(struct tg_engine *engine, enum tg_family family)
{
	struct source_table *table = engine->sources[family];
	for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
	     slot = source_table_next(table, slot + 1)) {
		struct source *source = source_table_at(table, slot);
		struct tg_addr addr = {.family = (uint8_t)family};
		memcpy(addr.bytes, source->addr, 16);
		memset(source->states, 0, sizeof(source->states));
		if (is_own(engine, &addr) && engine->ruleset->bucket_count > 0)
			memset(bucket_row(engine, family, slot), 0,
			       engine->ruleset->bucket_count * sizeof(uint64_t));
	}
}

static void sources_settle(struct source_table *table)
{
	for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
	     slot = source_table_next(table, slot + 1)) {
		struct source *source = source_table_at(table, slot);
		source->base = (uint16_t)MIN(source->base, sum_states(source, CONCURRENT_STATES));
	}
}

void flows_recount(struct tg_engine *engine, bool other_views)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		if (other_views)
			source_table_clear(engine->sources[f]);
		else
			sources_empty(engine, (enum tg_family)f);
		engine->stats.sources[f] = 0;
	}
	memset(engine->stats.states, 0, sizeof(engine->stats.states));
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
		flow_settle(engine, flow);
		if (!flow->ended)
			flow_count(engine, flow, TG_TCP_UNKNOWN, flow->state, false);
	}
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++)
		sources_settle(engine->sources[f]);
	engine->stats.stale = stale;
}

void flows_judge_all(struct tg_engine *engine)
{
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		const struct source_table *table = engine->sources[f];
		for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
		     slot = source_table_next(table, slot + 1))
			judge(engine, (enum tg_family)f, slot, CONCURRENT_STATES | HALF_OPEN_STATES,
			      false);
	}
}

void flows_forgive(struct tg_engine *engine, uint16_t policy, const struct tg_prefix *prefix)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const enum tg_family family = (enum tg_family)prefix->addr.family;
	const uint8_t bits = tg_family_bits(family);
	for (uint16_t v = 0; v < ruleset->view_count; v++) {
		const struct ruleset_view *view = &ruleset->views[v];
		if (!view->counts_concurrent || (policy != TG_NO_INDEX && view->policy != policy) ||
		    (prefix->len != view->len[family] && prefix->len != bits))
			continue;
		const bool alone = prefix->len != view->len[family];
		uint32_t slot = source_table_find(engine->sources[family], prefix->addr.bytes,
						  SOURCE_VIEW(v, alone));
		if (slot == SOURCE_NONE)
			continue;
		struct source *source = source_table_at(engine->sources[family], slot);
		if (source->base == 0)
			source->base =
				(uint16_t)MIN(sum_states(source, CONCURRENT_STATES), UINT16_MAX);
	}
}

uint32_t flows_new_level(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	uint64_t most = 0;
	for (uint16_t i = 0; i < view->limit_count; i++) {
		const struct ruleset_limit *limit = &view->limits[i];
		if (limit->limit->measure != TG_MEASURE_NEW)
			continue;
		const uint64_t end = bucket_row(engine, family, slot)[limit->bucket];
		const uint64_t level = end > engine->now ? end - engine->now : 0;
		most = MAX(most, (level + limit->cost - 1) / limit->cost);
	}
	return (uint32_t)most;
}
