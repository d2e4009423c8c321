/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine against a model of the kernel: every kind of event in any order, policies that
 * come, go and change, a kernel that refuses, forgets and answers late. Whatever happened,
 * what the model holds is known to the engine, what the engine believes is held, and
 * every figure equals a recount.
 *
 *   test_engine_kernel [SEED]
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "core/engine_state.h"
#include "allocations.h"
#include "random.h"
#include "test.h"

#define ELEMENTS_MAX 256
#define LATE_MAX 64
#define LIMITS 4
#define STEPS 3
#define PROOFS 4096
#define SOURCES 12

static const struct tg_engine_params params = {64, 256, 40, "model of kernel"};

/* What a set of the kernel is named after, and the element in it. */
struct element {
	char policy[TG_NAME_MAX + 1]; /* empty: by hand */
	enum tg_scope scope;
	struct tg_prefix source;
	tg_time until;
	enum tg_action action;
	uint32_t count; /* of a rate-limit and a cap */
};

/* A config whose names, order, modes and lengths are drawn by lot. */
struct set_up {
	struct tg_config config;
	struct tg_policy policies[3];
	struct tg_limit limits[3][LIMITS];
	struct tg_step steps[3][LIMITS][STEPS];
	struct tg_prefix allow;
	struct tg_ruleset *ruleset;
};

/* What a witness said of a source; under another policy by then it may be enough. */
struct proof {
	struct tg_prefix source;
	char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1];
	uint32_t proven;
};

struct world {
	struct tg_engine *engine;
	struct set_up *now_in_force;
	struct tg_prefix_set *protected, *admins;
	struct element elements[ELEMENTS_MAX];
	size_t element_count;
	struct tg_event late[LATE_MAX]; /* answers on their way */
	size_t late_count;
	tg_time now;
	uint32_t request;
	struct proof proofs[PROOFS];
	size_t proof_count;
	bool answered;    /* the last request has been */
	uint64_t packets; /* that elements have met */
	bool broken;      /* the kernel refuses all */
	uint64_t hash;    /* of all decisions */
};

static const struct tg_port_range ports[] = {{80, 80}, {22, 22}};

static struct tg_prefix source_of(uint32_t source, uint8_t len)
{
	struct tg_addr addr =
		source % 3 == 0
			? tg_addr_from_ipv6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, 0, 0, 0,
								(uint8_t)(source / 6), 0, 0, 0, 0,
								0, 0, 0, (uint8_t)source})
			: tg_addr_from_ipv4((const uint8_t[]){198, 51, 100, (uint8_t)source});
	return tg_addr_mask(&addr, len);
}

static void draw_steps(struct tg_limit *limit, struct tg_step *steps)
{
	const bool proves = tg_measure_evidence(limit->measure) == TG_EVIDENCE_WITNESSABLE;
	enum tg_action least = random_below(6) ? TG_ACTION_RATE_LIMIT : TG_ACTION_OBSERVE;
	enum tg_scope scope = TG_SCOPE_NEW;
	limit->steps = steps;
	limit->step_count = 1 + random_below(STEPS);
	limit->forget_ms = random_below(2) ? 0 : random_below(100000);
	for (size_t i = 0; i < limit->step_count; i++) {
		if (proves && random_below(2) == 0)
			least = MAX(least, TG_ACTION_CAP + random_below(3));
		else if (least == TG_ACTION_OBSERVE && i > 0)
			least = TG_ACTION_RATE_LIMIT;
		if (least > TG_ACTION_CAP)
			scope = MAX(scope, random_below(TG_SCOPE_COUNT));
		steps[i] = (struct tg_step){
			.action = least,
			.scope = scope,
			.kill = least > TG_ACTION_CAP && random_below(2),
			.cap = least == TG_ACTION_CAP ? 1 + random_below(3) : 0,
			.to = {1 + random_below(5), 1000},
			.expire_ms = 1000 * (1 + random_below(20)),
		};
	}
}

static void draw_limit(struct tg_limit *limit, struct tg_step *steps, unsigned i)
{
	static const char *const names[] = {"open", "half", "begun", "net",
					    "wide", "slow", "fast",  "far"};
	static const uint8_t lengths[][TG_FAMILY_COUNT] = {{32, 64}, {28, 56}, {32, 128}};
	const uint8_t *len = lengths[random_below(4) == 0 ? 1 + random_below(2) : 0];
	*limit = (struct tg_limit){
		.name = names[random_below(8) == 0 ? LIMITS + i : i],
		.measure = i == 3 ? TG_MEASURE_CONCURRENT : (enum tg_measure)i,
		.threshold = 1 + random_below(6),
		.prefix_len = {len[0], len[1]},
		.mode = random_below(3) ? TG_MODE_ENFORCE : TG_MODE_OBSERVE,
	};
	if (limit->measure == TG_MEASURE_NEW)
		limit->window_ms = 1000;
	draw_steps(limit, steps);
}

static struct set_up *draw_set_up(void)
{
	static const char *const names[] = {"web", "ssh", "any", "new"};
	struct set_up *s = calloc(1, sizeof(*s));
	const unsigned count = random_below(4), first = random_below(4);
	for (unsigned p = 0; p < count; p++) {
		struct tg_policy *policy = &s->policies[p];
		policy->name = names[(first + p) % 4];
		policy->limits = s->limits[p];
		policy->limit_count = 1 + random_below(LIMITS);
		policy->port_count = (first + p) % 4 < 2;
		policy->ports = &ports[(first + p) % 2];
		for (unsigned i = 0; i < policy->limit_count; i++)
			draw_limit(&s->limits[p][i], s->steps[p][i], i);
	}
	s->allow = source_of(SOURCES - 1, 32);
	s->config = (struct tg_config){
		.policies = s->policies,
		.policy_count = count,
		.allow = &s->allow,
		.allow_count = random_below(2),
		.brakes.bans_per_minute = random_below(2) ? 0 : 1 + random_below(3),
	};
	s->ruleset = tg_ruleset_create(&s->config, &params, NULL);
	return s;
}

static void set_up_destroy(struct set_up *s)
{
	if (s)
		tg_ruleset_destroy(s->ruleset);
	free(s);
}

static struct element element_of(const struct world *w, const struct tg_ban *ban)
{
	struct element e = {.scope = ban->scope,
			    .source = ban->source,
			    .until = ban->until,
			    .action = ban->action,
			    .count = ban->action <= TG_ACTION_CAP ? ban->to.count : 0};
	if (ban->policy != TG_NO_INDEX)
		(void)snprintf(e.policy, sizeof(e.policy), "%s",
			       w->now_in_force->policies[ban->policy].name);
	return e;
}

static struct element *element_find(struct world *w, const struct element *like)
{
	for (size_t i = 0; i < w->element_count; i++)
		if (w->elements[i].scope == like->scope &&
		    strcmp(w->elements[i].policy, like->policy) == 0 &&
		    tg_prefix_equal(&w->elements[i].source, &like->source))
			return &w->elements[i];
	return NULL;
}

static bool same_shape(const struct element *a, const struct element *b)
{
	return a->action == b->action && a->count == b->count;
}

static void element_remove(struct world *w, struct element *e)
{
	*e = w->elements[--w->element_count];
}

static void step(struct world *w, struct tg_event event)
{
	const unsigned before = allocations;
	event.at = w->now;
	if (random_below(50) == 0) /* a clock that went back */
		event.at -= random_below(5) * TG_SEC;
	for (size_t i = w->element_count; i-- > 0;)
		if (w->elements[i].until <= w->now)
			element_remove(w, &w->elements[i]);
	tg_engine_step(w->engine, &event);
	CHECK_U64(allocations, before);
}

static bool is_proven(const struct world *w, const struct tg_ban *ban)
{
	const struct tg_policy *policy = &w->now_in_force->policies[ban->policy];
	for (size_t i = 0; i < w->proof_count; i++)
		if (tg_prefix_equal(&w->proofs[i].source, &ban->source) &&
		    strcmp(w->proofs[i].policy, policy->name) == 0 &&
		    strcmp(w->proofs[i].limit, policy->limits[ban->limit].name) == 0 &&
		    w->proofs[i].proven > ban->threshold)
			return true;
	return false;
}

static void check_decision(struct world *w, const struct tg_decision *d)
{
	const struct tg_ban *ban = &d->ban;
	const struct tg_config *config = &w->now_in_force->config;
	uint64_t words[] = {d->type, d->cause,     d->at,      d->request,
			    ban->id, ban->version, ban->until, ban->limit};
	for (size_t i = 0; i < ARRAY_SIZE(words) && d->type != TG_DECISION_VERIFY; i++)
		w->hash = (w->hash ^ words[i]) * UINT64_C(1099511628211);
	w->answered |= d->request != 0 && d->request == w->request;
	if (d->type == TG_DECISION_VERIFY || d->type == TG_DECISION_PASS)
		return;
	CHECK(ban->policy == TG_NO_INDEX || ban->policy < config->policy_count);
	CHECK(ban->limit == TG_NO_INDEX ||
	      (ban->policy != TG_NO_INDEX &&
	       ban->limit < config->policies[ban->policy].limit_count));
	CHECK(ban->until <= w->now + TG_DURATION_MAX_MS * TG_MSEC);
	if (d->type == TG_DECISION_BAN && d->cause == TG_CAUSE_WITNESSED)
		CHECK(ban->action > TG_ACTION_RATE_LIMIT && is_proven(w, ban));
	if (d->type == TG_DECISION_BAN && ban->action > TG_ACTION_RATE_LIMIT &&
	    ban->origin == TG_ORIGIN_AUTO)
		CHECK(!tg_prefix_set_overlap(w->admins, &ban->source));
	if (d->type == TG_DECISION_KILL)
		CHECK(ban->enforced && ban->kill && ban->action > TG_ACTION_CAP);
	if (d->type == TG_DECISION_BAN && ban->action > TG_ACTION_RATE_LIMIT &&
	    ban->origin == TG_ORIGIN_AUTO)
		CHECK(d->cause != TG_CAUSE_OFFENCE || ban->enforced); /* observed before */
	CHECK(!ban->enforced || ban->action != TG_ACTION_OBSERVE);
	if (d->type == TG_DECISION_BAN && ban->enforced)
		CHECK(!bans_cover(w->engine, &ban->source) && ban->until > w->engine->now);
}

/* The sockets prove some of what is measured, or all, or more; or another source's. */
static void answer_witness(struct world *w, const struct tg_ban *ban)
{
	const struct tg_policy *policy = &w->now_in_force->policies[ban->policy];
	const struct tg_limit *limit = &policy->limits[ban->limit];
	struct tg_event event = {
		.type = TG_EVENT_WITNESS,
		.witness = {.source = ban->source, .proven = random_below(3 + ban->measured)}};
	CHECK(tg_measure_evidence(limit->measure) == TG_EVIDENCE_WITNESSABLE);
	if (random_below(20) == 0)
		event.witness.source = source_of(random_below(SOURCES), 128);
	(void)snprintf(event.witness.policy, sizeof(event.witness.policy), "%s", policy->name);
	(void)snprintf(event.witness.limit, sizeof(event.witness.limit), "%s", limit->name);
	if (w->proof_count < PROOFS) {
		struct proof *proof = &w->proofs[w->proof_count++];
		proof->source = event.witness.source;
		proof->proven = event.witness.proven;
		memcpy(proof->policy, event.witness.policy, sizeof(proof->policy));
		memcpy(proof->limit, event.witness.limit, sizeof(proof->limit));
	}
	if (w->proof_count < PROOFS)
		w->late[w->late_count++] = event;
}

static void answer_probe(struct world *w, const struct tg_ban *ban)
{
	struct tg_event event = {.type = TG_EVENT_TRAFFIC,
				 .traffic = {.source = ban->source,
					     .scope = ban->scope,
					     .packets = w->packets += random_below(8)}};
	CHECK(ban->enforced && ban->origin == TG_ORIGIN_AUTO);
	(void)snprintf(event.traffic.policy, sizeof(event.traffic.policy), "%s",
		       w->now_in_force->policies[ban->policy].name);
	w->late[w->late_count++] = event;
}

/* What the sink and the kernel make of a decision; their answer may come late. */
static void apply(struct world *w, const struct tg_decision *d)
{
	check_decision(w, d);
	if (d->type == TG_DECISION_WITNESS)
		answer_witness(w, &d->ban);
	if (d->type == TG_DECISION_PROBE)
		answer_probe(w, &d->ban);
	if ((d->type != TG_DECISION_BAN && d->type != TG_DECISION_LIFT) || !d->ban.enforced)
		return;
	struct tg_event ack = {.type = TG_EVENT_ACK, .ack = {d->ban.id, d->ban.version, 0}};
	const struct element e = element_of(w, &d->ban);
	struct element *old = element_find(w, &e);
	/* Only its end moves. Whatever comes after that end is a new one. */
	CHECK(!d->renewed || !old || same_shape(old, &e));
	if (w->broken || random_below(8) == 0)
		ack.ack.error = ENOSPC;
	else if (d->type == TG_DECISION_BAN && old)
		*old = e;
	else if (d->type == TG_DECISION_BAN && w->element_count < ELEMENTS_MAX)
		w->elements[w->element_count++] = e;
	else if (d->type == TG_DECISION_LIFT && old)
		element_remove(w, old);
	w->late[w->late_count++] = ack;
}

static void check_bans(struct world *w);

static void drain(struct world *w)
{
	struct tg_decision decisions[8];
	size_t count;
	do {
		count = tg_engine_take(w->engine, decisions, ARRAY_SIZE(decisions));
		for (size_t i = 0; i < count; i++)
			apply(w, &decisions[i]);
		/* Some answers come twice, some come after other events. */
		while (w->late_count > LATE_MAX / 2 || (w->late_count > 0 && random_below(4))) {
			struct tg_event ack = w->late[--w->late_count];
			for (unsigned times = 1 + (random_below(10) == 0); times > 0; times--)
				step(w, ack);
		}
	} while (count > 0 || ban_table_has_dirty(w->engine->bans));
	check_bans(w);
}

static void check_sources(const struct world *w)
{
	struct tg_engine_stats stats;
	uint32_t states[TG_TCP_STATE_COUNT] = {0}, sources[TG_FAMILY_COUNT] = {0};
	tg_engine_stats(w->engine, &stats);
	for (uint32_t i = flow_table_next(w->engine->flows, 0); i != FLOW_NONE;
	     i = flow_table_next(w->engine->flows, i + 1)) {
		const struct flow *flow = flow_table_at(w->engine->flows, i);
		if (!flow->ended)
			states[flow->state]++;
	}
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		CHECK_U64(stats.states[s], states[s]);
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		struct source_table *table = w->engine->sources[f];
		for (uint32_t slot = source_table_next(table, 0); slot != SOURCE_NONE;
		     slot = source_table_next(table, slot + 1)) {
			const struct source *source = source_table_at(table, slot);
			sources[f] += source_flows(source) > 0;
			for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
				CHECK(source->states[s] <= states[s]);
		}
		CHECK_U64(stats.sources[f], sources[f]);
	}
}

static void check_ban(struct world *w, uint32_t id, bool *known)
{
	const struct ban *ban = ban_table_at(w->engine->bans, id);
	struct tg_ban told;
	bans_describe(w->engine, id, &told);
	const struct element like = element_of(w, &told);
	struct element *e = element_find(w, &like);
	if (told.policy == TG_NO_INDEX && ban->policy != TG_NO_INDEX)
		e = NULL; /* its set went with its policy */
	if (e && ((ban->life == BAN_LIVE && ban->enforced) ||
		  (ban->life == BAN_LEAVING && ban->installed)))
		known[e - w->elements] = true;
	if (ban->life != BAN_LIVE)
		return;
	CHECK(ban->until > w->engine->now && ban->until < TG_NEVER);
	CHECK(ban_table_at(w->engine->bans, ban_table_first(w->engine->bans))->wake <= ban->until);
	CHECK(!bans_cover(w->engine, &ban->source));
	CHECK(!ban->enforced || !w->engine->stats.panic);
	if (!ban->enforced || ban->acked != ban->version)
		return;
	CHECK(e ? e->until == ban->until && same_shape(e, &like) : ban->until <= w->now);
	CHECK(ban->policy == TG_NO_INDEX || ban->action <= TG_ACTION_RATE_LIMIT || ban->proven);
	const struct ruleset_limit *limit =
		ruleset_limit(w->engine->ruleset, ban->policy, ban->limit);
	CHECK(ban->policy == TG_NO_INDEX || (limit && limit->mode == TG_MODE_ENFORCE));
}

static void check_bans(struct world *w)
{
	struct tg_engine_stats stats;
	uint32_t active = 0, observed = 0, pending = 0, live_count = 0, records = 0, unproven = 0;
	bool known[ELEMENTS_MAX] = {false};
	struct ban_table *bans = w->engine->bans;
	for (uint32_t id = ban_table_next(bans, 0); id != TG_BAN_NONE;
	     id = ban_table_next(bans, id + 1)) {
		const struct ban *ban = ban_table_at(bans, id);
		const bool live = ban->life == BAN_LIVE;
		records += ban->life == BAN_RECORD;
		live_count += live;
		unproven += live && ban->witness != TG_NO_INDEX && !ban->proven;
		CHECK(live || ban->witness == TG_NO_INDEX);
		active += live && ban->enforced;
		observed += live && !ban->enforced;
		pending += ban->life == BAN_LEAVING ||
			   (live && ban->enforced && ban->acked != ban->version);
		check_ban(w, id, known);
	}
	for (size_t i = 0; i < w->element_count; i++)
		CHECK(known[i] || w->elements[i].until <= w->now);
	tg_engine_stats(w->engine, &stats);
	CHECK_U64(ban_table_live(bans), live_count);
	CHECK(live_count <= params.max_bans);
	CHECK_U64(stats.bans_active, active);
	CHECK_U64(stats.bans_observed, observed);
	CHECK_U64(stats.bans_pending, pending);
	CHECK_U64(stats.bans_unproven, unproven);
	CHECK_U64(stats.records, records);
	CHECK(tg_engine_deadline(w->engine) > w->engine->now);
}

/* Installing takes out the sets that the new policy has no use for; then the engine is told. */
static void reload(struct world *w)
{
	struct set_up *old = w->now_in_force, *s = draw_set_up();
	/* Refusals name limits of the old policy. */
	if (random_below(2) == 0)
		drain(w);
	while (w->engine->notes_count > 0)
		drain(w);
	for (size_t i = w->element_count; i-- > 0;) {
		const struct element *e = &w->elements[i];
		bool used = e->policy[0] == '\0';
		for (size_t p = 0; p < s->config.policy_count && !used; p++)
			for (size_t l = 0; l < s->policies[p].limit_count; l++)
				used |= strcmp(s->policies[p].name, e->policy) == 0 &&
					tg_limit_uses_scope(&s->limits[p][l], e->scope) &&
					(e->source.len ==
						 s->limits[p][l]
							 .prefix_len[e->source.addr.family] ||
					 e->source.len == tg_family_bits(e->source.addr.family));
		if (!used)
			element_remove(w, &w->elements[i]);
	}
	w->now_in_force = s;
	step(w, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = s->ruleset});
	set_up_destroy(old);
}

static void protect(struct world *w)
{
	struct tg_prefix_set *old = w->protected;
	struct tg_protected_prefix members[2];
	for (unsigned i = 0; i < 2; i++)
		members[i] = (struct tg_protected_prefix){source_of(random_below(SOURCES), 128),
							  random_below(2) ? TG_PROTECT_OWN
									  : TG_PROTECT_GATEWAY};
	w->protected = tg_prefix_set_create(members, random_below(3));
	step(w, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = w->protected});
	tg_prefix_set_destroy(old);
}

static void log_in(struct world *w)
{
	struct tg_prefix_set *old = w->admins;
	struct tg_protected_prefix members[2];
	for (unsigned i = 0; i < 2; i++)
		members[i] = (struct tg_protected_prefix){source_of(random_below(SOURCES), 128),
							  TG_PROTECT_ADMIN};
	w->admins = tg_prefix_set_create(members, random_below(3));
	step(w, (struct tg_event){.type = TG_EVENT_ADMINS, .admins = w->admins});
	tg_prefix_set_destroy(old);
}

static void ask_operator(struct world *w)
{
	struct tg_event event = {
		.type = random_below(3) ? TG_EVENT_OPERATOR_BAN : TG_EVENT_OPERATOR_UNBAN,
		.request = {
			.request = ++w->request,
			.source = source_of(random_below(SOURCES / 2), random_below(4) ? 128 : 28),
			.action = TG_ACTION_RATE_LIMIT + random_below(4),
			.scope = random_below(2) ? TG_SCOPE_NEW : TG_SCOPE_EVERYTHING,
			.force = random_below(2),
			.to = {1 + random_below(3), 1000},
			.expire_ms =
				random_below(4) ? 1000 + random_below(30000) : TG_DURATION_MAX_MS,
			.reason = "by lot"}};
	event.request.all = event.type == TG_EVENT_OPERATOR_UNBAN && random_below(10) == 0;
	w->answered = event.request.all;
	step(w, event);
	drain(w);
	CHECK(w->answered);
}

static void lose(struct world *w)
{
	const uint32_t one_in = 1 + random_below(3);
	for (size_t i = w->element_count; i-- > 0;)
		if (random_below(one_in) == 0)
			element_remove(w, &w->elements[i]);
	step(w, (struct tg_event){.type = TG_EVENT_SINK_LOST});
}

static void traffic(struct world *w)
{
	static const enum tg_event_type types[] = {TG_EVENT_FLOW_NEW, TG_EVENT_FLOW_STATE,
						   TG_EVENT_FLOW_STATE, TG_EVENT_FLOW_END};
	const struct tg_prefix source = source_of(random_below(SOURCES), 128);
	struct tg_event event = {.type = types[random_below(ARRAY_SIZE(types))]};
	struct tg_flow_event *flow = &event.flow;
	memcpy(flow->key.src, source.addr.bytes, 16);
	flow->key.family = source.addr.family;
	flow->key.sport = (uint16_t)(1 + random_below(15));
	flow->key.dport = (uint16_t[]){80, 22, 8080}[random_below(3)];
	flow->state = (uint8_t)random_below(random_below(3) ? 3 : TG_TCP_STATE_COUNT + 1);
	flow->timeout_s = random_below(30);
	flow->answered = random_below(20) == 0;
	flow->dumped = event.type == TG_EVENT_FLOW_STATE && random_below(4) == 0;
	step(w, event);
}

static void rare(struct world *w)
{
	switch (random_below(20)) {
	case 0:
		reload(w);
		break;
	case 1:
		protect(w);
		break;
	case 2:
		step(w, (struct tg_event){.type = TG_EVENT_PANIC, .panic = random_below(3) == 0});
		break;
	case 3:
		lose(w);
		break;
	case 4:
		w->broken = random_below(2) == 0;
		break;
	case 5:
		step(w, (struct tg_event){.type = TG_EVENT_GAP, .lost = 1});
		break;
	case 6:
		step(w, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
		break;
	case 7:
		step(w, (struct tg_event){.type = random_below(3) ? TG_EVENT_RESYNC_END
								  : TG_EVENT_RESYNC_FAILED});
		break;
	case 8:
		w->now += random_below(40) * TG_SEC;
		step(w, (struct tg_event){.type = TG_EVENT_TICK});
		break;
	case 9:
		log_in(w);
		break;
	default:
		ask_operator(w);
		break;
	}
}

/* The table as an earlier daemon, or somebody's hand, left it. */
static void adopt(struct world *w)
{
	static const char *const names[] = {"web", "ssh", "gone", ""};
	for (unsigned i = 0; i < 20; i++) {
		const uint64_t left_ms = random_below(4)
						 ? 1 + random_below(60000)
						 : (random_below(2) ? 0 : UINT64_MAX / TG_MSEC);
		struct tg_event event = {
			.type = TG_EVENT_ADOPT,
			.adopt = {.action = TG_ACTION_DROP,
				  .source = source_of(random_below(SOURCES),
						      random_below(4) ? 128 : 28),
				  .scope = (enum tg_scope)random_below(TG_SCOPE_COUNT),
				  .limit = "open",
				  .left_ms = left_ms}};
		struct element e = {.source = event.adopt.source,
				    .scope = event.adopt.scope,
				    .action = TG_ACTION_DROP,
				    .until = left_ms == 0 || left_ms > TG_DURATION_MAX_MS
						     ? TG_NEVER
						     : w->now + left_ms * TG_MSEC};
		(void)snprintf(e.policy, sizeof(e.policy), "%s", names[random_below(4)]);
		memcpy(event.adopt.policy, e.policy, sizeof(e.policy));
		event.adopt.origin = e.policy[0] == '\0' ? TG_ORIGIN_OPERATOR : TG_ORIGIN_AUTO;
		if (element_find(w, &e))
			continue;
		bool set_stays = e.policy[0] == '\0';
		for (size_t p = 0; p < w->now_in_force->config.policy_count; p++)
			set_stays |= strcmp(e.policy, w->now_in_force->policies[p].name) == 0;
		if (set_stays)
			w->elements[w->element_count++] = e;
		event.at = w->now;
		tg_engine_step(w->engine, &event);
	}
}

static uint64_t live(uint64_t seed)
{
	struct world w = {.now = 100 * TG_SEC};
	random_state = seed;
	w.engine = tg_engine_create(&params);
	reload(&w);
	protect(&w);
	adopt(&w);
	drain(&w);
	for (unsigned i = 0; i < 4000 && !test_failures; i++) {
		w.now += random_below(200) * TG_MSEC;
		if (random_below(20) == 0)
			rare(&w);
		else
			traffic(&w);
		if (random_below(3) == 0)
			drain(&w);
		if (random_below(20) == 0)
			check_sources(&w);
	}
	if (test_failures)
		printf("# of the life with seed %" PRIu64 "\n", seed);
	tg_engine_destroy(w.engine);
	set_up_destroy(w.now_in_force);
	tg_prefix_set_destroy(w.protected);
	tg_prefix_set_destroy(w.admins);
	return w.hash;
}

static uint64_t first_seed;

TEST(the_kernel_holds_what_the_engine_knows)
{
	for (unsigned i = 0; i < 60 && !test_failures; i++)
		(void)live(first_seed + i);
}

TEST(the_same_events_give_the_same_decisions)
{
	CHECK_U64(live(first_seed), live(first_seed));
}

int main(int argc, char **argv)
{
	first_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", first_seed);
	RUN(the_kernel_holds_what_the_engine_knows);
	RUN(the_same_events_give_the_same_decisions);
	return DONE();
}
