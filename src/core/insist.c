/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns whether a ban that is over stays: because its source went on sending into it, or still
 * stands close below its limit. A quiet one is let go on time. What is dropped makes no event, so
 * the element's own count of packets is asked for, in the middle of the ban's time and at its end.
 */
#include "base/util.h"
#include "engine_state.h"

/* Before the end; the answer comes within a loop turn. */
#define LAST_ASKED FLOW_TICK
/* A shorter ban is over before its packets have told anything. */
#define TOO_SHORT (4 * FLOW_TICK)
#define MINUTE_MS UINT64_C(60000)

void insist_arm(struct tg_engine *engine, uint32_t id)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time left = ban->until - MIN(ban->until, engine->now);
	ban->probe = BAN_PROBE_NONE;
	ban->insists = false;
	if (ban->enforced && ban->origin == TG_ORIGIN_AUTO && ban->policy != TG_NO_INDEX &&
	    !tg_prefix_is_total(&ban->source) && left >= TOO_SHORT)
		ban_table_set_wake(engine->bans, id, engine->now + left / 2);
}

bool insist_ask(struct tg_engine *engine, uint32_t id)
{
	const struct ban *ban = ban_table_at(engine->bans, id);
	/* What a cap lets through cannot be told from what it does not. */
	if (!ban->enforced || ban->acked != ban->version || engine->probe_left == 0 ||
	    ban->action == TG_ACTION_CAP)
		return false;
	struct tg_decision *note = notes_add(engine, TG_DECISION_PROBE, TG_CAUSE_NONE, false);
	if (!note)
		return false;
	engine->probe_left--;
	bans_describe(engine, id, &note->ban);
	return true;
}

void insist_wake(struct tg_engine *engine, uint32_t id)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time last = ban->until - LAST_ASKED;
	tg_time wake = ban->until;
	if (ban->probe == BAN_PROBE_NONE && engine->now < last) {
		if (insist_ask(engine, id)) {
			ban->probe = BAN_PROBE_FIRST_ASKED;
			wake = last;
		}
	} else if (ban->probe == BAN_PROBE_FIRST_KNOWN && insist_ask(engine, id)) {
		ban->probe = BAN_PROBE_LAST_ASKED;
	}
	ban_table_set_wake(engine->bans, id, wake);
}

/*
 * More than the limit itself lets through in that time? Of a state, its threshold; in a long
 * time, that many a minute: a ban must not hold on to its source for being long.
 */
static bool is_much(const struct tg_limit *limit, uint32_t packets, uint32_t ticks)
{
	const uint64_t ms = ticks * (FLOW_TICK / TG_MSEC);
	if (!tg_measure_is_rate(limit->measure))
		return (uint64_t)packets * MINUTE_MS > limit->threshold * MAX(ms, MINUTE_MS);
	return (uint64_t)packets * limit->window_ms > (uint64_t)limit->threshold * ms;
}

void insist_traffic(struct tg_engine *engine, const struct tg_traffic *traffic)
{
	const uint16_t policy = ruleset_find_policy(engine->ruleset, traffic->policy);
	const uint32_t id =
		policy == TG_NO_INDEX
			? TG_BAN_NONE
			: ban_table_find(engine->bans, policy, traffic->scope, &traffic->source);
	if (id == TG_BAN_NONE)
		return;
	if (tg_prefix_is_total(&traffic->source)) {
		services_traffic(engine, id, traffic);
		return;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, ban->limit);
	if (ban->life != BAN_LIVE || !limit)
		return;
	const uint32_t packets = (uint32_t)MIN(traffic->packets, UINT32_MAX);
	if (ban->probe == BAN_PROBE_FIRST_ASKED) {
		ban->probe = BAN_PROBE_FIRST_KNOWN;
		ban->probe_packets = packets;
		ban->probe_tick = engine->tick;
	} else if (ban->probe == BAN_PROBE_LAST_ASKED) {
		/* Fewer than before: somebody made the element anew. */
		ban->insists = packets > ban->probe_packets &&
			       is_much(limit->limit, packets - ban->probe_packets,
				       MAX(engine->tick - ban->probe_tick, 1));
	}
}

/*
 * A source that stands close below its limit would be over it again in a moment: it stays
 * until it is clearly below. Not after what is proven: a drop keeps connections from being closed,
 * and what was counted since is not proven.
 */
static bool hovers(const struct tg_engine *engine, const struct ban *ban,
		   const struct ruleset_limit *limit, uint32_t *ret_measured)
{
	const uint32_t threshold = bans_threshold(limit->limit);
	const struct ruleset_view *view = ruleset_view(engine->ruleset, limit);
	uint32_t measured;
	if (ban->proven || (engine->stats.stale && !limit->pours) ||
	    !counts_measure(engine, limit, view, &ban->source, &measured) ||
	    measured <= threshold - threshold / 4)
		return false;
	*ret_measured = measured;
	return true;
}

bool insist_stays(struct tg_engine *engine, uint32_t id)
{
	const struct ban *ban = ban_table_at(engine->bans, id);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, ban->policy, ban->limit);
	uint32_t measured = ban->measured;
	if (ban->origin != TG_ORIGIN_AUTO || !limit || tg_prefix_is_total(&ban->source))
		return false;
	/* What the kernel holds cannot go on as something that is only observed. */
	if (ban->enforced &&
	    ladder_rung(limit->limit, ban->offence, (enum tg_scope)ban->scope, ban->proven)
			    .action == TG_ACTION_OBSERVE)
		return false;
	if (ban->insists) {
		engine->stats.insisting++;
		/* Packets can be forged, also into a ban that somebody has earned: they prolong
		 * nothing that had to be proven. A rate-limit takes over, and what gets through it
		 * may prove the next one.
		 */
		if (ban->proven)
			return offences_stand_in(engine, id, limit);
		ladder_extend(engine, id, limit, measured, TG_CAUSE_INSISTS);
		return true;
	}
	if (!hovers(engine, ban, limit, &measured))
		return false;
	ladder_extend(engine, id, limit, measured, TG_CAUSE_EXTENDED);
	return true;
}
