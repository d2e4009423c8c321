/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sink on the real kernel, in namespaces of its own: what is written, and what it does to packets. */
#include <errno.h>
#include <poll.h>

#include <tcpguard/config.h>
#include <tcpguard/decision.h>
#include <tcpguard/protect.h>

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
	{.name = "open-per-ip", .measure = TG_MEASURE_CONCURRENT, .threshold = 200,
	 .prefix_len = {32, 64}, .action = TG_ACTION_DROP, .scope = TG_SCOPE_PORTS},
	{.name = "new-per-net", .measure = TG_MEASURE_NEW, .threshold = 100, .window_ms = 10000,
	 .prefix_len = {24, 48}, .action = TG_ACTION_RATE_LIMIT, .scope = TG_SCOPE_NEW,
	 .to = {200, 1000}},
	{.name = "half-open", .measure = TG_MEASURE_HALF_OPEN, .threshold = 64,
	 .prefix_len = {32, 128}, .action = TG_ACTION_RATE_LIMIT, .scope = TG_SCOPE_NEW,
	 .to = {5, 1000}},
};
static const struct tg_limit ssh_limits[] = {
	{.name = "new-per-ip", .measure = TG_MEASURE_NEW, .threshold = 6, .window_ms = 60000,
	 .prefix_len = {32, 64}, .action = TG_ACTION_DROP, .scope = TG_SCOPE_PORTS},
};
static struct tg_prefix edge_addresses[2];
static const struct tg_policy policies[] = {
	{.name = "web", .ports = web_ports, .port_count = 3, .limits = web_limits, .limit_count = 3},
	{.name = "ssh", .ports = ssh_ports, .port_count = 1, .addresses = edge_addresses,
	 .address_count = 2, .limits = ssh_limits, .limit_count = 1},
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
		.id = ++id, .version = 1, .source = prefix(source), .policy = policy,
		.limit = limit, .enforced = true, .since = NOW - 5 * TG_SEC,
		.until = NOW + expire_ms * TG_MSEC, .measured = 250, .threshold = 200, .offence = 2,
		.action = l ? l->action : TG_ACTION_DROP,
		.scope = l ? l->scope : TG_SCOPE_EVERYTHING,
		.origin = l ? TG_ORIGIN_AUTO : TG_ORIGIN_OPERATOR,
	};
	if (l)
		decision.ban.to = l->to;
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
	CHECK_U64(nft_sink_install(sink, &config, own, allow), 0);
}

static const struct nft_sink_params usual = {0}, plain = {.plain = true};

static void count_adopted(void *data, const struct tg_adopt *adopt)
{
	(void)adopt;
	++*(unsigned *)data;
}

TEST(speed)
{
	const unsigned count = 100000;
	fresh(&usual);
	struct tg_decision decision = ban_of("10.1.0.0/32", WEB, OPEN_PER_IP, 600000);
	uint64_t start = now_ns();
	for (unsigned i = 0; i < count; i++) {
		uint32_t be = htonl(0x0a100000u + i);
		decision.ban.id = i;
		memcpy(decision.ban.source.addr.bytes, &be, 4);
		CHECK(nft_sink_add(sink, &decision, NOW, WALL) == 0);
	}
	CHECK_U64(-commit(), 0);
	uint64_t installed = now_ns();
	CHECK_U64(acks, count);
	CHECK_U64(ack_errors, 0);
	printf("# install of %u: %.0f ms\n", count, (double)(installed - start) / 1e6);
	close_sink();
	open_sink(&usual);
	unsigned found = 0;
	start = now_ns();
	CHECK_U64(-nft_sink_adopt(sink, WALL, count_adopted, &found), 0);
	printf("# adoption of %u: %.0f ms\n", found, (double)(now_ns() - start) / 1e6);
	CHECK_U64(found, count);
	close_sink();
}

int main(void)
{
	edge_addresses[0] = prefix("10.9.255.254/32");
	edge_addresses[1] = prefix("2001:db8:9::/48");
	struct tg_protected_prefix list[16], allowed[] = {{prefix("10.9.7.0/24"), TG_PROTECT_ALLOWED}, {prefix("2001:db8:9:2::/64"), TG_PROTECT_ALLOWED}};
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
	fresh(&usual);
	struct tg_decision d = ban_of("10.9.0.1/32", WEB, OPEN_PER_IP, 60000);
	put(&d);
	d = ban_of("2001:db8:9:1::/48", WEB, NEW_PER_NET, 60000);
	(void)lift;
	put(&d);
	d = ban_of("10.9.0.0/24", TG_NO_INDEX, TG_NO_INDEX, 60000);
	strcpy(d.ban.reason, "loud neighbour");
	put(&d);
	run("nft list table inet tcpguard");
	printf("# %d\n", (int)lab_passed(&lab, "10.9.0.1", 80, TH_SYN, 10));
	printf("# %d\n", (int)lab_passed(&lab, "10.9.2.1", 80, TH_SYN, 10));
	printf("# %d\n", (int)lab_passed(&lab, "2001:db8:9:1::1", 80, TH_SYN, 300));
	close_sink();
	RUN(speed);
	(void)web_only; (void)plain;
	return DONE();
}
