/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and gateways of a real kernel, and that their changes are noticed. Needs root. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <tcpguard/protect.h>

#include "netfilter/rt_watch.h"
#include "ns.h"
#include "test.h"

static struct rt_watch *watch;

static bool begin(void)
{
	return ns_enter() && rt_watch_create(&watch) == 0 &&
	       ns_run("ip link add tga type veth peer name tgb && ip link set tga up && "
		      "ip link set tgb up");
}

static void finish(void)
{
	rt_watch_destroy(watch);
	watch = NULL;
}

/* How often the address is among the prefixes with that reason; -1 when they cannot be read. */
static int count(const char *text, enum tg_protect_kind kind)
{
	struct tg_protected_prefix *prefixes = NULL;
	struct tg_prefix want;
	size_t n = 0;
	int found = 0;
	if (rt_watch_read(watch, &prefixes, &n) < 0 || tg_prefix_parse(text, &want))
		return -1;
	for (size_t i = 0; i < n; i++)
		found += prefixes[i].kind == kind && tg_prefix_equal(&prefixes[i].prefix, &want);
	free(prefixes);
	return found;
}

static bool is_own(const char *text)
{
	return count(text, TG_PROTECT_OWN) > 0;
}

static bool is_gateway(const char *text)
{
	return count(text, TG_PROTECT_GATEWAY) > 0;
}

/* Runs a command; true when the watch says that something changed. */
static bool changes(const char *command)
{
	struct pollfd wait = {.fd = rt_watch_fd(watch), .events = POLLIN};
	(void)rt_watch_dispatch(watch); /* what came before does not count */
	if (!ns_run(command))
		return false;
	/* IPv6 addresses are told by a worker, perhaps after the command has ended. */
	while (poll(&wait, 1, 2000) == 1)
		if (rt_watch_dispatch(watch))
			return true;
	return false;
}

/*
 * The watch says nothing about this command and its undoing. Workers of the kernel may tell
 * something else meanwhile, so that one quiet try of several is the proof.
 */
static bool is_quiet(const char *command, const char *undo)
{
	struct pollfd wait = {.fd = rt_watch_fd(watch), .events = POLLIN};
	for (unsigned i = 0; i < 20; i++) {
		(void)rt_watch_dispatch(watch); /* what came before does not count */
		if (!ns_run(command) || !ns_run(undo))
			return false;
		if (poll(&wait, 1, 0) == 1 && !rt_watch_dispatch(watch))
			return true;
	}
	return false;
}

TEST(own_addresses)
{
	CHECK(begin());
	CHECK(is_own("127.0.0.1") && is_own("::1"));
	CHECK(changes("ip addr add 192.0.2.1/24 dev tga"));
	CHECK(is_own("192.0.2.1") && !is_own("192.0.2.0") && !is_own("192.0.2.255"));
	CHECK(changes("ip addr add 2001:db8::1/64 dev tga nodad"));
	CHECK(is_own("2001:db8::1"));
	CHECK(changes("ip addr del 192.0.2.1/24 dev tga"));
	CHECK(!is_own("192.0.2.1"));
	CHECK(changes("ip addr del 2001:db8::1/64 dev tga"));
	CHECK(!is_own("2001:db8::1"));
	finish();
}

TEST(the_other_end_is_not_own)
{
	CHECK(begin());
	CHECK(changes("ip addr add 192.0.2.1 peer 192.0.2.2 dev tga"));
	CHECK(is_own("192.0.2.1") && !is_own("192.0.2.2"));
	CHECK(changes("ip addr add 2001:db8::1 peer 2001:db8::2 dev tga nodad"));
	CHECK(is_own("2001:db8::1") && !is_own("2001:db8::2"));
	finish();
}

TEST(gateways)
{
	CHECK(begin());
	CHECK(ns_run("ip addr add 192.0.2.1/24 dev tga && "
		     "ip addr add 2001:db8::1/64 dev tga nodad"));
	CHECK(changes("ip route add default via 192.0.2.254"));
	CHECK(is_gateway("192.0.2.254") && !is_own("192.0.2.254"));
	CHECK(changes("ip route add default via 192.0.2.253 dev tga table 100"));
	CHECK(is_gateway("192.0.2.253"));
	CHECK(changes("ip -6 route add default via 2001:db8::254 dev tga"));
	CHECK(is_gateway("2001:db8::254"));
	/* Any other route is none of ours. */
	CHECK(is_quiet("ip route add 198.51.100.0/24 via 192.0.2.77",
		       "ip route del 198.51.100.0/24 via 192.0.2.77"));
	CHECK(!is_gateway("192.0.2.77"));
	CHECK(!is_gateway("192.0.2.1"));
	CHECK(changes("ip route del default via 192.0.2.254"));
	CHECK(!is_gateway("192.0.2.254") && is_gateway("192.0.2.253"));
	finish();
}

TEST(several_hops_and_another_family)
{
	CHECK(begin());
	CHECK(ns_run("ip addr add 192.0.2.1/24 dev tga && "
		     "ip addr add 2001:db8::1/64 dev tga nodad"));
	CHECK(changes("ip route add default nexthop via 192.0.2.2 dev tga "
		      "nexthop via inet6 2001:db8::3 dev tga"));
	CHECK(is_gateway("192.0.2.2") && is_gateway("2001:db8::3"));
	CHECK(changes("ip -6 route add default nexthop via 2001:db8::4 nexthop via 2001:db8::5"));
	CHECK(is_gateway("2001:db8::4") && is_gateway("2001:db8::5"));
	CHECK(changes("ip route add default via inet6 2001:db8::6 dev tga metric 7"));
	CHECK(is_gateway("2001:db8::6"));
	CHECK(changes("ip nexthop add id 5 via 192.0.2.9 dev tga"));
	CHECK(changes("ip route add default nhid 5 metric 9"));
	CHECK(is_gateway("192.0.2.9"));
	/* The routes of a link end with it, without a word about them. */
	CHECK(changes("ip link set tga down"));
	CHECK(!is_gateway("192.0.2.2") && !is_gateway("2001:db8::4"));
	finish();
}

TEST(routes_that_name_an_object_only)
{
	CHECK(begin());
	CHECK(ns_run("sysctl -qw net.ipv4.nexthop_compat_mode=0 && "
		     "ip addr add 192.0.2.1/24 dev tga && "
		     "ip addr add 2001:db8::1/64 dev tga nodad && "
		     "ip nexthop add id 5 via 192.0.2.9 dev tga && "
		     "ip nexthop add id 6 via 2001:db8::9 dev tga && "
		     "ip nexthop add id 7 group 5/6 && ip nexthop add id 8 via 192.0.2.8 dev tga"));
	CHECK(!is_gateway("192.0.2.9") && !is_gateway("192.0.2.8"));
	CHECK(changes("ip route add default nhid 8"));
	CHECK(is_gateway("192.0.2.8"));
	CHECK(changes("ip route add default nhid 7 metric 9"));
	CHECK(is_gateway("192.0.2.9") && is_gateway("2001:db8::9"));
	finish();
}

TEST(lost_notifications_are_a_change)
{
	CHECK(begin());
	(void)rt_watch_dispatch(watch);
	/* More than the socket holds, and none of them of interest. */
	CHECK(ns_run("ip addr add 192.0.2.1/24 dev tga"));
	CHECK(rt_watch_dispatch(watch));
	CHECK(ns_run("for a in 1 2 3 4 5 6 7 8 9 10; do for b in $(seq 1 250); do "
		     "echo route add 10.$a.$b.0/24 via 192.0.2.2; done; done | ip -batch -"));
	CHECK(rt_watch_dispatch(watch));
	CHECK(!rt_watch_dispatch(watch));
	CHECK(is_own("192.0.2.1") && !is_gateway("192.0.2.2"));
	finish();
}

TEST(more_than_one_message)
{
	CHECK(begin());
	CHECK(ns_run("for a in 1 2 3 4; do for b in $(seq 1 250); do "
		     "echo addr add 10.$a.$b.1/32 dev tga; done; done | ip -batch -"));
	CHECK_U64(count("10.1.1.1", TG_PROTECT_OWN), 1);
	CHECK_U64(count("10.4.250.1", TG_PROTECT_OWN), 1);
	finish();
}

int main(void)
{
	if (!ns_enter())
		return ns_skip();
	RUN(own_addresses);
	RUN(the_other_end_is_not_own);
	RUN(gateways);
	RUN(several_hops_and_another_family);
	RUN(routes_that_name_an_object_only);
	RUN(lost_notifications_are_a_change);
	RUN(more_than_one_message);
	return DONE();
}
