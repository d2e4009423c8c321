/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from a cap, reject or drop that is asked for to one that is in force. conntrack can
 * be brought to ESTABLISHED by packets that somebody else has forged; a socket cannot. So the
 * kernel's sockets are asked, and what they prove must itself cross the threshold. Until then, and
 * if they do not, a rate-limit stands in.
 */
#include "base/util.h"
#include "engine_state.h"

/* Between two questions about one source. */
#define ASK_AGAIN_TICKS 4

void witness_set(struct tg_engine *engine, struct ban *ban, uint16_t limit)
{
	/* What is proven and may become more stands in for nothing. */
	engine->stats.bans_unproven -= ban->witness != TG_NO_INDEX && !ban->proven;
	engine->stats.bans_unproven += limit != TG_NO_INDEX && !ban->proven;
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

static void proven_begin(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
			 const struct ban *waiting, uint32_t offence, uint32_t proven)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const bool enforce = bans_enforces(engine, limit);
	const bool runs = ban->life == BAN_LIVE && ban->heap != TG_BAN_NONE;
	const tg_time least = runs && ban->enforced == enforce && ban->proven ? ban->until : 0;
	const tg_time since = waiting->since;
	witness_set(engine, ban, TG_NO_INDEX);
	ban->proven = true;
	ban->braked = false;
	if (ban->offence != offence)
		ban->confirmed = false;
	ban->offence = offence;
	ladder_apply(engine, ban, limit);
	ban->measured = proven;
	ban->threshold = bans_threshold(limit->limit);
	ban->since = since;
	ban_table_set_until(engine->bans, id,
			    MAX(ladder_end(engine, limit->limit, offence, true), least));
	insist_arm(engine, id);
	bans_change(engine, id, TG_CAUSE_WITNESSED);
	engine->stats.bans += !runs;
	engine->stats.extensions += runs;
	if (enforce)
		brakes_made(engine);
}

/* The ban becomes what the limit wants for that offence: where it stands, or beside it. */
static void become(struct tg_engine *engine, uint32_t waiting, const struct ruleset_limit *limit,
		   uint32_t offence, uint32_t proven)
{
	struct ban *ban = ban_table_at(engine->bans, waiting);
	const bool enforce = bans_enforces(engine, limit);
	const enum tg_scope scope = ladder_step(limit->limit, offence)->scope;
	const bool goes = ban->limit == limit->index;
	bool full = false;
	/* What is proven of a wide scope is not taken back to a narrow one. */
	if (scope <= (enum tg_scope)ban->scope) {
		if (ban->enforced && !enforce) {
			witness_set(engine, ban, TG_NO_INDEX);
			return;
		}
		bans_begin(engine, ban);
		proven_begin(engine, waiting, limit, ban, offence, proven);
		return;
	}
	const struct tg_prefix source = ban->source;
	const uint32_t id = bans_place(engine, ban->policy, scope, &source, enforce,
				       goes ? waiting : TG_BAN_NONE, &full);
	engine->stats.refused_full += full;
	if (id == TG_BAN_NONE)
		return;
	proven_begin(engine, id, limit, ban, offence, proven);
	/* Behind the new one, so that there is no moment without either. */
	if (goes)
		bans_lift(engine, waiting, TG_CAUSE_WITNESSED, 0);
	else
		witness_set(engine, ban, TG_NO_INDEX);
}

/* The live ban of the source that this limit has asked a witness for. */
static uint32_t find_waiting(const struct tg_engine *engine, uint16_t policy, uint16_t limit,
			     const struct tg_prefix *source)
{
	for (unsigned scope = 0; scope < TG_SCOPE_COUNT; scope++) {
		const uint32_t id =
			ban_table_find(engine->bans, policy, (enum tg_scope)scope, source);
		if (id == TG_BAN_NONE)
			continue;
		const struct ban *ban = ban_table_at(engine->bans, id);
		if (ban->life == BAN_LIVE && ban->witness == limit)
			return id;
	}
	return TG_BAN_NONE;
}

void witness_answer(struct tg_engine *engine, const struct tg_witness *witness)
{
	const uint16_t policy = ruleset_find_policy(engine->ruleset, witness->policy);
	const uint16_t index = ruleset_find_limit(engine->ruleset, policy, witness->limit);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, index);
	const uint32_t waiting =
		limit ? find_waiting(engine, policy, index, &witness->source) : TG_BAN_NONE;
	if (waiting == TG_BAN_NONE)
		return; /* the answer to a question that is settled */
	const uint32_t threshold = bans_threshold(limit->limit);
	/* The sockets of forgiven connections may be there still, and prove nothing new. */
	const uint32_t old = counts_forgiven(engine, limit, &witness->source);
	if (witness->proven <= (uint64_t)threshold + old) {
		engine->stats.witness_denied++;
		return;
	}
	engine->stats.witness_proven++;
	struct ban *ban = ban_table_at(engine->bans, waiting);
	const uint32_t offence = ladder_asked(ban, limit);
	if (offence == 0) {
		witness_set(engine, ban, TG_NO_INDEX); /* another policy by now */
		return;
	}
	if (!brakes_hold(engine, waiting, limit, ladder_step(limit->limit, offence),
			 witness->proven))
		become(engine, waiting, limit, offence, witness->proven);
}
