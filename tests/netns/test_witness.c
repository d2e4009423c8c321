/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's sockets prove of a source: real connections of both families, dual-stack
 * listeners, request sockets and idle ones; and what a walk over many costs. Needs root. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "daemon/loop.h"
#include "daemon/opener.h"
#include "daemon/witness.h"
#include "netfilter/sock_walk.h"
#include "ns.h"
#include "test.h"

#define PORT 8443
#define MANY 8000 /* connections that stay: two sockets each */
#define PATIENCE (20 * TG_SEC)

static int listener = -1;
static int ends[2 * MANY + 2];
static size_t end_count;

/* Of IPv6, and of IPv4 by mapped addresses. */
static bool serve(void)
{
	const int off = 0, on = 1;
	const struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return listener >= 0 &&
	       setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0 &&
	       setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	       bind(listener, (const struct sockaddr *)&at, sizeof(at)) == 0 &&
	       listen(listener, 4096) == 0;
}

/* Both ends of a connection from that loopback address; the server's is accepted. */
static bool connect_from(int family, const char *from)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	const bool ipv4 = family == AF_INET;
	struct sockaddr *addr = ipv4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	const socklen_t size = ipv4 ? sizeof(v4) : sizeof(v6);
	void *bytes = ipv4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr;
	int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client < 0 || inet_pton(family, from, bytes) != 1 || bind(client, addr, size) < 0)
		return false;
	v4.sin_port = v6.sin6_port = htons(PORT);
	if (inet_pton(family, ipv4 ? "127.0.0.1" : "::1", bytes) != 1 ||
	    connect(client, addr, size) < 0)
		return false;
	int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0 || end_count + 2 > ARRAY_SIZE(ends))
		return false;
	ends[end_count++] = client;
	ends[end_count++] = server;
	return true;
}

static void hang_up(void)
{
	while (end_count > 0)
		(void)close(ends[--end_count]);
}

static const struct tg_port_range ports[] = {{PORT, PORT}};
static const struct tg_limit limits[] = {
	{.name = "open", .measure = TG_MEASURE_CONCURRENT},
	{.name = "new", .measure = TG_MEASURE_NEW},
	{.name = "idle", .measure = TG_MEASURE_IDLE},
	{.name = "syn", .measure = TG_MEASURE_HALF_OPEN},
	{.name = "gone", .measure = TG_MEASURE_TIME_WAIT},
	{.name = "net", .measure = TG_MEASURE_CONCURRENT, .min_hosts = 3},
};
static const struct tg_policy policies[] = {
	{.name = "web", .ports = ports, .port_count = 1, .limits = limits, .limit_count = 6},
};
static struct tg_config config = {.policies = policies, .policy_count = 1, .idle_after_ms = 60000};

struct told {
	struct tg_witness answers[64];
	size_t count;
};

static void tell(void *data, const struct tg_witness *answer)
{
	struct told *told = data;
	if (told->count < ARRAY_SIZE(told->answers))
		told->answers[told->count++] = *answer;
}

static struct loop *loop;
static struct witness *witness;
static struct told told;
static const uint8_t seed[16] = {7};

static void ask(const char *source, uint16_t limit)
{
	struct tg_ban ban = {.limit = limit};
	CHECK(!tg_prefix_parse(source, &ban.source));
	witness_ask(witness, &config, &ban);
}

/* Turns until so many answers came. */
static bool await(size_t count)
{
	const tg_time end = ns_now() + PATIENCE;
	while (told.count < count && ns_now() < end)
		CHECK(loop_turn(loop, end) == 0);
	return told.count >= count;
}

static int64_t proven(const char *source, const char *limit)
{
	char text[TG_PREFIX_STRLEN];
	for (size_t i = 0; i < told.count; i++)
		if (strcmp(tg_prefix_format(&told.answers[i].source, text), source) == 0 &&
		    strcmp(told.answers[i].limit, limit) == 0)
			return told.answers[i].proven;
	return -1;
}

static void begin(void)
{
	told.count = 0;
	CHECK(loop_create(&loop) == 0);
	CHECK(witness_create(loop, seed, tell, &told, &witness) == 0);
}

static void finish(void)
{
	witness_destroy(witness);
	loop_destroy(loop);
	hang_up();
}

TEST(one_source_alone)
{
	begin();
	for (int i = 0; i < 5; i++)
		CHECK(connect_from(AF_INET, "127.0.0.7"));
	CHECK(connect_from(AF_INET, "127.0.0.8"));
	ask("127.0.0.7/32", 0);
	CHECK(await(1));
	CHECK_U64(proven("127.0.0.7/32", "open"), 5);
	CHECK_STR(told.answers[0].policy, "web");
	finish();
}

TEST(many_questions_one_walk)
{
	struct witness_stats stats;
	begin();
	for (int i = 0; i < 5; i++)
		CHECK(connect_from(AF_INET, "127.0.1.7"));
	for (int i = 0; i < 3; i++)
		CHECK(connect_from(AF_INET6, "::1"));
	ask("127.0.1.7/32", 0);
	ask("127.0.1.7/32", 0); /* again: one answer is enough */
	ask("127.0.1.7/32", 1);
	ask("127.0.1.0/24", 0);
	ask("::/64", 0);
	ask("198.51.100.7/32", 0);
	ask("127.0.1.7/32", 3); /* SYNs are proven by nothing */
	CHECK(await(5));
	CHECK_U64(told.count, 5);
	CHECK_U64(proven("127.0.1.7/32", "open"), 5);
	CHECK_U64(proven("127.0.1.7/32", "new"), 5);
	CHECK_U64(proven("127.0.1.0/24", "open"), 5);
	CHECK_U64(proven("::/64", "open"), 3);
	CHECK_U64(proven("198.51.100.7/32", "open"), 0);
	witness_stats(witness, &stats);
	CHECK_U64(stats.walks, 1);
	/* The next one is not at once. */
	tg_time asked = ns_now();
	ask("127.0.1.7/32", 0);
	CHECK(await(6));
	witness_stats(witness, &stats);
	CHECK_U64(stats.walks, 2);
	CHECK(ns_now() - asked > 100 * TG_MSEC);
	finish();
}

/* Of a policy for every port: the far ends of connections that this host opened itself. */
TEST(own_connections_prove_nothing)
{
	static const struct tg_policy any[] = {
		{.name = "any", .limits = limits, .limit_count = ARRAY_SIZE(limits)}};
	begin();
	config.policies = any;
	for (int i = 0; i < 5; i++)
		CHECK(connect_from(AF_INET, "127.4.0.7"));
	ask("127.0.0.1/32", 0); /* who was connected to */
	ask("127.4.0.7/32", 0);
	CHECK(await(2));
	CHECK_U64(proven("127.0.0.1/32", "open"), 0);
	CHECK_U64(proven("127.4.0.7/32", "open"), 5);
	told.count = 0;
	ask("127.0.0.1/32", 0); /* alone, so that the kernel filters */
	CHECK(await(1));
	CHECK_U64(proven("127.0.0.1/32", "open"), 0);
	config.policies = policies;
	finish();
}

/* Forged packets make hosts, too: a network is proven by sockets of as many as its limit wants. */
TEST(few_hosts_prove_no_network)
{
	begin();
	for (int i = 0; i < 20; i++)
		CHECK(connect_from(AF_INET, i % 2 ? "127.5.0.1" : "127.5.0.2"));
	for (int i = 0; i < 3; i++)
		CHECK(connect_from(AF_INET, "127.5.1.1") && connect_from(AF_INET, "127.5.1.2") &&
		      connect_from(AF_INET, "127.5.1.3"));
	for (int i = 0; i < 4; i++)
		CHECK(connect_from(AF_INET6, "::1"));
	ask("127.5.0.0/24", 5);
	ask("127.5.0.0/24", 0);
	ask("127.5.1.0/24", 5);
	ask("127.5.0.0/16", 5);
	ask("::/48", 5);
	CHECK(await(5));
	CHECK_U64(proven("127.5.0.0/24", "net"), 0);
	CHECK_U64(proven("127.5.0.0/24", "open"), 20);
	CHECK_U64(proven("127.5.1.0/24", "net"), 9);
	CHECK_U64(proven("127.5.0.0/16", "net"), 29);
	CHECK_U64(proven("::/48", "net"), 0);
	told.count = 0;
	ask("127.5.1.0/24", 5); /* hosts of the last walk are not those of this one */
	ask("127.5.0.0/24", 5);
	CHECK(await(2));
	CHECK_U64(proven("127.5.1.0/24", "net"), 9);
	CHECK_U64(proven("127.5.0.0/24", "net"), 0);
	finish();
}

/* More than there is room for: those that find none are counted, and each other has its answer. */
TEST(more_questions_than_room)
{
	struct witness_stats stats;
	char source[32];
	begin();
	const tg_time begun = ns_now();
	for (unsigned i = 0; i < 10000; i++) {
		(void)snprintf(source, sizeof(source), "198.18.%u.%u/32", i / 256, i % 256);
		ask(source, 0);
		ask(source, 0);
	}
	printf("# 20000 questions: %llu us\n", (unsigned long long)((ns_now() - begun) / 1000));
	witness_stats(witness, &stats);
	CHECK_U64(stats.waiting, stats.questions);
	CHECK(stats.questions > 1000 && stats.dropped > 1000);
	CHECK(await(ARRAY_SIZE(told.answers)));
	witness_stats(witness, &stats);
	CHECK_U64(stats.walks, 1);
	CHECK_U64(stats.waiting, 0);
	ask("198.18.39.15/32", 0); /* the last of them, which found none */
	witness_stats(witness, &stats);
	CHECK_U64(stats.waiting, 1);
	finish();
}

/* What a walk could not ask for want of a descriptor is asked by the next one, and once. */
TEST(questions_outlive_a_failed_walk)
{
	struct witness_stats stats = {0};
	struct rlimit before, none;
	const tg_time end = ns_now() + PATIENCE;
	begin();
	CHECK(connect_from(AF_INET, "127.6.0.7"));
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 0;
	ask("127.6.0.7/32", 0);
	ask("127.6.0.8/32", 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	while (stats.failed < 2 && ns_now() < end) {
		CHECK(loop_turn(loop, end) == 0);
		witness_stats(witness, &stats);
	}
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(stats.error == EMFILE);
	CHECK_U64(told.count, 0);
	ask("127.6.0.7/32", 0);
	CHECK(await(2));
	witness_stats(witness, &stats);
	CHECK_U64(stats.walks, 1);
	CHECK_U64(stats.waiting, 0);
	CHECK(stats.error == 0);
	CHECK_U64(told.count, 2);
	CHECK_U64(proven("127.6.0.7/32", "open"), 1);
	CHECK_U64(proven("127.6.0.8/32", "open"), 0);
	finish();
}

TEST(idle_is_since_the_last_payload)
{
	begin();
	CHECK(connect_from(AF_INET, "127.0.2.7"));
	CHECK(connect_from(AF_INET, "127.0.2.7"));
	CHECK(usleep(300000) == 0); /* the time that is measured */
	CHECK(write(ends[0], "x", 1) == 1);
	config.idle_after_ms = 200;
	ask("127.0.2.7/32", 2);
	CHECK(await(1));
	CHECK_U64(proven("127.0.2.7/32", "idle"), 1);
	config.idle_after_ms = 60000;
	finish();
}

TEST(closing_counts_until_it_is_over)
{
	begin();
	CHECK(connect_from(AF_INET, "127.0.3.7"));
	CHECK(connect_from(AF_INET, "127.0.3.7"));
	CHECK(shutdown(ends[1], SHUT_WR) == 0); /* FIN_WAIT2 here, CLOSE_WAIT there */
	/* The server closes first, so that TIME_WAIT is its own. */
	CHECK(close(ends[3]) == 0 && close(ends[2]) == 0);
	end_count = 2;
	ask("127.0.3.7/32", 0);
	ask("127.0.3.7/32", 4);
	ask("127.0.3.7/32", 1);
	CHECK(await(3));
	CHECK_U64(proven("127.0.3.7/32", "open"), 1);
	CHECK_U64(proven("127.0.3.7/32", "gone"), 1);
	CHECK_U64(proven("127.0.3.7/32", "new"), 2);
	finish();
}

TEST(forgotten_questions_get_no_answer)
{
	begin();
	ask("127.0.0.7/32", 0);
	witness_forget(witness);
	CHECK(loop_turn(loop, ns_now() + 20 * TG_MSEC) == 0);
	CHECK_U64(told.count, 0);
	ask("127.0.0.7/32", 0);
	CHECK(await(1));
	finish();
}

TEST(the_socket_of_a_flow)
{
	struct tg_flow_key key = {.family = TG_IPV4, .src = {127, 0, 0, 7}, .dst = {127, 0, 0, 1}};
	struct sockaddr_in at;
	socklen_t size = sizeof(at);
	struct sock_diag_socket socket;
	begin();
	CHECK(connect_from(AF_INET, "127.0.0.7"));
	CHECK(getsockname(ends[0], (struct sockaddr *)&at, &size) == 0);
	key.sport = ntohs(at.sin_port);
	key.dport = PORT;
	CHECK(sock_walk_find(&key, &socket) == 0);
	CHECK(socket.uid == getuid() && socket.inode != 0);
	struct opener opener;
	CHECK(opener_find(&key, &opener) == 0);
	CHECK(opener.uid == getuid());
	/* On a host with many processes the search may end before it is found. */
	CHECK(opener.pid == getpid() || opener.pid == 0);
	CHECK(opener.pid == 0 || strcmp(opener.process, "test_witness") == 0);
	key.dport = PORT + 1;
	CHECK(sock_walk_find(&key, &socket) == -ENOENT);
	finish();
}

/* Every other one is closed at once: TIME_WAIT needs no descriptor. */
TEST(cost_of_many_sockets)
{
	struct witness_stats stats;
	char from[32];
	begin();
	for (int i = 0; i < 2 * MANY; i++) {
		(void)snprintf(from, sizeof(from), "127.1.%d.%d", i % 40, 1 + i % 100);
		if (!connect_from(AF_INET, from)) {
			printf("# only %d connections: %s\n", i, strerror(errno));
			CHECK(false);
			break;
		}
		if (i % 2) {
			(void)close(ends[--end_count]);
			(void)close(ends[--end_count]);
		}
	}
	ask("127.1.0.1/32", 1);
	CHECK(await(1));
	witness_stats(witness, &stats);
	printf("# one source of %d sockets: %llu us\n", 3 * MANY,
	       (unsigned long long)stats.last_us);
	ask("127.1.0.1/32", 1);
	ask("127.1.0.0/16", 0);
	CHECK(await(3));
	witness_stats(witness, &stats);
	printf("# two sources of %d sockets: %llu us\n", 3 * MANY,
	       (unsigned long long)stats.last_us);
	CHECK_U64(proven("127.1.0.0/16", "open"), MANY);
	CHECK(stats.sockets >= 2 * MANY); /* those of the server */
	CHECK(stats.last_us < 1000000);
	CHECK_U64(stats.failed, 0);
	finish();
}

int main(void)
{
	const struct rlimit files = {.rlim_cur = 2 * MANY + 100, .rlim_max = 2 * MANY + 100};
	(void)setrlimit(RLIMIT_NOFILE, &files); /* with fewer, the last test says so */
	if (!ns_enter())
		return ns_skip();
	if (!serve())
		return 1;
	RUN(one_source_alone);
	RUN(many_questions_one_walk);
	RUN(own_connections_prove_nothing);
	RUN(few_hosts_prove_no_network);
	RUN(more_questions_than_room);
	RUN(questions_outlive_a_failed_walk);
	RUN(idle_is_since_the_last_payload);
	RUN(closing_counts_until_it_is_over);
	RUN(forgotten_questions_get_no_answer);
	RUN(the_socket_of_a_flow);
	RUN(cost_of_many_sockets);
	return DONE();
}
