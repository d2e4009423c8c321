/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what follows when a source crosses a limit: a ban, a longer or stronger one, or a refusal.
 */
#include <tcpguard/protect.h>

#include "base/util.h"
#include "engine_state.h"

/* An offence that gets no ban is told at most so often; all are counted. */
#define REFUSED_NOTE_INTERVAL TG_SEC

static void note_refused_offence(struct tg_engine *engine, const struct ruleset_view *view,
				 const struct ruleset_limit *limit, const struct tg_prefix *source,
				 uint32_t measured, uint32_t threshold, enum tg_cause cause,
				 const struct tg_protected_prefix *hit)
{
	if (engine->refused_noted != TG_NEVER &&
	    engine->now - engine->refused_noted < REFUSED_NOTE_INTERVAL)
		return;
	struct tg_decision *note = notes_add(engine, TG_DECISION_REFUSE, cause, false);
	if (!note)
		return;
	engine->refused_noted = engine->now;
	note->ban = (struct tg_ban){
		.id = TG_BAN_NONE,
		.source = *source,
		.action = limit->limit->steps[0].action,
		.scope = limit->limit->steps[0].scope,
		.policy = view->policy,
		.limit = limit->index,
		.enforced = limit->mode == TG_MODE_ENFORCE,
		.to = limit->limit->steps[0].to,
		.measured = measured,
		.threshold = threshold,
		.since = engine->now,
		.until = engine->now,
	};
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
	return a == TG_ACTION_RATE_LIMIT &&
	       (uint64_t)a_to->count * b_to->per_ms < (uint64_t)b_to->count * a_to->per_ms;
}

static void ban_set_offence(struct tg_engine *engine, struct ban *ban,
			    const struct ruleset_limit *limit, uint32_t measured,
			    uint32_t threshold)
{
	ban->life = BAN_LIVE;
	ban->action = (uint8_t)limit->limit->steps[0].action;
	ban->to = limit->limit->steps[0].to;
	ban->limit = limit->index;
	ban->origin = TG_ORIGIN_AUTO;
	ban->enforced = bans_enforces(engine, limit);
	ban->measured = measured;
	ban->threshold = threshold;
	ban->request = 0;
}

/* An offence of a source that is banned already in this policy and scope. */
static void offence_again(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
			  uint32_t measured, uint32_t threshold)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time until = engine->now + limit->limit->steps[0].expire_ms * TG_MSEC;
	const bool enforce = bans_enforces(engine, limit);
	const bool stronger = enforce != ban->enforced ? enforce
						       : is_stronger(limit->limit->steps[0].action,
								     &limit->limit->steps[0].to,
								     ban->action, &ban->to);
	if (stronger) {
		/* A limit that only observes lends its end to none that acts. */
		const tg_time least = ban->enforced == enforce ? ban->until : 0;
		bans_begin(engine, ban);
		ban_set_offence(engine, ban, limit, measured, threshold);
		ban_table_set_until(engine->bans, id, MAX(until, least));
		bans_change(engine, id, TG_CAUSE_EXTENDED);
		engine->stats.offences++;
		engine->stats.extensions++;
		return;
	}
	/* Still over the limit: the end moves on, at most twice in its time. */
	if (ban->limit != limit->index || ban->until - engine->now > (until - engine->now) / 2)
		return;
	bans_begin(engine, ban);
	ban->measured = measured;
	ban->request = 0;
	ban_table_set_until(engine->bans, id, until);
	bans_change(engine, id, TG_CAUSE_EXTENDED);
	engine->stats.extensions++;
}

void offences_ban(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct ruleset_limit *limit, const struct tg_prefix *source,
		  uint32_t measured, uint32_t threshold)
{
	const struct tg_protected_prefix *hit = bans_cover(engine, source);
	if (hit) {
		engine->stats.refused_protected++;
		note_refused_offence(engine, view, limit, source, measured, threshold,
				     TG_CAUSE_PROTECTED, hit);
		return;
	}
	const enum tg_scope scope = limit->limit->steps[0].scope;
	uint32_t id = ban_table_find(engine->bans, view->policy, scope, source);
	if (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->life == BAN_LIVE) {
		offence_again(engine, id, limit, measured, threshold);
		return;
	}
	/* The kernel has not let go of it yet; what would only be observed must not keep that from
	 * it. */
	if (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->installed &&
	    !bans_enforces(engine, limit))
		return;
	engine->stats.offences++;
	if (id == TG_BAN_NONE)
		id = ban_table_insert(engine->bans, view->policy, scope, source);
	else
		bans_begin(engine, ban_table_at(engine->bans, id)); /* on its way out: back in */
	if (id == TG_BAN_NONE) {
		engine->stats.refused_full++;
		note_refused_offence(engine, view, limit, source, measured, threshold,
				     TG_CAUSE_TABLE_FULL, NULL);
		return;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	ban_set_offence(engine, ban, limit, measured, threshold);
	ban->offence++;
	ban->since = engine->now;
	ban_table_set_until(engine->bans, id,
			    engine->now + limit->limit->steps[0].expire_ms * TG_MSEC);
	bans_change(engine, id, TG_CAUSE_OFFENCE);
	engine->stats.bans++;
}
