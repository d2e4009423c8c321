/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns time, the dispatch of events, and the answers to questions from
 * outside. */
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"
#include "engine_state.h"
#include "prefetch.h"

/*
 * Questions about single flows, for each tick of a quarter second: a thousand a
 * second cost the kernel and us some five milliseconds.
 */
#define VERIFY_PER_TICK 256

/* Flows and what they count in: a few hundred bytes each. */
#define BATCH_FLOWS_MIN 2048

struct tg_engine *tg_engine_create(const struct tg_engine_params *params)
{
	struct tg_engine *engine = calloc(1, sizeof(*engine));
	if (!engine)
		return NULL;
	/* One key for each table, so that meeting in one tells nothing about another. */
	uint8_t seeds[4][16];
	for (uint64_t i = 0; i < ARRAY_SIZE(seeds) * 2; i++) {
		uint64_t word = tg_siphash13(params->seed, &i, sizeof(i));
		memcpy((uint8_t *)seeds + i * sizeof(word), &word, sizeof(word));
	}
	engine->flows = flow_table_create(params->max_flows, seeds[0]);
	engine->sources[TG_IPV4] = source_table_create(params->max_sources, seeds[1]);
	engine->sources[TG_IPV6] = source_table_create(params->max_sources, seeds[2]);
	engine->bans = ban_table_create(params->max_bans, seeds[3]);
	engine->notes = calloc(ENGINE_NOTES, sizeof(*engine->notes));
	if (!engine->flows || !engine->sources[TG_IPV4] || !engine->sources[TG_IPV6] ||
	    !engine->bans || !engine->notes) {
		tg_engine_destroy(engine);
		return NULL;
	}
	engine->stats.max_flows = params->max_flows;
	engine->stats.max_sources = source_table_capacity(engine->sources[TG_IPV4]);
	engine->stats.max_bans = params->max_bans;
	engine->stats.stale = true; /* nothing is known before the first resync */
	engine->flood_noted = TG_NEVER;
	engine->refused_noted = TG_NEVER;
	engine->pass_next = FLOW_NONE;
	engine->retry_at = TG_NEVER;
	engine->retry_delay = ENGINE_RETRY_FIRST;
	brakes_init(&engine->brakes);
	return engine;
}

void tg_engine_destroy(struct tg_engine *engine)
{
	if (!engine)
		return;
	flow_table_destroy(engine->flows);
	source_table_destroy(engine->sources[TG_IPV4]);
	source_table_destroy(engine->sources[TG_IPV6]);
	ban_table_destroy(engine->bans);
	free(engine->notes);
	free(engine);
}

/* When the first ban wants to be looked at; TG_NEVER. */
static tg_time first_wake(const struct tg_engine *engine)
{
	const uint32_t first = ban_table_first(engine->bans);
	return first == TG_BAN_NONE ? TG_NEVER : ban_table_at(engine->bans, first)->wake;
}

/* Time never goes back; what has become due by now happens before the event itself. */
static void engine_advance(struct tg_engine *engine, tg_time at)
{
	if (!engine->started) {
		engine->started = true;
		engine->epoch = at;
		engine->now = at;
		engine->verify_left = engine->probe_left = VERIFY_PER_TICK;
	}
	engine->now = MAX(engine->now, at);
	/* Between two events of one tick nothing falls due but bans. */
	if (engine->now < engine->next_tick) {
		if (first_wake(engine) <= engine->now)
			bans_expire(engine);
		return;
	}
	const uint32_t tick = (uint32_t)((engine->now - engine->epoch) / FLOW_TICK);
	if (!engine->ruleset)
		return;
	engine->next_tick = engine->epoch + (tg_time)(tick + 1) * FLOW_TICK;
	if (tick != engine->tick) {
		engine->tick = tick;
		engine->verify_left = engine->probe_left = VERIFY_PER_TICK;
		flows_expire(engine);
		if (engine->stats.services > 0)
			services_tick(engine);
		bans_retry(engine);
	}
	bans_expire(engine);
}

static void engine_policy(struct tg_engine *engine, struct tg_ruleset *ruleset)
{
	struct tg_ruleset *old = engine->ruleset;
	notes_drop_questions(engine);
	/* The same counts, other thresholds: buckets go on where they stood. */
	const bool same = old && ruleset_same_shape(old, ruleset);
	if (old)
		ruleset_inherit(ruleset, old, same);
	engine->ruleset = ruleset;
	idle_policy(engine, old);
	if (!same)
		flows_recount(engine, true);
	if (old) {
		bans_policy(engine, old);
		notes_follow_policy(engine);
	}
	if (!engine->stats.stale)
		counts_judge_all(engine);
}

static void engine_protected(struct tg_engine *engine, const struct tg_prefix_set *protected)
{
	engine->protected = protected;
	flows_recount(engine, false);
	bans_protect(engine);
}

static void engine_dispatch(struct tg_engine *engine, const struct tg_event *event)
{
	switch (event->type) {
	case TG_EVENT_FLOW_NEW:
		flows_new(engine, &event->flow);
		break;
	case TG_EVENT_FLOW_STATE:
		flows_state(engine, &event->flow);
		break;
	case TG_EVENT_FLOW_END:
		flows_end(engine, &event->flow);
		break;
	case TG_EVENT_GAP:
		flows_gap(engine, event->lost);
		break;
	case TG_EVENT_RESYNC_BEGIN:
		flows_resync_begin(engine);
		break;
	case TG_EVENT_RESYNC_END:
		flows_resync_end(engine);
		break;
	case TG_EVENT_RESYNC_FAILED:
		flows_resync_failed(engine);
		break;
	case TG_EVENT_TICK:
		break; /* time has gone on already */
	case TG_EVENT_ACK:
		bans_ack(engine, event->ack.ban, event->ack.version, event->ack.error);
		break;
	case TG_EVENT_ADOPT:
		adopt_ban(engine, &event->adopt);
		break;
	case TG_EVENT_SINK_LOST:
		bans_lost(engine);
		break;
	case TG_EVENT_WITNESS:
		witness_answer(engine, &event->witness);
		break;
	case TG_EVENT_TRAFFIC:
		insist_traffic(engine, &event->traffic);
		break;
	case TG_EVENT_FUSE:
		fuse_blown(engine, &event->fuse);
		break;
	case TG_EVENT_OPERATOR_BAN:
		operator_ban(engine, &event->request);
		break;
	case TG_EVENT_OPERATOR_UNBAN:
		operator_unban(engine, &event->request);
		break;
	case TG_EVENT_PANIC:
		bans_panic(engine, event->panic);
		break;
	case TG_EVENT_PROTECTED:
		engine_protected(engine, event->protected);
		break;
	case TG_EVENT_ADMINS:
		brakes_admins(engine, event->admins);
		break;
	case TG_EVENT_FEED:
		flows_feed(engine, event->feed);
		break;
	case TG_EVENT_REQUESTS:
		services_requests(engine, &event->requests);
		break;
	case TG_EVENT_POLICY:
		engine_policy(engine, event->ruleset);
		break;
	}
}

void tg_engine_step(struct tg_engine *engine, const struct tg_event *event)
{
	engine_advance(engine, event->at);
	if (!engine->ruleset && event->type != TG_EVENT_POLICY)
		return;
	engine->stats.events++;
	engine_dispatch(engine, event);
}

void tg_engine_step_batch(struct tg_engine *engine, const struct tg_event *events, size_t count)
{
	struct prefetch prefetch;
	/* What the processor's cache holds anyway needs not be asked for. */
	if (flow_table_count(engine->flows) < BATCH_FLOWS_MIN) {
		for (size_t i = 0; i < count; i++)
			tg_engine_step(engine, &events[i]);
		return;
	}
	prefetch_begin(&prefetch, engine, events, count);
	for (size_t i = 0; i < count; i++) {
		if (i % PREFETCH_GROUP == 0)
			prefetch_group(&prefetch, engine, i);
		prefetch_expect(&prefetch, engine, i);
		tg_engine_step(engine, &events[i]);
	}
	prefetch_end(engine);
}

size_t tg_engine_take(struct tg_engine *engine, struct tg_decision *out, size_t cap)
{
	size_t count = bans_take(engine, out, cap);
	count += notes_take(engine, out + count, cap - count);
	return count + services_take(engine, out + count, cap - count);
}

tg_time tg_engine_deadline(const struct tg_engine *engine)
{
	tg_time deadline = engine->retry_at;
	if (flow_table_count(engine->flows) > 0 || engine->stats.services > 0 ||
	    deadline != TG_NEVER)
		deadline = engine->epoch + (tg_time)(engine->tick + 1) * FLOW_TICK;
	return MIN(deadline, first_wake(engine));
}

uint32_t tg_engine_ban_ids(const struct tg_engine *engine)
{
	return ban_table_ids(engine->bans);
}

void tg_engine_stats(const struct tg_engine *engine, struct tg_engine_stats *ret_stats)
{
	*ret_stats = engine->stats;
	ret_stats->flows = flow_table_count(engine->flows);
	ret_stats->braked = brakes_shown(engine);
	ret_stats->records = ban_table_records(engine->bans);
	ret_stats->memory = sizeof(*engine) + ENGINE_NOTES * sizeof(*engine->notes) +
			    flow_table_memory(engine->flows) + ban_table_memory(engine->bans) +
			    (engine->ruleset ? engine->ruleset->memory : 0);
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		ret_stats->memory += source_table_memory(engine->sources[f]);
		ret_stats->sources_evicted += source_table_evicted(engine->sources[f]);
	}
}

bool tg_engine_next_ban(const struct tg_engine *engine, uint32_t *cursor, struct tg_ban *ret_ban)
{
	uint32_t id = ban_table_next(engine->bans, *cursor);
	while (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->life != BAN_LIVE)
		id = ban_table_next(engine->bans, id + 1);
	if (id == TG_BAN_NONE)
		return false;
	bans_describe(engine, id, ret_ban);
	*cursor = id + 1;
	return true;
}

bool tg_engine_next_record(const struct tg_engine *engine, uint32_t *cursor,
			   struct tg_ban *ret_record)
{
	uint32_t id = ban_table_next(engine->bans, *cursor);
	while (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->life != BAN_RECORD)
		id = ban_table_next(engine->bans, id + 1);
	if (id == TG_BAN_NONE)
		return false;
	bans_describe(engine, id, ret_record);
	*cursor = id + 1;
	return true;
}

bool tg_engine_next_flow(const struct tg_engine *engine, uint32_t *cursor,
			 struct tg_flow_event *ret_flow)
{
	const struct flow *flow;
	uint32_t index = *cursor;
	do {
		index = flow_table_next(engine->flows, index);
		if (index == FLOW_NONE)
			return false;
		flow = flow_table_at(engine->flows, index++);
	} while (flow->ended);
	const uint32_t ticks = flow->deadline > engine->tick ? flow->deadline - engine->tick : 0;
	*ret_flow = (struct tg_flow_event){
		.key = flow->key,
		.state = flow->state,
		.dumped = true,
		.timeout_s = ticks / (uint32_t)(TG_SEC / FLOW_TICK) + 1,
	};
	*cursor = index;
	return true;
}

static void describe_states(const struct source *source, struct tg_source_count *ret_source)
{
	memcpy(ret_source->states, source->states, sizeof(ret_source->states));
	ret_source->idle = source->states[SOURCE_IDLE];
	ret_source->states[TG_TCP_ESTABLISHED] += ret_source->idle;
	ret_source->states[SOURCE_IDLE] = 0;
}

static bool next_total(const struct tg_engine *engine, uint32_t *cursor, uint32_t base,
		       struct tg_source_count *ret_source)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	while (*cursor - base < ruleset->view_count) {
		const struct ruleset_view *view = &ruleset->views[(*cursor)++ - base];
		const struct ruleset_total *total = view->total;
		if (!total)
			continue;
		*ret_source = (struct tg_source_count){
			.source.len = TG_TOTAL_LEN,
			.policy = view->policy,
			.hosts = total->destinations,
			.new_level = totals_new_level(engine, view),
		};
		describe_states(&total->source, ret_source);
		return true;
	}
	return false;
}

bool tg_engine_next_source(const struct tg_engine *engine, uint32_t *cursor,
			   struct tg_source_count *ret_source)
{
	const uint32_t capacity = source_table_capacity(engine->sources[TG_IPV4]);
	while (engine->ruleset && *cursor < capacity * TG_FAMILY_COUNT) {
		const enum tg_family family = *cursor < capacity ? TG_IPV4 : TG_IPV6;
		struct source_table *table = engine->sources[family];
		const uint32_t slot = source_table_next(table, *cursor % capacity);
		if (slot == SOURCE_NONE) {
			*cursor = capacity * (family + 1);
			continue;
		}
		*cursor = capacity * family + slot + 1;
		const struct source *source = source_table_at(table, slot);
		const struct ruleset_view *view =
			&engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
		/* Not what only serves another count: hosts of a prefix, destinations. */
		if (view->limit_count == 0 || view->total)
			continue;
		const uint32_t level = counts_new_level(engine, family, slot);
		if (source_flows(source) == 0 && level == 0)
			continue;
		*ret_source = (struct tg_source_count){
			.source = sources_prefix(engine, family, slot),
			.policy = view->policy,
			.hosts = view->counts_hosts ? counts_hosts(engine, family, slot) : 0,
			.new_level = level,
		};
		describe_states(source, ret_source);
		return true;
	}
	return engine->ruleset &&
	       next_total(engine, cursor, capacity * TG_FAMILY_COUNT, ret_source);
}
