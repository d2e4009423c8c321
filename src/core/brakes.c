/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what holds back a ban that is proven: an admin's live session from there, or so many bans at
 * once that the policy is mistaken, or a source that is many people's address. The rate-limit that
 * stands in for the ban stays, and it is asked again.
 */
#include <tcpguard/protect.h>

#include "base/util.h"
#include "engine_state.h"

/* A brake that held shows in the status for so long. */
#define SHOWN (60 * TG_SEC)
#define NOTE_INTERVAL TG_SEC

const struct tg_protected_prefix *brakes_admin(const struct tg_engine *engine,
					       const struct tg_prefix *source)
{
	return tg_prefix_set_overlap(engine->admins, source);
}

/* Bans made lately, by second or by minute; what has left the window is forgotten. */
static uint32_t brake_sum(struct brake_window *window, tg_time now)
{
	const uint64_t slot = now / window->unit;
	uint32_t sum = 0;
	if (slot - window->last >= BRAKE_SLOTS) {
		memset(window->made, 0, sizeof(window->made));
		window->last = slot;
	}
	while (window->last < slot)
		window->made[++window->last % BRAKE_SLOTS] = 0;
	for (unsigned i = 0; i < BRAKE_SLOTS; i++)
		sum += window->made[i];
	return sum;
}

void brakes_init(struct brakes *brakes)
{
	/* The slots of a window that moves on, and the one that has just begun. */
	brakes->minute.unit = 60 * TG_SEC / (BRAKE_SLOTS - 1);
	brakes->lately.unit = 600 * TG_SEC / (BRAKE_SLOTS - 1);
	brakes->held = brakes->noted = TG_NEVER;
}

void brakes_made(struct tg_engine *engine)
{
	struct brakes *brakes = &engine->brakes;
	(void)brake_sum(&brakes->minute, engine->now);
	(void)brake_sum(&brakes->lately, engine->now);
	brakes->minute.made[brakes->minute.last % BRAKE_SLOTS]++;
	brakes->lately.made[brakes->lately.last % BRAKE_SLOTS]++;
}

bool brakes_shown(const struct tg_engine *engine)
{
	return engine->brakes.held != TG_NEVER && engine->now - engine->brakes.held < SHOWN;
}

static bool is_share(uint64_t part, uint64_t whole, uint32_t thousandths)
{
	return thousandths > 0 && part * 1000 > whole * thousandths;
}

/* One more: of those made in the last minutes that live still, against those that are counted. */
static bool too_many(struct tg_engine *engine, const struct tg_brakes *limits)
{
	const uint32_t lately = brake_sum(&engine->brakes.lately, engine->now);
	const uint64_t part = (uint64_t)MIN(lately, engine->brakes.live) + 1;
	return part > TG_BRAKE_SHARE_LEAST &&
	       is_share(part,
			(uint64_t)engine->stats.sources[TG_IPV4] + engine->stats.sources[TG_IPV6],
			limits->share_of_sources);
}

static enum tg_cause brake_of(struct tg_engine *engine, const struct ruleset_limit *limit,
			      const struct tg_prefix *source)
{
	const struct tg_brakes *limits = &engine_config(engine)->brakes;
	if (limits->share_of_flows > 0 &&
	    is_share(counts_established(engine, limit, source),
		     engine->stats.states[TG_TCP_ESTABLISHED], limits->share_of_flows))
		return TG_CAUSE_BRAKE_FLOWS;
	if (limits->bans_per_minute > 0 &&
	    brake_sum(&engine->brakes.minute, engine->now) >= limits->bans_per_minute)
		return TG_CAUSE_BRAKE_RATE;
	if (too_many(engine, limits))
		return TG_CAUSE_BRAKE_SOURCES;
	return TG_CAUSE_NONE;
}

static void brake_tell(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		       const struct tg_step *step, uint32_t measured, enum tg_cause cause)
{
	struct brakes *brakes = &engine->brakes;
	if (brakes->noted != TG_NEVER && engine->now - brakes->noted < NOTE_INTERVAL)
		return;
	struct tg_decision *note = notes_add(engine, TG_DECISION_REFUSE, cause, false);
	if (!note)
		return;
	brakes->noted = engine->now;
	bans_describe(engine, id, &note->ban);
	note->ban.id = TG_BAN_NONE;
	note->ban.action = step->action;
	note->ban.scope = step->scope;
	note->ban.kill = step->kill;
	note->ban.to =
		step->action == TG_ACTION_CAP ? (struct tg_rate){.count = step->cap} : step->to;
	note->ban.unproven = false;
	note->ban.limit = limit->index;
	note->ban.measured = measured;
	note->ban.threshold = bans_threshold(limit->limit);
	const struct tg_protected_prefix *hit =
		cause == TG_CAUSE_PROTECTED ? brakes_admin(engine, &note->ban.source) : NULL;
	if (hit) {
		note->covers = hit->prefix;
		note->covers_kind = hit->kind;
	}
}

bool brakes_hold(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
		 const struct tg_step *step, uint32_t measured)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	enum tg_cause cause = TG_CAUSE_PROTECTED;
	if (!brakes_admin(engine, &ban->source)) {
		if (!bans_enforces(engine, limit))
			return false;
		cause = brake_of(engine, limit, &ban->source);
		if (cause == TG_CAUSE_NONE)
			return false;
		engine->brakes.held = engine->now;
	}
	if (!ban->braked) { /* each once, however often it is asked */
		ban->braked = true;
		engine->stats.refused_admin += cause == TG_CAUSE_PROTECTED;
		engine->stats.braked_rate += cause == TG_CAUSE_BRAKE_RATE;
		engine->stats.braked_sources += cause == TG_CAUSE_BRAKE_SOURCES;
		engine->stats.braked_flows += cause == TG_CAUSE_BRAKE_FLOWS;
	}
	brake_tell(engine, id, limit, step, measured, cause);
	return true;
}

void brakes_admins(struct tg_engine *engine, const struct tg_prefix_set *admins)
{
	engine->admins = admins;
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1)) {
		const struct ban *ban = ban_table_at(engine->bans, id);
		if (ban->life == BAN_LIVE && ban->proven && brakes_admin(engine, &ban->source))
			bans_lift(engine, id, TG_CAUSE_PROTECTED, 0);
	}
}
