/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what comes back from before the daemon's start: elements that the kernel holds, and then
 * what the state directory remembers beyond them. Both are only as good as the policy that is in
 * force now, and what the kernel holds counts more.
 */
#include "base/util.h"
#include "engine_state.h"

/* For an element found without an end whose limit is unknown. */
#define ADOPTED_EXPIRE_MS (10 * 60 * 1000)

/* Without a reason to lift it: TG_CAUSE_NONE. */
static enum tg_cause unwanted(const struct tg_engine *engine, const struct ban *ban,
			      const struct ruleset_limit *limit)
{
	const bool by_hand = ban->policy == TG_NO_INDEX;
	if (bans_cover(engine, &ban->source) ||
	    (!by_hand && ban->proven && brakes_admin(engine, &ban->source)))
		return TG_CAUSE_PROTECTED;
	if (engine->stats.panic)
		return TG_CAUSE_PANIC;
	if (!by_hand &&
	    (!bans_survives(ban, limit) || limit->mode != TG_MODE_ENFORCE || !limit->acts))
		return TG_CAUSE_RELOAD;
	return TG_CAUSE_NONE;
}

static void fill(struct tg_engine *engine, struct ban *ban, const struct tg_adopt *adopt,
		 uint16_t limit)
{
	const tg_time age = adopt->age_ms * TG_MSEC;
	ban->action = (uint8_t)adopt->action;
	ban->scope = (uint8_t)adopt->scope;
	ban->origin = (uint8_t)adopt->origin;
	ban->enforced = true;
	ban->limit = limit;
	ban->to = adopt->to;
	ban->measured = adopt->measured;
	ban->threshold = adopt->threshold;
	ban->offence = adopt->offence;
	ban->since = engine->now > age ? engine->now - age : 0;
	/* Nothing else got that far. What only stood in for it says so, and is a rate-limit. */
	ban->proven = ban->policy != TG_NO_INDEX && adopt->action > TG_ACTION_RATE_LIMIT &&
		      !adopt->unproven;
}

static bool is_sound(const struct tg_adopt *adopt)
{
	const bool total = tg_prefix_is_total(&adopt->source);
	return adopt->action != TG_ACTION_OBSERVE &&
	       (total ? adopt->action <= TG_ACTION_RATE_LIMIT
		      : adopt->action != TG_ACTION_SYNPROXY) &&
	       (!adopt->unproven || adopt->action == TG_ACTION_RATE_LIMIT);
}

/* What the state directory knows, checked before it takes a place: the kernel has none of it. */
static bool is_wanted(const struct tg_engine *engine, const struct tg_adopt *adopt, uint16_t policy,
		      const struct ruleset_limit *limit)
{
	struct ban ban = {.source = adopt->source,
			  .action = (uint8_t)adopt->action,
			  .scope = (uint8_t)adopt->scope,
			  .policy = policy};
	ban.proven = adopt->action > TG_ACTION_RATE_LIMIT;
	if (adopt->record)
		return limit != NULL && adopt->left_ms > 0;
	return is_sound(adopt) && adopt->left_ms > 0 &&
	       unwanted(engine, &ban, limit) == TG_CAUSE_NONE;
}

static void adopt_record(struct tg_engine *engine, const struct tg_adopt *adopt, uint16_t policy,
			 uint16_t limit)
{
	const uint32_t id = ban_table_insert(engine->bans, policy, adopt->scope, &adopt->source);
	if (id == TG_BAN_NONE)
		return; /* forgotten, as when the table is full */
	struct ban *ban = ban_table_at(engine->bans, id);
	fill(engine, ban, adopt, limit);
	ban->proven = ban->enforced = false;
	ban->origin = TG_ORIGIN_AUTO;
	ban->remember = true;
	ban_table_remember(engine->bans, id,
			   engine->now + MIN(adopt->left_ms, TG_DURATION_MAX_MS) * TG_MSEC);
}

/* The end that it has, or is to have. */
static tg_time end_of(const struct tg_engine *engine, const struct tg_adopt *adopt,
		      const struct ruleset_limit *limit, bool endless)
{
	uint64_t left_ms = adopt->left_ms;
	if (endless)
		left_ms = limit ? (ladder_end(engine, limit->limit, adopt->offence,
					      adopt->action > TG_ACTION_RATE_LIMIT) -
				   engine->now) /
					  TG_MSEC
				: ADOPTED_EXPIRE_MS;
	return engine->now + left_ms * TG_MSEC;
}

static void adopt_named(struct tg_engine *engine, const struct tg_adopt *adopt)
{
	const bool by_hand = adopt->policy[0] == '\0';
	const uint16_t policy =
		by_hand ? TG_NO_INDEX : ruleset_find_policy(engine->ruleset, adopt->policy);
	if (!by_hand && policy == TG_NO_INDEX)
		return; /* its set goes with its policy when the table is installed */
	if (ban_table_find(engine->bans, policy, adopt->scope, &adopt->source) != TG_BAN_NONE)
		return;
	const uint16_t index = ruleset_find_limit(engine->ruleset, policy, adopt->limit);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, index);
	if (adopt->stored && !is_wanted(engine, adopt, policy, limit))
		return;
	if (adopt->record) {
		if (adopt->stored)
			adopt_record(engine, adopt, policy, index);
		return;
	}
	const uint32_t id =
		ban_table_live(engine->bans) < ban_table_capacity(engine->bans)
			? ban_table_insert(engine->bans, policy, adopt->scope, &adopt->source)
			: TG_BAN_NONE;
	if (id == TG_BAN_NONE) {
		engine->stats.refused_full++; /* the kernel ends it by its own timeout */
		return;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	/* Beyond what a ban may last is as good as no end; nor would it fit into a tg_time. */
	const bool endless = adopt->left_ms == 0 || adopt->left_ms > TG_DURATION_MAX_MS;
	fill(engine, ban, adopt, index);
	if (adopt->unproven && limit)
		witness_set(engine, ban, index);
	ban->kill = limit && ban->proven && ban->action > TG_ACTION_CAP &&
		    ladder_step(limit->limit, ban->offence)->kill;
	ban->installed = !adopt->stored;
	ban->confirmed = !adopt->stored && !endless;
	ban->acked = adopt->stored ? ban->version - 1 : ban->version;
	ban_table_set_reason(engine->bans, id, adopt->reason);
	ban_table_set_until(engine->bans, id, end_of(engine, adopt, limit, endless));
	insist_arm(engine, id);
	bans_account(engine, ban, 1);
	if (limit && tg_prefix_is_total(&ban->source))
		services_begin(engine, ruleset_view(engine->ruleset, limit), limit, true);
	if (adopt->stored)
		engine->stats.restored++;
	else
		engine->stats.adopted++;
	const enum tg_cause cause =
		is_sound(adopt) ? unwanted(engine, ban, limit) : TG_CAUSE_RELOAD;
	if (cause != TG_CAUSE_NONE) {
		bans_lift(engine, id, cause, 0);
	} else if (endless || adopt->stored) {
		bans_begin(engine, ban);
		bans_change(engine, id, TG_CAUSE_AGAIN);
	}
}

void adopt_ban(struct tg_engine *engine, const struct tg_adopt *adopt)
{
	if (!tg_prefix_is_total(&adopt->source)) {
		adopt_named(engine, adopt);
		return;
	}
	/* The kernel does not know what tells the totals of a policy apart: the limit does. */
	const uint16_t policy = ruleset_find_policy(engine->ruleset, adopt->policy);
	const struct ruleset_limit *limit = ruleset_limit(
		engine->ruleset, policy, ruleset_find_limit(engine->ruleset, policy, adopt->limit));
	if (!limit || !limit->limit->total)
		return; /* its set goes with its limit when the table is installed */
	struct tg_adopt named = *adopt;
	named.source = tg_ban_total(limit->limit->name);
	adopt_named(engine, &named);
}
