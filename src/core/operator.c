/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what follows from an operator's word: ban and unban by hand, or why not. */
#include <tcpguard/protect.h>

#include "engine_state.h"

/* What counts or limits SYNs has nothing to do with other packets. */
static enum tg_scope operator_scope(const struct tg_ban_request *request)
{
	return request->action <= TG_ACTION_CAP || request->scope == TG_SCOPE_NEW
		       ? TG_SCOPE_NEW
		       : TG_SCOPE_EVERYTHING;
}

static void refuse_request(struct tg_engine *engine, const struct tg_ban_request *request,
			   enum tg_cause cause, const struct tg_protected_prefix *hit)
{
	struct tg_decision *note = notes_add(engine, TG_DECISION_REFUSE, cause, true);
	if (!note)
		return;
	note->request = request->request;
	note->ban = (struct tg_ban){
		.id = TG_BAN_NONE,
		.source = request->source,
		.action = request->action,
		.scope = operator_scope(request),
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

/* A rate-limit ends no session, and a cap does not either: but an admin may need another. */
static const struct tg_protected_prefix *operator_hit(const struct tg_engine *engine,
						      const struct tg_ban_request *request)
{
	const struct tg_protected_prefix *hit = bans_cover(engine, &request->source);
	if (!hit && !request->force && request->action > TG_ACTION_RATE_LIMIT)
		hit = brakes_admin(engine, &request->source);
	return hit;
}

void operator_ban(struct tg_engine *engine, const struct tg_ban_request *request)
{
	if (engine->stats.panic) {
		refuse_request(engine, request, TG_CAUSE_PANIC_MODE, NULL);
		return;
	}
	const struct tg_protected_prefix *hit = operator_hit(engine, request);
	if (hit) {
		if (hit->kind == TG_PROTECT_ADMIN)
			engine->stats.refused_admin++;
		else
			engine->stats.refused_protected++;
		refuse_request(engine, request, TG_CAUSE_PROTECTED, hit);
		return;
	}
	const enum tg_scope scope = operator_scope(request);
	uint32_t id = ban_table_find(engine->bans, TG_NO_INDEX, scope, &request->source);
	const bool running = id != TG_BAN_NONE && ban_table_at(engine->bans, id)->life == BAN_LIVE;
	bool full;
	id = bans_place(engine, TG_NO_INDEX, scope, &request->source, true, TG_BAN_NONE, &full);
	if (id == TG_BAN_NONE) {
		engine->stats.refused_full++;
		refuse_request(engine, request, TG_CAUSE_TABLE_FULL, NULL);
		return;
	}
	struct ban *ban = ban_table_at(engine->bans, id);
	if (ban->action != request->action || ban->to.count != request->to.count ||
	    ban->to.per_ms != request->to.per_ms ||
	    strcmp(ban_table_reason(engine->bans, id), request->reason) != 0)
		ban->confirmed = false;
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
	bans_change(engine, id, running ? TG_CAUSE_EXTENDED : TG_CAUSE_OPERATOR);
	engine->stats.bans += !running;
	engine->stats.extensions += running;
	/* One ban by hand for a source: the newer word counts. */
	const enum tg_scope other = scope == TG_SCOPE_NEW ? TG_SCOPE_EVERYTHING : TG_SCOPE_NEW;
	id = ban_table_find(engine->bans, TG_NO_INDEX, other, &request->source);
	if (id != TG_BAN_NONE)
		bans_lift(engine, id, TG_CAUSE_UNBAN, 0);
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
			if (id == TG_BAN_NONE)
				continue;
			struct ban *ban = ban_table_at(engine->bans, id);
			ban->remember = false; /* its offences are forgiven, too */
			if (ban->life == BAN_RECORD)
				ban_table_remove(engine->bans, id);
			if (ban->life != BAN_LIVE)
				continue;
			bans_lift(engine, id, TG_CAUSE_UNBAN, request);
			lifted++;
		}
	}
	return lifted;
}

void operator_unban(struct tg_engine *engine, const struct tg_ban_request *request)
{
	uint32_t lifted = 0;
	if (request->all) {
		/* Nothing to lift is what was asked for. */
		bans_forget_all(engine);
		(void)bans_lift_all(engine, TG_CAUSE_UNBAN, request->request);
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
