/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which conntrack events the table's ct rule lets through: without a limit that
 * counts open connections, and with one. This is what the feed lives on.
 */
#include <errno.h>
#include <poll.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "netfilter/nft_sink.h"
#include "sink_lab.h"
#include "test.h"

static struct lab lab;

struct seen {
	unsigned fresh, destroyed, other_protocols;
	bool states[TCP_CONNTRACK_MAX];
};

static int on_event(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *data)
{
	struct seen *seen = data;
	if (nfct_get_attr_u8(ct, ATTR_L4PROTO) != IPPROTO_TCP) {
		seen->other_protocols++;
		return NFCT_CB_CONTINUE;
	}
	seen->fresh += type == NFCT_T_NEW;
	seen->destroyed += type == NFCT_T_DESTROY;
	if (type == NFCT_T_UPDATE && nfct_attr_is_set(ct, ATTR_TCP_STATE))
		seen->states[nfct_get_attr_u8(ct, ATTR_TCP_STATE)] = true;
	return NFCT_CB_CONTINUE;
}

/* A connection from the outside, its end, and its removal from the table. */
static void one_connection(int listener, struct nfct_handle *handle, struct seen *seen)
{
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(80)};
	inet_pton(AF_INET, LAB_SERVER4, &server.sin_addr);
	CHECK(setns(lab.outside, CLONE_NEWNET) == 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(setns(lab.inside, CLONE_NEWNET) == 0);
	CHECK(connect(client, (struct sockaddr *)&server, sizeof(server)) == 0);
	int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(accepted >= 0);
	char byte;
	CHECK(sendto(udp, "x", 1, 0, (struct sockaddr *)&server, sizeof(server)) == 1);
	close(client);
	CHECK(read(accepted, &byte, 1) == 0);
	close(accepted);
	close(udp);
	struct nf_conntrack *ct = nfct_new();
	nfct_set_attr_u8(ct, ATTR_L3PROTO, AF_INET);
	struct nfct_handle *flush = nfct_open(CONNTRACK, 0);
	uint32_t family = AF_INET;
	CHECK(nfct_query(flush, NFCT_Q_FLUSH, &family) == 0);
	nfct_close(flush);
	nfct_destroy(ct);
	const uint64_t deadline = now_ns() + 2000000000u;
	struct pollfd pollfd = {.fd = nfct_fd(handle), .events = POLLIN};
	while ((!seen->destroyed || poll(&pollfd, 1, 0) > 0) && now_ns() < deadline) {
		if (poll(&pollfd, 1, 100) > 0)
			(void)nfct_catch(handle); /* EAGAIN: there was one message less */
	}
}

static struct seen watch(enum tg_measure measure)
{
	const struct tg_limit limit = {
		.name = "l",
		.measure = measure,
		.threshold = 1,
		.window_ms = tg_measure_is_rate(measure) ? 1000 : 0,
		.prefix_len = {32, 64},
		.steps = &(const struct tg_step){.action = TG_ACTION_RATE_LIMIT, .to = {5, 1000}},
		.step_count = 1};
	const struct tg_policy policy = {.name = "p", .limits = &limit, .limit_count = 1};
	const struct tg_config config = {.policies = &policy, .policy_count = 1};
	const struct nft_sink_params params = {0};
	const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
	const int one = 1;
	struct seen seen = {0};
	struct nft_sink *sink = NULL;
	CHECK(nft_sink_create(&params, &sink) == 0);
	CHECK(sink && nft_sink_install(sink, &config, NULL, NULL, NULL) == 0);
	struct nfct_handle *handle = nfct_open(CONNTRACK, NFCT_ALL_CT_GROUPS);
	nfct_callback_register(handle, NFCT_T_ALL, on_event, &seen);
	CHECK(fcntl(nfct_fd(handle), F_SETFL, O_NONBLOCK) == 0);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	CHECK(bind(listener, (const struct sockaddr *)&any, sizeof(any)) == 0);
	CHECK(listen(listener, 5) == 0);
	one_connection(listener, handle, &seen);
	close(listener);
	nfct_close(handle);
	nft_sink_destroy(sink);
	CHECK(nft_sink_remove_table() == 0);
	return seen;
}

/* How a handshake goes on is of use only to who counts half-open ones. */
TEST(opening_and_end_always)
{
	for (int half_open = 0; half_open < 2; half_open++) {
		const struct seen seen = watch(half_open ? TG_MEASURE_HALF_OPEN : TG_MEASURE_NEW);
		CHECK_U64(seen.fresh, 1);
		CHECK_U64(seen.destroyed, 1);
		CHECK_U64(seen.states[TCP_CONNTRACK_SYN_RECV] > 0, half_open);
		CHECK(seen.states[TCP_CONNTRACK_ESTABLISHED]);
		CHECK(!seen.states[TCP_CONNTRACK_FIN_WAIT]);
		CHECK(!seen.states[TCP_CONNTRACK_TIME_WAIT]);
	}
}

TEST(closing_when_open_ones_are_counted)
{
	const struct seen seen = watch(TG_MEASURE_CONCURRENT);
	CHECK_U64(seen.fresh, 1);
	CHECK_U64(seen.destroyed, 1);
	CHECK(seen.states[TCP_CONNTRACK_SYN_RECV]);
	CHECK(seen.states[TCP_CONNTRACK_ESTABLISHED]);
	CHECK(seen.states[TCP_CONNTRACK_FIN_WAIT]);
	CHECK(seen.states[TCP_CONNTRACK_TIME_WAIT]);
	/* The rule is about TCP; other protocols keep the events they have. */
	CHECK(seen.other_protocols >= 1);
}

int main(void)
{
	if (geteuid() != 0 || !lab_open(&lab)) {
		printf("1..0 # SKIP needs root and network namespaces\n");
		return 0;
	}
	RUN(opening_and_end_always);
	RUN(closing_when_open_ones_are_counted);
	return DONE();
}
