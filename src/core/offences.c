/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what follows when a source crosses a limit: a ban, a longer or stronger one, or a refusal.
 */
#include <tcpguard/protect.h>

#include "base/util.h"
#include "engine_state.h"

/* An offence that gets no ban is told at most so often; all are counted. */
#define REFUSED_NOTE_INTERVAL TG_SEC

void offences_refuse(struct tg_engine *engine, const struct ruleset_view *view,
		     const struct ruleset_limit *limit, const struct tg_prefix *source,
		     uint32_t measured, uint32_t threshold, enum tg_cause cause, tg_time *noted)
{
	if (*noted != TG_NEVER && engine->now - *noted < REFUSED_NOTE_INTERVAL)
		return;
	struct tg_decision *note = notes_add(engine, TG_DECISION_REFUSE, cause, false);
	if (!note)
		return;
	*noted = engine->now;
	const struct tg_step *step = ladder_step(limit->limit, 1);
	note->ban = (struct tg_ban){
		.id = TG_BAN_NONE,
		.source = *source,
		.action = step->action,
		.scope = step->scope,
		.policy = view->policy,
		.limit = limit->index,
		.enforced = limit->mode == TG_MODE_ENFORCE && step->action != TG_ACTION_OBSERVE,
		.to = step->to,
		.measured = measured,
		.threshold = threshold,
		.since = engine->now,
		.until = engine->now,
	};
	const struct tg_protected_prefix *hit =
		cause == TG_CAUSE_PROTECTED ? bans_cover(engine, source) : NULL;
	if (hit) {
		note->covers = hit->prefix;
		note->covers_kind = hit->kind;
	}
}

/* Lets fewer packets through. */
static bool is_stronger(enum tg_action a, const struct tg_rate *a_to, enum tg_action b,
			const struct tg_rate *b_to)
{
	if (a != b)
		return a > b;
	if (a == TG_ACTION_CAP)
		return a_to->count < b_to->count;
	return a == TG_ACTION_RATE_LIMIT &&
	       (uint64_t)a_to->count * b_to->per_ms < (uint64_t)b_to->count * a_to->per_ms;
}

/*
 * An offence of a source that is banned already in this policy and scope. False: that ban goes, and
 * the offence makes a new one.
 */
static bool offence_again(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
			  uint32_t measured, uint32_t threshold)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const struct ladder_rung rung =
		ladder_rung(limit->limit, ban->offence, (enum tg_scope)ban->scope, ban->proven);
	const tg_time until = ladder_end(engine, limit->limit, ban->offence, rung.proven);
	const bool enforce = bans_enforces(engine, limit) && rung.action != TG_ACTION_OBSERVE;
	const bool stronger = enforce != ban->enforced
				      ? enforce
				      : is_stronger(rung.action, &rung.to, ban->action, &ban->to);
	/* What was proven while nothing was enforced. */
	if (stronger && rung.proven && enforce && !ban->enforced &&
	    brakes_hold(engine, id, limit, ladder_step(limit->limit, ban->offence), measured)) {
		bans_lift(engine, id, TG_CAUSE_RELOAD, 0);
		return false;
	}
	if (stronger) {
		if (rung.proven && enforce && !ban->enforced)
			brakes_made(engine);
		/* A limit that only observes lends its end to none that acts. */
		const tg_time least = ban->enforced == enforce ? ban->until : 0;
		bans_begin(engine, ban);
		ladder_apply(engine, ban, limit);
		ban->measured = measured;
		ban->threshold = threshold;
		ban_table_set_until(engine->bans, id, MAX(until, least));
		insist_arm(engine, id);
		bans_change(engine, id, TG_CAUSE_EXTENDED);
		engine->stats.offences++;
		engine->stats.extensions++;
	} else if (ban->limit == limit->index && ban->enforced == enforce &&
		   ban->until - engine->now <= (until - engine->now) / 2) {
		/* Still over the limit: the end moves on, at most twice in its time. */
		ladder_extend(engine, id, limit, measured, TG_CAUSE_EXTENDED);
	}
	if (ladder_asked(ban, limit) > 0)
		witness_want(engine, id, limit, measured);
	return true;
}

/* Is this the ban that the offence belongs to: by the same limit, or no weaker than it asks for? */
static bool answers(const struct tg_engine *engine, const struct ban *ban,
		    const struct ruleset_limit *limit)
{
	return ban->life == BAN_LIVE &&
	       (ban->limit == limit->index ||
		(ladder_wants_proof(limit->limit, ban->offence) &&
		 ladder_covers(ban, ladder_step(limit->limit, ban->offence)) &&
		 (ban->enforced || !bans_enforces(engine, limit))));
}

/* Where a live ban stands that this offence belongs to: the widest, if it has what it asks for. */
static enum tg_scope scope_of(const struct tg_engine *engine, uint16_t policy,
			      const struct ruleset_limit *limit, const struct tg_prefix *source)
{
	for (enum tg_scope scope = TG_SCOPE_EVERYTHING; scope > TG_SCOPE_NEW; scope--) {
		const uint32_t id = ban_table_find(engine->bans, policy, scope, source);
		if (id != TG_BAN_NONE && answers(engine, ban_table_at(engine->bans, id), limit))
			return scope;
	}
	return TG_SCOPE_NEW;
}

/* The offence that a new ban is for: the running one's, if the source has one, or the next. */
static uint32_t offence_number(const struct tg_engine *engine, uint16_t policy,
			       const struct tg_prefix *source)
{
	for (enum tg_scope scope = TG_SCOPE_EVERYTHING; scope > TG_SCOPE_NEW; scope--) {
		const uint32_t id = ban_table_find(engine->bans, policy, scope, source);
		if (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->life == BAN_LIVE)
			return ban_table_at(engine->bans, id)->offence;
	}
	return ladder_offences(engine, policy, source) + 1;
}

static void offence_new(struct tg_engine *engine, const struct ruleset_view *view,
			const struct ruleset_limit *limit, const struct tg_prefix *source,
			uint32_t measured, uint32_t threshold)
{
	const uint32_t number = offence_number(engine, view->policy, source);
	const bool enforce = bans_enforces(engine, limit) &&
			     ladder_step(limit->limit, number)->action != TG_ACTION_OBSERVE;
	bool full;
	const uint32_t id =
		bans_place(engine, view->policy, TG_SCOPE_NEW, source, enforce, TG_BAN_NONE, &full);
	if (id == TG_BAN_NONE && !full)
		return;
	engine->stats.offences++;
	if (full) {
		engine->stats.refused_full++;
		offences_refuse(engine, view, limit, source, measured, threshold,
				TG_CAUSE_TABLE_FULL, &engine->refused_noted);
		return;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	ban->offence = number;
	ladder_apply(engine, ban, limit);
	ban->measured = measured;
	ban->threshold = threshold;
	ban->since = engine->now;
	ban_table_set_until(engine->bans, id, ladder_end(engine, limit->limit, number, false));
	insist_arm(engine, id);
	bans_change(engine, id, TG_CAUSE_OFFENCE);
	engine->stats.bans++;
	if (ladder_wants_proof(limit->limit, number))
		witness_want(engine, id, limit, measured);
}

bool offences_stand_in(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit)
{
	const struct ban was = *ban_table_at(engine->bans, id);
	const bool stays = was.scope == TG_SCOPE_NEW;
	uint32_t place = ban_table_find(engine->bans, was.policy, TG_SCOPE_NEW, &was.source);
	bool full = false;
	if (stays) {
		bans_begin(engine, ban_table_at(engine->bans, id));
		witness_set(engine, ban_table_at(engine->bans, id), TG_NO_INDEX);
		ban_table_at(engine->bans, id)->proven = false;
		ban_table_at(engine->bans, id)->confirmed = false;
	} else if (place != TG_BAN_NONE && ban_table_at(engine->bans, place)->life == BAN_LIVE) {
		witness_want(engine, place, limit, was.measured);
		return false;
	} else {
		place = bans_place(engine, was.policy, TG_SCOPE_NEW, &was.source,
				   bans_enforces(engine, limit), id, &full);
		engine->stats.refused_full += full;
		if (place == TG_BAN_NONE)
			return false;
	}
	struct ban *ban = ban_table_at(engine->bans, place);
	ban->offence = was.offence;
	ladder_apply(engine, ban, limit);
	ban->measured = was.measured;
	ban->threshold = was.threshold;
	ban->since = was.since;
	ban_table_set_until(engine->bans, place,
			    ladder_end(engine, limit->limit, ban->offence, false));
	insist_arm(engine, place);
	bans_change(engine, place, TG_CAUSE_INSISTS);
	engine->stats.extensions++;
	if (ladder_asked(ban, limit) > 0)
		witness_want(engine, place, limit, ban->measured);
	return stays;
}

void offences_ban(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct ruleset_limit *limit, const struct tg_prefix *source,
		  uint32_t measured, uint32_t threshold)
{
	if (tg_prefix_is_total(source)) {
		const struct tg_prefix total = tg_ban_total(limit->limit->name);
		if (limit->up || !services_begins(engine, view, limit))
			return;
		offence_new(engine, view, limit, &total, measured, threshold);
		if (limit->up)
			services_begin(engine, view, limit, false);
		return;
	}
	if (bans_cover(engine, source)) {
		engine->stats.refused_protected++;
		offences_refuse(engine, view, limit, source, measured, threshold,
				TG_CAUSE_PROTECTED, &engine->refused_noted);
		return;
	}
	const enum tg_scope scope = scope_of(engine, view->policy, limit, source);
	const uint32_t id = ban_table_find(engine->bans, view->policy, scope, source);
	if (id == TG_BAN_NONE || ban_table_at(engine->bans, id)->life != BAN_LIVE ||
	    !offence_again(engine, id, limit, measured, threshold))
		offence_new(engine, view, limit, source, measured, threshold);
}
