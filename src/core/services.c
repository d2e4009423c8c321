/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the state that a whole service is in while a limit of its total is over: how it is told that
 * the flood goes on, when it ends, and who is let pass meanwhile. A budget of SYNs and SYNPROXY
 * stand ahead of conntrack, so that the counts see only what these let through: what they hold back
 * comes from their elements' own counts, asked for twice a second.
 */
#include "base/util.h"
#include "engine_state.h"

#define TICKS_PER_SECOND ((uint32_t)(TG_SEC / FLOW_TICK))
/* Between two questions what an element has met: the end of a flood is known so much later. */
#define TICKS_TO_ASK (TICKS_PER_SECOND / 2)

/*
 * So long conntrack keeps a handshake that nobody finishes (nf_conntrack_tcp_timeout_syn_recv): a
 * flood of so many a second stands at that many half-open flows.
 */
#define HALF_OPEN_SECONDS 60

/* Sources that one tick may let pass. A thousand cost the kernel some two milliseconds. */
#define PASS_PER_TICK 8192

static struct ruleset_service *service_of(const struct ruleset_view *view,
					  const struct ruleset_limit *limit)
{
	return &view->total->services[limit - view->limits];
}

/* The parts of a second that have begun since are empty. */
static void roll(struct ruleset_total *total, uint32_t tick)
{
	const uint32_t passed = MIN(tick - total->begun_tick, (uint32_t)TOTAL_PARTS);
	for (uint32_t i = 1; i <= passed; i++)
		total->begun[(total->begun_tick + i) % TOTAL_PARTS] = 0;
	total->begun_tick = tick;
}

void services_move(const struct tg_engine *engine, struct ruleset_total *total, unsigned from,
		   unsigned to, unsigned poured)
{
	const bool finished = in_states(HALF_OPEN_STATES, from) && to != SLOT_NONE &&
			      !in_states(HALF_OPEN_STATES, to);
	if (!finished && !(poured & POURED_NEW))
		return;
	roll(total, engine->tick);
	total->begun[engine->tick % TOTAL_PARTS] += (poured & POURED_NEW) ? 1 : 0;
	total->begun[engine->tick % TOTAL_PARTS] -= finished;
}

/* Handshakes of about the last second that were begun and not finished. */
static uint64_t unfinished(const struct tg_engine *engine, struct ruleset_total *total)
{
	int64_t sum = 0;
	/* Nobody tells which of them were finished. */
	if (engine->stats.feed != TG_FEED_ALL)
		return 0;
	roll(total, engine->tick);
	for (unsigned i = 0; i < TOTAL_PARTS; i++)
		sum += total->begun[i];
	return (uint64_t)MAX(sum, 0);
}

/* By all states of the service: each of them sees only what those before it have left. */
static uint64_t held_back(const struct ruleset_view *view)
{
	uint64_t sum = 0;
	for (uint16_t i = 0; i < view->limit_count; i++)
		if (view->limits[i].up && view->limits[i].acts)
			sum += view->total->services[i].held_back;
	return sum;
}

/*
 * What the limit would measure if the flood went on as it is and nobody held it back. Not the
 * half-open flows that there are: those of a flood that is over linger for a minute.
 */
static uint64_t level(const struct tg_engine *engine, const struct ruleset_view *view,
		      const struct ruleset_limit *limit)
{
	const struct tg_limit *config = limit->limit;
	const uint64_t held = held_back(view);
	switch (config->measure) {
	case TG_MEASURE_HALF_OPEN:
		if (engine->stats.feed != TG_FEED_ALL)
			return totals_measure(engine, view, limit) + held * HALF_OPEN_SECONDS;
		return (unfinished(engine, view->total) + held) * HALF_OPEN_SECONDS;
	case TG_MEASURE_FAILED:
		return (unfinished(engine, view->total) + held) * config->window_ms / 1000;
	case TG_MEASURE_NEW:
		return totals_measure(engine, view, limit) + held * config->window_ms / 1000;
	default:
		return totals_measure(engine, view, limit);
	}
}

static bool is_pressed(const struct tg_engine *engine, const struct ruleset_view *view,
		       const struct ruleset_limit *limit, uint64_t *ret_level)
{
	*ret_level = limit->acts ? level(engine, view, limit) : totals_measure(engine, view, limit);
	return *ret_level > bans_threshold(limit->limit) / 2;
}

bool services_begins(const struct tg_engine *engine, const struct ruleset_view *view,
		     const struct ruleset_limit *limit)
{
	uint64_t ignored;
	return !limit->acts || limit->limit->measure != TG_MEASURE_HALF_OPEN ||
	       is_pressed(engine, view, limit, &ignored);
}

void services_begin(struct tg_engine *engine, const struct ruleset_view *view,
		    const struct ruleset_limit *limit, bool adopted)
{
	struct ruleset_service *service = service_of(view, limit);
	service->pressed = engine->now;
	service->packets = 0;
	service->has_finished = false;
	service->held_back = 0;
	service->blind = adopted;
	service->heard = engine->tick;
	service->asked = engine->tick - TICKS_TO_ASK; /* soon: an adopted one may end soon */
	if (!limit->acts || !bans_enforces(engine, limit))
		return;
	engine->pass_next = 0;
	engine->pass_view = 0;
	engine->pass_left = PASS_PER_TICK;
}

/* Is there something in front of the view's policy that verified sources pass by? */
static bool is_guarded(const struct tg_engine *engine, const struct ruleset_view *view)
{
	for (uint16_t i = 0; i < view->limit_count; i++)
		if (view->limits[i].up && view->limits[i].acts &&
		    bans_enforces(engine, &view->limits[i]))
			return true;
	return false;
}

void services_established(struct tg_engine *engine, const struct ruleset_view *view,
			  const struct tg_flow_key *key)
{
	struct tg_decision *note = NULL;
	if (!is_guarded(engine, view))
		return;
	/* Without room the walk over all flows begins anew, and comes to it. */
	if (engine->notes_count < ENGINE_NOTES / 2)
		note = notes_add(engine, TG_DECISION_PASS, TG_CAUSE_NONE, false);
	if (!note) {
		engine->pass_again = true;
		return;
	}
	note->pass.policy = view->policy;
	note->pass.source = counts_addr(key, key->src);
}

/* The next total of the flow that the walk has come to; false: it was the last. */
static bool next_view(struct tg_engine *engine, const struct flow *flow,
		      const struct ruleset_view **ret_view)
{
	const struct ruleset_class *class = ruleset_class(engine->ruleset, flow->key.dport);
	const unsigned slot = flow_slot(flow);
	/* Those that are closing have finished their handshake, too. */
	if (slot == SLOT_NONE || in_states(HALF_OPEN_STATES, slot) ||
	    engine->pass_view >= class->total_count)
		return false;
	*ret_view = &engine->ruleset->views[class->totals[engine->pass_view++]];
	return true;
}

size_t services_take(struct tg_engine *engine, struct tg_decision *out, size_t cap)
{
	size_t count = 0;
	if (engine->stats.services == 0)
		engine->pass_next = FLOW_NONE;
	while (engine->pass_next != FLOW_NONE && count < cap && engine->pass_left > 0) {
		const uint32_t index = flow_table_next(engine->flows, engine->pass_next);
		if (index != engine->pass_next)
			engine->pass_view = 0;
		engine->pass_next = index;
		if (index == FLOW_NONE)
			break;
		const struct flow *flow = flow_table_at(engine->flows, index);
		const struct ruleset_view *view;
		if (!next_view(engine, flow, &view)) {
			engine->pass_next++;
			engine->pass_view = 0;
			continue;
		}
		if (!is_guarded(engine, view) || !counts_match(engine, view, flow))
			continue;
		out[count] = (struct tg_decision){.type = TG_DECISION_PASS, .at = engine->now};
		out[count].pass.policy = view->policy;
		out[count++].pass.source = counts_addr(&flow->key, flow->key.src);
		engine->pass_left--;
	}
	return count;
}

static void look_after(struct tg_engine *engine, const struct ruleset_view *view,
		       const struct ruleset_limit *limit, uint32_t id)
{
	struct ruleset_service *service = service_of(view, limit);
	const struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time whole = ladder_end(engine, limit->limit, ban->offence, false) - engine->now;
	uint64_t measured;
	const bool pressed = is_pressed(engine, view, limit, &measured);
	if (pressed)
		service->pressed = engine->now;
	/* Until the flood has been gone for the whole time; the kernel's element has its own end.
	 */
	if (ban->until - engine->now <= whole / 2 && ban->until < service->pressed + whole) {
		ladder_extend(engine, id, limit,
			      pressed ? (uint32_t)MIN(measured, UINT32_MAX) : ban->measured,
			      TG_CAUSE_EXTENDED);
	} else if (!pressed && engine->now - service->pressed >= whole) {
		bans_lift(engine, id, TG_CAUSE_EXPIRED, 0);
		return;
	}
	if (engine->tick - service->asked >= TICKS_TO_ASK && insist_ask(engine, id))
		service->asked = engine->tick;
}

void services_tick(struct tg_engine *engine)
{
	engine->pass_left = PASS_PER_TICK;
	if (engine->pass_again && engine->pass_next == FLOW_NONE) {
		engine->pass_again = false;
		engine->pass_next = 0;
		engine->pass_view = 0;
	}
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++) {
		const struct ruleset_view *view = &engine->ruleset->views[v];
		for (uint16_t i = 0; view->total && i < view->limit_count; i++) {
			const struct ruleset_limit *limit = &view->limits[i];
			const struct tg_prefix source = tg_ban_total(limit->limit->name);
			const uint32_t id = limit->up ? ban_table_find(engine->bans, view->policy,
								       TG_SCOPE_NEW, &source)
						      : TG_BAN_NONE;
			uint64_t ignored;
			if (id == TG_BAN_NONE)
				continue;
			if (limit->acts)
				look_after(engine, view, limit, id);
			else if (is_pressed(engine, view, limit, &ignored))
				/* Nobody but us knows of its end. What happened just behind the
				 * last look counts. */
				ban_table_set_until(
					engine->bans, id,
					ladder_end(engine, limit->limit,
						   ban_table_at(engine->bans, id)->offence, false) +
						FLOW_TICK);
		}
	}
}

void services_traffic(struct tg_engine *engine, uint32_t id, const struct tg_traffic *traffic)
{
	const struct ban *ban = ban_table_at(engine->bans, id);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, ban->policy, ban->limit);
	if (ban->life != BAN_LIVE || !limit)
		return;
	struct ruleset_service *service = service_of(ruleset_view(engine->ruleset, limit), limit);
	const uint64_t packets = traffic->packets;
	/* Fewer than before: the element was made anew. */
	uint64_t more = packets >= service->packets ? packets - service->packets : packets;
	if (service->blind)
		more = 0; /* since when, nobody knows */
	/* Those of other services are among them, and so this may end too soon: it begins again. */
	const uint32_t finished = service->has_finished ? traffic->finished - service->finished : 0;
	more -= MIN(more, finished);
	const uint32_t ticks = MAX(engine->tick - service->heard, 1u);
	service->held_back = MIN(more, UINT32_MAX) * TICKS_PER_SECOND / ticks;
	service->packets = packets;
	service->finished = traffic->finished;
	service->has_finished = traffic->proxied;
	service->blind = false;
	service->heard = engine->tick;
}

void services_unasked(struct tg_engine *engine)
{
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++)
		if (engine->ruleset->views[v].total)
			engine->ruleset->views[v].total->requests = 0;
}

void services_requests(struct tg_engine *engine, const struct tg_requests *requests)
{
	const uint16_t policy = ruleset_find_policy(engine->ruleset, requests->policy);
	if (engine->stats.feed == TG_FEED_ALL)
		return; /* the last of before */
	for (uint16_t v = 0; v < engine->ruleset->view_count; v++) {
		const struct ruleset_view *view = &engine->ruleset->views[v];
		if (!view->total || view->policy != policy)
			continue;
		view->total->requests = requests->count;
		totals_judge(engine, view, NULL, TG_MEASURE_HALF_OPEN);
	}
}
