/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sink on the real kernel, in namespaces of its own: what is written, and what it does to
 * packets. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <tcpguard/config.h>
#include <tcpguard/decision.h>
#include <tcpguard/protect.h>
#include <tcpguard/units.h>

#include "base/util.h"
#include "netfilter/nft_sink.h"
#include "sink_lab.h"
#include "test.h"

#define WALL 1800000000u /* any time will do */
#define NOW (1000000 * TG_SEC)

static struct lab lab;
static struct nft_sink *sink;
static struct tg_prefix_set *own, *allow;
static unsigned acks, ack_errors;
static int last_error;

static const struct tg_port_range web_ports[] = {{80, 80}, {443, 443}, {8000, 8100}};
static const struct tg_port_range ssh_ports[] = {{22, 22}};
static const struct tg_limit web_limits[] = {
	{.name = "open-per-ip",
	 .measure = TG_MEASURE_CONCURRENT,
	 .threshold = 200,
	 .prefix_len = {32, 64},
	 .steps = &(const struct tg_step){.action = TG_ACTION_DROP,
					  .scope = TG_SCOPE_PORTS,
					  .to = {5, 1000}},
	 .step_count = 1},
	{.name = "new-per-net",
	 .measure = TG_MEASURE_NEW,
	 .threshold = 100,
	 .window_ms = 10000,
	 .prefix_len = {24, 48},
	 .steps = &(const struct tg_step){.action = TG_ACTION_RATE_LIMIT,
					  .scope = TG_SCOPE_NEW,
					  .to = {200, 1000}},
	 .step_count = 1},
	{.name = "half-open",
	 .measure = TG_MEASURE_HALF_OPEN,
	 .threshold = 64,
	 .prefix_len = {32, 128},
	 .steps = &(const struct tg_step){.action = TG_ACTION_RATE_LIMIT,
					  .scope = TG_SCOPE_NEW,
					  .to = {5, 1000}},
	 .step_count = 1},
};
static const struct tg_limit ssh_limits[] = {
	{.name = "new-per-ip",
	 .measure = TG_MEASURE_NEW,
	 .threshold = 6,
	 .window_ms = 60000,
	 .prefix_len = {32, 64},
	 .steps = &(const struct tg_step){.action = TG_ACTION_DROP,
					  .scope = TG_SCOPE_PORTS,
					  .to = {5, 1000}},
	 .step_count = 1},
};
static struct tg_prefix edge_addresses[2];
static const struct tg_policy policies[] = {
	{.name = "web",
	 .ports = web_ports,
	 .port_count = 3,
	 .limits = web_limits,
	 .limit_count = 3},
	{.name = "ssh",
	 .ports = ssh_ports,
	 .port_count = 1,
	 .addresses = edge_addresses,
	 .address_count = 2,
	 .limits = ssh_limits,
	 .limit_count = 1},
};
static const struct tg_config config = {.policies = policies, .policy_count = 2};
static const struct tg_config web_only = {.policies = policies, .policy_count = 1};
#define WEB 0
#define SSH 1
#define OPEN_PER_IP 0
#define NEW_PER_NET 1
#define HALF_OPEN 2

static struct tg_prefix prefix(const char *text)
{
	struct tg_prefix result = {0};
	const char *why = tg_prefix_parse(text, &result);
	CHECK_STR(why ? why : "ok", "ok");
	return result;
}

static struct tg_decision ban_of(const char *source, uint16_t policy, uint16_t limit,
				 uint64_t expire_ms)
{
	static uint32_t id;
	const struct tg_limit *l = policy == TG_NO_INDEX ? NULL : &policies[policy].limits[limit];
	struct tg_decision decision = {.type = TG_DECISION_BAN};
	decision.ban = (struct tg_ban){
		.id = ++id,
		.version = 1,
		.source = prefix(source),
		.policy = policy,
		.limit = limit,
		.enforced = true,
		.since = NOW - 5 * TG_SEC,
		.until = NOW + expire_ms * TG_MSEC,
		.measured = 250,
		.threshold = 200,
		.offence = 2,
		.action = l ? l->steps[0].action : TG_ACTION_DROP,
		.scope = l ? l->steps[0].scope : TG_SCOPE_EVERYTHING,
		.origin = l ? TG_ORIGIN_AUTO : TG_ORIGIN_OPERATOR,
	};
	if (l)
		decision.ban.to = l->steps[0].to;
	return decision;
}

static void on_ack(void *data, uint32_t id, uint32_t version, int error)
{
	(void)data, (void)id, (void)version;
	acks++;
	ack_errors += error != 0;
	if (error != 0)
		last_error = error;
}

static int commit(void)
{
	acks = ack_errors = 0;
	last_error = 0;
	return nft_sink_commit(sink, on_ack, NULL);
}

/* Queued, committed and acknowledged without an error. */
static void put(const struct tg_decision *decision)
{
	CHECK_U64(nft_sink_add(sink, decision, NOW, WALL), 0);
	CHECK_U64(-commit(), 0);
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
	int err = nft_sink_create(params, &sink);
	CHECK_U64(-err, 0);
	if (err < 0)
		exit(1);
}

static void close_sink(void)
{
	nft_sink_destroy(sink);
	sink = NULL;
}

static void fresh(const struct nft_sink_params *params)
{
	CHECK_U64(-nft_sink_remove_table(), 0);
	open_sink(params);
	CHECK_U64(nft_sink_install(sink, &config, own, allow, NULL), 0);
}

static const struct nft_sink_params usual = {0}, plain = {.plain = true};

static void count_adopted(void *data, const struct tg_adopt *adopt)
{
	(void)adopt;
	++*(unsigned *)data;
}

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

static const struct tg_adopt *find_adopted(const struct adopted *adopted, const char *source)
{
	struct tg_prefix wanted = prefix(source);
	for (unsigned i = 0; i < adopted->count && i < ARRAY_SIZE(adopted->list); i++) {
		if (tg_prefix_equal(&adopted->list[i].source, &wanted))
			return &adopted->list[i];
	}
	CHECK_STR("not adopted", source);
	return NULL;
}

static unsigned adopted_count(void)
{
	unsigned found = 0;
	CHECK_U64(-nft_sink_adopt(sink, WALL, count_adopted, &found), 0);
	return found;
}

static void queue_many(unsigned count, const char *first, uint16_t policy, uint16_t limit)
{
	struct tg_decision decision = ban_of(first, policy, limit, 600000);
	struct tg_addr *addr = &decision.ban.source.addr;
	uint8_t *tail = addr->bytes + (addr->family == TG_IPV4 ? 0 : 4);
	uint32_t base;
	memcpy(&base, tail, 4);
	for (unsigned i = 0; i < count; i++) {
		uint32_t be = htonl(ntohl(base) + i);
		decision.ban.id = i;
		memcpy(tail, &be, 4);
		CHECK(nft_sink_add(sink, &decision, NOW, WALL) == 0);
	}
}

static bool contains(const char *command, const char *wanted)
{
	char *text = output_of(command);
	bool found = strstr(text, wanted) != NULL;
	free(text);
	return found;
}

/* Its first line names the owner, who differs from run to run. */
TEST(layout_golden)
{
	fresh(&usual);
	char *text = output_of("nft list table inet tcpguard | tail -n +3");
	char *golden = output_of("cat " TEST_DATA "/table.nft");
	CHECK_STR(text, golden);
	free(text);
	free(golden);
	close_sink();
}

TEST(drop_of_ports)
{
	fresh(&usual);
	struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	struct tg_decision six = ban_of("2001:db8:9:1::/64", WEB, OPEN_PER_IP, 60000);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 5);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::1", 443, TH_SYN, 5), 5);
	put(&four);
	put(&six);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 8050, TH_ACK, 5), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 22, TH_SYN, 5), 5);
	CHECK_U64(lab_passed(&lab, "10.9.0.2", 80, TH_SYN, 5), 5);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::1", 443, TH_SYN, 5), 0);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::1", 25, TH_SYN, 5), 5);
	/* What was dropped is counted, per ban. */
	const struct tg_ban bans[] = {four.ban, six.ban, ban_of("10.9.0.9/32", SSH, 0, 1).ban};
	struct nft_counters counters[3];
	CHECK_U64(nft_sink_counters(sink, bans, 3, counters), 0);
	CHECK(counters[0].found && counters[0].packets == 10 && counters[0].bytes == 400);
	CHECK(counters[1].found && counters[1].packets == 5 && counters[1].bytes == 300);
	CHECK(!counters[2].found);
	lift(four);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 5);
	lift(four); /* gone already is success */
	lift(ban_of("10.9.0.77/32", TG_NO_INDEX, TG_NO_INDEX, 1));
	CHECK(!contains("nft list table inet tcpguard", "hand-everything"));
	/* The second policy is for some addresses only, and this is one of them. */
	four = ban_of("10.9.0.1/32", SSH, 0, 60000);
	put(&four);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 22, TH_SYN, 5), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 5);
	close_sink();
}

TEST(policer_holds_back_syns_only)
{
	fresh(&usual);
	struct tg_decision four = ban_of("10.9.0.1/32", WEB, HALF_OPEN, 60000);
	struct tg_decision six = ban_of("2001:db8:9:1::1/128", WEB, HALF_OPEN, 60000);
	four.ban.to = six.ban.to = (struct tg_rate){5, 3600000};
	put(&four);
	put(&six);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 100), 5);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_ACK, 20), 20);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 22, TH_SYN, 20), 20);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::1", 80, TH_SYN, 100), 5);
	struct nft_counters counters;
	CHECK_U64(nft_sink_counters(sink, &four.ban, 1, &counters), 0);
	CHECK_U64(counters.packets, 95);
	/* A drop in the policer's place, then back again. */
	four.ban.action = TG_ACTION_DROP;
	put(&four);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 20), 0);
	four.ban.action = TG_ACTION_RATE_LIMIT;
	four.ban.to = (struct tg_rate){7, 3600000};
	put(&four);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 20), 7);
	close_sink();
}

/* A witness has proven a source: its stand-in goes and the drop comes, and nothing between. */
TEST(stand_in_becomes_a_drop)
{
	fresh(&usual);
	struct nft_sink_stats before, after;
	struct tg_decision stand_in = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	stand_in.ban.action = TG_ACTION_RATE_LIMIT;
	stand_in.ban.scope = TG_SCOPE_NEW;
	stand_in.ban.to = (struct tg_rate){5, 3600000};
	put(&stand_in);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 20), 5);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_ACK, 20), 20);
	struct tg_decision drop = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	drop.ban.id = stand_in.ban.id + 1;
	stand_in.type = TG_DECISION_LIFT;
	nft_sink_stats(sink, &before);
	CHECK_U64(nft_sink_add(sink, &stand_in, NOW, WALL), 0);
	CHECK_U64(nft_sink_add(sink, &drop, NOW, WALL), 0);
	CHECK(nft_sink_commit(sink, on_ack, NULL) == 0);
	nft_sink_stats(sink, &after);
	CHECK_U64(after.transactions - before.transactions, 1);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN | TH_ACK, 20), 0);
	struct nft_counters counters;
	CHECK_U64(nft_sink_counters(sink, &stand_in.ban, 1, &counters), 0);
	CHECK(!counters.found);
	CHECK_U64(nft_sink_counters(sink, &drop.ban, 1, &counters), 0);
	CHECK_U64(counters.packets, 20);
	/* What only observes is no element. */
	drop.ban.action = TG_ACTION_OBSERVE;
	CHECK(nft_sink_add(sink, &drop, NOW, WALL) == -EINVAL);
	close_sink();
}

TEST(masked_prefixes)
{
	fresh(&usual);
	struct tg_decision four = ban_of("10.9.3.0/24", WEB, NEW_PER_NET, 60000);
	struct tg_decision six = ban_of("2001:db8:9::/48", WEB, NEW_PER_NET, 60000);
	four.ban.action = six.ban.action = TG_ACTION_DROP;
	put(&four);
	put(&six);
	CHECK_U64(lab_passed(&lab, "10.9.3.200", 80, TH_SYN, 5), 0);
	CHECK_U64(lab_passed(&lab, "10.9.3.200", 80, TH_ACK, 5), 5);
	CHECK_U64(lab_passed(&lab, "10.9.4.200", 80, TH_SYN, 5), 5);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::7", 80, TH_SYN, 5), 0);
	/* Within the banned prefix, and allowed. */
	CHECK_U64(lab_passed(&lab, "2001:db8:9:2::7", 80, TH_SYN, 5), 5);
	close_sink();
}

/* From the host to its own address, where nobody listens. */
static int connect_to_self(void)
{
	const struct timeval patience = {.tv_sec = 2};
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(1)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, LAB_SERVER4, &self.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int err = connect(fd, (struct sockaddr *)&self, sizeof(self)) < 0 ? errno : 0;
	close(fd);
	return err;
}

TEST(by_hand_everything)
{
	fresh(&usual);
	struct tg_decision wide = ban_of("10.9.0.0/20", TG_NO_INDEX, TG_NO_INDEX, 60000);
	put(&wide);
	CHECK_U64(lab_passed(&lab, "10.9.15.1", 1234, TH_ACK, 5), 0);
	CHECK_U64(lab_passed(&lab, "10.9.16.1", 1234, TH_ACK, 5), 5);
	CHECK_U64(lab_passed(&lab, "10.9.7.1", 80, TH_SYN, 5), 5); /* on the allow list */
	struct tg_decision slow = ban_of("2001:db8:9:1::/64", TG_NO_INDEX, TG_NO_INDEX, 60000);
	slow.ban.scope = TG_SCOPE_NEW;
	slow.ban.action = TG_ACTION_RATE_LIMIT;
	slow.ban.to = (struct tg_rate){3, 86400000};
	put(&slow);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::3", 5555, TH_SYN, 20), 3);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::3", 5555, TH_ACK, 20), 20);
	/* The host's own addresses, should anybody ever queue them. */
	struct tg_decision self = ban_of(LAB_SERVER4 "/32", TG_NO_INDEX, TG_NO_INDEX, 60000);
	put(&self);
	CHECK_U64(connect_to_self(), ECONNREFUSED);
	/* Nothing fits a scope of ports without ports. */
	slow.ban.scope = TG_SCOPE_PORTS;
	CHECK_U64(nft_sink_add(sink, &slow, NOW, WALL), 0);
	CHECK_U64(commit(), 0);
	CHECK_U64(last_error, EINVAL);
	close_sink();
}

static uint64_t left_ms(const char *source)
{
	struct adopted adopted = {0};
	CHECK_U64(-nft_sink_adopt(sink, WALL, keep_adopted, &adopted), 0);
	const struct tg_adopt *adopt = find_adopted(&adopted, source);
	return adopt ? adopt->left_ms : 0;
}

TEST(ends)
{
	const struct nft_sink_params variants[] = {usual, {.no_destroy = true}};
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		fresh(&variants[i]);
		struct tg_decision ban = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
		put(&ban);
		CHECK(left_ms("10.9.0.1/32") > 50000 && left_ms("10.9.0.1/32") <= 60000);
		ban.ban.until = NOW + 7200 * TG_SEC;
		put(&ban);
		CHECK(left_ms("10.9.0.1/32") > 7100000);
		ban.ban.until = NOW + 20 * TG_SEC;
		put(&ban);
		CHECK(left_ms("10.9.0.1/32") > 10000 && left_ms("10.9.0.1/32") <= 20000);
		/* Over already: must not turn into one that never ends. */
		struct tg_decision late = ban_of("10.9.0.2/32", WEB, OPEN_PER_IP, 0);
		put(&late);
		ban.ban.until = NOW + 300 * TG_MSEC;
		put(&ban);
		const uint64_t deadline = now_ns() + 5 * TG_SEC;
		while (adopted_count() > 0 && now_ns() < deadline)
			;
		CHECK_U64(adopted_count(), 0);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 5);
		lift(ban);
		close_sink();
	}
}

TEST(twice_in_one_turn)
{
	fresh(&usual);
	struct tg_decision ban = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	struct tg_decision unban = ban;
	unban.type = TG_DECISION_LIFT;
	CHECK_U64(nft_sink_add(sink, &ban, NOW, WALL), 0);
	CHECK_U64(nft_sink_add(sink, &unban, NOW, WALL), 0);
	CHECK_U64(-nft_sink_install(sink, &config, own, allow, NULL), EBUSY);
	CHECK_U64(commit(), 0);
	CHECK(acks == 2 && ack_errors == 0);
	CHECK_U64(adopted_count(), 0);
	CHECK_U64(nft_sink_add(sink, &unban, NOW, WALL), 0);
	CHECK_U64(nft_sink_add(sink, &ban, NOW, WALL), 0);
	CHECK_U64(nft_sink_add(sink, &ban, NOW, WALL), 0);
	CHECK_U64(commit(), 0);
	CHECK(acks == 3 && ack_errors == 0);
	CHECK_U64(adopted_count(), 1);
	struct nft_sink_stats stats;
	nft_sink_stats(sink, &stats);
	CHECK_U64(stats.elements_added, 1);
	CHECK_U64(stats.failed, 0);
	close_sink();
}

TEST(set_full)
{
	fresh(&(struct nft_sink_params){.set_size = 1000});
	queue_many(1500, "10.16.0.0/32", WEB, OPEN_PER_IP);
	struct tg_decision other = ban_of("10.9.0.1/32", SSH, 0, 60000);
	CHECK_U64(nft_sink_add(sink, &other, NOW, WALL), 0);
	CHECK_U64(commit(), 0);
	CHECK_U64(acks, 1501);
	CHECK_U64(ack_errors, 500);
	CHECK_U64(last_error, ENOSPC);
	CHECK_U64(adopted_count(), 1001);
	struct nft_sink_stats stats;
	nft_sink_stats(sink, &stats);
	CHECK(stats.failed < 20);
	CHECK_U64(stats.elements_failed, 500);
	close_sink();
}

TEST(many_ipv6)
{
	fresh(&usual);
	queue_many(2000, "2001:db8::/64", WEB, OPEN_PER_IP);
	CHECK_U64(commit(), 0);
	CHECK_U64(acks, 2000);
	CHECK_U64(ack_errors, 0);
	CHECK_U64(adopted_count(), 2000);
	close_sink();
}

/* An end beyond what the kernel can count is an error of that element. */
TEST(one_bad_element)
{
	fresh(&usual);
	queue_many(500, "10.16.0.0/32", WEB, OPEN_PER_IP);
	struct tg_decision bad = ban_of("10.16.0.250/32", WEB, OPEN_PER_IP, 1);
	bad.ban.source.addr.bytes[0] = 11;
	bad.ban.until = TG_NEVER;
	CHECK_U64(nft_sink_add(sink, &bad, 0, WALL), 0);
	queue_many(500, "12.16.0.0/32", WEB, OPEN_PER_IP);
	CHECK_U64(commit(), 0);
	CHECK_U64(acks, 1001);
	CHECK_U64(ack_errors, 1);
	CHECK_U64(last_error, ERANGE);
	CHECK_U64(adopted_count(), 1000);
	close_sink();
}

/* However much is wrong, a turn ends, and what is tried is bounded. */
TEST(many_bad_elements)
{
	fresh(&usual);
	queue_many(20000, "10.16.0.0/32", WEB, OPEN_PER_IP);
	struct tg_decision bad = ban_of("10.16.0.0/32", WEB, OPEN_PER_IP, 1);
	bad.ban.until = TG_NEVER;
	for (unsigned i = 0; i < 20000; i += 7) {
		const uint32_t be = htonl(0x0a100000u + i);
		memcpy(bad.ban.source.addr.bytes, &be, 4);
		CHECK_U64(nft_sink_add(sink, &bad, 0, WALL), 0);
	}
	const uint64_t start = now_ns();
	CHECK_U64(commit(), 0);
	printf("# gave up after %" PRIu64 " ms\n", (now_ns() - start) / 1000000);
	CHECK_U64(acks, 20000 + 20000 / 7 + 1);
	CHECK(ack_errors >= 20000 / 7);
	CHECK(now_ns() - start < 3 * TG_SEC);
	struct nft_sink_stats stats;
	nft_sink_stats(sink, &stats);
	CHECK(stats.failed < 100);
	close_sink();
}

/* A daemon that is killed: what it had been told is in the kernel, is there when the next one asks.
 */
TEST(killed_between_bans)
{
	CHECK_U64(-nft_sink_remove_table(), 0);
	int told[2];
	CHECK(pipe2(told, O_CLOEXEC) == 0);
	pid_t child = fork();
	if (child == 0) {
		open_sink(&usual);
		(void)nft_sink_install(sink, &config, own, allow, NULL);
		for (uint32_t n = 0;; n++) {
			struct tg_decision ban = ban_of("10.16.0.0/32", WEB, OPEN_PER_IP, 600000);
			const uint32_t be = htonl(0x0a100000u + n);
			memcpy(ban.ban.source.addr.bytes, &be, 4);
			put(&ban);
			if (write(told[1], &n, sizeof(n)) != sizeof(n))
				_exit(1);
		}
	}
	uint32_t last = 0;
	while (last < 1000 && read(told[0], &last, sizeof(last)) == sizeof(last))
		;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(told[1]);
	while (read(told[0], &last, sizeof(last)) == sizeof(last))
		;
	close(told[0]);
	open_sink(&usual);
	const unsigned found = adopted_count();
	CHECK(found == last + 1 || found == last + 2); /* acknowledged, but not told yet */
	CHECK_U64(nft_sink_install(sink, &config, own, allow, NULL), 0);
	CHECK_U64(adopted_count(), found);
	close_sink();
}

TEST(speed_of_policers)
{
	const unsigned count = 100000;
	fresh(&usual);
	uint64_t start = now_ns();
	queue_many(count, "10.16.0.0/32", WEB, HALF_OPEN);
	CHECK_U64(-commit(), 0);
	const uint64_t install_ms = (now_ns() - start) / 1000000;
	CHECK_U64(ack_errors, 0);
	/* While the hash table grows, adoption reads again; here the reading itself is measured. */
	CHECK_U64(adopted_count(), count);
	start = now_ns();
	CHECK_U64(adopted_count(), count);
	const uint64_t adopt_ms = (now_ns() - start) / 1000000;
	printf("# %u policers: installed in %" PRIu64 " ms, adopted in %" PRIu64 " ms\n", count,
	       install_ms, adopt_ms);
	CHECK(install_ms < 3000 && adopt_ms < 3000);
	close_sink();
}

TEST(speed)
{
	const unsigned count = 100000;
	fresh(&usual);
	uint64_t start = now_ns();
	queue_many(count, "10.16.0.0/32", WEB, OPEN_PER_IP);
	CHECK_U64(-commit(), 0);
	const uint64_t install_ms = (now_ns() - start) / 1000000;
	CHECK_U64(acks, count);
	CHECK_U64(ack_errors, 0);
	/* A full list asks for each of them. */
	struct tg_ban *bans = calloc(count, sizeof(*bans));
	struct nft_counters *counters = calloc(count, sizeof(*counters));
	for (unsigned i = 0; i < count; i++) {
		const uint32_t be = htonl(0x0a100000u + i);
		bans[i] = ban_of("10.16.0.0/32", WEB, OPEN_PER_IP, 1).ban;
		memcpy(bans[i].source.addr.bytes, &be, 4);
	}
	start = now_ns();
	CHECK_U64(nft_sink_counters(sink, bans, count, counters), 0);
	const uint64_t count_ms = (now_ns() - start) / 1000000;
	unsigned counted = 0;
	for (unsigned i = 0; i < count; i++)
		counted += counters[i].found;
	CHECK_U64(counted, count);
	free(bans);
	free(counters);
	close_sink();
	open_sink(&usual);
	start = now_ns();
	const unsigned found = adopted_count();
	const uint64_t adopt_ms = (now_ns() - start) / 1000000;
	CHECK_U64(found, count);
	printf("# %u bans: installed in %" PRIu64 " ms, adopted in %" PRIu64 " ms, counted"
	       " in %" PRIu64 " ms\n",
	       count, install_ms, adopt_ms, count_ms);
	CHECK(install_ms < 3000 && adopt_ms < 3000);
	close_sink();
}

TEST(adoption)
{
	fresh(&usual);
	struct tg_decision limited = ban_of("2001:db8:9:1::1/128", WEB, HALF_OPEN, 90000);
	limited.ban.to = (struct tg_rate){7, 11000}; /* not a whole number per second */
	put(&limited);
	struct tg_decision by_hand = ban_of("192.0.2.0/25", TG_NO_INDEX, TG_NO_INDEX, 3600000);
	memset(by_hand.ban.reason, 'x', sizeof(by_hand.ban.reason) - 1);
	put(&by_hand);
	CHECK(run("nft list table inet tcpguard >/dev/null") == 0);
	close_sink();
	/* Nobody owns it now; somebody puts in something without our data. */
	CHECK(run("nft add element inet tcpguard web-ports-ip4-32"
		  " '{ 203.0.113.9 timeout 1h comment \"from elsewhere\" }'") == 0);
	CHECK(run("nft add element inet tcpguard ssh-ports-ip4-32 '{ 203.0.113.10 }'") == 0);
	CHECK(run("nft add element inet tcpguard ssh-ports-ip4-32"
		  " '{ 203.0.113.11 timeout 213000d }'") == 0);
	open_sink(&usual);
	struct adopted adopted = {0};
	CHECK_U64(-nft_sink_adopt(sink, WALL + 100, keep_adopted, &adopted), 0);
	CHECK_U64(adopted.count, 5);
	const struct tg_adopt *adopt = find_adopted(&adopted, "2001:db8:9:1::1/128");
	if (adopt) {
		CHECK_STR(adopt->policy, "web");
		CHECK_STR(adopt->limit, "half-open");
		CHECK(adopt->action == TG_ACTION_RATE_LIMIT && adopt->scope == TG_SCOPE_NEW);
		CHECK(adopt->origin == TG_ORIGIN_AUTO);
		CHECK(adopt->to.count == 7 && adopt->to.per_ms == 11000);
		CHECK(adopt->measured == 250 && adopt->threshold == 200 && adopt->offence == 2);
		CHECK_U64(adopt->age_ms, 105000);
		CHECK(adopt->left_ms > 80000 && adopt->left_ms <= 90000);
	}
	adopt = find_adopted(&adopted, "192.0.2.0/25");
	if (adopt) {
		CHECK_STR(adopt->policy, "");
		CHECK_STR(adopt->reason, by_hand.ban.reason);
		CHECK(adopt->origin == TG_ORIGIN_OPERATOR);
		CHECK(adopt->action == TG_ACTION_DROP && adopt->scope == TG_SCOPE_EVERYTHING);
	}
	adopt = find_adopted(&adopted, "203.0.113.9/32");
	if (adopt) {
		CHECK_STR(adopt->policy, "web");
		CHECK_STR(adopt->reason, "from elsewhere");
		CHECK(adopt->origin == TG_ORIGIN_OPERATOR && adopt->age_ms == 0);
		CHECK(adopt->left_ms > 3500000);
	}
	adopt = find_adopted(&adopted, "203.0.113.10/32");
	if (adopt)
		CHECK(adopt->left_ms > 500000 && adopt->left_ms <= 600000);
	/* So far away that now and this do not fit into a tg_time. */
	adopt = find_adopted(&adopted, "203.0.113.11/32");
	if (adopt)
		CHECK_U64(adopt->left_ms, TG_DURATION_MAX_MS);
	close_sink();
}

static void mark_adopted(void *data, const struct tg_adopt *adopt)
{
	bool *adopted = data;
	adopted[adopt->source.addr.bytes[1] % 2u << 16 | adopt->source.addr.bytes[2] << 8 |
		adopt->source.addr.bytes[3]] = true;
}

/* Right after so many came or went, the kernel makes the set's hash table larger or smaller. */
TEST(adoption_from_a_table_that_grows)
{
	for (unsigned round = 0; round < 5; round++) {
		static bool adopted[1 << 17];
		unsigned count = 0;
		memset(adopted, 0, sizeof(adopted));
		fresh(&usual);
		queue_many(100000, "10.16.0.0/32", WEB, HALF_OPEN);
		CHECK_U64(-commit(), 0);
		close_sink();
		open_sink(&usual);
		CHECK_U64(-nft_sink_adopt(sink, WALL, mark_adopted, adopted), 0);
		for (size_t i = 0; i < ARRAY_SIZE(adopted); i++)
			count += adopted[i];
		CHECK_U64(count, 100000);
		close_sink();
	}
}

TEST(restart_keeps_enforcing)
{
	const struct nft_sink_params *variants[] = {&usual, &plain};
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		fresh(variants[i]);
		struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
		struct tg_decision hand = ban_of("10.9.0.0/25", TG_NO_INDEX, TG_NO_INDEX, 60000);
		put(&four);
		put(&hand);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		close_sink();
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		open_sink(variants[i]);
		CHECK_U64(adopted_count(), 2);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		/* Packets all the while the rules are replaced, many times. */
		pid_t child = fork();
		if (child == 0) {
			for (;;)
				(void)lab_send(&lab, "10.9.0.1", 80, TH_SYN);
		}
		const uint64_t seen = lab_counter("seen");
		for (unsigned n = 0; n < 50; n++)
			CHECK_U64(nft_sink_install(sink, n % 2 ? &config : &web_only, own, allow,
						   NULL),
				  0);
		CHECK_U64(lab_counter("seen") - seen, 0);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		struct nft_counters counters = {0};
		CHECK_U64(nft_sink_counters(sink, &hand.ban, 1, &counters), 0);
		CHECK(counters.packets > 1000);
		CHECK_U64(adopted_count(), 2);
		CHECK_U64(lab_passed(&lab, "10.9.0.2", 22, TH_SYN, 5), 0);
		lift(hand);
		CHECK_U64(lab_passed(&lab, "10.9.0.2", 22, TH_SYN, 5), 5);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		close_sink();
	}
}

TEST(owned)
{
	fresh(&usual);
	struct nft_sink_stats stats;
	nft_sink_stats(sink, &stats);
	if (!stats.owned) {
		printf("# this kernel cannot own tables\n");
		close_sink();
		return;
	}
	struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	put(&four);
	CHECK_U64((uint64_t)nft_sink_watch_fd(sink), (uint64_t)-1);
	CHECK(run("nft flush ruleset") == 0);
	CHECK(system("nft delete table inet tcpguard 2>/dev/null") != 0);
	CHECK(system("nft flush set inet tcpguard web-ports-ip4-32 2>/dev/null") != 0);
	CHECK(lab_probe_table() == 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
	struct nft_sink *second = NULL;
	CHECK_U64(-nft_sink_create(&usual, &second), EBUSY);
	CHECK_U64(-nft_sink_create(&plain, &second), EBUSY);
	CHECK(second == NULL);
	CHECK_U64(-nft_sink_remove_table(), EBUSY);
	CHECK_U64(commit(), 0);
	close_sink();
}

static bool noticed(void)
{
	struct pollfd pollfd = {.fd = nft_sink_watch_fd(sink), .events = POLLIN};
	return poll(&pollfd, 1, 500) == 1 && nft_sink_watch_dispatch(sink);
}

TEST(plain_is_watched_and_repaired)
{
	static const struct {
		const char *command;
		bool bans_lost;
	} acts[] = {
		{"nft delete table inet tcpguard", true},
		{"nft delete element inet tcpguard web-ports-ip4-32 '{ 10.9.0.1 }'", false},
		{"nft flush chain inet tcpguard policy-web", false},
		{"nft insert rule inet tcpguard pre accept", false},
		{"nft flush chain inet tcpguard pre; nft delete chain inet tcpguard policy-web",
		 false},
		{"nft flush ruleset", true},
		{"nft 'add table inet tcpguard { flags dormant; }'", true},
		{"nft flush chain inet tcpguard policy-web &&"
		 " nft flush chain inet tcpguard late-web &&"
		 " nft delete set inet tcpguard web-ports-ip4-32",
		 true},
		{"nft delete set inet tcpguard own4 2>/dev/null; nft flush chain inet tcpguard pre;"
		 " nft 'add chain inet tcpguard stranger { type filter hook input priority 0; "
		 "policy drop; }'",
		 false},
	};
	fresh(&plain);
	struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	for (unsigned i = 0; i < ARRAY_SIZE(acts); i++) {
		put(&four);
		CHECK_U64(nft_sink_protect(sink, own), 0);
		/* Our own doings are not told, and nobody else's table matters. */
		CHECK(run("nft add table inet other; nft delete table inet other") == 0);
		CHECK(!nft_sink_watch_dispatch(sink));
		CHECK(run("%s", acts[i].command) == 0);
		CHECK(noticed());
		CHECK_U64(nft_sink_install(sink, &config, own, allow, NULL), acts[i].bans_lost);
		CHECK(!nft_sink_watch_dispatch(sink));
		put(&four); /* as the engine does when it is told that the sink was lost */
		if (strstr(acts[i].command, "ruleset"))
			CHECK(lab_probe_table() == 0);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		CHECK_U64(lab_passed(&lab, "10.9.0.2", 80, TH_SYN, 5), 5);
		char *text = output_of("nft list table inet tcpguard");
		CHECK(!strstr(text, "stranger"));
		free(text);
	}
	struct nft_sink_stats stats;
	nft_sink_stats(sink, &stats);
	CHECK_U64(stats.repairs, ARRAY_SIZE(acts));
	/* Nobody looked at the watch: the next commit finds out. */
	CHECK(run("nft delete table inet tcpguard") == 0);
	CHECK_U64(nft_sink_add(sink, &four, NOW, WALL), 0);
	CHECK_U64(-commit(), ENOENT);
	CHECK_U64(last_error, ENOENT);
	CHECK_U64(nft_sink_install(sink, &config, own, allow, NULL), 1);
	put(&four);
	close_sink();
}

TEST(strange_table_is_made_anew)
{
	static const char *const strange[] = {
		"nft 'table inet tcpguard { set web-ports-ip4-32 { type ipv6_addr; }; }'",
		"nft 'table inet tcpguard { set own4 { type ipv4_addr; }; }'",
		"nft 'table inet tcpguard { chain pre { }; }'",
		"nft 'table inet tcpguard { chain pre { type filter hook prerouting priority 5; }; "
		"}'",
		"nft 'table inet tcpguard { chain x { }; map m { type ipv4_addr : verdict;"
		" elements = { 192.0.2.1 : jump x }; }; chain hand { type filter hook input "
		"priority"
		" 0; ip saddr vmap @m; }; }'",
		/* The kernel calls the chain busy, as it does what another process owns. */
		"nft 'table inet tcpguard { chain x { }; map m { type ipv4_addr : verdict;"
		" elements = { 192.0.2.1 : jump x }; }; }'",
		"nft 'table inet tcpguard { flags dormant; }'",
	};
	const struct nft_sink_params *variants[] = {&usual, &plain};
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(strange); i++) {
		CHECK_U64(-nft_sink_remove_table(), 0);
		CHECK(run("%s", strange[i / 2]) == 0);
		open_sink(variants[i % 2]);
		CHECK(nft_sink_install(sink, &config, own, allow, NULL) >= 0);
		struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
		put(&four);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		CHECK_U64(lab_passed(&lab, "10.9.0.2", 80, TH_SYN, 5), 5);
		close_sink();
	}
}

TEST(switching_ownership)
{
	const struct nft_sink_params *order[] = {&usual, &plain, &usual, &plain};
	CHECK_U64(-nft_sink_remove_table(), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		open_sink(order[i]);
		CHECK(nft_sink_install(sink, &config, own, allow, NULL) >= 0);
		struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
		put(&four);
		CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
		CHECK((nft_sink_watch_fd(sink) < 0) == (order[i] == &usual));
		close_sink();
	}
	/* An orphan can be taken out by hand. */
	open_sink(&usual);
	CHECK(nft_sink_install(sink, &config, own, allow, NULL) >= 0);
	close_sink();
	CHECK_U64(-nft_sink_remove_table(), 0);
	CHECK_U64(-nft_sink_remove_table(), 0);
	CHECK(!contains("nft list tables", "tcpguard"));
}

TEST(protected_addresses_change)
{
	fresh(&usual);
	struct tg_decision four = ban_of("10.9.0.1/32", TG_NO_INDEX, TG_NO_INDEX, 60000);
	put(&four);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
	const struct tg_protected_prefix now[] = {{prefix("10.9.0.0/24"), TG_PROTECT_GATEWAY},
						  {prefix("10.9.1.0/24"), TG_PROTECT_OWN},
						  {prefix("::/0"), TG_PROTECT_OWN}};
	struct tg_prefix_set *set = tg_prefix_set_create(now, ARRAY_SIZE(now));
	CHECK_U64(nft_sink_protect(sink, set), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 5);
	CHECK(contains("nft list set inet tcpguard own4", "10.9.0.0/23"));
	CHECK_U64(nft_sink_protect(sink, own), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
	tg_prefix_set_destroy(set);
	close_sink();
}

TEST(foreign_tables_are_left_alone)
{
	CHECK_U64(-nft_sink_remove_table(), 0);
	CHECK(run("nft 'table ip nat { chain post { type nat hook postrouting priority 100;"
		  " ip saddr 192.0.2.0/24 masquerade; }; }; table inet firewall { set s { type"
		  " ipv4_addr; flags interval; elements = { 198.51.100.0/24 }; };"
		  " chain in { type filter hook input priority -5; ip saddr @s drop; }; }'") == 0);
	char *before = output_of("nft -a list ruleset");
	fresh(&plain);
	queue_many(100, "10.16.0.0/32", WEB, OPEN_PER_IP);
	CHECK_U64(commit(), 0);
	close_sink();
	open_sink(&usual);
	CHECK(nft_sink_install(sink, &web_only, own, allow, NULL) >= 0);
	close_sink();
	CHECK_U64(-nft_sink_remove_table(), 0);
	char *after = output_of("nft -a list ruleset");
	CHECK_STR(after, before);
	free(before);
	free(after);
}

/* Ranges up to the last value, neighbours, and prefixes that hold everything. */
TEST(matches_at_the_edges)
{
	static const struct tg_port_range ports[] = {{0, 79}, {80, 80}, {65000, 65535}};
	const struct tg_prefix addresses[] = {prefix("::/0"), prefix("10.9.255.128/25"),
					      prefix("10.9.255.254/32"), prefix("10.10.0.0/16")};
	const struct tg_policy edge = {.name = "edge",
				       .ports = ports,
				       .port_count = 3,
				       .addresses = addresses,
				       .address_count = 4,
				       .limits = ssh_limits,
				       .limit_count = 1};
	const struct tg_policy any = {.name = "any", .limits = ssh_limits, .limit_count = 1};
	const struct tg_policy both[] = {edge, any};
	const struct tg_config edge_config = {.policies = both, .policy_count = 2};
	CHECK_U64(-nft_sink_remove_table(), 0);
	open_sink(&usual);
	CHECK_U64(nft_sink_install(sink, &edge_config, NULL, NULL, NULL), 0);
	struct tg_decision four = ban_of("10.9.0.1/32", 0, 0, 60000);
	struct tg_decision six = ban_of("2001:db8:9:1::/64", 0, 0, 60000);
	four.ban.scope = six.ban.scope = TG_SCOPE_PORTS;
	put(&four);
	put(&six);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 0, TH_SYN, 3), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 3), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 81, TH_SYN, 3), 3);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 64999, TH_SYN, 3), 3);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 65535, TH_SYN, 3), 0);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::5", 65000, TH_SYN, 3), 0);
	CHECK_U64(lab_passed(&lab, "2001:db8:9:1::5", 81, TH_SYN, 3), 3);
	/* A policy without ports is about all of them; the one before it passes packets on. */
	four = ban_of("10.9.0.2/32", 1, 0, 60000);
	put(&four);
	CHECK_U64(lab_passed(&lab, "10.9.0.2", 80, TH_SYN, 3), 0);
	CHECK_U64(lab_passed(&lab, "10.9.0.2", 81, TH_ACK, 3), 0);
	CHECK(contains("nft list table inet tcpguard", "{ 0-80, 65000-65535 }"));
	close_sink();
}

TEST(refused_config)
{
	struct tg_policy named = policies[SSH];
	named.name = "hand";
	const struct tg_config bad = {.policies = &named, .policy_count = 1};
	fresh(&usual);
	CHECK_U64(-nft_sink_install(sink, &bad, own, allow, NULL), EINVAL);
	struct tg_decision four = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	put(&four);
	CHECK_U64(lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 5), 0);
	close_sink();
}

int main(void)
{
	edge_addresses[0] = prefix("10.9.255.254/32");
	edge_addresses[1] = prefix("2001:db8:9::/48");
	struct tg_protected_prefix list[16],
		allowed[] = {{prefix("10.9.7.0/24"), TG_PROTECT_ALLOWED},
			     {prefix("2001:db8:9:2::/64"), TG_PROTECT_ALLOWED}};
	size_t count;
	const struct tg_protected_prefix *always = tg_protect_always(&count);
	memcpy(list, always, count * sizeof(list[0]));
	list[count].prefix = prefix(LAB_SERVER4 "/32");
	list[count++].kind = TG_PROTECT_OWN;
	list[count].prefix = prefix(LAB_SERVER6 "/128");
	list[count++].kind = TG_PROTECT_OWN;
	own = tg_prefix_set_create(list, count);
	allow = tg_prefix_set_create(allowed, ARRAY_SIZE(allowed));
	if (geteuid() != 0 || !lab_open(&lab)) {
		printf("1..0 # SKIP needs root and network namespaces\n");
		return 0;
	}
	RUN(layout_golden);
	RUN(drop_of_ports);
	RUN(policer_holds_back_syns_only);
	RUN(stand_in_becomes_a_drop);
	RUN(masked_prefixes);
	RUN(by_hand_everything);
	RUN(ends);
	RUN(twice_in_one_turn);
	RUN(set_full);
	RUN(many_ipv6);
	RUN(one_bad_element);
	RUN(many_bad_elements);
	RUN(killed_between_bans);
	RUN(speed_of_policers);
	RUN(speed);
	RUN(adoption);
	RUN(adoption_from_a_table_that_grows);
	RUN(restart_keeps_enforcing);
	RUN(owned);
	RUN(plain_is_watched_and_repaired);
	RUN(strange_table_is_made_anew);
	RUN(switching_ownership);
	RUN(protected_addresses_change);
	RUN(foreign_tables_are_left_alone);
	RUN(matches_at_the_edges);
	RUN(refused_config);
	CHECK_U64(-nft_sink_remove_table(), 0);
	tg_prefix_set_destroy(own);
	tg_prefix_set_destroy(allow);
	return DONE();
}
