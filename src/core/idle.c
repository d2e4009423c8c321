/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the question whether an established flow still says anything. No event tells of payload, so
 * the flow is asked for now and then, and what it has moved by then is compared with what it had
 * moved before: more bytes than the headers of that many packets are payload.
 */
#include "base/util.h"
#include "engine_state.h"

/* Base header and TCP's, which is all that an empty segment carries. */
#define HEADERS_IPV4 40
#define HEADERS_IPV6 60
/* With timestamps, which a connection has in every segment or in none. */
#define HEADERS_TIMESTAMPS 12
/* What the options of SYN and SYN-ACK have beyond that, together. */
#define HEADERS_SYN 24
#define HEADERS_SYN_TIMESTAMPS 16

bool idle_asks(const struct tg_engine *engine, const struct flow *flow)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const struct ruleset_class *class = ruleset_class(ruleset, flow->key.dport);
	if (!class->asks_idle || flow->outbound)
		return false;
	const struct tg_addr dst = counts_addr(&flow->key, flow->key.dst);
	for (unsigned i = 0; i < (unsigned)class->view_count + class->total_count; i++) {
		const struct ruleset_view *view = &ruleset->views[class->views[i]];
		if (view->asks_idle &&
		    ruleset_match_address(&ruleset->config->policies[view->policy], &dst))
			return true;
	}
	return false;
}

uint32_t idle_spread(const struct tg_engine *engine, const struct flow *flow, uint32_t index)
{
	if (flow->state != TG_TCP_ESTABLISHED || !idle_asks(engine, flow))
		return 0;
	/* Another time than last time, or what comes at the same pace would be before it for ever.
	 */
	const uint32_t lot = (index ^ engine->tick) * UINT32_C(2654435761) >> 12;
	return lot % (engine->ruleset->idle_unit * engine->ruleset->idle_units);
}

static uint16_t unit_after(const struct tg_engine *engine)
{
	const uint32_t unit = engine->ruleset->idle_unit;
	return (uint16_t)((engine->tick + unit - 1) / unit);
}

void idle_begin(struct tg_engine *engine, uint32_t index)
{
	if (engine->ruleset->idle)
		engine->ruleset->idle[index] = (struct ruleset_idle){.since = unit_after(engine)};
}

uint32_t idle_due(const struct tg_engine *engine, uint32_t index)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const uint32_t now = engine->tick / ruleset->idle_unit;
	const uint16_t left = (uint16_t)(ruleset->idle[index].since + ruleset->idle_units - now);
	/* More than a whole time is one that is over, and has wrapped. */
	if (left > ruleset->idle_units + 1)
		return engine->tick;
	return MAX((now + left) * ruleset->idle_unit, engine->tick);
}

/*
 * So few bytes that they are all headers. Nobody tells whether the connection has timestamps, but
 * with them so many packets have a least size: less than that is a connection without, of
 * which short lines would else be taken for the timestamps that it does not have.
 */
static bool is_empty(const struct tg_flow_event *event, uint32_t packets, uint32_t bytes,
		     bool first)
{
	const uint32_t header = event->key.family == TG_IPV4 ? HEADERS_IPV4 : HEADERS_IPV6;
	const uint32_t stamped = packets * (header + HEADERS_TIMESTAMPS);
	if (bytes >= stamped)
		return bytes <= stamped + (first ? HEADERS_SYN_TIMESTAMPS : 0);
	return bytes <= packets * header + (first ? HEADERS_SYN : 0);
}

bool idle_answer(struct tg_engine *engine, uint32_t index, const struct tg_flow_event *event)
{
	struct ruleset_idle *mark = &engine->ruleset->idle[index];
	const bool first = mark->bytes == 0 && mark->packets == 0;
	const uint32_t bytes = (uint32_t)event->bytes - mark->bytes;
	const uint16_t packets = (uint16_t)(event->packets - mark->packets);
	mark->since = unit_after(engine);
	if (!event->counted) {
		engine->stats.uncounted++;
		return false;
	}
	mark->bytes = (uint32_t)event->bytes;
	mark->packets = (uint16_t)event->packets;
	return is_empty(event, packets, bytes, first);
}

void idle_policy(struct tg_engine *engine, const struct tg_ruleset *old)
{
	struct tg_ruleset *ruleset = engine->ruleset;
	if (!ruleset->idle)
		return;
	const bool goes_on = old && old->idle && old->idle_count == ruleset->idle_count &&
			     old->idle_unit == ruleset->idle_unit &&
			     old->idle_units == ruleset->idle_units;
	for (uint32_t i = flow_table_next(engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(engine->flows, i + 1)) {
		const struct flow *flow = flow_table_at(engine->flows, i);
		if (!goes_on)
			idle_begin(engine, i);
		if (flow->state == TG_TCP_ESTABLISHED && !flow->ended && idle_asks(engine, flow))
			flow_table_set_deadline(engine->flows, i,
						MIN(flow->deadline, idle_due(engine, i)));
	}
}
