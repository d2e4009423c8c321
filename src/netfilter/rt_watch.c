/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the socket that tells of changes, and how addresses and routes are read. Reading
 * asks for everything anew on a socket of its own: what it returns is one whole answer,
 * never a patched one, and nothing of an earlier try can be taken for it.
 */
#include "netfilter/rt_watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "host/nl_reader.h"
#include "host/nlsock.h"

#define MESSAGE_MAX 32768
/* One dump of addresses or routes; it holds up the daemon's loop. */
#define DUMP_SECONDS 1
/* Reads of up to eight messages in one dispatch; the rest is still readable then. */
#define DISPATCH_FILLS 128
/* Of a dump that the kernel says was disturbed by a change. */
#define TRIES 5
/* Own addresses and gateways; a host with more is beyond what an allow set should hold. */
#define PREFIXES_MAX 65536

struct rt_watch {
	struct nlsock sock;
	struct nl_reader reader;
};

struct prefix_list {
	struct tg_protected_prefix *items;
	size_t count, room;
	int error;     /* the first that met an item */
	bool nexthops; /* a default route names a nexthop object and not its gateway */
};

int rt_watch_create(struct rt_watch **ret_watch)
{
	static const unsigned groups[] = {
		RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_NEXTHOP,
	};
	struct rt_watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->sock = NLSOCK_CLOSED;
	int error = nl_reader_init(&watch->reader, 8, MESSAGE_MAX);
	if (error == 0)
		error = nlsock_open(NETLINK_ROUTE, &watch->sock);
	for (size_t i = 0; error == 0 && i < ARRAY_SIZE(groups); i++) {
		error = nlsock_join(&watch->sock, groups[i]);
		/* Kernels before 5.3 have no nexthop objects and so nothing to tell of them. */
		if (error < 0 && groups[i] == RTNLGRP_NEXTHOP)
			error = 0;
	}
	if (error < 0) {
		rt_watch_destroy(watch);
		return error;
	}
	*ret_watch = watch;
	return 0;
}

void rt_watch_destroy(struct rt_watch *watch)
{
	if (!watch)
		return;
	nlsock_close(&watch->sock);
	nl_reader_finish(&watch->reader);
	free(watch);
}

int rt_watch_fd(const struct rt_watch *watch)
{
	return watch->sock.fd;
}

static bool is_default_route(const struct nlmsghdr *message)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	return message->nlmsg_len >= NLMSG_LENGTH(sizeof(*route)) && route->rtm_dst_len == 0 &&
	       !(route->rtm_flags & RTM_F_CLONED);
}

static bool is_of_interest(const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
	/* A link that goes down takes its IPv4 routes along, and the kernel tells only of the link.
	 */
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return true;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return is_default_route(message);
	default:
		return false;
	}
}

bool rt_watch_dispatch(struct rt_watch *watch)
{
	const uint64_t malformed = watch->reader.malformed;
	bool changed = false;
	/* More than the socket holds: a host whose routes change all the time must not keep us. */
	for (unsigned i = 0; i < DISPATCH_FILLS; i++) {
		int got = nl_reader_fill(&watch->reader, watch->sock.fd, watch->reader.slots);
		if (got == 0)
			break;
		const struct nlmsghdr *message;
		/* Some were lost; reading on clears it. Another error is no better known. */
		if (got < 0) {
			changed = true;
			if (got != -ENOBUFS)
				break;
		}
		while ((message = nl_reader_next(&watch->reader)))
			changed = is_of_interest(message) || changed;
	}
	return changed || watch->reader.malformed != malformed;
}

static void list_add(struct prefix_list *list, int family, const struct nlattr *attr, size_t offset,
		     enum tg_protect_kind kind)
{
	const size_t size = family == AF_INET ? 4 : 16;
	/* Phones and MPLS have addresses too; nobody bans those. */
	if (family != AF_INET && family != AF_INET6)
		return;
	if (mnl_attr_get_payload_len(attr) < offset + size) {
		list->error = list->error ? list->error : -EBADMSG;
		return;
	}
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		void *items = room <= PREFIXES_MAX
				      ? reallocarray(list->items, room, sizeof(*list->items))
				      : NULL;
		if (!items) {
			list->error = room <= PREFIXES_MAX ? -ENOMEM : -E2BIG;
			return;
		}
		list->items = items;
		list->room = room;
	}
	const uint8_t *bytes = (const uint8_t *)mnl_attr_get_payload(attr) + offset;
	struct tg_addr addr =
		family == AF_INET ? tg_addr_from_ipv4(bytes) : tg_addr_from_ipv6(bytes);
	list->items[list->count++] = (struct tg_protected_prefix){
		.prefix = tg_addr_mask(&addr, UINT8_MAX),
		.kind = kind,
	};
}

/* On a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL ours; else they are the same,
 * and IPv6 has only the first. */
static void add_address(const struct nlmsghdr *message, struct prefix_list *list)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr, *local = NULL, *address = NULL;
	if (message->nlmsg_type != RTM_NEWADDR)
		return;
	mnl_attr_for_each (attr, message, sizeof(*header)) {
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			local = attr;
		else if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			address = attr;
	}
	if (local || address)
		list_add(list, header->ifa_family, local ? local : address, 0, TG_PROTECT_OWN);
}

/* RTA_VIA names a gateway of another family than the route's: its family comes before the address.
 */
static void add_gateway(const struct nlattr *attr, int family, struct prefix_list *list)
{
	uint16_t via;
	switch (mnl_attr_get_type(attr)) {
	case RTA_GATEWAY:
		list_add(list, family, attr, 0, TG_PROTECT_GATEWAY);
		break;
	case RTA_VIA:
		if (mnl_attr_get_payload_len(attr) < sizeof(via))
			break;
		memcpy(&via, mnl_attr_get_payload(attr), sizeof(via));
		list_add(list, via, attr, sizeof(via), TG_PROTECT_GATEWAY);
		break;
	}
}

static void add_multipath(const struct nlattr *multipath, int family, struct prefix_list *list)
{
	const uint8_t *at = mnl_attr_get_payload(multipath);
	size_t left = mnl_attr_get_payload_len(multipath);
	struct rtnexthop hop;
	while (left >= sizeof(hop)) {
		memcpy(&hop, at, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left)
			break;
		const void *attrs = at + sizeof(hop);
		const struct nlattr *attr;
		mnl_attr_for_each_payload(attrs, hop.rtnh_len - sizeof(hop))
			add_gateway(attr, family, list);
		const size_t step = MIN((size_t)RTNH_ALIGN(hop.rtnh_len), left);
		at += step;
		left -= step;
	}
}

static void add_route(const struct nlmsghdr *message, struct prefix_list *list)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	if (message->nlmsg_type != RTM_NEWROUTE || !is_default_route(message) ||
	    header->rtm_type != RTN_UNICAST)
		return;
	bool object = false;
	const size_t before = list->count;
	mnl_attr_for_each (attr, message, sizeof(*header)) {
		object = object || mnl_attr_get_type(attr) == RTA_NH_ID;
		if (mnl_attr_get_type(attr) == RTA_MULTIPATH)
			add_multipath(attr, header->rtm_family, list);
		else
			add_gateway(attr, header->rtm_family, list);
	}
	list->nexthops = list->nexthops || (object && list->count == before);
}

/* Those of all objects: which of them, directly or by a group, a default route means is not worth
 * following, and a gateway of another route is no worse protected than not. */
static void add_nexthop(const struct nlmsghdr *message, struct prefix_list *list)
{
	const struct nhmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	if (message->nlmsg_type != RTM_NEWNEXTHOP)
		return;
	mnl_attr_for_each (attr, message, sizeof(*header)) {
		if (mnl_attr_get_type(attr) == NHA_GATEWAY)
			list_add(list, header->nh_family, attr, 0, TG_PROTECT_GATEWAY);
	}
}

struct rt_query {
	uint16_t type;
	size_t header_size; /* of what follows the netlink header */
	void (*add)(const struct nlmsghdr *message, struct prefix_list *list);
};

static int query_send(const struct nlsock *sock, const struct rt_query *query)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg widest; /* of the three; all zero, and so of every family */
	} request = {
		.header =
			{
				.nlmsg_len = (uint32_t)NLMSG_LENGTH(query->header_size),
				.nlmsg_type = query->type,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
				.nlmsg_seq = 1,
			},
	};
	return nlsock_send(sock, &request, request.header.nlmsg_len);
}

/* 0: waits on; 1: complete; or -errno. */
static int query_message(const struct rt_query *query, const struct nlmsghdr *message,
			 struct prefix_list *list)
{
	int error = 0;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
		if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
			memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
		return error < 0 ? error : message->nlmsg_type == NLMSG_DONE ? 1 : -EBADMSG;
	}
	if (message->nlmsg_len >= NLMSG_LENGTH(query->header_size))
		query->add(message, list);
	return list->error;
}

static int query_read(const struct nlsock *sock, struct nl_reader *reader, int timer_fd,
		      const struct rt_query *query, struct prefix_list *list)
{
	const uint64_t malformed = reader->malformed;
	struct pollfd wait[] = {
		{.fd = sock->fd, .events = POLLIN},
		{.fd = timer_fd, .events = POLLIN},
	};
	for (;;) {
		int got = nl_reader_fill(reader, sock->fd, reader->slots);
		if (got < 0)
			return got;
		const struct nlmsghdr *message;
		while ((message = nl_reader_next(reader))) {
			int result = query_message(query, message, list);
			if (result != 0)
				return MIN(result, 0);
		}
		if (reader->malformed != malformed)
			return -EBADMSG;
		if (poll(wait, ARRAY_SIZE(wait), got > 0 ? 0 : -1) < 0 && errno != EINTR)
			return -errno;
		if (wait[1].revents)
			return -ETIMEDOUT;
	}
}

/* One dump. The deadline is the kernel's timer, because only the loop reads a clock. */
static int query_once(struct nl_reader *reader, const struct rt_query *query,
		      struct prefix_list *list)
{
	const struct itimerspec deadline = {.it_value = {.tv_sec = DUMP_SECONDS}};
	_cleanup_close_ int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct nlsock sock;
	if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &deadline, NULL) < 0)
		return -errno;
	int error = nlsock_open(NETLINK_ROUTE, &sock);
	if (error < 0)
		return error;
	error = query_send(&sock, query);
	if (error == 0)
		error = query_read(&sock, reader, timer_fd, query, list);
	nlsock_close(&sock);
	return error;
}

static int query_retry(struct nl_reader *reader, const struct rt_query *query,
		       struct prefix_list *list)
{
	const size_t before = list->count;
	int error = -EINTR;
	for (int i = 0; error == -EINTR && i < TRIES; i++) {
		list->count = before;
		error = query_once(reader, query, list);
	}
	return error == -EINTR ? -EAGAIN : error;
}

int rt_watch_read(struct rt_watch *watch, struct tg_protected_prefix **ret_prefixes,
		  size_t *ret_count)
{
	static const struct rt_query queries[] = {
		{RTM_GETADDR, sizeof(struct ifaddrmsg), add_address},
		{RTM_GETROUTE, sizeof(struct rtmsg), add_route},
		/* With nexthop_compat_mode off, routes do not spell out what their object says. */
		{RTM_GETNEXTHOP, sizeof(struct nhmsg), add_nexthop},
	};
	struct prefix_list list = {0};
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
		if (queries[i].type == RTM_GETNEXTHOP && !list.nexthops)
			break;
		int error = query_retry(&watch->reader, &queries[i], &list);
		if (error < 0) {
			free(list.items);
			return error;
		}
	}
	*ret_prefixes = list.items;
	*ret_count = list.count;
	return 0;
}
