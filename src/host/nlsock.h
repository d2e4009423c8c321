/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_NLSOCK_H
#define HOST_NLSOCK_H

#include <stddef.h>
#include <stdint.h>

/* A netlink socket: CLOEXEC, NONBLOCK, bound to a port of its own. */
struct nlsock {
	int fd; /* -1: not open */
	uint32_t portid;
};

#define NLSOCK_CLOSED ((struct nlsock){.fd = -1})

/* protocol is NETLINK_NETFILTER or NETLINK_ROUTE. 0 or -errno. */
int nlsock_open(int protocol, struct nlsock *ret_sock);
/* Accepts one that is not open. */
void nlsock_close(struct nlsock *sock);

/* Subscribes to a multicast group. 0 or -errno. */
int nlsock_join(const struct nlsock *sock, unsigned group);

/*
 * Asks for a receive buffer beyond the sysctl's maximum, and for what that allows if we may not.
 * *ret_granted is what the kernel made of it: it doubles what it is asked for.
 */
int nlsock_set_receive_buffer(const struct nlsock *sock, uint32_t bytes, uint32_t *ret_granted);

/*
 * A full buffer loses messages either way. With this it neither fails the next recv nor
 * shuts the socket until it is drained; nlsock_drops tells how many it were.
 */
int nlsock_set_no_enobufs(const struct nlsock *sock);

/* Messages that found no room since the socket was opened; wraps. */
int nlsock_drops(const struct nlsock *sock, uint32_t *ret_drops);

/* To the kernel, all or nothing. */
int nlsock_send(const struct nlsock *sock, const void *bytes, size_t len);

#endif
