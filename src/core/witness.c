/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from a drop that is asked for to one that is in force. conntrack can be brought to
 * ESTABLISHED by packets that somebody else has forged; a socket cannot. So the kernel's
 * sockets are asked, and what they prove must itself cross the threshold. Until then, and if they
 * do not, a rate-limit stands in.
 */
#include "base/util.h"
#include "engine_state.h"

/* Between two questions about one source. */
#define ASK_AGAIN_TICKS 4

void witness_set(struct tg_engine *engine, struct ban *ban, uint16_t limit)
{
	engine->stats.bans_unproven -= ban->witness != TG_NO_INDEX;
	engine->stats.bans_unproven += limit != TG_NO_INDEX;
	ban->witness = limit;
}

void witness_want(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		  uint32_t measured)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const uint32_t tick = engine->tick + 1; /* so that 0 is never */
	if (ban->witness != TG_NO_INDEX && tick - ban->asked < ASK_AGAIN_TICKS)
		return; /* also when another limit asks: it has its turn when it offends again */
	witness_set(engine, ban, limit->index);
	struct tg_decision *note = notes_add(engine, TG_DECISION_WITNESS, TG_CAUSE_NONE, false);
	if (!note)
		return; /* the next offence asks */
	ban->asked = tick;
	engine->stats.witness_asked++;
	bans_describe(engine, id, &note->ban);
	note->ban.limit = limit->index; /* another one's may be the stronger ban */
	note->ban.measured = measured;
	note->ban.threshold = bans_threshold(limit->limit);
}

/*
 * The place for the drop: a new one, or where one was, or is on its way out, or runs already.
 * Between begin and change then. TG_BAN_NONE: not to be had.
 */
static uint32_t place_of_drop(struct tg_engine *engine, const struct ban *stand_in, bool enforced)
{
	uint32_t id =
		ban_table_find(engine->bans, stand_in->policy, TG_SCOPE_PORTS, &stand_in->source);
	if (id == TG_BAN_NONE) {
		id = ban_table_insert(engine->bans, stand_in->policy, TG_SCOPE_PORTS,
				      &stand_in->source);
		engine->stats.refused_full += id == TG_BAN_NONE;
		return id;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	if (ban->life == BAN_RECORD) {
		ban_table_recall(engine->bans, id);
		return id;
	}
	/* What would only be observed must not keep the kernel from letting go, nor take the place
	 * of what it holds. */
	if (!enforced && (ban->life == BAN_LIVE ? ban->enforced : ban->installed))
		return TG_BAN_NONE;
	bans_begin(engine, ban);
	return id;
}

static void drop_begin(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		       const struct ban *stand_in, uint32_t proven)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const bool enforce = bans_enforces(engine, limit);
	const bool runs = ban->life == BAN_LIVE && ban->heap != TG_BAN_NONE;
	const tg_time least = runs && ban->enforced == enforce ? ban->until : 0;
	const tg_time end = ladder_end(engine, limit->limit, stand_in->offence, TG_SCOPE_PORTS);
	ban->offence = stand_in->offence;
	ladder_apply(engine, ban, limit);
	ban->measured = proven;
	ban->threshold = bans_threshold(limit->limit);
	ban->since = stand_in->since;
	ban_table_set_until(engine->bans, id, MAX(end, least));
	insist_arm(engine, id);
	bans_change(engine, id, TG_CAUSE_WITNESSED);
	engine->stats.bans += !runs;
}

void witness_answer(struct tg_engine *engine, const struct tg_witness *witness)
{
	const uint16_t policy = ruleset_find_policy(engine->ruleset, witness->policy);
	const uint16_t index = ruleset_find_limit(engine->ruleset, policy, witness->limit);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, index);
	const uint32_t waiting =
		limit ? ban_table_find(engine->bans, policy, TG_SCOPE_NEW, &witness->source)
		      : TG_BAN_NONE;
	if (waiting == TG_BAN_NONE)
		return;
	struct ban *stand_in = ban_table_at(engine->bans, waiting);
	if (stand_in->life != BAN_LIVE || stand_in->witness != index)
		return; /* the answer to a question that is settled */
	const uint32_t threshold = bans_threshold(limit->limit);
	/* The sockets of forgiven connections may be there still, and prove nothing new. */
	const uint32_t old = counts_forgiven(engine, limit, &witness->source);
	if (witness->proven <= (uint64_t)threshold + old) {
		engine->stats.witness_denied++;
		return;
	}
	engine->stats.witness_proven++;
	if (!ladder_wants_drop(limit->limit, stand_in->offence)) {
		witness_set(engine, stand_in, TG_NO_INDEX); /* another policy by now */
		return;
	}
	const uint32_t id = place_of_drop(engine, stand_in, bans_enforces(engine, limit));
	if (id == TG_BAN_NONE)
		return;
	drop_begin(engine, id, limit, stand_in, witness->proven);
	/* Behind the drop, so that there is no moment without either. */
	if (stand_in->limit == index)
		bans_lift(engine, waiting, TG_CAUSE_WITNESSED, 0);
	else
		witness_set(engine, stand_in, TG_NO_INDEX);
}
