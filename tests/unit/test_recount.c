/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events of every kind in any order, under policies drawn by lot that come and go, in tables
 * that are far too small: at any time every count is what a recount of the flows gives.
 *
 *   test_recount [SEED]
 */
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "random.h"
#include "recount.h"

#define LIMITS 8
#define POLICIES 3
#define HOSTS 24

static const struct tg_engine_params params = {24, 96, 64, "recount"};

/* A config drawn by lot. */
struct set_up {
	struct tg_config config;
	struct tg_policy policies[POLICIES];
	struct tg_limit limits[POLICIES][LIMITS];
	struct tg_prefix allow, address;
	struct tg_ruleset *ruleset;
};

struct world {
	struct tg_engine *engine;
	struct set_up *set_up;
	struct tg_prefix_set *protected;
	tg_time now;
};

static const struct tg_step observe = {.action = TG_ACTION_OBSERVE, .expire_ms = 5000};
static const struct tg_port_range ports[] = {{80, 80}, {22, 22}};

static struct tg_addr host_of(uint32_t n)
{
	if (n % 3 == 0)
		return tg_addr_from_ipv6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, 0,
							     (uint8_t)(n / 12), 0, (uint8_t)(n / 6),
							     0, 0, 0, 0, 0, 0, 0, (uint8_t)n});
	return tg_addr_from_ipv4((const uint8_t[]){198, 51, (uint8_t)(n % 2), (uint8_t)n});
}

static struct tg_addr own_addr(enum tg_family family)
{
	if (family == TG_IPV6)
		return tg_addr_from_ipv6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, 0xff});
	return tg_addr_from_ipv4((const uint8_t[]){203, 0, 113, 1});
}

static void draw_limit(struct tg_limit *limit, unsigned i)
{
	static const char *const names[LIMITS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	static const uint8_t lengths[][TG_FAMILY_COUNT] = {{32, 64}, {32, 64},  {28, 56},
							   {24, 48}, {26, 128}, {8, 64}};
	const uint8_t *len = lengths[random_below(ARRAY_SIZE(lengths))];
	*limit = (struct tg_limit){
		.name = names[i],
		.measure = (enum tg_measure)random_below(TG_MEASURE_COUNT),
		.threshold = 1 + random_below(10),
		.total = random_below(4) == 0,
		.prefix_len = {len[0], len[1]},
		.min_hosts = (uint16_t)(random_below(2) ? random_below(6) : 0),
		.steps = &observe,
		.step_count = 1,
		.mode = TG_MODE_ENFORCE,
	};
	if (tg_measure_is_rate(limit->measure))
		limit->window_ms = 1000;
}

static struct set_up *draw_set_up(void)
{
	static const char *const names[POLICIES] = {"web", "ssh", "any"};
	struct set_up *s = calloc(1, sizeof(*s));
	const unsigned count = 1 + random_below(POLICIES);
	s->address = tg_addr_mask(&(struct tg_addr){0}, 1);
	s->address.addr = own_addr(TG_IPV4);
	s->address.len = 32;
	for (unsigned p = 0; p < count; p++) {
		struct tg_policy *policy = &s->policies[p];
		*policy = (struct tg_policy){.name = names[p],
					     .limits = s->limits[p],
					     .limit_count = 1 + random_below(LIMITS),
					     .port_count = p < 2,
					     .ports = &ports[p % 2],
					     .addresses = &s->address,
					     .address_count = random_below(4) == 0};
		for (unsigned i = 0; i < policy->limit_count; i++)
			draw_limit(&s->limits[p][i], i);
	}
	const struct tg_addr allowed = host_of(HOSTS - 1);
	s->allow = tg_addr_mask(&allowed, 128);
	s->config = (struct tg_config){.idle_after_ms = random_below(3) ? 1000 : 20000,
				       .policies = s->policies,
				       .policy_count = count,
				       .allow = &s->allow,
				       .allow_count = random_below(2)};
	s->ruleset = tg_ruleset_create(&s->config, &params, NULL);
	return s;
}

/* The same again with other thresholds, now and then. */
static struct set_up *redraw_set_up(const struct set_up *old)
{
	struct set_up *s = draw_set_up();
	if (!old || random_below(2))
		return s;
	tg_ruleset_destroy(s->ruleset);
	memcpy(s->limits, old->limits, sizeof(s->limits));
	memcpy(s->policies, old->policies, sizeof(s->policies));
	s->address = old->address;
	s->allow = old->allow;
	s->config = old->config;
	s->config.policies = s->policies;
	s->config.allow = &s->allow;
	for (unsigned p = 0; p < POLICIES; p++) {
		s->policies[p].limits = s->limits[p];
		s->policies[p].addresses = &s->address;
		for (unsigned i = 0; i < LIMITS; i++)
			s->limits[p][i].threshold = 1 + random_below(10);
	}
	s->ruleset = tg_ruleset_create(&s->config, &params, NULL);
	return s;
}

static void step(struct world *w, struct tg_event event)
{
	struct tg_decision decisions[16];
	event.at = w->now;
	tg_engine_step(w->engine, &event);
	while (tg_engine_take(w->engine, decisions, ARRAY_SIZE(decisions)) > 0)
		;
}

static void reload(struct world *w)
{
	struct set_up *old = w->set_up;
	w->set_up = redraw_set_up(old);
	step(w, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = w->set_up->ruleset});
	if (old)
		tg_ruleset_destroy(old->ruleset);
	free(old);
}

static void protect(struct world *w)
{
	struct tg_prefix_set *old = w->protected;
	struct tg_protected_prefix members[4];
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		const struct tg_addr own = own_addr((enum tg_family)f);
		members[f] = (struct tg_protected_prefix){tg_addr_mask(&own, 128), TG_PROTECT_OWN};
	}
	for (unsigned i = TG_FAMILY_COUNT; i < ARRAY_SIZE(members); i++) {
		const struct tg_addr addr = host_of(random_below(HOSTS));
		members[i] = (struct tg_protected_prefix){tg_addr_mask(&addr, 128),
							  random_below(2) ? TG_PROTECT_OWN
									  : TG_PROTECT_GATEWAY};
	}
	w->protected = tg_prefix_set_create(members, random_below(8) ? 2 + random_below(3) : 0);
	step(w, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = w->protected});
	tg_prefix_set_destroy(old);
}

static void traffic(struct world *w)
{
	static const enum tg_event_type types[] = {TG_EVENT_FLOW_NEW,   TG_EVENT_FLOW_NEW,
						   TG_EVENT_FLOW_STATE, TG_EVENT_FLOW_STATE,
						   TG_EVENT_FLOW_STATE, TG_EVENT_FLOW_END};
	struct tg_event event = {.type = types[random_below(ARRAY_SIZE(types))]};
	struct tg_flow_event *flow = &event.flow;
	const struct tg_addr host = host_of(random_below(HOSTS));
	const struct tg_addr own = own_addr((enum tg_family)host.family);
	const bool outbound = random_below(4) == 0;
	memcpy(flow->key.src, outbound ? own.bytes : host.bytes, 16);
	memcpy(flow->key.dst, outbound ? host.bytes : own.bytes, 16);
	flow->key.family = host.family;
	flow->key.sport = (uint16_t)(1 + random_below(4));
	flow->key.dport = (uint16_t[]){80, 22, 8080}[random_below(3)];
	flow->state = (uint8_t)random_below(random_below(2) ? 3 : TG_TCP_STATE_COUNT + 1);
	flow->timeout_s = random_below(20);
	flow->answered = random_below(3) == 0;
	flow->counted = flow->answered && random_below(4) > 0;
	flow->packets = random_below(10);
	flow->bytes = random_below(2) ? flow->packets * 52 : flow->packets * 900;
	flow->dumped = event.type == TG_EVENT_FLOW_STATE && random_below(4) == 0;
	step(w, event);
}

static void rare(struct world *w)
{
	static const enum tg_event_type plain[] = {TG_EVENT_GAP, TG_EVENT_RESYNC_BEGIN,
						   TG_EVENT_RESYNC_END, TG_EVENT_RESYNC_END,
						   TG_EVENT_RESYNC_FAILED};
	switch (random_below(6)) {
	case 0:
		reload(w);
		break;
	case 1:
		protect(w);
		break;
	case 2:
		w->now += random_below(10) * TG_SEC;
		step(w, (struct tg_event){.type = TG_EVENT_TICK});
		break;
	default:
		step(w, (struct tg_event){.type = plain[random_below(ARRAY_SIZE(plain))]});
		break;
	}
}

/* What has been seen to happen, so that the test is known to look at it. */
struct seen {
	uint64_t evicted, flows_evicted, idle, hosts, destinations;
};

static void look(const struct world *w, struct seen *seen)
{
	struct tg_source_count source;
	for (uint32_t cursor = 0; tg_engine_next_source(w->engine, &cursor, &source);) {
		seen->idle += source.idle;
		seen->hosts += !tg_prefix_is_total(&source.source) && source.hosts > 1;
		seen->destinations += tg_prefix_is_total(&source.source) && source.hosts > 1;
	}
}

static void live(uint64_t seed, struct seen *seen)
{
	struct world w = {.now = 100 * TG_SEC};
	struct tg_engine_stats stats;
	random_state = seed;
	w.engine = tg_engine_create(&params);
	reload(&w);
	protect(&w);
	for (unsigned i = 0; i < 2000 && !test_failures; i++) {
		w.now += random_below(100) * TG_MSEC;
		if (random_below(40) == 0)
			rare(&w);
		else
			traffic(&w);
		recount_check(w.engine);
		look(&w, seen);
	}
	tg_engine_stats(w.engine, &stats);
	seen->evicted += stats.sources_evicted;
	seen->flows_evicted += stats.flows_evicted;
	if (test_failures)
		printf("# of the life with seed %" PRIu64 "\n", seed);
	tg_engine_destroy(w.engine);
	tg_ruleset_destroy(w.set_up->ruleset);
	free(w.set_up);
	tg_prefix_set_destroy(w.protected);
}

static uint64_t first_seed;

TEST(every_count_is_what_a_recount_gives)
{
	struct seen seen = {0};
	for (unsigned i = 0; i < 20 && !test_failures; i++)
		live(first_seed + i, &seen);
	CHECK(seen.evicted > 100 && seen.flows_evicted > 100);
	CHECK(seen.idle > 100 && seen.hosts > 100 && seen.destinations > 100);
}

int main(int argc, char **argv)
{
	first_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", first_seed);
	RUN(every_count_is_what_a_recount_gives);
	return DONE();
}
