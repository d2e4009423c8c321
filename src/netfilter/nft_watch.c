/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the subscription to changes of the ruleset. Needed only where the table
 * cannot be owned, or must not: there anybody with the privilege may change it.
 */
#include "netfilter/nft_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "base/util.h"
#include "netfilter/nft_socket.h"

/* A foreign "flush set" tells every element; what does not fit counts as a change anyway. */
#define RECEIVE_BUFFER (1 << 20)

int nft_watch_open(uint32_t portid, int *ret_fd)
{
	/* Our own 10,000 bans would fill the socket for nothing. All messages of one notification
	 * come from one transaction, so that the first of them speaks for all. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		/* The machine loads big-endian. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(portid), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};
	const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	const int size = RECEIVE_BUFFER, group = NFNLGRP_NFTABLES;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)); /* less will do */
	/* The filter first: no notification gets in without it. */
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		int err = -errno;
		(void)close(fd); /* nothing was read */
		return err;
	}
	*ret_fd = fd;
	return 0;
}

static bool is_harmful(const struct nlmsghdr *message, const char *table)
{
	/* An element or a set more is the business of who put it there. */
	static const uint8_t harmful[] = {NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE,  NFT_MSG_NEWCHAIN,
					  NFT_MSG_DELCHAIN, NFT_MSG_NEWRULE,   NFT_MSG_DELRULE,
					  NFT_MSG_DELSET,   NFT_MSG_DELSETELEM};
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(message);
	if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*nfg) ||
	    nfg->nfgen_family != NFPROTO_INET ||
	    !memchr(harmful, message->nlmsg_type & 0xff, sizeof(harmful)))
		return false;
	const struct nlattr *attr;
	mnl_attr_for_each (attr, message, sizeof(*nfg)) {
		/* The table's name is attribute 1 in all of these. */
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			return strcmp(mnl_attr_get_str(attr), table) == 0;
	}
	return false;
}

bool nft_watch_dispatch(int fd, const char *table)
{
	char buffer[32 * 1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool changed = false;
	for (;;) {
		struct sockaddr_nl from;
		struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1};
		ssize_t len = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno != ENOBUFS)
			return changed;
		if (len < 0 || msg.msg_flags & MSG_TRUNC) {
			changed = true; /* lost: nobody knows what it was */
			continue;
		}
		if (from.nl_pid != 0)
			continue; /* any process of root may write to us */
		int left = (int)len;
		const struct nlmsghdr *message = (const struct nlmsghdr *)(void *)buffer;
		for (; nft_socket_holds(message, left); message = mnl_nlmsg_next(message, &left))
			changed = changed || is_harmful(message, table);
	}
}
