/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each measure by itself: what raises it, and what looks alike and does not. The policies are
 * made by hand, so that no reader of files is between them and the engine.
 */
#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "core/engine_state.h"
#include "test.h"

static const struct tg_step slow = {
	.action = TG_ACTION_RATE_LIMIT,
	.scope = TG_SCOPE_NEW,
	.to = {2, 1000},
	.expire_ms = 60000,
};
static const struct tg_step observe = {
	.action = TG_ACTION_OBSERVE,
	.scope = TG_SCOPE_NEW,
	.expire_ms = 60000,
};

#define LIMIT(what, n, how) NET_LIMIT(what, n, 32, 64, how)
#define NET_LIMIT(what, n, len4, len6, how)                                                        \
	.name = #what, .measure = TG_MEASURE_##what, .threshold = (n), .prefix_len = {len4, len6}, \
	.steps = how, .step_count = 1, .mode = TG_MODE_ENFORCE

#define LIMITS_MAX 4
#define SEEN_MAX 512

struct bench {
	struct tg_policy policy;
	struct tg_config config;
	struct tg_engine_params params;
	struct tg_engine *engine;
	struct tg_ruleset *ruleset;
	struct tg_prefix_set *own;
	tg_time now;
	unsigned bans[LIMITS_MAX]; /* decided, by limit */
	unsigned floods;           /* offences told as part of one */
	struct tg_flow_key asked[SEEN_MAX];
	size_t asked_count;
};

static void step(struct bench *b, struct tg_event event)
{
	struct tg_decision decisions[16];
	size_t count;
	event.at = b->now;
	tg_engine_step(b->engine, &event);
	do {
		count = tg_engine_take(b->engine, decisions, ARRAY_SIZE(decisions));
		for (size_t i = 0; i < count; i++) {
			const struct tg_decision *d = &decisions[i];
			if (d->type == TG_DECISION_BAN)
				b->bans[d->ban.limit]++;
			b->floods += d->type == TG_DECISION_REFUSE && d->cause == TG_CAUSE_FLOOD;
			if (d->type == TG_DECISION_VERIFY && b->asked_count < SEEN_MAX)
				b->asked[b->asked_count++] = d->flow;
		}
	} while (count > 0);
}

static void begin(struct bench *b, const struct tg_limit *limits, size_t count, uint32_t max_flows)
{
	const struct tg_protected_prefix own = {
		{.addr = tg_addr_from_ipv4((const uint8_t[]){203, 0, 113, 1}), .len = 32},
		TG_PROTECT_OWN};
	*b = (struct bench){
		.policy = {.name = "any", .limits = limits, .limit_count = count},
		.params = {1024, max_flows, 4096, "measures"},
		.now = TG_SEC,
	};
	b->config = (struct tg_config){
		.idle_after_ms = 10000, .policies = &b->policy, .policy_count = 1};
	b->engine = tg_engine_create(&b->params);
	b->ruleset = tg_ruleset_create(&b->config, &b->params, NULL);
	b->own = tg_prefix_set_create(&own, 1);
	step(b, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = b->ruleset});
	step(b, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = b->own});
	step(b, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	step(b, (struct tg_event){.type = TG_EVENT_RESYNC_END});
}

static void end(struct bench *b)
{
	tg_engine_destroy(b->engine);
	tg_ruleset_destroy(b->ruleset);
	tg_prefix_set_destroy(b->own);
}

static struct tg_flow_key key_of(uint32_t client, uint16_t port)
{
	struct tg_flow_key key = {.sport = port, .dport = 80};
	memcpy(key.src, (const uint8_t[]){198, 18, (uint8_t)(client >> 8), (uint8_t)client}, 4);
	memcpy(key.dst, (const uint8_t[]){203, 0, 113, 1}, 4);
	return key;
}

static void tell(struct bench *b, enum tg_event_type type, struct tg_flow_key key, unsigned state)
{
	step(b, (struct tg_event){.type = type,
				  .flow = {.key = key, .state = (uint8_t)state, .timeout_s = 60}});
}

static void advance(struct bench *b, uint64_t ms)
{
	for (; ms >= 250; ms -= 250) {
		b->now += 250 * TG_MSEC;
		step(b, (struct tg_event){.type = TG_EVENT_TICK});
	}
}

static uint32_t measured(const struct bench *b, uint16_t limit, uint32_t client)
{
	const struct tg_flow_key key = key_of(client, 0);
	const struct tg_addr addr = counts_addr(&key, key.src);
	const struct tg_prefix source = tg_addr_mask(&addr, 32);
	uint32_t value = 0;
	for (uint16_t v = 0; v < b->ruleset->view_count; v++)
		for (uint16_t i = 0; i < b->ruleset->views[v].limit_count; i++)
			if (b->ruleset->views[v].limits[i].index == limit)
				(void)counts_measure(
					b->engine, &b->ruleset->views[v].limits[i],
					&b->ruleset->views[v],
					b->ruleset->views[v].total
						? &(const struct tg_prefix){.len = TG_TOTAL_LEN}
						: &source,
					&value);
	return value;
}

TEST(each_closing_state_is_a_measure)
{
	static const struct tg_limit limits[] = {{LIMIT(TIME_WAIT, 3, &slow)},
						 {LIMIT(CLOSE_WAIT, 3, &slow)},
						 {LIMIT(FIN_WAIT, 3, &slow)},
						 {LIMIT(LAST_ACK, 3, &slow)}};
	static const unsigned states[] = {TG_TCP_TIME_WAIT, TG_TCP_CLOSE_WAIT, TG_TCP_FIN_WAIT,
					  TG_TCP_LAST_ACK};
	struct bench b;
	begin(&b, limits, ARRAY_SIZE(limits), 1024);
	for (unsigned l = 0; l < ARRAY_SIZE(limits); l++) {
		for (uint16_t port = 1; port <= 4; port++) {
			CHECK_U64(b.bans[l], 0);
			tell(&b, TG_EVENT_FLOW_NEW, key_of(l, port), TG_TCP_SYN_SENT);
			tell(&b, TG_EVENT_FLOW_STATE, key_of(l, port), TG_TCP_ESTABLISHED);
			tell(&b, TG_EVENT_FLOW_STATE, key_of(l, port), states[l]);
			tell(&b, TG_EVENT_FLOW_STATE, key_of(l, port), states[l]);
		}
		for (unsigned other = 0; other < ARRAY_SIZE(limits); other++)
			CHECK_U64(b.bans[other], other <= l);
		CHECK_U64(measured(&b, (uint16_t)l, l), 4);
		tell(&b, TG_EVENT_FLOW_STATE, key_of(l, 1), TG_TCP_CLOSE);
		CHECK_U64(measured(&b, (uint16_t)l, l), 3);
	}
	end(&b);
}

TEST(a_handshake_fails_by_its_end_a_reset_or_its_deadline)
{
	static const struct tg_limit limits[] = {
		{LIMIT(FAILED, 100, &slow), .window_ms = 1000000000}};
	struct bench b;
	begin(&b, limits, 1, 1024);
	for (uint16_t port = 1; port <= 5; port++)
		tell(&b, TG_EVENT_FLOW_NEW, key_of(1, port), TG_TCP_SYN_SENT);
	tell(&b, TG_EVENT_FLOW_NEW, key_of(1, 1), TG_TCP_SYN_SENT); /* a retransmission */
	CHECK_U64(measured(&b, 0, 1), 0);
	tell(&b, TG_EVENT_FLOW_END, key_of(1, 1), TG_TCP_UNKNOWN);
	CHECK_U64(measured(&b, 0, 1), 1);
	tell(&b, TG_EVENT_FLOW_STATE, key_of(1, 2), TG_TCP_CLOSE);
	tell(&b, TG_EVENT_FLOW_END, key_of(1, 2), TG_TCP_CLOSE); /* failed already */
	CHECK_U64(measured(&b, 0, 1), 2);
	tell(&b, TG_EVENT_FLOW_STATE, key_of(1, 3), TG_TCP_ESTABLISHED);
	tell(&b, TG_EVENT_FLOW_STATE, key_of(1, 3), TG_TCP_CLOSE);   /* refused later: none */
	tell(&b, TG_EVENT_FLOW_END, key_of(1, 4), TG_TCP_TIME_WAIT); /* it had got further */
	CHECK_U64(measured(&b, 0, 1), 2);
	advance(&b, 70000); /* the fifth: asked for, no answer */
	CHECK_U64(b.asked_count, 1);
	CHECK_U64(measured(&b, 0, 1), 3);
	end(&b);
}

TEST(what_a_gap_or_a_resync_hides_is_no_failure)
{
	static const struct tg_limit limits[] = {
		{LIMIT(FAILED, 100, &slow), .window_ms = 1000000000}};
	struct bench b;
	begin(&b, limits, 1, 1024);
	for (uint16_t port = 1; port <= 3; port++)
		tell(&b, TG_EVENT_FLOW_NEW, key_of(1, port), TG_TCP_SYN_SENT);
	step(&b, (struct tg_event){.type = TG_EVENT_GAP, .lost = 1});
	tell(&b, TG_EVENT_FLOW_END, key_of(1, 1), TG_TCP_UNKNOWN);
	tell(&b, TG_EVENT_FLOW_STATE, key_of(1, 2), TG_TCP_CLOSE);
	step(&b, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	step(&b, (struct tg_event){.type = TG_EVENT_RESYNC_END});
	CHECK_U64(measured(&b, 0, 1), 0);
	for (uint16_t port = 1; port <= 2; port++)
		tell(&b, TG_EVENT_FLOW_NEW, key_of(1, port), TG_TCP_SYN_SENT);
	step(&b, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	tell(&b, TG_EVENT_FLOW_END, key_of(1, 1), TG_TCP_UNKNOWN); /* this was told */
	CHECK_U64(measured(&b, 0, 1), 1);
	step(&b, (struct tg_event){.type = TG_EVENT_RESYNC_END});
	CHECK_U64(measured(&b, 0, 1), 1);
	end(&b);
}

/* The answer to the oldest question; bytes 0: conntrack does not count. */
static void answer(struct bench *b, uint64_t packets, uint64_t bytes)
{
	CHECK(b->asked_count > 0);
	struct tg_event event = {.type = TG_EVENT_FLOW_STATE,
				 .flow = {.key = b->asked[0],
					  .state = TG_TCP_ESTABLISHED,
					  .answered = true,
					  .counted = bytes > 0,
					  .timeout_s = 432000,
					  .packets = packets,
					  .bytes = bytes}};
	b->asked_count--;
	memmove(b->asked, b->asked + 1, b->asked_count * sizeof(*b->asked));
	step(b, event);
}

TEST(an_idle_flow_moved_no_payload_since_it_was_asked_last)
{
	static const struct tg_limit limits[] = {{LIMIT(IDLE, 0, &observe)}};
	struct tg_flow_key key = key_of(1, 1);
	struct bench b;
	begin(&b, limits, 1, 1024);
	tell(&b, TG_EVENT_FLOW_NEW, key, TG_TCP_SYN_SENT);
	advance(&b, 5000);
	step(&b, (struct tg_event){.type = TG_EVENT_FLOW_STATE,
				   .flow = {.key = key, .state = TG_TCP_ESTABLISHED}});
	advance(&b, 9750);
	CHECK_U64(b.asked_count, 0);
	advance(&b, 250);
	CHECK_U64(b.asked_count, 1);
	answer(&b, 3, 172); /* SYN, SYN-ACK, ACK */
	CHECK_U64(measured(&b, 0, 1), 1);
	advance(&b, 10000);
	answer(&b, 5, 172 + 2 * 52); /* a keepalive and its ACK */
	CHECK_U64(measured(&b, 0, 1), 1);
	advance(&b, 10000);
	answer(&b, 7, 172 + 4 * 52 + 1); /* one byte */
	CHECK_U64(measured(&b, 0, 1), 0);
	advance(&b, 10000);
	answer(&b, 7, 172 + 4 * 52 + 1); /* nothing at all */
	CHECK_U64(measured(&b, 0, 1), 1);
	advance(&b, 10000);
	answer(&b, 7, 0); /* accounting is off */
	CHECK_U64(measured(&b, 0, 1), 0);
	CHECK_U64(b.engine->stats.uncounted, 1);
	advance(&b, 10000);
	answer(&b, 8, 172 + 5 * 52 + 1);
	CHECK_U64(measured(&b, 0, 1), 1);
	tell(&b, TG_EVENT_FLOW_STATE, key, TG_TCP_FIN_WAIT);
	CHECK_U64(measured(&b, 0, 1), 0);
	struct tg_engine_stats stats;
	tg_engine_stats(b.engine, &stats);
	CHECK_U64(stats.states[TG_TCP_FIN_WAIT], 1);
	CHECK_U64(stats.states[TG_TCP_CLOSE], 0);
	end(&b);
}

TEST(short_lines_without_timestamps_are_payload)
{
	static const struct tg_limit limits[] = {{LIMIT(IDLE, 0, &observe)}};
	struct tg_flow_key key = key_of(1, 1);
	struct bench b;
	begin(&b, limits, 1, 1024);
	tell(&b, TG_EVENT_FLOW_NEW, key, TG_TCP_SYN_SENT);
	step(&b, (struct tg_event){.type = TG_EVENT_FLOW_STATE,
				   .flow = {.key = key, .state = TG_TCP_ESTABLISHED}});
	advance(&b, 10000);
	answer(&b, 3, 52 + 52 + 40); /* SYN, SYN-ACK, ACK */
	CHECK_U64(measured(&b, 0, 1), 1);
	advance(&b, 10000);
	answer(&b, 5, 144 + 2 * 40); /* a keepalive and its ACK */
	CHECK_U64(measured(&b, 0, 1), 1);
	advance(&b, 10000);
	/* 12 bytes, their echo with an ACK, and an ACK: fewer than three headers with timestamps.
	 */
	answer(&b, 8, 144 + 5 * 40 + 2 * 12);
	CHECK_U64(measured(&b, 0, 1), 0);
	end(&b);
}

TEST(an_idle_limit_that_is_loaded_later_asks_all_that_is_open)
{
	static const struct tg_limit before[] = {{LIMIT(CONCURRENT, 10, &slow)}};
	static const struct tg_limit after[] = {{LIMIT(IDLE, 0, &observe)}};
	struct bench b;
	begin(&b, before, 1, 1024);
	tell(&b, TG_EVENT_FLOW_NEW, key_of(1, 1), TG_TCP_SYN_SENT);
	step(&b, (struct tg_event){.type = TG_EVENT_FLOW_STATE,
				   .flow = {.key = key_of(1, 1), .state = TG_TCP_ESTABLISHED}});
	advance(&b, 30000);
	CHECK_U64(b.asked_count, 0);
	struct tg_policy policy = b.policy;
	policy.limits = after;
	struct tg_config config = b.config;
	config.policies = &policy;
	struct tg_ruleset *ruleset = tg_ruleset_create(&config, &b.params, NULL);
	step(&b, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
	tg_ruleset_destroy(b.ruleset);
	b.ruleset = ruleset;
	advance(&b, 10000);
	CHECK_U64(b.asked_count, 1);
	answer(&b, 30, 30000); /* all that it ever moved */
	CHECK_U64(measured(&b, 0, 1), 0);
	advance(&b, 10000);
	answer(&b, 30, 30000);
	CHECK_U64(measured(&b, 0, 1), 1);
	end(&b);
}

TEST(questions_about_idle_flows_leave_room_for_others)
{
	static const struct tg_limit limits[] = {{LIMIT(IDLE, 4000, &observe)}};
	struct tg_engine_stats stats;
	struct bench b;
	begin(&b, limits, 1, 4096);
	for (uint32_t n = 0; n < 2000; n++) {
		tell(&b, TG_EVENT_FLOW_NEW, key_of(n, 1), TG_TCP_SYN_SENT);
		step(&b,
		     (struct tg_event){.type = TG_EVENT_FLOW_STATE,
				       .flow = {.key = key_of(n, 1), .state = TG_TCP_ESTABLISHED}});
	}
	advance(&b, 9750);
	CHECK_U64(b.engine->stats.verified, 0);
	advance(&b, 250);
	CHECK_U64(b.engine->stats.verified, 128);
	CHECK_U64(b.engine->verify_left, 128);
	/* Nobody answers, and the rest has its turn within a time or two. */
	advance(&b, 10000);
	tg_engine_stats(b.engine, &stats);
	CHECK(stats.verified > 1500);
	CHECK_U64(stats.flows, 2000);
	end(&b);
}

/* A config of policies with one limit each, of these measures, on these ports. */
struct followed {
	struct tg_limit limits[2];
	struct tg_port_range ports[2];
	struct tg_policy policies[2];
	struct tg_config config;
};

static void followed_init(struct followed *f, enum tg_measure a, struct tg_port_range a_ports,
			  enum tg_measure b, struct tg_port_range b_ports)
{
	*f = (struct followed){
		.limits = {{.measure = a}, {.measure = b}},
		.ports = {a_ports, b_ports},
		.config = {.policies = f->policies, .policy_count = 2},
	};
	for (unsigned i = 0; i < 2; i++)
		f->policies[i] = (struct tg_policy){.ports = &f->ports[i],
						    .port_count = f->ports[i].last > 0,
						    .limits = &f->limits[i],
						    .limit_count = 1};
}

TEST(closing_is_followed_for_who_counts_it)
{
	static const enum tg_measure with[] = {TG_MEASURE_CONCURRENT, TG_MEASURE_TIME_WAIT,
					       TG_MEASURE_CLOSE_WAIT, TG_MEASURE_FIN_WAIT,
					       TG_MEASURE_LAST_ACK,   TG_MEASURE_IDLE};
	unsigned closing = 0, answers = 0;
	for (unsigned m = 0; m < TG_MEASURE_COUNT; m++) {
		const struct tg_limit limit = {.measure = (enum tg_measure)m};
		const struct tg_policy policy = {.limits = &limit, .limit_count = 1};
		const struct tg_config config = {.policies = &policy, .policy_count = 1};
		const struct tg_follows follows = tg_config_follows(&config, 0);
		CHECK(follows.closing == tg_config_follows_closing(&config));
		closing += follows.closing;
		answers += follows.answers && !follows.closing;
	}
	CHECK_U64(closing, ARRAY_SIZE(with));
	CHECK_U64(answers, 2); /* half-open, failed */
	for (unsigned i = 0; i < ARRAY_SIZE(with); i++) {
		const struct tg_limit limit = {.measure = with[i]};
		const struct tg_policy policy = {.limits = &limit, .limit_count = 1};
		const struct tg_config config = {.policies = &policy, .policy_count = 1};
		CHECK(tg_config_follows_closing(&config));
	}
}

TEST(what_is_followed_is_asked_port_by_port)
{
	const struct tg_port_range any = {0}, web = {80, 443}, inside = {443, 443}, ssh = {22, 22};
	struct followed f;
	followed_init(&f, TG_MEASURE_NEW, ssh, TG_MEASURE_CONCURRENT, web);
	CHECK(!tg_config_follows(&f.config, 0).answers && !tg_config_follows(&f.config, 0).closing);
	CHECK(tg_config_follows(&f.config, 1).closing);
	/* Not of every flow, then. */
	CHECK(!tg_config_follows_closing(&f.config));
	f.config.all_events = true;
	CHECK(tg_config_follows_closing(&f.config));
	followed_init(&f, TG_MEASURE_NEW, inside, TG_MEASURE_HALF_OPEN, web);
	CHECK(tg_config_follows(&f.config, 0).answers && !tg_config_follows(&f.config, 0).closing);
	followed_init(&f, TG_MEASURE_NEW, ssh, TG_MEASURE_CONCURRENT, any);
	CHECK(tg_config_follows(&f.config, 0).closing);
	CHECK(tg_config_follows_closing(&f.config));
	f.config.policy_count = 0;
	CHECK(tg_config_follows_closing(&f.config));
}

static struct tg_flow_key call_of(uint8_t destination, uint16_t port)
{
	struct tg_flow_key key = {.sport = port, .dport = 25};
	memcpy(key.src, (const uint8_t[]){203, 0, 113, 1}, 4);
	memcpy(key.dst, (const uint8_t[]){192, 0, 2, destination}, 4);
	return key;
}

TEST(fan_out_is_distinct_destinations_that_did_not_answer)
{
	static const struct tg_limit limits[] = {{LIMIT(FAN_OUT, 3, &observe), .total = true},
						 {LIMIT(CONCURRENT, 1, &slow)}};
	struct bench b;
	begin(&b, limits, 2, 1024);
	for (uint16_t port = 1; port <= 9; port++)
		tell(&b, TG_EVENT_FLOW_NEW, call_of(1, port), TG_TCP_SYN_SENT);
	CHECK_U64(measured(&b, 0, 0), 1);
	for (uint8_t d = 2; d <= 9; d++) {
		tell(&b, TG_EVENT_FLOW_NEW, call_of(d, 1), TG_TCP_SYN_SENT);
		tell(&b, TG_EVENT_FLOW_STATE, call_of(d, 1), TG_TCP_SYN_RECV);
		tell(&b, TG_EVENT_FLOW_STATE, call_of(d, 1), TG_TCP_ESTABLISHED);
	}
	CHECK_U64(measured(&b, 0, 0), 1);
	for (uint8_t d = 2; d <= 3; d++)
		tell(&b, TG_EVENT_FLOW_NEW, call_of(d, 1), TG_TCP_SYN_SENT);
	/* What it calls itself is no call. */
	struct tg_flow_key key = call_of(4, 4);
	memcpy(key.dst, key.src, sizeof(key.dst));
	tell(&b, TG_EVENT_FLOW_NEW, key, TG_TCP_SYN_SENT);
	CHECK_U64(measured(&b, 0, 0), 3);
	CHECK_U64(b.bans[0], 0);
	tell(&b, TG_EVENT_FLOW_NEW, call_of(4, 7), TG_TCP_SYN_SENT);
	CHECK_U64(measured(&b, 0, 0), 4);
	CHECK_U64(b.bans[0], 1);
	const struct tg_flow_key crossed = call_of(4, 7);
	const struct tg_flow_key *sample = counts_sample(b.engine, 0, 0);
	CHECK(sample && memcmp(sample, &crossed, sizeof(crossed)) == 0);
	struct tg_engine_stats stats;
	tg_engine_stats(b.engine, &stats);
	for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
		CHECK_U64(stats.states[s], 0);
	advance(&b, 80000); /* asked for once, and gone */
	CHECK_U64(measured(&b, 0, 0), 0);
	CHECK_U64(b.bans[1], 0);
	end(&b);
}

TEST(a_prefix_answers_only_for_enough_hosts)
{
	static const struct tg_limit limits[] = {
		{NET_LIMIT(CONCURRENT, 6, 24, 48, &slow), .min_hosts = 4}};
	struct bench b;
	begin(&b, limits, 1, 1024);
	for (uint16_t n = 0; n < 30; n++) {
		tell(&b, TG_EVENT_FLOW_NEW, key_of(n % 3, n), TG_TCP_SYN_SENT);
		tell(&b, TG_EVENT_FLOW_STATE, key_of(n % 3, n), TG_TCP_ESTABLISHED);
	}
	CHECK_U64(b.bans[0], 0);
	tell(&b, TG_EVENT_FLOW_NEW, key_of(256, 1), TG_TCP_SYN_SENT); /* the network beside it */
	CHECK_U64(b.bans[0], 0);
	tell(&b, TG_EVENT_FLOW_NEW, key_of(77, 1), TG_TCP_SYN_SENT);
	CHECK_U64(b.bans[0], 1);
	end(&b);
}

TEST(ten_thousand_addresses_of_one_64_are_one_source)
{
	static const struct tg_limit limits[] = {{LIMIT(HALF_OPEN, 500, &slow)}};
	struct bench b;
	begin(&b, limits, 1, 16384);
	for (uint32_t n = 0; n < 10000; n++) {
		struct tg_flow_key key = {.family = TG_IPV6, .dport = 80, .sport = 7};
		memcpy(key.src, (const uint8_t[]){0x20, 1, 0xd, 0xb8, 0, 0, 0, 9}, 8);
		memcpy(key.src + 12, &n, sizeof(n));
		tell(&b, TG_EVENT_FLOW_NEW, key, TG_TCP_SYN_SENT);
	}
	CHECK_U64(b.bans[0], 1);
	CHECK_U64(b.engine->stats.sources[TG_IPV6], 1);
	end(&b);
}

TEST(a_flood_of_many_sources_is_one_state_and_its_heavy_hitter_is_caught)
{
	static const struct tg_limit limits[] = {{LIMIT(HALF_OPEN, 1000, &observe), .total = true},
						 {LIMIT(HALF_OPEN, 4, &slow)},
						 {LIMIT(NEW, 4, &slow), .window_ms = 60000},
						 {LIMIT(FAILED, 2, &slow), .window_ms = 60000}};
	struct bench b;
	begin(&b, limits, 4, 16384);
	for (uint16_t port = 1; port <= 10; port++)
		for (uint32_t client = 0; client < 500; client++)
			tell(&b, TG_EVENT_FLOW_NEW, key_of(client, port), TG_TCP_SYN_SENT);
	/* Before the total was over its limit nobody had done anything. */
	CHECK(b.bans[0] >= 1);
	b.ruleset->views[0].limits[0].up = true;
	CHECK(b.ruleset->views[0].total != NULL);
	const unsigned before = b.bans[1] + b.bans[2];
	const uint64_t suppressed = b.engine->stats.suppressed;
	for (uint32_t client = 500; client < 1000; client++)
		for (uint16_t port = 1; port <= 10; port++)
			tell(&b, TG_EVENT_FLOW_NEW, key_of(client, port), TG_TCP_SYN_SENT);
	for (uint16_t port = 1; port <= 3; port++)
		tell(&b, TG_EVENT_FLOW_END, key_of(999, port), TG_TCP_UNKNOWN);
	CHECK_U64(b.bans[1] + b.bans[2], before);
	CHECK_U64(b.bans[3], 0);
	CHECK(b.engine->stats.suppressed > suppressed + 500);
	CHECK_U64(b.floods, 1);
	for (uint16_t port = 1; port <= 200; port++)
		tell(&b, TG_EVENT_FLOW_NEW, key_of(2000, port), TG_TCP_SYN_SENT);
	CHECK(b.bans[1] > 0);
	/* A guest who finishes what he begins is not taken for a part of it. */
	for (uint16_t port = 1; port <= 6; port++) {
		tell(&b, TG_EVENT_FLOW_NEW, key_of(3000, port), TG_TCP_SYN_SENT);
		tell(&b, TG_EVENT_FLOW_STATE, key_of(3000, port), TG_TCP_ESTABLISHED);
	}
	CHECK(b.bans[2] > 0);
	end(&b);
}

TEST(a_full_flow_table_keeps_what_is_established)
{
	static const struct tg_limit limits[] = {{LIMIT(NEW, 1000, &slow), .window_ms = 1000}};
	struct bench b;
	begin(&b, limits, 1, 1024);
	for (uint32_t n = 0; n < 1000; n++) {
		tell(&b, TG_EVENT_FLOW_NEW, key_of(n, 1), TG_TCP_SYN_SENT);
		tell(&b, TG_EVENT_FLOW_STATE, key_of(n, 1), TG_TCP_ESTABLISHED);
	}
	for (uint32_t n = 0; n < 3000; n++)
		tell(&b, TG_EVENT_FLOW_NEW, key_of(n, 2), TG_TCP_SYN_SENT);
	struct tg_engine_stats stats;
	tg_engine_stats(b.engine, &stats);
	CHECK_U64(stats.states[TG_TCP_ESTABLISHED], 1000);
	CHECK_U64(stats.flows, 1024);
	CHECK(stats.flows_evicted > 0);
	CHECK_U64(stats.flows_evicted + stats.flows_refused, 3000 - 24);
	/* One that is established comes in for a SYN. */
	for (uint32_t n = 2000; n < 2100; n++)
		tell(&b, TG_EVENT_FLOW_STATE, key_of(n, 3), TG_TCP_ESTABLISHED);
	tg_engine_stats(b.engine, &stats);
	CHECK(stats.states[TG_TCP_ESTABLISHED] > 1000);
	end(&b);
}

int main(void)
{
	RUN(each_closing_state_is_a_measure);
	RUN(a_handshake_fails_by_its_end_a_reset_or_its_deadline);
	RUN(what_a_gap_or_a_resync_hides_is_no_failure);
	RUN(an_idle_flow_moved_no_payload_since_it_was_asked_last);
	RUN(short_lines_without_timestamps_are_payload);
	RUN(an_idle_limit_that_is_loaded_later_asks_all_that_is_open);
	RUN(questions_about_idle_flows_leave_room_for_others);
	RUN(closing_is_followed_for_who_counts_it);
	RUN(what_is_followed_is_asked_port_by_port);
	RUN(fan_out_is_distinct_destinations_that_did_not_answer);
	RUN(a_prefix_answers_only_for_enough_hosts);
	RUN(ten_thousand_addresses_of_one_64_are_one_source);
	RUN(a_flood_of_many_sources_is_one_state_and_its_heavy_hitter_is_caught);
	RUN(a_full_flow_table_keeps_what_is_established);
	return DONE();
}
