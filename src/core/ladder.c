/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what an offence leads to: the step of the limit's ladder, as far as the evidence allows,
 * and which offence it is. Evidence that can be forged never makes a drop: what nobody can prove
 * stays below it, and what the kernel's sockets can prove waits as a rate-limit until they do.
 */
#include "base/util.h"
#include "engine_state.h"

const struct tg_step *ladder_step(const struct tg_limit *limit, uint32_t offence)
{
	size_t i = offence > 0 ? MIN((size_t)offence, limit->step_count) - 1 : 0;
	if (tg_measure_evidence(limit->measure) != TG_EVIDENCE_WITNESSABLE)
		while (i > 0 && limit->steps[i].action == TG_ACTION_DROP)
			i--;
	return &limit->steps[i];
}

bool ladder_wants_drop(const struct tg_limit *limit, uint32_t offence)
{
	return tg_measure_evidence(limit->measure) == TG_EVIDENCE_WITNESSABLE &&
	       ladder_step(limit, offence)->action == TG_ACTION_DROP;
}

struct ladder_rung ladder_rung(const struct tg_limit *limit, uint32_t offence, enum tg_scope scope)
{
	const struct tg_step *step = ladder_step(limit, offence);
	struct ladder_rung rung = {.action = step->action, .to = step->to};
	if (scope == TG_SCOPE_PORTS) {
		rung.action = TG_ACTION_DROP; /* proven once */
	} else if (step->action == TG_ACTION_DROP) {
		rung.action = TG_ACTION_RATE_LIMIT;
		if (rung.to.count == 0)
			rung.to = TG_UNPROVEN_RATE;
	}
	return rung;
}

uint32_t ladder_offences(const struct tg_engine *engine, uint16_t policy,
			 const struct tg_prefix *source)
{
	static const enum tg_scope scopes[] = {TG_SCOPE_NEW, TG_SCOPE_PORTS};
	uint32_t most = 0;
	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
		const uint32_t id = ban_table_find(engine->bans, policy, scopes[i], source);
		if (id == TG_BAN_NONE)
			continue;
		const struct ban *ban = ban_table_at(engine->bans, id);
		if (ban->life == BAN_LIVE ||
		    (ban->remember && (ban->life != BAN_RECORD || ban->until > engine->now)))
			most = MAX(most, ban->offence);
	}
	return most;
}

tg_time ladder_end(const struct tg_engine *engine, const struct tg_limit *limit, uint32_t offence,
		   enum tg_scope scope)
{
	const struct tg_step *step = ladder_step(limit, offence);
	/* What only stands in for a drop lasts no longer than the step before the drop: what
	 * nobody has proven may be forged. */
	while (scope == TG_SCOPE_NEW && step->action == TG_ACTION_DROP && step > limit->steps)
		step--;
	return engine->now + step->expire_ms * TG_MSEC;
}

void ladder_apply(struct tg_engine *engine, struct ban *ban, const struct ruleset_limit *limit)
{
	const struct ladder_rung rung =
		ladder_rung(limit->limit, ban->offence, (enum tg_scope)ban->scope);
	ban->life = BAN_LIVE;
	ban->action = (uint8_t)rung.action;
	ban->to = rung.to;
	ban->limit = limit->index;
	ban->origin = TG_ORIGIN_AUTO;
	ban->enforced = rung.action != TG_ACTION_OBSERVE && bans_enforces(engine, limit);
	ban->request = 0;
	if (ban->action == TG_ACTION_OBSERVE)
		witness_set(engine, ban, TG_NO_INDEX); /* it stands in for nothing */
}

void ladder_extend(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		   uint32_t measured, enum tg_cause cause)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	bans_begin(engine, ban);
	/* Only for being over the limit again, and not while it waits for a witness: that may be
	 * forged. */
	if (measured > ban->threshold && ban->offence < limit->limit->step_count &&
	    ban->witness == TG_NO_INDEX) {
		ban->offence++;
		engine->stats.offences++;
	}
	ladder_apply(engine, ban, limit);
	if (measured >
	    ban->threshold) /* else it only hovers below: what it was banned for says more */
		ban->measured = measured;
	ban_table_set_until(
		engine->bans, id,
		ladder_end(engine, limit->limit, ban->offence, (enum tg_scope)ban->scope));
	insist_arm(engine, id);
	bans_change(engine, id, cause);
	engine->stats.extensions++;
	if (ban->scope == TG_SCOPE_NEW && ladder_wants_drop(limit->limit, ban->offence))
		witness_want(engine, id, limit, measured);
}
