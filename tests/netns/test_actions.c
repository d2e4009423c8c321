/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each action does to packets on the real kernel, in each scope and family: to new and to
 * established connections, to other ports, to neighbours, and to what this host opened itself.
 */
#include <signal.h>
#include <sys/wait.h>

#include <tcpguard/config.h>
#include <tcpguard/decision.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "netfilter/nft_sink.h"
#include "sink_dial.h"
#include "test.h"

#define WALL 1800000000u /* any time will do */
#define NOW (1000000 * TG_SEC)
#define CAP 3

/* Raw packets go to RAW, where nobody listens: else answers to answers would be counted. */
#define RAW 80
#define LISTENS 8080
#define ELSEWHERE 22
#define OUTSIDE_LISTENS 7000

static struct lab lab;
static struct nft_sink *sink;
static struct tg_prefix_set *own, *allow;
static cpu_set_t all_cpus;
static unsigned acks;
static int last_error;

/* One limit of each prefix length, whose steps are all that there is. */
#define STEP(a, s)                                                                   \
	{                                                                            \
		.action = TG_ACTION_##a, .scope = TG_SCOPE_##s, .to = {3, 86400000}, \
		.cap = TG_ACTION_##a == TG_ACTION_CAP ? CAP : 0                      \
	}
static const struct tg_step steps[] = {
	STEP(RATE_LIMIT, NEW),    STEP(CAP, NEW),  STEP(REJECT, NEW), STEP(REJECT, PORTS),
	STEP(REJECT, EVERYTHING), STEP(DROP, NEW), STEP(DROP, PORTS), STEP(DROP, EVERYTHING),
};
#define LIMIT(text, four, six)                                                             \
	{                                                                                  \
		.name = text, .measure = TG_MEASURE_CONCURRENT, .threshold = 200,          \
		.prefix_len = {four, six}, .steps = steps, .step_count = ARRAY_SIZE(steps) \
	}
static const struct tg_limit limits[] = {LIMIT("per-ip", 32, 64), LIMIT("per-net", 24, 48)};
static const struct tg_port_range web_ports[] = {{RAW, RAW}, {LISTENS, LISTENS}};
static const struct tg_port_range wide_ports[] = {{RAW, RAW}, {1000, 65535}};
static const struct tg_policy policies[] = {
	{.name = "web", .ports = web_ports, .port_count = 2, .limits = limits, .limit_count = 2},
	{.name = "all", .limits = limits, .limit_count = 2},
	{.name = "wide", .ports = wide_ports, .port_count = 2, .limits = limits, .limit_count = 2},
};
enum { WEB, ALL, WIDE };
static const struct tg_config config = {.policies = policies, .policy_count = 3};
/* Only what needs no conntrack. */
static const struct tg_limit drop_limit = {.name = "per-ip",
					   .measure = TG_MEASURE_CONCURRENT,
					   .threshold = 200,
					   .prefix_len = {32, 64},
					   .steps = &steps[6],
					   .step_count = 1};
static const struct tg_policy plain_policy = {.name = "web",
					      .ports = web_ports,
					      .port_count = 2,
					      .limits = &drop_limit,
					      .limit_count = 1};
static const struct tg_config plain_config = {.policies = &plain_policy, .policy_count = 1};

static const struct tg_step proxy_step = {.action = TG_ACTION_SYNPROXY, .expire_ms = 60000};
static const struct tg_limit proxy_limit = {.name = "forged",
					    .measure = TG_MEASURE_HALF_OPEN,
					    .threshold = 200,
					    .total = true,
					    .steps = &proxy_step,
					    .step_count = 1};
static const struct tg_policy proxy_policy = {.name = "web",
					      .ports = web_ports,
					      .port_count = 2,
					      .limits = &proxy_limit,
					      .limit_count = 1};
static const struct tg_config proxy_config = {.policies = &proxy_policy, .policy_count = 1};

static const struct side {
	const char *server, *source, *prefix, *neighbour, *allowed, *around_allowed;
} sides[] = {
	{LAB_SERVER4, "10.9.0.1", "10.9.0.1/32", "10.9.0.2", "10.9.7.1", "10.9.0.0/20"},
	{LAB_SERVER6, "2001:db8:9:101::1", "2001:db8:9:101::/64", "2001:db8:9:102::1",
	 "2001:db8:9:107::1", "2001:db8:9:100::/56"},
};

static struct tg_prefix prefix(const char *text)
{
	struct tg_prefix result = {0};
	const char *why = tg_prefix_parse(text, &result);
	CHECK_STR(why ? why : "ok", "ok");
	return result;
}

static struct tg_decision ban_of(const char *source, uint16_t policy, enum tg_action action,
				 enum tg_scope scope)
{
	static uint32_t id;
	struct tg_decision decision = {.type = TG_DECISION_BAN};
	decision.ban = (struct tg_ban){
		.id = ++id,
		.version = 1,
		.source = prefix(source),
		.policy = policy,
		.limit = policy == TG_NO_INDEX ? TG_NO_INDEX : 0,
		.enforced = true,
		.since = NOW - 5 * TG_SEC,
		.until = NOW + 600 * TG_SEC,
		.measured = 250,
		.threshold = 200,
		.offence = 2,
		.action = action,
		.scope = scope,
		.origin = policy == TG_NO_INDEX ? TG_ORIGIN_OPERATOR : TG_ORIGIN_AUTO,
	};
	if (action == TG_ACTION_RATE_LIMIT)
		decision.ban.to = steps[0].to;
	else if (action == TG_ACTION_CAP)
		decision.ban.to.count = CAP;
	return decision;
}

static void on_ack(void *data, uint32_t id, uint32_t version, int error)
{
	(void)data, (void)id, (void)version;
	acks++;
	if (error != 0)
		last_error = error;
}

/* Queued, committed and acknowledged without an error. */
static void put(const struct tg_decision *decision)
{
	acks = 0;
	last_error = 0;
	CHECK_U64(nft_sink_add(sink, decision, NOW, WALL), 0);
	CHECK_U64(-nft_sink_commit(sink, on_ack, NULL), 0);
	CHECK_U64(acks, 1);
	CHECK_U64(last_error, 0);
}

static void lift(struct tg_decision decision)
{
	decision.type = TG_DECISION_LIFT;
	put(&decision);
}

static void open_sink(const struct nft_sink_params *params)
{
	const int err = nft_sink_create(params, &sink);
	CHECK_U64(-err, 0);
	if (err < 0)
		exit(1);
}

static void fresh(const struct nft_sink_params *params, const struct tg_config *what)
{
	CHECK_U64(-nft_sink_remove_table(), 0);
	open_sink(params);
	CHECK_U64(nft_sink_install(sink, what, own, allow, NULL), 0);
}

static void close_sink(void)
{
	nft_sink_destroy(sink);
	sink = NULL;
}

static const struct nft_sink_params usual = {0};

struct adopted {
	struct tg_adopt list[32];
	unsigned count;
};

static void keep_adopted(void *data, const struct tg_adopt *adopt)
{
	struct adopted *adopted = data;
	if (adopted->count < ARRAY_SIZE(adopted->list))
		adopted->list[adopted->count] = *adopt;
	adopted->count++;
}

static struct adopted adopt_all(void)
{
	struct adopted adopted = {0};
	CHECK_U64(-nft_sink_adopt(sink, WALL, keep_adopted, &adopted), 0);
	return adopted;
}

static int dial(const struct side *side, const char *from, uint16_t port)
{
	return dial_start(lab.outside, lab.inside, from, side->server, port);
}

/* Every packet that left before is through. */
static void settle(const struct side *side)
{
	(void)lab_passed(&lab, side->neighbour, RAW, TH_SYN, 0);
}

/* Both ends of a connection from the source, which is there already. */
struct pair {
	int client, server;
};

static struct pair pair_open(const struct side *side, const char *from, int listener)
{
	struct pair pair = {.client = dial(side, from, LISTENS)};
	CHECK_U64(dial_result(pair.client), 0);
	pair.server = dial_accept(listener);
	CHECK(pair.server >= 0);
	return pair;
}

static void pair_close(struct pair pair)
{
	dial_reset(pair.client);
	dial_reset(pair.server);
}

/* How many packets of a connection get in when one byte is said. */
static uint64_t heard(const struct side *side, int client)
{
	const uint64_t seen = lab_counter("seen");
	CHECK(write(client, "x", 1) == 1);
	settle(side);
	return lab_counter("seen") - seen;
}

static uint64_t udp_passed(const struct side *side, unsigned count)
{
	union dial_addr from, to;
	const socklen_t len = dial_addr(side->source, 0, &from);
	(void)dial_addr(side->server, 53, &to);
	if (setns(lab.outside, CLONE_NEWNET) < 0)
		return UINT64_MAX;
	const int fd = socket(from.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (setns(lab.inside, CLONE_NEWNET) < 0)
		abort();
	const uint64_t seen = lab_counter("seen");
	const int one = 1;
	setsockopt(fd, SOL_IP, IP_FREEBIND, &one, sizeof(one));
	CHECK(bind(fd, &from.any, len) == 0);
	for (unsigned i = 0; i < count; i++)
		(void)sendto(fd, "x", 1, 0, &to.any, len); /* an error is that of the one before */
	settle(side);
	close(fd);
	return lab_counter("seen") - seen;
}

/* One ban of a policy or by hand that drops or rejects, and everything about it. */
static void check_ban(const struct side *side, uint16_t policy, enum tg_action action,
		      enum tg_scope scope, int listener)
{
	const bool new_only = scope == TG_SCOPE_NEW, everything = scope == TG_SCOPE_EVERYTHING;
	const bool all_ports = policy == TG_NO_INDEX || everything;
	const struct tg_decision ban = ban_of(side->prefix, policy, action, scope);
	printf("# %s: %s of %s %s\n", side->source, tg_action_name(action), tg_scope_name(scope),
	       policy == TG_NO_INDEX ? "by hand" : "of a policy");
	const struct pair pair = pair_open(side, side->source, listener);
	put(&ban);
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 5), 0);
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_ACK, 5), new_only ? 5 : 0);
	CHECK_U64(lab_passed(&lab, side->source, ELSEWHERE, TH_SYN, 5), all_ports ? 0 : 5);
	CHECK_U64(lab_passed(&lab, side->source, ELSEWHERE, TH_ACK, 5), everything ? 0 : 5);
	CHECK_U64(lab_passed(&lab, side->neighbour, RAW, TH_SYN, 5), 5);
	CHECK_U64(udp_passed(side, 3), everything ? 0 : 3);
	if (new_only)
		CHECK_U64(dial_say(pair.client, pair.server), 0);
	else if (action == TG_ACTION_REJECT)
		CHECK_U64(dial_say(pair.client, pair.server), ECONNRESET);
	else
		CHECK_U64(heard(side, pair.client), 0);
	if (action == TG_ACTION_REJECT) {
		const int refused = dial(side, side->source, LISTENS);
		CHECK_U64(dial_result(refused), ECONNREFUSED);
		close(refused);
	}
	pair_close(pair);
	settle(side);
	lift(ban);
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 5), 5);
}

TEST(drop_and_reject_in_each_scope)
{
	static const enum tg_action actions[] = {TG_ACTION_DROP, TG_ACTION_REJECT};
	fresh(&usual, &config);
	for (enum tg_family f = 0; f < TG_FAMILY_COUNT; f++) {
		const int listener = dial_listen(lab.inside, lab.inside, sides[f].server, LISTENS);
		for (unsigned a = 0; a < ARRAY_SIZE(actions); a++) {
			for (enum tg_scope scope = 0; scope < TG_SCOPE_COUNT; scope++) {
				check_ban(&sides[f], WEB, actions[a], scope, listener);
				if (scope != TG_SCOPE_PORTS)
					check_ban(&sides[f], TG_NO_INDEX, actions[a], scope,
						  listener);
			}
		}
		close(listener);
	}
	close_sink();
}

/* What this host has opened to a banned source, and goes on to open. */
static void check_own(const struct side *side, uint16_t policy, enum tg_action action,
		      enum tg_scope scope, int inside, int outside)
{
	const struct tg_decision ban = ban_of(side->prefix, policy, action, scope);
	printf("# %s: own connections, %s of %s, policy %s\n", side->source, tg_action_name(action),
	       tg_scope_name(scope), policies[policy].name);
	const int ours =
		dial_start(lab.inside, lab.inside, side->server, side->source, OUTSIDE_LISTENS);
	CHECK_U64(dial_result(ours), 0);
	const int theirs = dial_accept(outside);
	const struct pair inbound = pair_open(side, side->source, inside);
	put(&ban);
	if (scope == TG_SCOPE_EVERYTHING) {
		if (action == TG_ACTION_REJECT)
			CHECK_U64(dial_say(theirs, ours), ECONNRESET);
		else
			CHECK_U64(heard(side, theirs), 0);
	} else {
		CHECK_U64(dial_say(theirs, ours), 0);
		CHECK_U64(dial_say(ours, theirs), 0);
		const int another = dial_start(lab.inside, lab.inside, side->server, side->source,
					       OUTSIDE_LISTENS);
		CHECK_U64(dial_result(another), 0);
		dial_reset(another);
		close(dial_accept(outside));
	}
	/* What the source opened is held back all the same, and what belongs to nothing. */
	if (action == TG_ACTION_REJECT)
		CHECK_U64(dial_say(inbound.client, inbound.server), ECONNRESET);
	else
		CHECK_U64(heard(side, inbound.client), 0);
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 5), 0);
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_ACK, 5), 0);
	CHECK_U64(lab_passed(&lab, side->source, 50000, TH_SYN | TH_ACK, 5), 0);
	pair_close(inbound);
	dial_reset(ours);
	dial_reset(theirs);
	settle(side);
	lift(ban);
}

TEST(own_connections_survive)
{
	fresh(&usual, &config);
	for (enum tg_family f = 0; f < TG_FAMILY_COUNT; f++) {
		const struct side *side = &sides[f];
		const int inside = dial_listen(lab.inside, lab.inside, side->server, LISTENS);
		const int outside =
			dial_listen(lab.outside, lab.inside, side->source, OUTSIDE_LISTENS);
		check_own(side, ALL, TG_ACTION_DROP, TG_SCOPE_PORTS, inside, outside);
		check_own(side, ALL, TG_ACTION_REJECT, TG_SCOPE_PORTS, inside, outside);
		check_own(side, WIDE, TG_ACTION_DROP, TG_SCOPE_PORTS, inside, outside);
		check_own(side, WIDE, TG_ACTION_REJECT, TG_SCOPE_PORTS, inside, outside);
		check_own(side, ALL, TG_ACTION_DROP, TG_SCOPE_EVERYTHING, inside, outside);
		check_own(side, ALL, TG_ACTION_REJECT, TG_SCOPE_EVERYTHING, inside, outside);
		close(inside);
		close(outside);
	}
	close_sink();
}

/* Packets of a new connection that get in: it is given up again. */
static uint64_t dialled(const struct side *side, const char *from)
{
	const uint64_t seen = lab_counter("seen");
	const int fd = dial(side, from, LISTENS);
	settle(side);
	const uint64_t passed = lab_counter("seen") - seen;
	dial_reset(fd);
	return passed;
}

static bool gets_in(const struct side *side, const char *from, int listener, struct pair *ret_pair)
{
	const uint64_t seen = lab_counter("seen");
	const int fd = dial(side, from, LISTENS);
	settle(side);
	if (lab_counter("seen") == seen) {
		dial_reset(fd);
		return false;
	}
	CHECK_U64(dial_result(fd), 0);
	*ret_pair = (struct pair){fd, dial_accept(listener)};
	return true;
}

static void say_all(const struct pair *pairs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_U64(dial_say(pairs[i].client, pairs[i].server), 0);
}

static void check_cap(const struct side *side, uint16_t policy, const char *banned,
		      const char *second)
{
	const struct tg_decision ban = ban_of(banned, policy, TG_ACTION_CAP, TG_SCOPE_NEW);
	const int listener = dial_listen(lab.inside, lab.inside, side->server, LISTENS);
	struct pair before[2], pairs[CAP + 1];
	unsigned count = 0;
	/* A port that is used again would else belong to a connection that is tracked already. */
	CHECK(run("conntrack -F 2>/dev/null") == 0);
	before[0] = pair_open(side, side->source, listener);
	before[1] = pair_open(side, second, listener);
	put(&ban);
	say_all(before, 2);
	while (count <= CAP &&
	       gets_in(side, count % 2 ? second : side->source, listener, &pairs[count]))
		count++;
	printf("# %s: cap %s: %u besides 2 from before\n", banned,
	       policy == TG_NO_INDEX ? "by hand" : "of a policy", count);
	/* Some kernels also count what was open before and says something. */
	CHECK(count == CAP || count == CAP - 2);
	for (unsigned i = 0; i < 3; i++)
		CHECK_U64(dialled(side, i % 2 ? side->source : second), 0);
	/* Who is over the cap loses nothing that he has. */
	say_all(before, 2);
	say_all(pairs, count);
	CHECK_U64(lab_passed(&lab, side->neighbour, ELSEWHERE, TH_SYN, 5), 5);
	CHECK_U64(lab_passed(&lab, side->source, ELSEWHERE, TH_SYN, 1), policy != TG_NO_INDEX);
	CHECK_U64(udp_passed(side, 3), 3);
	/* One goes, and there is room for one. */
	pair_close(pairs[0]);
	settle(side);
	const uint64_t deadline = now_ns() + 5 * TG_SEC;
	bool again = false;
	while (!again && now_ns() < deadline)
		again = gets_in(side, side->source, listener, &pairs[0]);
	CHECK(again);
	CHECK_U64(dialled(side, side->source), 0);
	for (unsigned i = again ? 0 : 1; i < count; i++)
		pair_close(pairs[i]);
	pair_close(before[0]);
	pair_close(before[1]);
	close(listener);
	settle(side);
	lift(ban);
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 10), 10);
}

TEST(cap_is_exact)
{
	fresh(&usual, &config);
	check_cap(&sides[TG_IPV4], WEB, "10.9.0.1/32", "10.9.0.1");
	check_cap(&sides[TG_IPV6], WEB, "2001:db8:9:101::/64", "2001:db8:9:101:ffff::1");
	check_cap(&sides[TG_IPV4], TG_NO_INDEX, "10.9.0.1/32", "10.9.0.1");
	check_cap(&sides[TG_IPV6], TG_NO_INDEX, "2001:db8:9:101::/64", "2001:db8:9:101:ffff::1");
	/* A network is counted as one. */
	check_cap(&sides[TG_IPV4], WEB, "10.9.0.0/24", "10.9.0.250");
	close_sink();
}

/* Whatever form a ban by hand has, and however late its set came. */
TEST(allowed_within_a_ban_by_hand)
{
	static const struct {
		enum tg_action action;
		enum tg_scope scope;
	} bans[] = {{TG_ACTION_CAP, TG_SCOPE_NEW},
		    {TG_ACTION_REJECT, TG_SCOPE_NEW},
		    {TG_ACTION_REJECT, TG_SCOPE_EVERYTHING},
		    {TG_ACTION_DROP, TG_SCOPE_NEW}};
	const struct tg_config *const configs[] = {&config, &plain_config};
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(bans); i++) {
		fresh(&usual, configs[i % 2]);
		for (enum tg_family f = 0; f < TG_FAMILY_COUNT; f++) {
			const struct side *side = &sides[f];
			struct tg_decision ban = ban_of(side->around_allowed, TG_NO_INDEX,
							bans[i / 2].action, bans[i / 2].scope);
			if (ban.ban.action == TG_ACTION_CAP)
				ban.ban.to.count = 1;
			const int listener =
				dial_listen(lab.inside, lab.inside, side->server, LISTENS);
			put(&ban);
			struct pair first = pair_open(side, side->allowed, listener);
			struct pair second = pair_open(side, side->allowed, listener);
			CHECK_U64(dial_say(first.client, first.server), 0);
			pair_close(first);
			pair_close(second);
			close(listener);
		}
		close_sink();
	}
}

TEST(prefixes_are_exact)
{
	static const struct {
		const char *prefix, *within[2], *beside[2];
	} nets[] = {
		{"10.9.3.0/24", {"10.9.3.0", "10.9.3.255"}, {"10.9.2.255", "10.9.4.0"}},
		{"2001:db8:b::/48",
		 {"2001:db8:b::1", "2001:db8:b:ffff:ffff:ffff:ffff:ffff"},
		 {"2001:db8:a:ffff:ffff:ffff:ffff:ffff", "2001:db8:c::1"}},
	};
	fresh(&usual, &config);
	for (unsigned i = 0; i < ARRAY_SIZE(nets) * ARRAY_SIZE(steps); i++) {
		const struct tg_step *step = &steps[i / ARRAY_SIZE(nets)];
		const unsigned n = i % ARRAY_SIZE(nets);
		struct tg_decision ban = ban_of(nets[n].prefix, WEB, step->action, step->scope);
		ban.ban.limit = 1;
		if (step->action == TG_ACTION_CAP)
			continue; /* cap_is_exact */
		const unsigned passes = step->action == TG_ACTION_RATE_LIMIT ? 3 : 0;
		put(&ban);
		CHECK_U64(lab_passed(&lab, nets[n].within[0], RAW, TH_SYN, 10), passes);
		CHECK_U64(lab_passed(&lab, nets[n].within[1], RAW, TH_SYN, 10), 0);
		CHECK_U64(lab_passed(&lab, nets[n].beside[0], RAW, TH_SYN, 5), 5);
		CHECK_U64(lab_passed(&lab, nets[n].beside[1], RAW, TH_SYN, 5), 5);
		lift(ban);
	}
	close_sink();
}

/* What one processor sends arrives in its order: what is awaited tells about what went before. */
static void keep_to(bool one)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all_cpus) && (!one || CPU_COUNT(&set) == 0))
			CPU_SET(i, &set);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static pid_t flood_begin(const struct side *side)
{
	const pid_t child = fork();
	if (child == 0) {
		keep_to(false);
		for (;;)
			(void)lab_send(&lab, side->source, RAW, TH_SYN);
	}
	return child;
}

static void flood_end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* The ban stays one, in one set, whatever becomes of it; and nothing slips in between. */
TEST(change_of_form)
{
	static const enum tg_action actions[] = {TG_ACTION_RATE_LIMIT, TG_ACTION_CAP,
						 TG_ACTION_REJECT,     TG_ACTION_DROP,
						 TG_ACTION_REJECT,     TG_ACTION_CAP};
	const uint16_t owners[] = {WEB, TG_NO_INDEX};
	for (unsigned i = 0; i < TG_FAMILY_COUNT * ARRAY_SIZE(owners); i++) {
		const struct side *side = &sides[i / ARRAY_SIZE(owners)];
		const uint16_t owner = owners[i % ARRAY_SIZE(owners)];
		fresh(&usual, &config);
		for (unsigned a = 0; a < ARRAY_SIZE(actions); a++) {
			struct nft_sink_stats before, after;
			const struct tg_decision ban =
				ban_of(side->prefix, owner, actions[a], TG_SCOPE_NEW);
			nft_sink_stats(sink, &before);
			put(&ban);
			nft_sink_stats(sink, &after);
			CHECK_U64(after.transactions - before.transactions, 1);
			const struct adopted adopted = adopt_all();
			CHECK_U64(adopted.count, 1);
			CHECK_U64(adopted.list[0].action, actions[a]);
			CHECK_U64(adopted.list[0].to.count, ban.ban.to.count);
		}
		struct tg_decision reject =
			ban_of(side->prefix, owner, TG_ACTION_REJECT, TG_SCOPE_NEW);
		put(&reject);
		const uint64_t seen = lab_counter("seen");
		const pid_t flood = flood_begin(side);
		for (unsigned n = 0; n < 100; n++) {
			reject.ban.action = n % 2 ? TG_ACTION_REJECT : TG_ACTION_DROP;
			put(&reject);
		}
		flood_end(flood);
		/* The kernel asks for the generation with every set it looks into: a packet that is
		 * between the two just then finds nothing in either. One, and not a flood. */
		const uint64_t slipped = lab_counter("seen") - seen;
		printf("# %" PRIu64 " slipped through 100 changes\n", slipped);
		CHECK(slipped < 10);
		lift(reject);
		CHECK_U64(adopt_all().count, 0);
		close_sink();
	}
}

/* A kernel without SYNPROXY gets the rest of the table, and a word about it. */
TEST(synproxy)
{
	for (unsigned i = 0; i < 2; i++) {
		struct nft_sink_stats stats;
		fresh(&(struct nft_sink_params){.no_synproxy = i == 0}, &proxy_config);
		nft_sink_stats(sink, &stats);
		CHECK_U64(stats.synproxy, i);
		struct tg_decision ban =
			ban_of("10.9.0.1/32", TG_NO_INDEX, TG_ACTION_DROP, TG_SCOPE_EVERYTHING);
		put(&ban);
		CHECK_U64(adopt_all().count, 1);
		CHECK_U64(lab_passed(&lab, sides[TG_IPV4].neighbour, RAW, TH_SYN, 5), 5);
		close_sink();
	}
}

/* Its end moves; what it has counted and let pass stays where the kernel can do that. */
TEST(renewal)
{
	const struct nft_sink_params variants[] = {
		usual, {.no_update = true}, {.no_update = true, .no_destroy = true}};
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		const struct side *side = &sides[TG_IPV4];
		struct nft_sink_stats stats;
		struct nft_counters counters;
		fresh(&variants[i], &config);
		nft_sink_stats(sink, &stats);
		CHECK(!variants[i].no_update || !stats.update);
		printf("# %s\n", stats.update ? "in place" : "out and in again");
		struct tg_decision drop = ban_of(side->prefix, WEB, TG_ACTION_DROP, TG_SCOPE_PORTS);
		struct tg_decision limit =
			ban_of(sides[1].prefix, WEB, TG_ACTION_RATE_LIMIT, TG_SCOPE_NEW);
		put(&drop);
		put(&limit);
		CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 5), 0);
		CHECK_U64(lab_passed(&lab, sides[1].source, RAW, TH_SYN, 10), 3);
		drop.renewed = limit.renewed = true;
		drop.ban.until = limit.ban.until = NOW + 7200 * TG_SEC;
		put(&drop);
		put(&limit);
		CHECK_U64(nft_sink_counters(sink, &drop.ban, 1, &counters), 0);
		CHECK(counters.found);
		CHECK_U64(counters.packets, stats.update ? 5 : 0);
		CHECK_U64(lab_passed(&lab, sides[1].source, RAW, TH_SYN, 10), stats.update ? 0 : 3);
		struct adopted adopted = adopt_all();
		CHECK_U64(adopted.count, 2);
		for (unsigned k = 0; k < adopted.count; k++)
			CHECK(adopted.list[k].left_ms > 7000000 &&
			      adopted.list[k].left_ms <= 7200000);
		const uint64_t seen = lab_counter("seen");
		const pid_t flood = flood_begin(side);
		for (unsigned n = 0; n < 200; n++) {
			drop.ban.until = NOW + (600 + n) * TG_SEC;
			put(&drop);
		}
		flood_end(flood);
		CHECK_U64(lab_counter("seen") - seen, 0);
		adopted = adopt_all();
		CHECK_U64(adopted.count, 2);
		/* Renewed, but somebody took it out meanwhile: it is there again. */
		lift(drop);
		put(&drop);
		CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 5), 0);
		close_sink();
	}
}

static void check_adopted(const struct adopted *adopted, const struct tg_ban *ban)
{
	for (unsigned i = 0; i < adopted->count && i < ARRAY_SIZE(adopted->list); i++) {
		const struct tg_adopt *a = &adopted->list[i];
		const char *policy = ban->policy == TG_NO_INDEX ? "" : policies[ban->policy].name;
		if (!tg_prefix_equal(&a->source, &ban->source) || a->scope != ban->scope)
			continue;
		CHECK_STR(a->policy, policy);
		CHECK_STR(a->limit, policy[0] ? limits[ban->limit].name : "");
		CHECK_U64(a->action, ban->action);
		CHECK_U64(a->origin, ban->origin);
		CHECK_U64(a->unproven, ban->unproven);
		CHECK(a->to.count == ban->to.count && a->to.per_ms == ban->to.per_ms);
		CHECK(a->left_ms > 500000 && a->left_ms <= 600000);
		return;
	}
	CHECK(!"adopted");
}

TEST(every_form_is_adopted)
{
	struct tg_decision bans[24];
	unsigned count = 0;
	fresh(&usual, &config);
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		char four[40], six[40];
		(void)snprintf(four, sizeof(four), "10.9.20.%u/32", i);
		(void)snprintf(six, sizeof(six), "2001:db8:9:1%02x::/64", 0x20 + i);
		bans[count++] = ban_of(four, ALL, steps[i].action, steps[i].scope);
		bans[count++] = ban_of(six, WEB, steps[i].action, steps[i].scope);
		if (steps[i].scope == TG_SCOPE_PORTS)
			continue;
		(void)snprintf(four, sizeof(four), "10.%u.0.0/16", 20 + i);
		bans[count++] = ban_of(four, TG_NO_INDEX, steps[i].action, steps[i].scope);
	}
	bans[0].ban.unproven = true; /* a rate-limit that stands in */
	for (unsigned i = 0; i < count; i++)
		put(&bans[i]);
	for (unsigned round = 0; round < 2; round++) {
		close_sink();
		open_sink(&usual);
		const struct adopted adopted = adopt_all();
		CHECK_U64(adopted.count, count);
		for (unsigned i = 0; i < count; i++)
			check_adopted(&adopted, &bans[i].ban);
		CHECK_U64(nft_sink_install(sink, &config, own, allow, NULL), 0);
		CHECK_U64(adopt_all().count, count);
	}
	/* And still in force. */
	for (unsigned i = 0; i < count; i++) {
		char source[TG_ADDR_STRLEN];
		tg_addr_format(&bans[i].ban.source.addr, source);
		if (bans[i].ban.policy != TG_NO_INDEX && bans[i].ban.action >= TG_ACTION_REJECT)
			CHECK_U64(lab_passed(&lab, source, RAW, TH_SYN, 3), 0);
		lift(bans[i]);
	}
	CHECK_U64(adopt_all().count, 0);
	close_sink();
}

/* Behind the ingress of interfaces, but ahead of all else: what comes by there. */
static uint64_t early(void)
{
	char *text = output_of("nft list counter inet early reached");
	const char *packets = strstr(text, "packets ");
	const uint64_t value = packets ? strtoull(packets + 8, NULL, 10) : UINT64_MAX;
	free(text);
	return value;
}

/* SYNs to RAW that get as far as prerouting. None gets in. */
static uint64_t reached(const struct side *side)
{
	const uint64_t before = early();
	CHECK_U64(lab_passed(&lab, side->source, RAW, TH_SYN, 5), 0);
	return early() - before;
}

static bool install_at(const char *const *names, size_t count)
{
	static struct tg_config at;
	struct nft_sink_stats stats;
	at = config;
	at.ingress = names;
	at.ingress_count = count;
	CHECK_U64(nft_sink_install(sink, &at, own, allow, NULL), 0);
	nft_sink_stats(sink, &stats);
	return stats.ingress;
}

/* From behind an interface of its own, that need not be there from the beginning. */
static uint64_t reached_by(const char *from, const char *to)
{
	const uint64_t before = early(), seen = lab_counter("seen");
	const int fd = dial_start(lab.outside, lab.inside, from, to, RAW);
	settle(&sides[TG_IPV4]);
	CHECK_U64(lab_counter("seen") - seen, 0);
	close(fd);
	return early() - before;
}

/* Who is not banned gets an answer; also makes the two sides neighbours. */
static void check_reaches(const char *from, const char *to)
{
	const int fd = dial_start(lab.outside, lab.inside, from, to, ELSEWHERE);
	CHECK_U64(dial_result(fd), ECONNREFUSED); /* nobody listens */
	close(fd);
}

/* What comes in a VLAN is held back, wherever. */
static void ingress_of_vlan(void)
{
	const struct tg_decision ban = ban_of("10.10.5.2/32", WEB, TG_ACTION_DROP, TG_SCOPE_PORTS);
	if (system("ip link add link tgs name tgs.5 type vlan id 5 2>/dev/null") != 0) {
		printf("# this kernel has no VLANs\n");
		return;
	}
	CHECK(run("ip addr add 10.10.5.1/24 dev tgs.5 && ip link set tgs.5 up &&"
		  " nsenter --net=/proc/%d/fd/%d sh -c 'ip link add link tgc name tgc.5 type vlan"
		  " id 5 && ip addr add 10.10.5.2/24 dev tgc.5 && ip addr add 10.10.5.3/24 dev"
		  " tgc.5 && ip link set tgc.5 up'",
		  (int)getpid(), lab.outside) == 0);
	check_reaches("10.10.5.3", "10.10.5.1");
	check_reaches("10.10.5.2", "10.10.5.1");
	put(&ban);
	(void)reached_by("10.10.5.2", "10.10.5.1");
	check_reaches("10.10.5.2", "10.10.5.1");
	lift(ban);
	CHECK(run("ip link del tgs.5") == 0);
}

TEST(ingress)
{
	static const char *const here[] = {"tgs"}, *const both[] = {"tgs", "late0"},
				 *const late[] = {"late0"};
	fresh(&usual, &config);
	CHECK(run("nft 'table inet early { counter reached { }; chain c { type filter hook"
		  " prerouting priority -400; tcp dport %d counter name reached; }; }'",
		  RAW) == 0);
	struct tg_decision bans[TG_FAMILY_COUNT];
	const struct tg_decision other =
		ban_of("10.10.0.2/32", WEB, TG_ACTION_DROP, TG_SCOPE_PORTS);
	for (enum tg_family f = 0; f < TG_FAMILY_COUNT; f++) {
		bans[f] = ban_of(sides[f].prefix, WEB, TG_ACTION_DROP, TG_SCOPE_PORTS);
		put(&bans[f]);
		CHECK_U64(reached(&sides[f]), 5);
	}
	put(&other);
	if (!install_at(here, 1)) {
		printf("# this kernel has no chains of inet at ingress\n");
		close_sink();
		return;
	}
	for (enum tg_family f = 0; f < TG_FAMILY_COUNT; f++) {
		const struct side *side = &sides[f];
		CHECK_U64(reached(side), 0);
		CHECK_U64(lab_passed(&lab, side->neighbour, RAW, TH_SYN, 5), 5);
		CHECK_U64(lab_passed(&lab, side->source, ELSEWHERE, TH_SYN, 5), 5);
		bans[f].ban.action = TG_ACTION_REJECT;
		put(&bans[f]);
		CHECK_U64(reached(side), 0);
		const int refused = dial(side, side->source, LISTENS);
		CHECK_U64(dial_result(refused), ECONNREFUSED);
		close(refused);
	}
	ingress_of_vlan();
	/* An interface that is not there yet costs the others nothing they had in prerouting. */
	const bool waits = install_at(both, 2);
	CHECK_U64(reached(&sides[TG_IPV4]), waits ? 0 : 5);
	CHECK(run("ip link add late0 type veth peer name late1 netns /proc/%d/fd/%d &&"
		  " ip addr add 10.10.0.1/24 dev late0 && ip link set late0 up &&"
		  " nsenter --net=/proc/%d/fd/%d sh -c 'ip addr add 10.10.0.2/24 dev late1 &&"
		  " ip addr add 10.10.0.3/24 dev late1 && ip link set late1 up'",
		  (int)getpid(), lab.outside, (int)getpid(), lab.outside) == 0);
	check_reaches("10.10.0.3", "10.10.0.1");
	printf("# what is not there yet: %s\n", waits ? "the kernel waits for it" : "refused");
	CHECK_U64(reached_by("10.10.0.2", "10.10.0.1"), waits ? 0 : 1);
	CHECK(install_at(both, 2));
	CHECK_U64(reached_by("10.10.0.2", "10.10.0.1"), 0);
	/* Other interfaces after a reload; what holds people back stays in prerouting. */
	CHECK(install_at(late, 1));
	CHECK_U64(reached(&sides[TG_IPV4]), 5);
	CHECK_U64(reached_by("10.10.0.2", "10.10.0.1"), 0);
	CHECK(!install_at(NULL, 0));
	CHECK_U64(reached_by("10.10.0.2", "10.10.0.1"), 1);
	CHECK(system("nft list chain inet tcpguard ingress >/dev/null 2>&1") != 0);
	CHECK_U64(adopt_all().count, 3);
	CHECK(run("nft delete table inet early; ip link del late0") == 0);
	close_sink();
}

/* Sources of which the lab has none yet, in both directions. */
static bool more_sources(void)
{
	return run("ip -6 route add 2001:db8:9:100::/56 via 2001:db8:9::fffe &&"
		   " nsenter --net=/proc/%d/fd/%d sh -c 'for net in 9:100::/56 a::/48 b::/48 "
		   "c::/48;"
		   " do ip -6 route add local 2001:db8:$net dev lo || exit 1; done'",
		   (int)getpid(), lab.outside) == 0;
}

int main(void)
{
	const struct tg_protected_prefix allowed[] = {
		{prefix("10.9.7.0/24"), TG_PROTECT_ALLOWED},
		{prefix("2001:db8:9:107::/64"), TG_PROTECT_ALLOWED}};
	size_t count;
	const struct tg_protected_prefix *always = tg_protect_always(&count);
	own = tg_prefix_set_create(always, count);
	allow = tg_prefix_set_create(allowed, ARRAY_SIZE(allowed));
	(void)signal(SIGPIPE, SIG_IGN);
	CHECK(sched_getaffinity(0, sizeof(all_cpus), &all_cpus) == 0);
	keep_to(true);
	if (geteuid() != 0 || !lab_open(&lab) || !more_sources()) {
		printf("1..0 # SKIP needs root and network namespaces\n");
		return 0;
	}
	RUN(drop_and_reject_in_each_scope);
	RUN(own_connections_survive);
	RUN(cap_is_exact);
	RUN(allowed_within_a_ban_by_hand);
	RUN(prefixes_are_exact);
	RUN(change_of_form);
	RUN(synproxy);
	RUN(renewal);
	RUN(every_form_is_adopted);
	RUN(ingress);
	CHECK_U64(-nft_sink_remove_table(), 0);
	tg_prefix_set_destroy(own);
	tg_prefix_set_destroy(allow);
	return DONE();
}
