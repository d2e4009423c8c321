/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the life of a ban, from the first change until the kernel has let go of it: what is
 * told, what is tried again, when it ends. Every change goes through bans_begin() and
 * bans_change(), which keep the counters right and the ban on the dirty list until it has been
 * told. Invariants: no live ban overlaps a protected or allowed address; every live ban has a
 * finite end and stands in the heap.
 */
#include <assert.h>
#include <string.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "base/siphash.h"
#include "engine_state.h"

#define RETRY_MOST (8 * TG_SEC)

/* Not TG_NO_INDEX, which is the key of bans by hand. */
#define BAN_POLICY_GONE (TG_NO_INDEX - 1)

const struct tg_protected_prefix *bans_cover(const struct tg_engine *engine,
					     const struct tg_prefix *source)
{
	const struct tg_protected_prefix *hit = tg_prefix_set_overlap(engine->protected, source);
	return hit ? hit : tg_prefix_set_overlap(engine->ruleset->allow, source);
}

bool bans_enforces(const struct tg_engine *engine, const struct ruleset_limit *limit)
{
	return limit->mode == TG_MODE_ENFORCE && !engine->stats.panic;
}

static bool ban_pending(const struct ban *ban)
{
	return ban->life == BAN_LEAVING ||
	       (ban->life == BAN_LIVE && ban->enforced && ban->acked != ban->version);
}

void bans_account(struct tg_engine *engine, const struct ban *ban, uint32_t one)
{
	struct tg_engine_stats *stats = &engine->stats;
	if (ban->life == BAN_LIVE && tg_prefix_is_total(&ban->source)) {
		struct ruleset_limit *limit =
			ruleset_limit(engine->ruleset, ban->policy, ban->limit);
		stats->services += one;
		if (limit)
			limit->up = one == 1;
	}
	if (ban->life == BAN_LIVE && ban->enforced)
		stats->bans_active += one;
	if (ban->life == BAN_LIVE && !ban->enforced)
		stats->bans_observed += one;
	if (ban->life == BAN_LIVE && ban->enforced && ban->proven)
		engine->brakes.live += one;
	if (ban_pending(ban))
		stats->bans_pending += one;
}

void bans_begin(struct tg_engine *engine, const struct ban *ban)
{
	bans_account(engine, ban, UINT32_MAX); /* minus one */
}

void bans_change(struct tg_engine *engine, uint32_t id, enum tg_cause cause)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	ban->version++;
	ban->cause = (uint8_t)cause;
	ban->changed = engine->now;
	bans_account(engine, ban, 1);
	ban_table_mark(engine->bans, id);
}

/* Only what dropped every packet kept connections from being closed. */
static void ban_forgive(struct tg_engine *engine, const struct ban *ban)
{
	if (ban->scope != TG_SCOPE_NEW)
		counts_forgive(engine, ban->policy, &ban->source);
}

void bans_lift(struct tg_engine *engine, uint32_t id, enum tg_cause cause, uint32_t request)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	if (ban->life != BAN_LIVE)
		return;
	/* What was only observed, and is now to be in force, begins anew. */
	if (ban->enforced || cause != TG_CAUSE_RELOAD)
		ban_forgive(engine, ban);
	witness_set(engine, ban, TG_NO_INDEX);
	bans_begin(engine, ban);
	ban->life = BAN_LEAVING;
	ban->confirmed = false;
	ban->remember = false;
	ban->request = request;
	ban_table_drop_until(engine->bans, id);
	bans_change(engine, id, cause);
	engine->stats.lifts++;
}

/*
 * The longest of the policy's ladders: the number is that of all its limits, so that one which
 * forgets at once must not wipe out what another remembers.
 */
static uint64_t forget_after(const struct tg_engine *engine, const struct ban *ban)
{
	uint64_t most = 0;
	if (!ruleset_limit(engine->ruleset, ban->policy, ban->limit))
		return 0;
	const struct tg_policy *policy = &engine->ruleset->config->policies[ban->policy];
	for (size_t i = 0; i < policy->limit_count; i++)
		most = MAX(most, policy->limits[i].forget_ms);
	return most;
}

void bans_describe(const struct tg_engine *engine, uint32_t id, struct tg_ban *ret_ban)
{
	const struct ban *ban = ban_table_at(engine->bans, id);
	*ret_ban = (struct tg_ban){
		.id = id,
		.version = ban->version,
		.source = ban->source,
		.action = ban->action,
		.scope = ban->scope,
		.origin = ban->origin,
		.policy = ban->policy == BAN_POLICY_GONE ? TG_NO_INDEX : ban->policy,
		.limit = ban->limit,
		.enforced = ban->enforced,
		.unproven = ban->witness != TG_NO_INDEX && !ban->proven,
		.kill = ban->kill,
		.to = ban->to,
		.measured = ban->measured,
		.threshold = ban->threshold,
		.offence = ban->offence,
		.since = ban->since,
		.until = ban->until,
		.forget_ms = forget_after(engine, ban),
	};
	memcpy(ret_ban->reason, ban_table_reason(engine->bans, id),
	       strlen(ban_table_reason(engine->bans, id)) + 1);
}

static bool ban_is_remembered(const struct tg_engine *engine, const struct ban *ban)
{
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, ban->policy, ban->limit);
	return ban->origin == TG_ORIGIN_AUTO && limit && forget_after(engine, ban) > 0;
}

/* The automatic ban that ends soonest makes room for another. */
static bool make_room(struct tg_engine *engine, bool enforced, uint32_t instead)
{
	const uint32_t goes = instead != TG_BAN_NONE;
	if (!ban_table_has_spare(engine->bans))
		return false;
	if (ban_table_live(engine->bans) - goes < ban_table_capacity(engine->bans))
		return true;
	const uint32_t id = ban_table_soonest(engine->bans, instead);
	if (id == TG_BAN_NONE)
		return false;
	struct ban *ban = ban_table_at(engine->bans, id);
	/* What would only be observed pushes out nothing that is in force. */
	if (ban->enforced && !enforced)
		return false;
	bans_lift(engine, id, TG_CAUSE_EVICTED, 0);
	ban->remember = ban_is_remembered(engine, ban);
	engine->stats.bans_evicted++;
	return true;
}

uint32_t bans_place(struct tg_engine *engine, uint16_t policy, enum tg_scope scope,
		    const struct tg_prefix *source, bool enforced, uint32_t instead, bool *ret_full)
{
	uint32_t id = ban_table_find(engine->bans, policy, scope, source);
	struct ban *ban = id == TG_BAN_NONE ? NULL : ban_table_at(engine->bans, id);
	*ret_full = false;
	/* What would only be observed must not keep the kernel from letting go, nor take the place
	 * of what it holds. */
	if (ban && !enforced && ban->life != BAN_RECORD &&
	    (ban->life == BAN_LIVE ? ban->enforced : ban->installed))
		return TG_BAN_NONE;
	if (ban && ban->life == BAN_LIVE) {
		bans_begin(engine, ban);
		return id;
	}
	*ret_full = !make_room(engine, enforced, instead);
	if (*ret_full)
		return TG_BAN_NONE;
	if (!ban)
		return ban_table_insert(engine->bans, policy, scope, source);
	if (ban->life == BAN_RECORD)
		ban_table_recall(engine->bans, id);
	else
		bans_begin(engine, ban); /* on its way out: back in */
	ban->proven = ban->kill = ban->kill_due = ban->braked = ban->confirmed = false;
	ban->enforced = false;
	return id;
}

uint32_t bans_lift_all(struct tg_engine *engine, enum tg_cause cause, uint32_t request)
{
	uint32_t lifted = 0;
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1)) {
		lifted += ban_table_at(engine->bans, id)->life == BAN_LIVE;
		bans_lift(engine, id, cause, request);
	}
	return lifted;
}

struct tg_prefix tg_ban_total(const char *limit)
{
	static const uint8_t key[16] = {0};
	const uint64_t hash = tg_siphash13(key, limit, strlen(limit));
	struct tg_prefix total = {.len = TG_TOTAL_LEN, .addr.family = TG_IPV6}; /* room for it */
	memcpy(total.addr.bytes, &hash, sizeof(hash));
	return total;
}

/* Told, and gone from the kernel: nothing is left but its offence, if that is remembered. */
static void ban_leave(struct tg_engine *engine, uint32_t id)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time forget = ban->until + forget_after(engine, ban) * TG_MSEC;
	if (ban->remember && forget > engine->now)
		ban_table_remember(engine->bans, id, forget);
	else
		ban_table_remove(engine->bans, id);
}

/* Records whose time is over, oldest first; those behind a younger one wait, and count for nothing.
 */
static void forget(struct tg_engine *engine)
{
	uint32_t id = ban_table_oldest_record(engine->bans);
	while (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->until <= engine->now) {
		ban_table_remove(engine->bans, id);
		id = ban_table_oldest_record(engine->bans);
	}
}

void bans_forget_all(struct tg_engine *engine)
{
	for (uint32_t id = ban_table_oldest_record(engine->bans); id != TG_BAN_NONE;
	     id = ban_table_oldest_record(engine->bans))
		ban_table_remove(engine->bans, id);
	/* Nor those that would become records when the kernel has let go of them. */
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1))
		ban_table_at(engine->bans, id)->remember = false;
}

/* The kernel holds it: no new connection takes the place of one that ends. */
static void ban_kill(struct tg_engine *engine, uint32_t id)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	if (!ban->kill_due)
		return;
	struct tg_decision *note = notes_add(engine, TG_DECISION_KILL, TG_CAUSE_NONE, false);
	if (!note)
		return; /* with the next change, if there is one; counted */
	bans_describe(engine, id, &note->ban);
	ban->kill_due = false;
	engine->stats.kills++;
}

void bans_ack(struct tg_engine *engine, uint32_t id, uint32_t version, int error)
{
	if (id >= ban_table_ids(engine->bans))
		return;
	struct ban *ban = ban_table_at(engine->bans, id);
	if (error) /* what was confirmed before may be gone */
		ban->confirmed = false;
	if (ban->life == BAN_FREE || ban->life == BAN_RECORD || ban->version != version)
		return; /* changed since: its next answer counts */
	if (error) {
		engine->stats.sink_errors++;
		if (engine->retry_at == TG_NEVER) {
			engine->retry_at = engine->now + engine->retry_delay;
			engine->retry_delay = MIN(engine->retry_delay * 2, RETRY_MOST);
		}
		return;
	}
	if (engine->retry_at == TG_NEVER)
		engine->retry_delay = ENGINE_RETRY_FIRST;
	if (ban->life == BAN_LEAVING && !ban->dirty) {
		bans_begin(engine, ban);
		ban_leave(engine, id);
	} else if (ban->life == BAN_LIVE && ban->enforced) {
		bans_begin(engine, ban);
		ban->acked = version;
		ban->confirmed = true;
		bans_account(engine, ban, 1);
		ban_kill(engine, id);
	}
}

void bans_retry(struct tg_engine *engine)
{
	if (engine->now < engine->retry_at)
		return;
	engine->retry_at = TG_NEVER;
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1)) {
		struct ban *ban = ban_table_at(engine->bans, id);
		if (!ban_pending(ban) || ban->dirty)
			continue;
		ban->cause = TG_CAUSE_AGAIN;
		ban_table_mark(engine->bans, id);
	}
}

void bans_lost(struct tg_engine *engine)
{
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1)) {
		struct ban *ban = ban_table_at(engine->bans, id);
		/* Which are gone nobody knows: what leaves may be there still. */
		if (ban->life != BAN_LEAVING && (ban->life != BAN_LIVE || !ban->enforced))
			continue;
		bans_begin(engine, ban);
		ban->confirmed = false;
		bans_change(engine, id, ban->dirty ? (enum tg_cause)ban->cause : TG_CAUSE_AGAIN);
	}
}

void bans_panic(struct tg_engine *engine, bool on)
{
	engine->stats.panic = on;
	if (on)
		(void)bans_lift_all(engine, TG_CAUSE_PANIC, 0);
}

void bans_protect(struct tg_engine *engine)
{
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1))
		if (bans_cover(engine, &ban_table_at(engine->bans, id)->source))
			bans_lift(engine, id, TG_CAUSE_PROTECTED, 0);
}

/* The limit that the ban stands in for, if it is still there and still asks for more. */
static uint16_t follow_witness(const struct tg_engine *engine, const struct ban *ban,
			       const struct tg_policy *old, uint16_t policy)
{
	if (ban->witness == TG_NO_INDEX || ban->life != BAN_LIVE)
		return TG_NO_INDEX;
	const uint16_t index =
		ruleset_find_limit(engine->ruleset, policy, old->limits[ban->witness].name);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, index);
	return limit && ladder_wants_proof(limit->limit, ban->offence) ? index : TG_NO_INDEX;
}

static void ban_follow_policy(struct tg_engine *engine, uint32_t id, const struct tg_ruleset *old)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const struct tg_policy *policy = &old->config->policies[ban->policy];
	const uint16_t new_policy = ruleset_find_policy(engine->ruleset, policy->name);
	const uint16_t new_limit = ban->limit == TG_NO_INDEX
					   ? TG_NO_INDEX
					   : ruleset_find_limit(engine->ruleset, new_policy,
								policy->limits[ban->limit].name);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, new_policy, new_limit);
	if (ban->life == BAN_RECORD && new_policy == TG_NO_INDEX) {
		ban_table_remove(engine->bans, id);
		return;
	}
	if (new_policy == TG_NO_INDEX) {
		/* Its set has gone with the policy. Another may have its index by now. */
		ban_table_rekey(engine->bans, id, BAN_POLICY_GONE);
		ban->installed = false;
		ban->limit = TG_NO_INDEX;
		ban->remember = false;
		if (ban->life == BAN_LIVE)
			bans_lift(engine, id, TG_CAUSE_RELOAD, 0);
		else
			ban_table_mark(engine->bans, id);
		return;
	}
	ban_table_rekey(engine->bans, id, new_policy);
	witness_set(engine, ban, follow_witness(engine, ban, policy, new_policy));
	ban->limit = new_limit;
	ban->confirmed = false; /* its set may be another */
	if (ban->life != BAN_LIVE)
		return;
	const struct tg_ban known = {.source = ban->source,
				     .action = ban->action,
				     .scope = ban->scope,
				     .offence = ban->offence,
				     .enforced = ban->enforced};
	const enum tg_fate fate =
		limit ? tg_ban_fate(&known, limit->limit, bans_enforces(engine, limit))
		      : TG_FATE_ENDS;
	const bool held = fate == TG_FATE_BEGINS && ban->proven &&
			  brakes_hold(engine, id, limit, ladder_step(limit->limit, ban->offence),
				      ban->measured);
	if (fate == TG_FATE_ENDS || held) {
		bans_lift(engine, id, TG_CAUSE_RELOAD, 0);
		return;
	}
	if (limit->limit->total) {
		ruleset_limit(engine->ruleset, new_policy, new_limit)->up = true;
		services_begin(engine, ruleset_view(engine->ruleset, limit), limit,
			       fate != TG_FATE_BEGINS);
	}
	if (fate == TG_FATE_BEGINS) {
		/* As the limit says now: it was observed in order to be put right. */
		const tg_time most = ladder_end(engine, limit->limit, ban->offence, ban->proven);
		if (ban->proven)
			brakes_made(engine);
		bans_begin(engine, ban);
		ladder_apply(engine, ban, limit);
		ban_table_set_until(engine->bans, id, MIN(ban->until, most));
		insist_arm(engine, id);
		bans_change(engine, id, TG_CAUSE_OFFENCE);
	}
}

void bans_policy(struct tg_engine *engine, const struct tg_ruleset *old)
{
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1))
		if (ban_table_at(engine->bans, id)->policy < old->config->policy_count)
			ban_follow_policy(engine, id, old);
	bans_protect(engine); /* the allow list may be longer */
}

void bans_expire(struct tg_engine *engine)
{
	for (uint32_t id = ban_table_first(engine->bans); id != TG_BAN_NONE;
	     id = ban_table_first(engine->bans)) {
		struct ban *ban = ban_table_at(engine->bans, id);
		if (ban->wake > engine->now)
			break;
		if (ban->until > engine->now) {
			insist_wake(engine, id);
			continue;
		}
		if (insist_stays(engine, id))
			continue;
		ban_forgive(engine, ban);
		witness_set(engine, ban, TG_NO_INDEX);
		/* What the kernel did not confirm it may hold as it was before, with a later end.
		 */
		const bool unsure = ban->installed && ban_pending(ban);
		bans_begin(engine, ban);
		ban->life = unsure ? BAN_LEAVING : BAN_OVER;
		ban->installed = unsure;
		ban->confirmed = false;
		ban->remember = ban_is_remembered(engine, ban);
		ban->request = 0;
		ban_table_drop_until(engine->bans, id);
		bans_change(engine, id, unsure ? TG_CAUSE_EXPIRED : TG_CAUSE_NONE);
		engine->stats.expiries++;
	}
	forget(engine);
}

static void take_lift(struct tg_engine *engine, uint32_t id, struct tg_decision *out)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	out->type = TG_DECISION_LIFT;
	out->ban.enforced = ban->installed;
	if (ban->cause == TG_CAUSE_PROTECTED) {
		const struct tg_protected_prefix *hit = bans_cover(engine, &ban->source);
		if (!hit)
			hit = brakes_admin(engine, &ban->source);
		if (hit) {
			out->covers = hit->prefix;
			out->covers_kind = hit->kind;
		}
	}
	if (!ban->installed) {
		bans_begin(engine, ban);
		ban_leave(engine, id);
	}
}

static void take_sample(const struct tg_engine *engine, const struct ban *ban,
			struct tg_decision *out)
{
	const struct tg_flow_key *sample = tg_prefix_is_total(&ban->source)
						   ? counts_sample(engine, ban->policy, ban->limit)
						   : NULL;
	out->has_sample = sample != NULL;
	if (sample)
		out->sample = *sample;
}

size_t bans_take(struct tg_engine *engine, struct tg_decision *out, size_t cap)
{
	size_t count = 0;
	while (count < cap) {
		uint32_t id = ban_table_take_dirty(engine->bans);
		if (id == TG_BAN_NONE)
			break;
		struct ban *ban = ban_table_at(engine->bans, id);
		struct tg_decision *decision = &out[count++];
		*decision = (struct tg_decision){
			.type = TG_DECISION_BAN,
			.cause = ban->cause,
			.at = ban->changed,
			.request = ban->request,
		};
		bans_describe(engine, id, &decision->ban);
		switch ((enum ban_life)ban->life) {
		case BAN_LIVE:
			decision->renewed = ban->enforced && ban->confirmed;
			ban->installed |= ban->enforced;
			take_sample(engine, ban, decision);
			break;
		case BAN_LEAVING:
			take_lift(engine, id, decision);
			break;
		case BAN_OVER:
			decision->type = TG_DECISION_EXPIRE;
			ban_leave(engine, id);
			break;
		case BAN_FREE:
		case BAN_RECORD:
			assert(!"nothing is told of what is no ban");
			break;
		}
	}
	return count;
}
