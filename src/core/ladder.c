/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what an offence leads to: the step of the limit's ladder, as far as the evidence allows,
 * and which offence it is. Evidence that can be forged never makes more than a rate-limit: what
 * nobody can prove stays at that, and what the kernel's sockets can prove waits as one until they
 * do.
 */
#include "base/util.h"
#include "engine_state.h"

static bool is_beyond(const struct tg_step *step)
{
	return step->action > TG_ACTION_RATE_LIMIT;
}

const struct tg_step *ladder_step(const struct tg_limit *limit, uint32_t offence)
{
	size_t i = offence > 0 ? MIN((size_t)offence, limit->step_count) - 1 : 0;
	if (tg_measure_evidence(limit->measure) != TG_EVIDENCE_WITNESSABLE)
		while (i > 0 && is_beyond(&limit->steps[i]))
			i--;
	return &limit->steps[i];
}

bool ladder_wants_proof(const struct tg_limit *limit, uint32_t offence)
{
	return tg_measure_evidence(limit->measure) == TG_EVIDENCE_WITNESSABLE &&
	       is_beyond(ladder_step(limit, offence));
}

struct ladder_rung ladder_rung(const struct tg_limit *limit, uint32_t offence, enum tg_scope scope,
			       bool proven)
{
	const struct tg_step *step = ladder_step(limit, offence);
	struct ladder_rung rung = {.action = step->action, .to = step->to};
	if (scope != TG_SCOPE_NEW) {
		/* Proven once, whatever the limit says of its offence by now. */
		rung.action = MAX(step->action, TG_ACTION_REJECT);
		if (!is_beyond(step) || step->action == TG_ACTION_CAP)
			rung.action = TG_ACTION_DROP;
		rung.kill = step->kill && rung.action == step->action;
		rung.proven = true;
	} else if (is_beyond(step) && proven && step->scope == TG_SCOPE_NEW) {
		if (step->action == TG_ACTION_CAP)
			rung.to = (struct tg_rate){.count = step->cap};
		rung.kill = step->kill;
		rung.proven = true;
	} else if (is_beyond(step)) {
		rung.action = TG_ACTION_RATE_LIMIT;
		if (rung.to.count == 0)
			rung.to = TG_UNPROVEN_RATE;
	}
	return rung;
}

bool ladder_covers(const struct ban *ban, const struct tg_step *step)
{
	if (!is_beyond(step))
		return true;
	if (!ban->proven || ban->scope < step->scope || ban->action < step->action ||
	    (step->kill && !ban->kill))
		return false;
	return ban->action != TG_ACTION_CAP || step->action != TG_ACTION_CAP ||
	       ban->to.count <= step->cap;
}

uint32_t ladder_asked(const struct ban *ban, const struct ruleset_limit *limit)
{
	/* What is in force by this limit is proven: only the next one can want more. */
	const bool next = ban->proven && ban->limit == limit->index &&
			  ban->witness == limit->index && ban->offence < limit->limit->step_count;
	const uint32_t offence = ban->offence + next;
	return ladder_wants_proof(limit->limit, offence) &&
			       !ladder_covers(ban, ladder_step(limit->limit, offence))
		       ? offence
		       : 0;
}

uint32_t ladder_offences(const struct tg_engine *engine, uint16_t policy,
			 const struct tg_prefix *source)
{
	uint32_t most = 0;
	for (unsigned scope = 0; scope < TG_SCOPE_COUNT; scope++) {
		const uint32_t id =
			ban_table_find(engine->bans, policy, (enum tg_scope)scope, source);
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
		   bool proven)
{
	const struct tg_step *step = ladder_step(limit, offence);
	/* What only stands in for more lasts no longer than the step before that: what nobody has
	 * proven may be forged. */
	while (!proven && is_beyond(step) && step > limit->steps)
		step--;
	return engine->now + step->expire_ms * TG_MSEC;
}

void ladder_apply(struct tg_engine *engine, struct ban *ban, const struct ruleset_limit *limit)
{
	const struct ladder_rung rung =
		ladder_rung(limit->limit, ban->offence, (enum tg_scope)ban->scope, ban->proven);
	const bool enforce = rung.action != TG_ACTION_OBSERVE && bans_enforces(engine, limit);
	if (rung.proven != ban->proven || rung.action == TG_ACTION_OBSERVE)
		witness_set(engine, ban, TG_NO_INDEX); /* it stands in for nothing */
	/* What the kernel's element is, and says. */
	if (ban->action != rung.action || ban->limit != limit->index ||
	    ban->to.count != rung.to.count || ban->to.per_ms != rung.to.per_ms)
		ban->confirmed = false;
	/* Once in its life, and when it becomes stronger. */
	ban->kill_due = rung.kill && enforce &&
			(ban->kill_due || !ban->kill || !ban->enforced ||
			 rung.action > (enum tg_action)ban->action);
	ban->life = BAN_LIVE;
	ban->action = (uint8_t)rung.action;
	ban->to = rung.to;
	ban->kill = rung.kill;
	ban->proven = rung.proven;
	ban->limit = limit->index;
	ban->origin = TG_ORIGIN_AUTO;
	ban->enforced = enforce;
	ban->request = 0;
}

/* The next offence, while a ban is in force: as strong a step as is proven, or nothing proven yet.
 */
static bool climbs(const struct ban *ban, const struct tg_limit *limit)
{
	return ban->offence < limit->step_count && ban->witness == TG_NO_INDEX &&
	       (!ban->proven || ladder_covers(ban, ladder_step(limit, ban->offence + 1)));
}

void ladder_extend(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		   uint32_t measured, enum tg_cause cause)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	bans_begin(engine, ban);
	/* Only for being over the limit again, and not while it waits for a witness: that may be
	 * forged. */
	const bool over = measured > ban->threshold;
	if (over && climbs(ban, limit->limit)) {
		ban->offence++;
		ban->confirmed = false;
		engine->stats.offences++;
	}
	ladder_apply(engine, ban, limit);
	/* The kernel has let go of it by itself; or may have, as its last end is not confirmed. */
	if (ban->until <= engine->now || ban->acked != ban->version)
		ban->confirmed = false;
	if (over) /* else it only hovers below: what it was banned for says more */
		ban->measured = measured;
	ban_table_set_until(engine->bans, id,
			    ladder_end(engine, limit->limit, ban->offence, ban->proven));
	insist_arm(engine, id);
	bans_change(engine, id, cause);
	engine->stats.extensions++;
	/* A stronger one than is proven wants a proof of its own, that the source goes on. */
	if (!ban->proven ? ladder_asked(ban, limit) > 0
			 : over && ban->offence < limit->limit->step_count &&
				   !ladder_covers(ban, ladder_step(limit->limit, ban->offence + 1)))
		witness_want(engine, id, limit, measured);
}
