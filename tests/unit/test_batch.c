/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many events at once against the same events one by one: decisions, counts and memory of the two
 * engines are the same, byte for byte, whatever comes, and wherever the vector is cut.
 *
 *   test_batch [SEED]
 */
#include <stdlib.h>
#include <time.h>

#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "random.h"
#include "test.h"

#define EVENTS_MAX 300
#define CLIENTS 6000 /* more flows at once than a batch takes for few */

static const struct tg_engine_params params = {4096, 8192, 64, "batches"};

#define STEP(what, where)         \
	(&(const struct tg_step){ \
		.action = what, .scope = where, .to = {5, 1000}, .expire_ms = 20000})
#define LIMIT(label, what, bound, ...)                                                      \
	{                                                                                   \
		.name = label, .measure = what, .threshold = bound, .step_count = 1,        \
		.steps = STEP(TG_ACTION_RATE_LIMIT, TG_SCOPE_NEW), .mode = TG_MODE_ENFORCE, \
		__VA_ARGS__                                                                 \
	}

static const struct tg_limit limits[] = {
	LIMIT("open", TG_MEASURE_CONCURRENT, 6, .prefix_len = {32, 64}),
	LIMIT("half", TG_MEASURE_HALF_OPEN, 4, .prefix_len = {32, 64}),
	LIMIT("begun", TG_MEASURE_NEW, 8, .prefix_len = {32, 64}, .window_ms = 1000),
	LIMIT("net", TG_MEASURE_CONCURRENT, 120, .prefix_len = {24, 48}, .min_hosts = 3),
	LIMIT("wide", TG_MEASURE_NEW, 5000, .prefix_len = {16, 32}, .window_ms = 1000),
};
/* More views than the walk ahead keeps, and one for each length that a flow remembers. */
static const struct tg_limit many[] = {
	LIMIT("a", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {32, 128}),
	LIMIT("b", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {31, 64}),
	LIMIT("c", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {30, 63}),
	LIMIT("d", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {29, 62}),
	LIMIT("e", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {28, 61}),
	LIMIT("f", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {27, 60}),
	LIMIT("g", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {26, 59}),
	LIMIT("h", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {25, 58}),
	LIMIT("i", TG_MEASURE_HALF_OPEN, 900, .prefix_len = {24, 57}),
	LIMIT("j", TG_MEASURE_NEW, 900, .prefix_len = {23, 56}, .window_ms = 1000),
};
static const struct tg_port_range web_port = {443, 443}, ssh_port = {22, 22};
static const struct tg_policy policies[] = {
	{.name = "web",
	 .ports = &web_port,
	 .port_count = 1,
	 .limits = limits,
	 .limit_count = ARRAY_SIZE(limits)},
	{.name = "ssh",
	 .ports = &ssh_port,
	 .port_count = 1,
	 .limits = many,
	 .limit_count = ARRAY_SIZE(many)},
};
static const struct tg_config configs[] = {
	{.policies = policies, .policy_count = 2, .idle_after_ms = 60000},
	{.policies = policies, .policy_count = 1, .idle_after_ms = 60000},
	{.policies = policies + 1, .policy_count = 1, .idle_after_ms = 60000},
};

struct side {
	struct tg_engine *engine;
	struct tg_ruleset *rulesets[ARRAY_SIZE(configs)];
};

static void side_init(struct side *side)
{
	side->engine = tg_engine_create(&params);
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		side->rulesets[i] = tg_ruleset_create(&configs[i], &params, NULL);
}

static void side_finish(struct side *side)
{
	tg_engine_destroy(side->engine);
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		tg_ruleset_destroy(side->rulesets[i]);
}

static struct tg_flow_key draw_key(void)
{
	/* Few of them come often, so that limits are crossed; the rest fill the tables. */
	const uint32_t client = random_below(random_below(3) ? CLIENTS : 20);
	struct tg_flow_key key = {
		.sport = (uint16_t)(1024 + random_below(4)),
		.dport = random_below(4) ? 443 : 22,
		.family = client % 5 == 0 ? TG_IPV6 : TG_IPV4,
	};
	/* The same bytes begin addresses of both families. */
	key.src[0] = 32;
	key.src[1] = 1;
	key.src[2] = (uint8_t)(client >> 8);
	key.src[3] = (uint8_t)client;
	key.dst[0] = 192;
	if (key.family == TG_IPV6)
		key.src[15] = (uint8_t)random_below(3);
	return key;
}

static struct tg_event draw_event(tg_time *now)
{
	*now += random_below(4) ? 0 : random_below(3000000);
	if (random_below(3000) == 0)
		*now += random_below(90) * TG_SEC;
	struct tg_event event = {.at = *now};
	const uint32_t lot = random_below(2000);
	if (lot < 8) {
		event.type = (enum tg_event_type)(TG_EVENT_GAP + lot % 4);
		if (event.type == TG_EVENT_GAP)
			event.lost = 1 + random_below(50);
		return event;
	}
	if (lot < 10) {
		event.type = lot == 8 ? TG_EVENT_TICK : TG_EVENT_SINK_LOST;
		return event;
	}
	event.type = (enum tg_event_type)random_below(3);
	event.flow = (struct tg_flow_event){
		.key = draw_key(),
		.state = (uint8_t)random_below(TG_TCP_STATE_COUNT + 1),
		.timeout_s = random_below(2) ? random_below(120) : 0,
	};
	if (event.type == TG_EVENT_FLOW_NEW)
		event.flow.state = TG_TCP_SYN_SENT;
	if (event.type == TG_EVENT_FLOW_STATE)
		event.flow.dumped = random_below(4) == 0;
	return event;
}

/* Every decision of both, in order; how many. */
static size_t take_both(struct side sides[2])
{
	size_t all = 0, count;
	do {
		struct tg_decision one[16], other[16];
		memset(one, 0, sizeof(one));
		memset(other, 0, sizeof(other));
		count = tg_engine_take(sides[0].engine, one, ARRAY_SIZE(one));
		CHECK_U64(tg_engine_take(sides[1].engine, other, ARRAY_SIZE(other)), count);
		CHECK(memcmp(one, other, sizeof(one)) == 0);
		all += count;
	} while (count == 16);
	return all;
}

static void compare(struct side sides[2])
{
	struct tg_engine_stats stats[2];
	struct tg_source_count sources[2];
	struct tg_flow_event flows[2];
	uint32_t cursors[2] = {0, 0};
	memset(stats, 0, sizeof(stats));
	for (unsigned i = 0; i < 2; i++)
		tg_engine_stats(sides[i].engine, &stats[i]);
	CHECK(memcmp(&stats[0], &stats[1], sizeof(stats[0])) == 0);
	CHECK_U64(tg_engine_deadline(sides[0].engine), tg_engine_deadline(sides[1].engine));
	memset(sources, 0, sizeof(sources));
	while (tg_engine_next_source(sides[0].engine, &cursors[0], &sources[0])) {
		CHECK(tg_engine_next_source(sides[1].engine, &cursors[1], &sources[1]));
		CHECK(memcmp(&sources[0], &sources[1], sizeof(sources[0])) == 0);
	}
	CHECK(!tg_engine_next_source(sides[1].engine, &cursors[1], &sources[1]));
	cursors[0] = cursors[1] = 0;
	memset(flows, 0, sizeof(flows));
	while (tg_engine_next_flow(sides[0].engine, &cursors[0], &flows[0])) {
		CHECK(tg_engine_next_flow(sides[1].engine, &cursors[1], &flows[1]));
		CHECK(memcmp(&flows[0], &flows[1], sizeof(flows[0])) == 0);
	}
	CHECK(!tg_engine_next_flow(sides[1].engine, &cursors[1], &flows[1]));
}

static const struct tg_prefix_set *draw_protected(struct tg_prefix_set *sets[3])
{
	const unsigned which = random_below(3);
	struct tg_protected_prefix members[2] = {
		{.kind = TG_PROTECT_OWN},
		{.kind = TG_PROTECT_GATEWAY},
	};
	CHECK(!tg_prefix_parse("32.1.0.7/32", &members[0].prefix));
	CHECK(!tg_prefix_parse("32.1.3.9/32", &members[1].prefix));
	if (!sets[which])
		sets[which] = tg_prefix_set_create(members, which);
	return sets[which];
}

TEST(a_batch_is_its_events_one_by_one)
{
	static struct tg_event events[EVENTS_MAX], others[EVENTS_MAX];
	struct side sides[2];
	struct tg_prefix_set *sets[3] = {NULL};
	struct tg_engine_stats stats;
	tg_time now = TG_SEC;
	size_t decisions = 0;
	uint32_t most = 0;
	side_init(&sides[0]);
	side_init(&sides[1]);
	for (unsigned turn = 0; turn < 600; turn++) {
		const size_t count = 1 + random_below(random_below(8) ? EVENTS_MAX - 1 : 16);
		/* Which ruleset and when: also in the middle, where the walk ahead is under way. */
		const bool policy = turn == 0 || random_below(60) == 0;
		const size_t when = turn == 0 ? 0 : random_below((uint32_t)count + 1);
		const uint32_t which = turn == 0 ? 0 : random_below(ARRAY_SIZE(configs));
		for (size_t i = 0; i < count; i++) {
			events[i] = draw_event(&now);
			if (policy && i == when && sides[0].rulesets[which])
				events[i] = (struct tg_event){.type = TG_EVENT_POLICY, .at = now};
			else if (random_below(4000) == 0)
				events[i] = (struct tg_event){.type = TG_EVENT_PROTECTED,
							      .at = now,
							      .protected = draw_protected(sets)};
			others[i] = events[i];
			if (events[i].type == TG_EVENT_POLICY) {
				events[i].ruleset = sides[0].rulesets[which];
				others[i].ruleset = sides[1].rulesets[which];
			}
		}
		for (size_t i = 0; i < count; i++)
			tg_engine_step(sides[0].engine, &events[i]);
		tg_engine_step_batch(sides[1].engine, others, count);
		decisions += take_both(sides);
		tg_engine_stats(sides[0].engine, &stats);
		most = MAX(most, stats.flows);
		if (turn % 50 == 0)
			compare(sides);
	}
	compare(sides);
	/* Else nothing was shown. */
	CHECK(most > 3000);
	CHECK(decisions > 100);
	side_finish(&sides[0]);
	side_finish(&sides[1]);
	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
		tg_prefix_set_destroy(sets[i]);
}

TEST(an_empty_batch_and_one_before_any_policy_do_nothing)
{
	struct tg_engine *engine = tg_engine_create(&params);
	struct tg_engine_stats stats;
	tg_time now = TG_SEC;
	struct tg_event event = {.type = TG_EVENT_FLOW_NEW, .at = now, .flow.key = draw_key()};
	tg_engine_step_batch(engine, NULL, 0);
	tg_engine_step_batch(engine, &event, 1);
	tg_engine_stats(engine, &stats);
	CHECK_U64(stats.events, 0);
	tg_engine_destroy(engine);
}

int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", random_state);
	RUN(a_batch_is_its_events_one_by_one);
	RUN(an_empty_batch_and_one_before_any_policy_do_nothing);
	return DONE();
}
