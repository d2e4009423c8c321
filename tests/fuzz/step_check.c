/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must hold whatever is told to the engine. Counts are compared with naive ones, made
 * from the flows that the engine itself says it follows.
 */
#include <string.h>

#include "base/util.h"
#include "step_world.h"

#define BIT(state) (1U << (state))
#define HALF_OPEN (BIT(TG_TCP_SYN_SENT) | BIT(TG_TCP_SYN_RECV))
#define CONCURRENT                                                                 \
	(BIT(TG_TCP_ESTABLISHED) | BIT(TG_TCP_FIN_WAIT) | BIT(TG_TCP_CLOSE_WAIT) | \
	 BIT(TG_TCP_LAST_ACK))
#define ALL_STATES (BIT(TG_TCP_STATE_COUNT) - 1)

/* Not those of addr.c, which are under test. */
static bool prefix_contains(const struct tg_prefix *prefix, const struct tg_addr *addr)
{
	const unsigned bytes = prefix->len / 8, rest = prefix->len % 8;
	bool same = prefix->addr.family == addr->family;
	/* No memcmp: the fuzzer would learn from each. */
	for (unsigned i = 0; same && i < bytes; i++)
		same = prefix->addr.bytes[i] == addr->bytes[i];
	return same &&
	       (rest == 0 || (prefix->addr.bytes[bytes] ^ addr->bytes[bytes]) >> (8 - rest) == 0);
}

static bool prefix_overlaps(const struct tg_prefix *a, const struct tg_prefix *b)
{
	return a->len <= b->len ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

struct tg_addr step_key_addr(const struct tg_flow_key *key, const uint8_t bytes[16])
{
	struct tg_addr addr = {.family = key->family};
	memcpy(addr.bytes, bytes, 16);
	return addr;
}

bool step_is_own(const struct step_world *w, const struct tg_addr *addr)
{
	const struct step_protected *set = &w->members[w->protected];
	for (size_t i = 0; i < set->count; i++)
		if ((set->members[i].kind == TG_PROTECT_OWN ||
		     set->members[i].kind == TG_PROTECT_LOOPBACK) &&
		    prefix_contains(&set->members[i].prefix, addr))
			return true;
	return false;
}

bool step_is_covered(const struct step_world *w, const struct tg_prefix *source)
{
	const struct step_protected *set = &w->members[w->protected];
	const struct tg_config *config = &w->config->config;
	if (tg_prefix_is_total(source))
		return false;
	for (size_t i = 0; i < set->count; i++)
		if (prefix_overlaps(&set->members[i].prefix, source))
			return true;
	for (size_t i = 0; i < config->allow_count; i++)
		if (prefix_overlaps(&config->allow[i], source))
			return true;
	return false;
}

static bool matches(const struct tg_policy *policy, uint16_t dport, const struct tg_addr *this_side)
{
	bool port = policy->port_count == 0, address = policy->address_count == 0;
	for (size_t i = 0; i < policy->port_count; i++)
		port |= dport >= policy->ports[i].first && dport <= policy->ports[i].last;
	for (size_t i = 0; i < policy->address_count; i++)
		address |= prefix_contains(&policy->addresses[i], this_side);
	return port && address;
}

bool step_flow_matches(const struct step_world *w, const struct tg_flow_key *key, unsigned policy)
{
	const struct tg_addr src = step_key_addr(key, key->src), dst = step_key_addr(key, key->dst);
	return matches(&w->config->config.policies[policy], key->dport, &dst) &&
	       !step_is_own(w, &src);
}

static bool in_source(const struct tg_prefix *source, const struct tg_addr *addr)
{
	return tg_prefix_is_total(source) || prefix_contains(source, addr);
}

static uint32_t naive_count(const struct step_world *w, const struct tg_prefix *source,
			    unsigned policy, unsigned states)
{
	uint32_t count = 0;
	for (size_t i = 0; i < w->flow_count; i++) {
		const struct tg_flow_event *flow = &w->flows[i];
		const struct tg_addr src = step_key_addr(&flow->key, flow->key.src);
		count += in_source(source, &src) && states >> flow->state & 1 &&
			 step_flow_matches(w, &flow->key, policy);
	}
	return count;
}

/* Distinct hosts: IPv4 addresses, IPv6 networks of 64 bits. */
static uint32_t naive_hosts(const struct step_world *w, const struct tg_prefix *source,
			    unsigned policy)
{
	static struct tg_prefix hosts[STEP_FLOWS_MAX];
	uint32_t count = 0;
	for (size_t i = 0; i < w->flow_count; i++) {
		const struct tg_flow_event *flow = &w->flows[i];
		const struct tg_addr src = step_key_addr(&flow->key, flow->key.src);
		const struct tg_prefix host = tg_addr_mask(&src, src.family == TG_IPV4 ? 32 : 64);
		if (!in_source(source, &src) || flow->state == TG_TCP_CLOSE ||
		    !step_flow_matches(w, &flow->key, policy))
			continue;
		uint32_t k = 0;
		while (k < count && !tg_prefix_equal(&hosts[k], &host))
			k++;
		if (k == count)
			hosts[count++] = host;
	}
	return count;
}

static unsigned states_of(enum tg_measure measure)
{
	switch (measure) {
	case TG_MEASURE_CONCURRENT:
		return CONCURRENT;
	case TG_MEASURE_HALF_OPEN:
		return HALF_OPEN;
	case TG_MEASURE_TIME_WAIT:
		return BIT(TG_TCP_TIME_WAIT);
	case TG_MEASURE_CLOSE_WAIT:
		return BIT(TG_TCP_CLOSE_WAIT);
	case TG_MEASURE_FIN_WAIT:
		return BIT(TG_TCP_FIN_WAIT);
	case TG_MEASURE_LAST_ACK:
		return BIT(TG_TCP_LAST_ACK);
	case TG_MEASURE_IDLE:
		return BIT(TG_TCP_ESTABLISHED);
	case TG_MEASURE_NEW:
	case TG_MEASURE_FAILED:
	case TG_MEASURE_FAN_OUT:
	case TG_MEASURE_COUNT:
		break;
	}
	return 0;
}

/* The limit that a ban names, or NULL. */
static const struct tg_limit *limit_of(const struct step_world *w, const struct tg_ban *ban)
{
	const struct tg_config *config = &w->config->config;
	if (ban->policy >= config->policy_count ||
	    ban->limit >= config->policies[ban->policy].limit_count)
		return NULL;
	return &config->policies[ban->policy].limits[ban->limit];
}

/* That a source is real is proven for all limits of a policy at once. */
static bool is_proven(const struct step_world *w, const struct tg_ban *ban)
{
	const char *policy = w->config->config.policies[ban->policy].name;
	for (size_t i = 0; i < w->proof_count; i++)
		if (strcmp(w->proofs[i].policy, policy) == 0 &&
		    tg_prefix_equal(&w->proofs[i].source, &ban->source))
			return true;
	return false;
}

/* What holds for every ban that is in force or only observed. */
static void check_ban(struct step_world *w, const struct tg_ban *ban)
{
	const struct tg_limit *limit = limit_of(w, ban);
	STEP_REQUIRE(w, ban->id < tg_engine_ban_ids(w->engine) && ban->id < STEP_BANS_MAX);
	STEP_REQUIRE(w, !step_is_covered(w, &ban->source));
	STEP_REQUIRE(w, ban->until > w->now);
	STEP_REQUIRE(w, ban->until - w->now <= TG_DURATION_MAX_MS * TG_MSEC);
	STEP_REQUIRE(w, ban->since <= w->now);
	STEP_REQUIRE(w, !ban->enforced || (!w->stats.panic &&
					   (!STEP_EVIDENCE || ban->action != TG_ACTION_OBSERVE)));
	STEP_REQUIRE(w, !STEP_EVIDENCE || ban->action != TG_ACTION_RATE_LIMIT ||
				(ban->to.count > 0 && ban->to.per_ms > 0));
	STEP_REQUIRE(w, ban->action != TG_ACTION_CAP || (ban->to.count > 0 && ban->to.per_ms == 0 &&
							 ban->scope == TG_SCOPE_NEW));
	STEP_REQUIRE(w, !ban->kill || ban->action > TG_ACTION_CAP);
	STEP_REQUIRE(w, !ban->unproven ||
				(ban->action == TG_ACTION_RATE_LIMIT &&
				 ban->scope == TG_SCOPE_NEW && ban->origin == TG_ORIGIN_AUTO));
	if (ban->origin == TG_ORIGIN_OPERATOR)
		return;
	STEP_REQUIRE(w, limit);
	if (!limit)
		return;
	const unsigned family = ban->source.addr.family;
	STEP_REQUIRE(w, tg_prefix_is_total(&ban->source) == limit->total);
	STEP_REQUIRE(w, limit->total || ban->source.len == limit->prefix_len[family] ||
				ban->source.len == tg_family_bits((enum tg_family)family));
	STEP_REQUIRE(w, !limit->total || ban->action <= TG_ACTION_RATE_LIMIT);
	STEP_REQUIRE(w, !ban->enforced || limit->mode == TG_MODE_ENFORCE);
	STEP_REQUIRE(w, ban->action > TG_ACTION_RATE_LIMIT || ban->scope == TG_SCOPE_NEW);
	if (ban->action > TG_ACTION_RATE_LIMIT)
		STEP_REQUIRE(w, !tg_prefix_set_overlap(w->admins, &ban->source));
	if (STEP_EVIDENCE && ban->action > TG_ACTION_RATE_LIMIT && !w->overflow)
		STEP_REQUIRE(w, tg_measure_evidence(limit->measure) == TG_EVIDENCE_WITNESSABLE &&
					is_proven(w, ban));
}

/* An offence that this event, of one flow, has brought to light: the flows are there. */
static void check_offence(struct step_world *w, const struct tg_ban *ban)
{
	const struct tg_limit *limit = limit_of(w, ban);
	if (!limit)
		return;
	const unsigned states = states_of(limit->measure);
	step_read_flows(w);
	if (states && ban->measured <= limit->threshold)
		STEP_REQUIRE(w, ban->measured > limit->threshold);
	if (states)
		STEP_REQUIRE(w, naive_count(w, &ban->source, ban->policy, states) >= ban->measured);
	if (limit->min_hosts > 0 && ban->source.len == limit->prefix_len[ban->source.addr.family])
		STEP_REQUIRE(w, naive_hosts(w, &ban->source, ban->policy) + 1 >= limit->min_hosts);
}

/* What a daemon before this one did is no ban of this minute. */
static bool is_adopted(const struct step_world *w, const struct tg_ban *ban)
{
	const char *policy = w->config->config.policies[ban->policy].name;
	for (size_t i = 0; i < w->proof_count; i++)
		if (w->proofs[i].adopted && strcmp(w->proofs[i].policy, policy) == 0 &&
		    tg_prefix_equal(&w->proofs[i].source, &ban->source))
			return true;
	return false;
}

/* Never more in a minute than the brake says. */
static void check_brake(struct step_world *w, const struct tg_decision *decision)
{
	const uint32_t most = w->config->config.brakes.bans_per_minute;
	if (most == 0 || decision->cause == TG_CAUSE_AGAIN || is_adopted(w, &decision->ban))
		return;
	tg_time *oldest = &w->braked[w->braked_count++ % most];
	STEP_REQUIRE(w, w->braked_count <= most || decision->at - *oldest >= 60 * TG_SEC);
	*oldest = decision->at;
}

static void check_told(struct step_world *w, const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	struct step_told *told = &w->told[ban->id];
	const struct step_element like = step_element_of(w, ban);
	if (decision->type == TG_DECISION_BAN) {
		STEP_REQUIRE(w, !told->live || (told->scope == ban->scope &&
						tg_prefix_equal(&told->source, &ban->source)));
		STEP_REQUIRE(w, !told->live || told->version <= ban->version);
		const bool proven = ban->enforced && ban->origin == TG_ORIGIN_AUTO &&
				    ban->action > TG_ACTION_RATE_LIMIT;
		if (proven && !(told->live && told->proven))
			check_brake(w, decision);
		*told = (struct step_told){true,       ban->version, ban->source,
					   ban->scope, like.policy,  proven};
		/* It moves an end that is there. */
		STEP_REQUIRE(w, !decision->renewed || w->overflow || step_kernel_holds(w, ban));
		return;
	}
	if (told->live)
		STEP_REQUIRE(w, told->scope == ban->scope &&
					tg_prefix_equal(&told->source, &ban->source));
	told->live = false;
}

/* What stood in for more goes only when that is there. */
static bool is_replaced(const struct step_world *w, const struct tg_ban *stand_in)
{
	struct tg_ban ban;
	uint32_t cursor = 0;
	while (tg_engine_next_ban(w->engine, &cursor, &ban))
		if (ban.policy == stand_in->policy && ban.action > TG_ACTION_RATE_LIMIT &&
		    ban.scope > stand_in->scope && tg_prefix_equal(&ban.source, &stand_in->source))
			return true;
	return false;
}

void step_check_decision(struct step_world *w, const struct tg_decision *decision,
			 const struct tg_event *event)
{
	const struct tg_ban *ban = &decision->ban;
	const bool of_flow = event->type <= TG_EVENT_FLOW_END;
	STEP_REQUIRE(w, decision->type < TG_DECISION_COUNT && decision->at <= w->now);
	switch (decision->type) {
	case TG_DECISION_BAN:
		if (ban->id >= STEP_BANS_MAX) {
			STEP_REQUIRE(w, ban->id < STEP_BANS_MAX);
			break;
		}
		check_ban(w, ban);
		check_told(w, decision);
		STEP_REQUIRE(w, decision->has_sample ? tg_prefix_is_total(&ban->source) : true);
		if (of_flow && decision->cause == TG_CAUSE_OFFENCE)
			check_offence(w, ban);
		break;
	case TG_DECISION_LIFT:
	case TG_DECISION_EXPIRE:
		STEP_REQUIRE(w, ban->id < STEP_BANS_MAX);
		if (ban->id < STEP_BANS_MAX)
			check_told(w, decision);
		STEP_REQUIRE(w,
			     decision->cause != TG_CAUSE_EVICTED || ban->origin == TG_ORIGIN_AUTO);
		if (decision->type == TG_DECISION_LIFT && decision->cause == TG_CAUSE_WITNESSED)
			STEP_REQUIRE(w, is_replaced(w, ban));
		break;
	case TG_DECISION_REFUSE:
		STEP_REQUIRE(w, ban->id == TG_BAN_NONE);
		break;
	case TG_DECISION_WITNESS:
		STEP_REQUIRE(w, ban->origin == TG_ORIGIN_AUTO &&
					(ban->unproven || ban->action > TG_ACTION_RATE_LIMIT));
		break;
	case TG_DECISION_PROBE:
		STEP_REQUIRE(w, ban->enforced && ban->origin == TG_ORIGIN_AUTO);
		break;
	case TG_DECISION_KILL:
		STEP_REQUIRE(w, event->type == TG_EVENT_ACK && event->ack.ban == ban->id &&
					ban->enforced && ban->kill);
		STEP_REQUIRE(w, w->overflow || step_kernel_holds(w, ban));
		break;
	case TG_DECISION_PASS:
		STEP_REQUIRE(w, decision->pass.policy < w->config->config.policy_count);
		break;
	case TG_DECISION_VERIFY:
	case TG_DECISION_COUNT:
		break;
	}
}

static void check_bans(struct step_world *w)
{
	struct tg_ban ban;
	uint32_t cursor = 0, enforced = 0, observed = 0, unproven = 0, totals = 0;
	while (tg_engine_next_ban(w->engine, &cursor, &ban)) {
		check_ban(w, &ban);
		enforced += ban.enforced;
		observed += !ban.enforced;
		unproven += ban.unproven;
		totals += tg_prefix_is_total(&ban.source);
	}
	STEP_REQUIRE(w, w->stats.bans_active == enforced);
	STEP_REQUIRE(w, w->stats.bans_observed == observed ||
				w->stats.bans_observed == observed - totals);
	STEP_REQUIRE(w, w->stats.bans_unproven == unproven);
	STEP_REQUIRE(w, !STEP_EVIDENCE || w->stats.services == totals);
	STEP_REQUIRE(w, enforced + observed <= w->params.max_bans);
	STEP_REQUIRE(w, w->stats.bans_pending <= tg_engine_ban_ids(w->engine));
}

void step_read_flows(struct step_world *w)
{
	uint32_t cursor = 0;
	if (w->flows_at == w->told_events)
		return;
	w->flows_at = w->told_events;
	w->flow_count = 0;
	while (w->flow_count < STEP_FLOWS_MAX &&
	       tg_engine_next_flow(w->engine, &cursor, &w->flows[w->flow_count]))
		w->flow_count++;
}

static void check_flows(struct step_world *w)
{
	uint32_t states[TG_TCP_STATE_COUNT] = {0};
	step_read_flows(w);
	for (size_t i = 0; i < w->flow_count; i++) {
		const struct tg_flow_event *flow = &w->flows[i];
		STEP_REQUIRE(w, flow->state < TG_TCP_STATE_COUNT && flow->timeout_s > 0);
		/* Those of this host are followed for a fan-out only, and no state counts them. */
		const struct tg_addr src = step_key_addr(&flow->key, flow->key.src);
		states[flow->state % TG_TCP_STATE_COUNT] += !step_is_own(w, &src);
	}
	STEP_REQUIRE(w, memcmp(states, w->stats.states, sizeof(states)) == 0);
	STEP_REQUIRE(w, w->stats.flows <= w->params.max_flows);
	STEP_REQUIRE(w, w->stats.resyncing ? w->stats.flows >= w->flow_count
					   : w->stats.flows == w->flow_count);
}

/* Who was pushed out has lost what it had, until all is counted anew. */
static void check_exact(struct step_world *w, const struct tg_engine_stats *before,
			const struct tg_event *event)
{
	const bool anew = event->type == TG_EVENT_PROTECTED ||
			  (event->type == TG_EVENT_RESYNC_END && before->resyncing);
	if (w->stats.sources_evicted != before->sources_evicted)
		w->inexact = true;
	else if (anew)
		w->inexact = false;
}

void step_check(struct step_world *w, const struct tg_event *event, bool decided)
{
	const struct tg_engine_stats before = w->stats;
	tg_engine_stats(w->engine, &w->stats);
	if (w->memory == 0)
		w->memory = w->stats.memory;
	STEP_REQUIRE(w, w->stats.memory == w->memory);
	STEP_REQUIRE(w, tg_engine_deadline(w->engine) > w->now);
	STEP_REQUIRE(w, w->stats.sources[TG_IPV4] <= w->stats.max_sources);
	STEP_REQUIRE(w, w->stats.sources[TG_IPV6] <= w->stats.max_sources);
	STEP_REQUIRE(w, w->stats.decisions_lost == before.decisions_lost || w->overflow);
	check_exact(w, &before, event);
	/* To look at all of it each time would cost the fuzzer most of its inputs. */
	if (w->stats.flows <= 8 || w->told_events % 16 == 0)
		check_flows(w);
	if (decided || w->told_events % 8 == 0)
		check_bans(w);
}

/* Views of a policy: limits that count alike share one. */
static bool same_view(const struct tg_limit *a, const struct tg_limit *b)
{
	return a->total == b->total &&
	       (a->total || memcmp(a->prefix_len, b->prefix_len, sizeof(a->prefix_len)) == 0);
}

/* Does the source count hosts for sure? Two views may look alike from outside, in one family. */
static bool wants_hosts(const struct step_world *w, const struct tg_source_count *source)
{
	const struct tg_policy *policy = &w->config->config.policies[source->policy];
	const unsigned family = source->source.addr.family;
	const struct tg_limit *like = NULL;
	bool wants = false;
	for (size_t i = 0; i < policy->limit_count; i++) {
		const struct tg_limit *limit = &policy->limits[i];
		if (limit->total || limit->prefix_len[family] != source->source.len)
			continue;
		if (like && !same_view(like, limit))
			return false;
		like = limit;
		wants |= limit->min_hosts > 0;
	}
	return wants;
}

/* Whom this host calls. */
static uint32_t naive_destinations(struct step_world *w, unsigned policy)
{
	static struct tg_addr seen[STEP_FLOWS_MAX];
	const struct tg_policy *p = &w->config->config.policies[policy];
	uint32_t count = 0;
	for (size_t i = 0; i < w->flow_count; i++) {
		const struct tg_flow_key *key = &w->flows[i].key;
		const struct tg_addr src = step_key_addr(key, key->src);
		const struct tg_addr dst = step_key_addr(key, key->dst);
		if (!step_is_own(w, &src) || !matches(p, key->dport, &src))
			continue;
		STEP_REQUIRE(w, !step_is_own(w, &dst));
		uint32_t k = 0;
		while (k < count && !tg_addr_equal(&seen[k], &dst))
			k++;
		if (k == count)
			seen[count++] = dst;
	}
	return count;
}

static uint64_t states_sum(const struct tg_source_count *source)
{
	uint64_t sum = 0;
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		sum += s == TG_TCP_CLOSE ? 0 : source->states[s];
	return sum;
}

static void check_source(struct step_world *w, const struct tg_source_count *source, bool exact)
{
	/* Only what it has begun is left of it, and its flows may count for another by now:
	 * its prefix, or its single addresses. What is missing shows in the sum. */
	if (states_sum(source) == 0 && !tg_prefix_is_total(&source->source))
		return;
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++) {
		if (s == TG_TCP_CLOSE)
			continue;
		const uint32_t naive = naive_count(w, &source->source, source->policy, BIT(s));
		STEP_REQUIRE(w, source->states[s] <= naive);
		STEP_REQUIRE(w, !exact || source->states[s] == naive);
	}
	STEP_REQUIRE(w, source->idle <= source->states[TG_TCP_ESTABLISHED]);
	if (source->hosts == 0 && !wants_hosts(w, source))
		return;
	const uint32_t hosts = tg_prefix_is_total(&source->source)
				       ? naive_destinations(w, source->policy)
				       : naive_hosts(w, &source->source, source->policy);
	STEP_REQUIRE(w, source->hosts <= hosts);
	STEP_REQUIRE(w, !exact || source->hosts == hosts);
}

/* No flow is missing: each counts once in each view of each policy that it matches. */
static uint64_t naive_sum(const struct step_world *w)
{
	const struct tg_prefix total = {.len = TG_TOTAL_LEN};
	uint64_t sum = 0;
	for (size_t p = 0; p < w->config->config.policy_count; p++) {
		const struct tg_policy *policy = &w->config->config.policies[p];
		uint64_t views = 0;
		for (size_t i = 0; i < policy->limit_count; i++) {
			size_t k = 0;
			while (k < i && !same_view(&policy->limits[k], &policy->limits[i]))
				k++;
			views += k == i;
		}
		sum += views * naive_count(w, &total, (unsigned)p, ALL_STATES & ~BIT(TG_TCP_CLOSE));
	}
	return sum;
}

void step_check_counts(struct step_world *w)
{
	struct tg_source_count *sources = w->sources;
	const size_t cap = ARRAY_SIZE(w->sources);
	uint32_t cursor = 0;
	size_t count = 0;
	uint64_t sum = 0;
	const bool exact = !w->inexact;
	check_flows(w);
	while (count < cap && tg_engine_next_source(w->engine, &cursor, &sources[count]))
		count++;
	for (size_t i = 0; i < count; i++) {
		STEP_REQUIRE(w, sources[i].policy < w->config->config.policy_count);
		if (sources[i].policy >= w->config->config.policy_count)
			return;
		check_source(w, &sources[i], exact);
		sum += states_sum(&sources[i]);
	}
	STEP_REQUIRE(w, !exact || sum == naive_sum(w));
}
