/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what a policy makes of a ban that was made under another: whether it goes on, ends, or, if
 * it was only observed, begins. For the engine when a policy comes, and for whoever asks before.
 */
#include "engine_state.h"

static bool observes(const struct tg_limit *limit)
{
	for (size_t i = 0; i < limit->step_count; i++)
		if (limit->steps[i].action == TG_ACTION_OBSERVE)
			return true;
	return false;
}

/* Could the limit have made it? */
static bool is_of(const struct tg_ban *ban, const struct tg_limit *limit)
{
	if (limit->total != tg_prefix_is_total(&ban->source))
		return false;
	/* The kernel has a set for each action, and those that the policy does not have go. */
	if (limit->total)
		return tg_limit_has(limit, ban->action);
	if (ban->action > TG_ACTION_RATE_LIMIT &&
	    tg_measure_evidence(limit->measure) != TG_EVIDENCE_WITNESSABLE)
		return false;
	if (!tg_limit_uses_scope(limit, ban->scope) &&
	    !(ban->scope == TG_SCOPE_NEW && observes(limit)))
		return false;
	const enum tg_family family = ban->source.addr.family;
	return ban->source.len == limit->prefix_len[family] ||
	       ban->source.len == tg_family_bits(family);
}

bool bans_survives(const struct ban *ban, const struct ruleset_limit *limit)
{
	const struct tg_ban known = {
		.source = ban->source, .action = ban->action, .scope = ban->scope};
	return limit && is_of(&known, limit->limit);
}

enum tg_fate tg_ban_fate(const struct tg_ban *ban, const struct tg_limit *limit, bool enforces)
{
	if (!limit || !is_of(ban, limit))
		return TG_FATE_ENDS;
	/* Nothing else gets beyond a rate-limit. */
	const bool proven = ban->action > TG_ACTION_RATE_LIMIT;
	const bool enforce =
		enforces &&
		ladder_rung(limit, ban->offence, ban->scope, proven).action != TG_ACTION_OBSERVE;
	if (ban->enforced && !enforce)
		return TG_FATE_ENDS;
	return !ban->enforced && enforce ? TG_FATE_BEGINS : TG_FATE_STAYS;
}
