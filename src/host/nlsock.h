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

/* Subscribes to a multicast group, and no longer. 0 or -errno. */
int nlsock_join(const struct nlsock *sock, unsigned group);
int nlsock_leave(const struct nlsock *sock, unsigned group);

/*
 * Asks for a receive buffer beyond the sysctl's maximum, and for what that allows if we may not.
 * *ret_granted is what the kernel made of it: it doubles what it is asked for.
 */
int nlsock_set_receive_buffer(const struct nlsock *sock, uint32_t bytes, uint32_t *ret_granted);

/*
 * A full buffer loses messages either way. With this it neither fails the next recv nor
 * shuts the socket until it is drained; nlsock_load tells how many it were.
 */
int nlsock_set_no_enobufs(const struct nlsock *sock);

/* How the receive buffer stands. */
struct nlsock_load {
	uint32_t drops;        /* messages that found no room since the socket was opened; wraps */
	uint32_t queued, size; /* bytes, as the kernel accounts for them */
};
int nlsock_load(const struct nlsock *sock, struct nlsock_load *ret_load);

/* To the kernel, all or nothing. */
int nlsock_send(const struct nlsock *sock, const void *bytes, size_t len);

#endif
