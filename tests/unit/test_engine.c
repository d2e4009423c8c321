/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine against a naive model: random streams of connections whose events come
 * twice, are lost or overtake each other. After a resync every count is the model's;
 * before, during and after, nothing is negative, every ban has an end, no ban covers
 * what is protected, and nothing is allocated.
 *
 *   test_engine [SEED]
 */
#include <stdlib.h>
#include <time.h>

#include <tcpguard/engine.h>

#include "base/util.h"
#include "allocations.h"
#include "random.h"
#include "test.h"

#define SOURCES 40
#define PORTS 30
#define MODEL_FLOWS (SOURCES * PORTS)

struct model_flow {
	bool alive;
	unsigned state;
};

struct world {
	struct tg_engine *engine;
	struct tg_ruleset *ruleset;
	struct tg_prefix_set *protected;
	struct model_flow flows[MODEL_FLOWS];
	tg_time now;
	bool lost; /* since the last resync */
	unsigned bans;
};

static const struct tg_limit limits[] = {
	{.name = "open",
	 .measure = TG_MEASURE_CONCURRENT,
	 .threshold = 12,
	 .prefix_len = {32, 64},
	 .steps = &(const struct tg_step){.action = TG_ACTION_DROP,
					  .scope = TG_SCOPE_PORTS,
					  .to = {5, 1000},
					  .expire_ms = 5000},
	 .step_count = 1,
	 .mode = TG_MODE_ENFORCE},
	{.name = "half",
	 .measure = TG_MEASURE_HALF_OPEN,
	 .threshold = 9,
	 .prefix_len = {32, 64},
	 .steps = &(const struct tg_step){.action = TG_ACTION_RATE_LIMIT,
					  .scope = TG_SCOPE_NEW,
					  .to = {2, 1000},
					  .expire_ms = 3000},
	 .step_count = 1,
	 .mode = TG_MODE_ENFORCE},
	{.name = "net",
	 .measure = TG_MEASURE_CONCURRENT,
	 .threshold = 60,
	 .prefix_len = {28, 48},
	 .steps = &(const struct tg_step){.action = TG_ACTION_DROP,
					  .scope = TG_SCOPE_PORTS,
					  .to = {5, 1000},
					  .expire_ms = 5000},
	 .step_count = 1,
	 .mode = TG_MODE_OBSERVE},
	{.name = "begun",
	 .measure = TG_MEASURE_NEW,
	 .threshold = 30,
	 .window_ms = 1000,
	 .prefix_len = {32, 64},
	 .steps = &(const struct tg_step){.action = TG_ACTION_RATE_LIMIT,
					  .scope = TG_SCOPE_NEW,
					  .to = {5, 1000},
					  .expire_ms = 3000},
	 .step_count = 1,
	 .mode = TG_MODE_ENFORCE},
};
static const struct tg_port_range ports[] = {{80, 80}};
static const struct tg_policy policies[] = {{
	.name = "web",
	.ports = ports,
	.port_count = 1,
	.limits = limits,
	.limit_count = ARRAY_SIZE(limits),
}};
static const struct tg_config config = {
	.mode = TG_MODE_ENFORCE,
	.max_sources = 4096,
	.max_flows = 4096,
	.policies = policies,
	.policy_count = 1,
};
static const struct tg_engine_params params = {4096, 4096, 256, "property tests"};

/* The last source is protected: the host's gateway. */
static struct tg_addr source_addr(unsigned source)
{
	return tg_addr_from_ipv4((const uint8_t[]){198, 51, 100, (uint8_t)(source + 1)});
}

static struct tg_flow_key flow_key(unsigned flow)
{
	struct tg_flow_key key = {.sport = (uint16_t)(1000 + flow % PORTS), .dport = 80};
	struct tg_addr src = source_addr(flow / PORTS);
	memcpy(key.src, src.bytes, 16);
	memcpy(key.dst, (const uint8_t[]){203, 0, 113, 1}, 4);
	return key;
}

static void check_decision(struct world *w, const struct tg_decision *decision)
{
	if (decision->type == TG_DECISION_VERIFY || decision->type == TG_DECISION_REFUSE)
		return;
	struct tg_addr gateway = source_addr(SOURCES - 1);
	CHECK(!tg_prefix_contains(&decision->ban.source, &gateway));
	CHECK(decision->ban.until < w->now + 3600 * TG_SEC);
	CHECK(decision->ban.until > decision->ban.since);
	w->bans += decision->type == TG_DECISION_BAN;
	if (decision->ban.enforced && decision->type != TG_DECISION_EXPIRE)
		tg_engine_step(w->engine,
			       &(struct tg_event){
				       .type = TG_EVENT_ACK,
				       .at = w->now,
				       .ack = {decision->ban.id, decision->ban.version, 0},
			       });
}

static void send(struct world *w, struct tg_event event)
{
	struct tg_decision decisions[8];
	size_t count;
	event.at = w->now;
	tg_engine_step(w->engine, &event);
	do {
		count = tg_engine_take(w->engine, decisions, ARRAY_SIZE(decisions));
		for (size_t i = 0; i < count; i++)
			check_decision(w, &decisions[i]);
	} while (count > 0);
}

/* One event, sometimes twice, sometimes never. */
static void tell(struct world *w, enum tg_event_type type, unsigned flow, bool dumped)
{
	if (!dumped && random_below(50) == 0) {
		w->lost = true;
		send(w, (struct tg_event){.type = TG_EVENT_GAP, .lost = 1});
		return;
	}
	struct tg_event event = {
		.type = type,
		.flow = {.key = flow_key(flow),
			 .state = (uint8_t)w->flows[flow].state,
			 .dumped = dumped,
			 .timeout_s = 100000},
	};
	send(w, event);
	if (random_below(20) == 0)
		send(w, event);
}

static void live_once(struct world *w)
{
	const unsigned flow = random_below(MODEL_FLOWS);
	struct model_flow *f = &w->flows[flow];
	if (!f->alive) {
		*f = (struct model_flow){true, TG_TCP_SYN_SENT};
		tell(w, TG_EVENT_FLOW_NEW, flow, false);
	} else if (f->state == TG_TCP_CLOSE || random_below(6) == 0) {
		f->alive = false;
		tell(w, TG_EVENT_FLOW_END, flow, false);
	} else {
		f->state++;
		tell(w, TG_EVENT_FLOW_STATE, flow, false);
	}
}

/* A dump that takes a while: life goes on between its parts, which are told late. */
static void resync(struct world *w)
{
	static struct model_flow parts[MODEL_FLOWS];
	w->lost = false;
	send(w, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	for (unsigned flow = 0; flow < MODEL_FLOWS; flow += 100) {
		memcpy(parts, w->flows, sizeof(parts));
		for (unsigned i = random_below(20); i > 0; i--)
			live_once(w);
		for (unsigned i = flow; i < flow + 100 && i < MODEL_FLOWS; i++) {
			const struct model_flow now = w->flows[i];
			w->flows[i] = parts[i];
			if (parts[i].alive)
				tell(w, TG_EVENT_FLOW_STATE, i, true);
			w->flows[i] = now;
		}
	}
	send(w, (struct tg_event){.type = TG_EVENT_RESYNC_END});
}

static void compare(struct world *w)
{
	struct tg_engine_stats stats;
	uint32_t model[TG_TCP_STATE_COUNT] = {0}, hosts[SOURCES][TG_TCP_STATE_COUNT] = {0},
		 alive = 0;
	for (unsigned i = 0; i < MODEL_FLOWS; i++) {
		if (!w->flows[i].alive)
			continue;
		model[w->flows[i].state]++;
		hosts[i / PORTS][w->flows[i].state]++;
		alive++;
	}
	tg_engine_stats(w->engine, &stats);
	CHECK_U64(stats.flows, alive);
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		CHECK_U64(stats.states[s], model[s]);
	struct tg_source_count source;
	unsigned nets = 0;
	for (uint32_t cursor = 0; tg_engine_next_source(w->engine, &cursor, &source);) {
		uint32_t want[TG_TCP_STATE_COUNT] = {0};
		for (unsigned h = 0; h < SOURCES; h++) {
			struct tg_addr addr = source_addr(h);
			for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
				if (s != TG_TCP_CLOSE && tg_prefix_contains(&source.source, &addr))
					want[s] += hosts[h][s];
		}
		nets += source.source.len == 28;
		for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
			CHECK_U64(source.states[s], want[s]);
	}
	CHECK(nets > 0);
}

TEST(counts_equal_a_naive_model_after_every_resync)
{
	struct world w = {.now = TG_SEC};
	const struct tg_protected_prefix gateway = {{.addr = source_addr(SOURCES - 1), .len = 32},
						    TG_PROTECT_GATEWAY};
	w.engine = tg_engine_create(&params);
	w.ruleset = tg_ruleset_create(&config, &params, NULL);
	w.protected = tg_prefix_set_create(&gateway, 1);
	allocations = 0;
	send(&w, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = w.ruleset});
	send(&w, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = w.protected});
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned i = 0; i < 2000; i++) {
			w.now += random_below(3000000);
			live_once(&w);
		}
		do
			resync(&w);
		while (w.lost);
		compare(&w);
		if (test_failures)
			break;
	}
	CHECK(w.bans > 10);
	CHECK_U64(allocations, 0);
	tg_engine_destroy(w.engine);
	tg_ruleset_destroy(w.ruleset);
	tg_prefix_set_destroy(w.protected);
}

TEST(more_sources_than_room_never_count_below_zero)
{
	static const struct tg_engine_params tiny = {8, 65536, 64, "tiny"};
	struct tg_engine *engine = tg_engine_create(&tiny);
	struct tg_ruleset *ruleset = tg_ruleset_create(&config, &tiny, NULL);
	struct tg_engine_stats stats;
	tg_engine_step(engine, &(struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
	for (unsigned round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 20000; i++) {
			struct tg_event event = {.type = round % 2 ? TG_EVENT_FLOW_END
								   : TG_EVENT_FLOW_NEW,
						 .at = TG_SEC,
						 .flow.state = TG_TCP_SYN_SENT};
			uint32_t n = random_below(5000);
			memcpy(event.flow.key.src, &n, 4);
			event.flow.key.sport = (uint16_t)random_below(20);
			event.flow.key.dport = 80;
			tg_engine_step(engine, &event);
		}
		struct tg_source_count source;
		for (uint32_t cursor = 0; tg_engine_next_source(engine, &cursor, &source);)
			CHECK(source.states[TG_TCP_SYN_SENT] <= 65536);
		tg_engine_stats(engine, &stats);
		CHECK(stats.sources[TG_IPV4] <= 8);
	}
	CHECK(stats.sources_evicted > 1000);
	tg_engine_destroy(engine);
	tg_ruleset_destroy(ruleset);
}

TEST(a_source_with_many_flows_outlives_a_flood_of_single_ones)
{
	static const struct tg_engine_params small = {64, 65536, 64, "small"};
	struct tg_engine *engine = tg_engine_create(&small);
	struct tg_ruleset *ruleset = tg_ruleset_create(&config, &small, NULL);
	struct tg_event event = {.type = TG_EVENT_FLOW_NEW, .flow.state = TG_TCP_SYN_SENT};
	tg_engine_step(engine, &(struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
	event.flow.key = flow_key(0);
	for (uint16_t port = 1; port <= 10; port++) {
		event.flow.key.sport = port;
		tg_engine_step(engine, &event);
	}
	for (uint32_t n = 1; n < 30000; n++) {
		memcpy(event.flow.key.src, &n, 4);
		tg_engine_step(engine, &event);
	}
	bool found = false;
	struct tg_source_count source;
	const struct tg_addr many = source_addr(0);
	for (uint32_t cursor = 0; tg_engine_next_source(engine, &cursor, &source);)
		found |= source.source.len == 32 && tg_addr_equal(&source.source.addr, &many) &&
			 source.states[TG_TCP_SYN_SENT] == 10;
	CHECK(found);
	tg_engine_destroy(engine);
	tg_ruleset_destroy(ruleset);
}

TEST(a_full_flow_table_evicts_the_least_and_counts)
{
	static const struct tg_engine_params narrow = {64, 1024, 64, "narrow"};
	struct tg_engine *engine = tg_engine_create(&narrow);
	struct tg_ruleset *ruleset = tg_ruleset_create(&config, &narrow, NULL);
	struct tg_engine_stats stats;
	tg_engine_step(engine, &(struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
	for (unsigned i = 0; i < 3000; i++) {
		struct tg_event event = {.type = TG_EVENT_FLOW_NEW, .flow.state = TG_TCP_SYN_SENT};
		event.flow.key.src[0] = (uint8_t)(i >> 8);
		event.flow.key.src[1] = (uint8_t)i;
		event.flow.key.dport = 80;
		tg_engine_step(engine, &event);
	}
	tg_engine_stats(engine, &stats);
	CHECK_U64(stats.flows, 1024);
	CHECK_U64(stats.flows_evicted, 3000 - 1024);
	tg_engine_destroy(engine);
	tg_ruleset_destroy(ruleset);
}

int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", random_state);
	RUN(counts_equal_a_naive_model_after_every_resync);
	RUN(more_sources_than_room_never_count_below_zero);
	RUN(a_source_with_many_flows_outlives_a_flood_of_single_ones);
	RUN(a_full_flow_table_evicts_the_least_and_counts);
	return DONE();
}
