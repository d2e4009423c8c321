/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what follows from an offence or an operator's word: which ban, for how long,
 * and when it ends. Every change goes through ban_change(), which keeps the
 * counters right and the ban on the dirty list until it has been told. Invariants: no
 * live ban overlaps a protected or allowed address; every live ban has a finite end and
 * stands in the heap.
 */
#include <assert.h>
#include <string.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "engine_state.h"

/* An offence that gets no ban is told at most so often; all are counted. */
#define REFUSED_NOTE_INTERVAL TG_SEC

#define RETRY_FIRST (250 * TG_MSEC)
#define RETRY_MOST (8 * TG_SEC)

/* Not TG_NO_INDEX, which is the key of bans by hand. */
#define BAN_POLICY_GONE (TG_NO_INDEX - 1)

/* For an element found without an end whose limit is unknown. */
#define ADOPTED_EXPIRE_MS (10 * 60 * 1000)

static const struct tg_protected_prefix *covers(const struct tg_engine *engine,
						const struct tg_prefix *source)
{
	const struct tg_protected_prefix *hit = tg_prefix_set_overlap(engine->protected, source);
	return hit ? hit : tg_prefix_set_overlap(engine->ruleset->allow, source);
}

static bool ban_pending(const struct ban *ban)
{
	return ban->life == BAN_LEAVING ||
	       (ban->life == BAN_LIVE && ban->enforced && ban->acked != ban->version);
}

static void ban_account(struct tg_engine *engine, const struct ban *ban, uint32_t one)
{
	struct tg_engine_stats *stats = &engine->stats;
	if (ban->life == BAN_LIVE && ban->enforced)
		stats->bans_active += one;
	if (ban->life == BAN_LIVE && !ban->enforced)
		stats->bans_observed += one;
	if (ban_pending(ban))
		stats->bans_pending += one;
}

static void ban_begin(struct tg_engine *engine, const struct ban *ban)
{
	ban_account(engine, ban, UINT32_MAX); /* minus one */
}

/* After ban_begin and a change that the outside must learn. */
static void ban_change(struct tg_engine *engine, uint32_t id, enum tg_cause cause)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	ban->version++;
	ban->cause = (uint8_t)cause;
	ban->changed = engine->now;
	ban_account(engine, ban, 1);
	ban_table_mark(engine->bans, id);
}

static void ban_lift(struct tg_engine *engine, uint32_t id, enum tg_cause cause, uint32_t request)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	if (ban->life != BAN_LIVE)
		return;
	flows_forgive(engine, ban->policy, &ban->source);
	ban_begin(engine, ban);
	ban->life = BAN_LEAVING;
	ban->request = request;
	ban_table_drop_until(engine->bans, id);
	ban_change(engine, id, cause);
	engine->stats.lifts++;
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
		.to = ban->to,
		.measured = ban->measured,
		.threshold = ban->threshold,
		.offence = ban->offence,
		.since = ban->since,
		.until = ban->until,
	};
	memcpy(ret_ban->reason, ban_table_reason(engine->bans, id),
	       strlen(ban_table_reason(engine->bans, id)) + 1);
}

static void note_refused_offence(struct tg_engine *engine, const struct ruleset_view *view,
				 const struct ruleset_limit *limit, const struct tg_prefix *source,
				 uint32_t measured, uint32_t threshold, enum tg_cause cause,
				 const struct tg_protected_prefix *hit)
{
	if (engine->refused_noted != TG_NEVER &&
	    engine->now - engine->refused_noted < REFUSED_NOTE_INTERVAL)
		return;
	struct tg_decision *note = engine_note(engine, TG_DECISION_REFUSE, cause, false);
	if (!note)
		return;
	engine->refused_noted = engine->now;
	note->ban = (struct tg_ban){
		.id = TG_BAN_NONE,
		.source = *source,
		.action = limit->limit->action,
		.scope = limit->limit->scope,
		.policy = view->policy,
		.limit = limit->index,
		.enforced = limit->mode == TG_MODE_ENFORCE,
		.to = limit->limit->to,
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
	ban->action = (uint8_t)limit->limit->action;
	ban->to = limit->limit->to;
	ban->limit = limit->index;
	ban->origin = TG_ORIGIN_AUTO;
	ban->enforced = limit->mode == TG_MODE_ENFORCE && !engine->stats.panic;
	ban->measured = measured;
	ban->threshold = threshold;
	ban->request = 0;
}

/* An offence of a source that is banned already in this policy and scope. */
static void offence_again(struct tg_engine *engine, uint32_t id, const struct ruleset_limit *limit,
			  uint32_t measured, uint32_t threshold)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time until = engine->now + limit->limit->expire_ms * TG_MSEC;
	const bool enforce = limit->mode == TG_MODE_ENFORCE && !engine->stats.panic;
	const bool stronger = enforce != ban->enforced
				      ? enforce
				      : is_stronger(limit->limit->action, &limit->limit->to,
						    ban->action, &ban->to);
	if (stronger) {
		const tg_time old_until = ban->until;
		ban_begin(engine, ban);
		ban_set_offence(engine, ban, limit, measured, threshold);
		ban_table_set_until(engine->bans, id, MAX(until, old_until));
		ban_change(engine, id, TG_CAUSE_EXTENDED);
		engine->stats.offences++;
		engine->stats.extensions++;
		return;
	}
	/* Still over the limit: the end moves on, at most twice in its time. */
	if (ban->limit != limit->index || ban->until - engine->now > (until - engine->now) / 2)
		return;
	ban_begin(engine, ban);
	ban->measured = measured;
	ban->request = 0;
	ban_table_set_until(engine->bans, id, until);
	ban_change(engine, id, TG_CAUSE_EXTENDED);
	engine->stats.extensions++;
}

void bans_offence(struct tg_engine *engine, const struct ruleset_view *view,
		  const struct ruleset_limit *limit, const struct tg_prefix *source,
		  uint32_t measured, uint32_t threshold)
{
	const struct tg_protected_prefix *hit = covers(engine, source);
	if (hit) {
		engine->stats.refused_protected++;
		note_refused_offence(engine, view, limit, source, measured, threshold,
				     TG_CAUSE_PROTECTED, hit);
		return;
	}
	const enum tg_scope scope = limit->limit->scope;
	uint32_t id = ban_table_find(engine->bans, view->policy, scope, source);
	if (id != TG_BAN_NONE && ban_table_at(engine->bans, id)->life == BAN_LIVE) {
		offence_again(engine, id, limit, measured, threshold);
		return;
	}
	engine->stats.offences++;
	if (id == TG_BAN_NONE)
		id = ban_table_insert(engine->bans, view->policy, scope, source);
	else
		ban_begin(engine, ban_table_at(engine->bans, id)); /* on its way out: back in */
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
	ban_table_set_until(engine->bans, id, engine->now + limit->limit->expire_ms * TG_MSEC);
	ban_change(engine, id, TG_CAUSE_OFFENCE);
	engine->stats.bans++;
}

static void refuse_request(struct tg_engine *engine, const struct tg_ban_request *request,
			   enum tg_cause cause, const struct tg_protected_prefix *hit)
{
	struct tg_decision *note = engine_note(engine, TG_DECISION_REFUSE, cause, true);
	if (!note)
		return;
	note->request = request->request;
	note->ban = (struct tg_ban){
		.id = TG_BAN_NONE,
		.source = request->source,
		.action = request->action,
		.origin = TG_ORIGIN_OPERATOR,
		.policy = TG_NO_INDEX,
		.limit = TG_NO_INDEX,
		.enforced = true,
		.since = engine->now,
		.until = engine->now,
	};
	if (hit) {
		note->covers = hit->prefix;
		note->covers_kind = hit->kind;
	}
}

static enum tg_scope operator_scope(enum tg_action action)
{
	return action == TG_ACTION_RATE_LIMIT ? TG_SCOPE_NEW : TG_SCOPE_EVERYTHING;
}

void bans_operator_ban(struct tg_engine *engine, const struct tg_ban_request *request)
{
	if (engine->stats.panic) {
		refuse_request(engine, request, TG_CAUSE_PANIC_MODE, NULL);
		return;
	}
	const struct tg_protected_prefix *hit = covers(engine, &request->source);
	if (hit) {
		engine->stats.refused_protected++;
		refuse_request(engine, request, TG_CAUSE_PROTECTED, hit);
		return;
	}
	const enum tg_scope scope = operator_scope(request->action);
	uint32_t id = ban_table_find(engine->bans, TG_NO_INDEX, scope, &request->source);
	const bool known = id != TG_BAN_NONE;
	if (!known)
		id = ban_table_insert(engine->bans, TG_NO_INDEX, scope, &request->source);
	if (id == TG_BAN_NONE) {
		engine->stats.refused_full++;
		refuse_request(engine, request, TG_CAUSE_TABLE_FULL, NULL);
		return;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	if (known)
		ban_begin(engine, ban);
	const bool running = known && ban->life == BAN_LIVE;
	ban->life = BAN_LIVE;
	ban->action = (uint8_t)request->action;
	ban->to = request->to;
	ban->origin = TG_ORIGIN_OPERATOR;
	ban->enforced = true;
	ban->request = request->request;
	if (!running) {
		ban->since = engine->now;
		ban->offence = 0;
	}
	ban_table_set_reason(engine->bans, id, request->reason);
	ban_table_set_until(engine->bans, id, engine->now + request->expire_ms * TG_MSEC);
	ban_change(engine, id, running ? TG_CAUSE_EXTENDED : TG_CAUSE_OPERATOR);
	engine->stats.bans += !running;
	engine->stats.extensions += running;
	/* One ban by hand for a source: the newer word counts. */
	const enum tg_scope other = scope == TG_SCOPE_NEW ? TG_SCOPE_EVERYTHING : TG_SCOPE_NEW;
	id = ban_table_find(engine->bans, TG_NO_INDEX, other, &request->source);
	if (id != TG_BAN_NONE)
		ban_lift(engine, id, TG_CAUSE_UNBAN, 0);
}

static uint32_t lift_source(struct tg_engine *engine, const struct tg_prefix *source,
			    uint32_t request)
{
	uint32_t lifted = 0;
	for (unsigned p = 0; p <= engine_config(engine)->policy_count; p++) {
		const uint16_t policy =
			p < engine_config(engine)->policy_count ? (uint16_t)p : TG_NO_INDEX;
		for (unsigned scope = 0; scope < TG_SCOPE_COUNT; scope++) {
			uint32_t id =
				ban_table_find(engine->bans, policy, (enum tg_scope)scope, source);
			if (id == TG_BAN_NONE || ban_table_at(engine->bans, id)->life != BAN_LIVE)
				continue;
			ban_lift(engine, id, TG_CAUSE_UNBAN, request);
			lifted++;
		}
	}
	return lifted;
}

static uint32_t lift_all(struct tg_engine *engine, enum tg_cause cause, uint32_t request)
{
	uint32_t lifted = 0;
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1)) {
		lifted += ban_table_at(engine->bans, id)->life == BAN_LIVE;
		ban_lift(engine, id, cause, request);
	}
	return lifted;
}

void bans_operator_unban(struct tg_engine *engine, const struct tg_ban_request *request)
{
	uint32_t lifted = 0;
	if (request->all) {
		/* Nothing to lift is what was asked for. */
		(void)lift_all(engine, TG_CAUSE_UNBAN, request->request);
		return;
	}
	const struct tg_prefix *source = &request->source;
	const uint8_t bits = tg_family_bits(source->addr.family);
	/* People name the address they were told of; what holds it back may be its network. */
	for (unsigned len = source->len == bits ? 0 : source->len; len <= source->len; len++) {
		struct tg_prefix prefix = tg_addr_mask(&source->addr, (uint8_t)len);
		lifted += lift_source(engine, &prefix, request->request);
	}
	if (lifted == 0)
		refuse_request(engine, request, TG_CAUSE_NOT_FOUND, NULL);
}

void bans_adopt(struct tg_engine *engine, const struct tg_adopt *adopt)
{
	const bool by_hand = adopt->policy[0] == '\0';
	const uint16_t policy =
		by_hand ? TG_NO_INDEX : ruleset_find_policy(engine->ruleset, adopt->policy);
	if (!by_hand && policy == TG_NO_INDEX)
		return; /* its set goes with its policy when the table is installed */
	if (ban_table_find(engine->bans, policy, adopt->scope, &adopt->source) != TG_BAN_NONE)
		return;
	uint32_t id = ban_table_insert(engine->bans, policy, adopt->scope, &adopt->source);
	if (id == TG_BAN_NONE) {
		engine->stats.refused_full++; /* the kernel ends it by its own timeout */
		return;
	}
	const uint16_t index = ruleset_find_limit(engine->ruleset, policy, adopt->limit);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, index);
	struct ban *ban = ban_table_at(engine->bans, id);
	const tg_time age = adopt->age_ms * TG_MSEC;
	uint64_t left_ms = adopt->left_ms;
	if (left_ms == 0)
		left_ms = limit ? limit->limit->expire_ms : ADOPTED_EXPIRE_MS;
	ban->action = (uint8_t)adopt->action;
	ban->origin = (uint8_t)adopt->origin;
	ban->enforced = true;
	ban->installed = true;
	ban->limit = index;
	ban->to = adopt->to;
	ban->measured = adopt->measured;
	ban->threshold = adopt->threshold;
	ban->offence = adopt->offence;
	ban->since = engine->now > age ? engine->now - age : 0;
	ban->acked = ban->version;
	ban_table_set_reason(engine->bans, id, adopt->reason);
	ban_table_set_until(engine->bans, id, engine->now + left_ms * TG_MSEC);
	ban_account(engine, ban, 1);
	engine->stats.adopted++;
	const bool unwanted = engine->stats.panic || covers(engine, &ban->source) ||
			      (!by_hand && (!limit || limit->mode != TG_MODE_ENFORCE));
	if (unwanted) {
		ban_lift(engine, id,
			 covers(engine, &ban->source) ? TG_CAUSE_PROTECTED : TG_CAUSE_RELOAD, 0);
	} else if (adopt->left_ms == 0) {
		ban_begin(engine, ban);
		ban_change(engine, id, TG_CAUSE_AGAIN);
	}
}

void bans_ack(struct tg_engine *engine, uint32_t id, uint32_t version, int error)
{
	if (id >= ban_table_capacity(engine->bans))
		return;
	struct ban *ban = ban_table_at(engine->bans, id);
	if (ban->life == BAN_FREE || ban->version != version)
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
		engine->retry_delay = RETRY_FIRST;
	if (ban->life == BAN_LEAVING && !ban->dirty) {
		ban_begin(engine, ban);
		ban_table_remove(engine->bans, id);
	} else if (ban->life == BAN_LIVE) {
		ban_begin(engine, ban);
		ban->acked = version;
		ban_account(engine, ban, 1);
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
		if (ban->life == BAN_LIVE)
			ban->cause = TG_CAUSE_AGAIN;
		ban_table_mark(engine->bans, id);
	}
}

void bans_lost(struct tg_engine *engine)
{
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1)) {
		struct ban *ban = ban_table_at(engine->bans, id);
		ban->installed = false;
		if (ban->life == BAN_LIVE && ban->enforced) {
			ban_begin(engine, ban);
			ban_change(engine, id,
				   ban->dirty ? (enum tg_cause)ban->cause : TG_CAUSE_AGAIN);
		} else if (ban->life == BAN_LEAVING && !ban->dirty) {
			ban_begin(engine, ban);
			ban_table_remove(engine->bans, id);
		}
	}
}

void bans_panic(struct tg_engine *engine, bool on)
{
	engine->stats.panic = on;
	if (on)
		(void)lift_all(engine, TG_CAUSE_PANIC, 0);
}

void bans_protect(struct tg_engine *engine)
{
	for (uint32_t id = ban_table_next(engine->bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(engine->bans, id + 1))
		if (covers(engine, &ban_table_at(engine->bans, id)->source))
			ban_lift(engine, id, TG_CAUSE_PROTECTED, 0);
}

/* Would the new limit still hold its own ban in the same set? */
static bool ban_survives(const struct ban *ban, const struct ruleset_limit *limit)
{
	if (!limit || limit->limit->scope != (enum tg_scope)ban->scope)
		return false;
	const unsigned family = ban->source.addr.family;
	return ban->source.len == limit->limit->prefix_len[family] ||
	       ban->source.len == tg_family_bits(ban->source.addr.family);
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
	if (new_policy == TG_NO_INDEX) {
		/* Its set has gone with the policy. */
		ban->installed = false;
		ban->limit = TG_NO_INDEX;
		if (ban->life == BAN_LIVE)
			ban_lift(engine, id, TG_CAUSE_RELOAD, 0);
		else
			ban_table_mark(engine->bans, id);
		ban_table_rekey(engine->bans, id, BAN_POLICY_GONE);
		return;
	}
	ban_table_rekey(engine->bans, id, new_policy);
	ban->limit = new_limit;
	if (ban->life != BAN_LIVE)
		return;
	const bool enforce = limit && limit->mode == TG_MODE_ENFORCE && !engine->stats.panic;
	if (!ban_survives(ban, limit) || (ban->enforced && !enforce)) {
		ban_lift(engine, id, TG_CAUSE_RELOAD, 0);
	} else if (!ban->enforced && enforce) {
		ban_begin(engine, ban);
		ban->enforced = true;
		ban_change(engine, id, TG_CAUSE_OFFENCE);
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
		if (ban->until > engine->now)
			return;
		flows_forgive(engine, ban->policy, &ban->source);
		ban_begin(engine, ban);
		ban->life = BAN_OVER;
		ban->request = 0;
		ban_table_drop_until(engine->bans, id);
		ban_change(engine, id, TG_CAUSE_NONE);
		engine->stats.expiries++;
	}
}

static void take_lift(struct tg_engine *engine, uint32_t id, struct tg_decision *out)
{
	struct ban *ban = ban_table_at(engine->bans, id);
	out->type = TG_DECISION_LIFT;
	out->ban.enforced = ban->installed;
	if (ban->cause == TG_CAUSE_PROTECTED) {
		const struct tg_protected_prefix *hit = covers(engine, &ban->source);
		if (hit) {
			out->covers = hit->prefix;
			out->covers_kind = hit->kind;
		}
	}
	if (!ban->installed) {
		ban_begin(engine, ban);
		ban_table_remove(engine->bans, id);
	}
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
			ban->installed |= ban->enforced;
			break;
		case BAN_LEAVING:
			take_lift(engine, id, decision);
			break;
		case BAN_OVER:
			decision->type = TG_DECISION_EXPIRE;
			ban_table_remove(engine->bans, id);
			break;
		case BAN_FREE:
			assert(!"a free ban is never dirty");
			break;
		}
	}
	return count;
}
