/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_SOCK_WALK_H
#define NETFILTER_SOCK_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "host/sock_diag.h"

/*
 * One walk over this host's TCP sockets on ports that it listens on: what others opened, if nothing
 * else is asked for. Read in
 * pieces as the kernel writes them: it holds up nobody. Owns its netlink socket, so that what an
 * abandoned walk left cannot be taken for the next one's answer.
 */
struct sock_walk;

struct sock_walk_params {
	uint32_t states; /* SOCK_STATE bits */
	bool ours;       /* also those that this host opened itself */
	bool ipv4, ipv6; /* peers to be told of; IPv4 costs a look at the IPv6 sockets as well */
	bool info;
	const struct tg_prefix *remote; /* NULL: any. Borrowed until the walk ends */
	/* Of this side, if remote is NULL; 0 of them: any. Borrowed as well. */
	const uint16_t *ports;
	size_t port_count;
};

/* 0 or -errno. */
int sock_walk_begin(const struct sock_walk_params *params, struct sock_walk **ret_walk);
void sock_walk_end(struct sock_walk *walk);
int sock_walk_fd(const struct sock_walk *walk);

/* A piece, some 2,000 sockets, when the descriptor is readable. 0: more is to come; 1: the walk is
   complete; or -errno: it cannot be completed. */
int sock_walk_read(struct sock_walk *walk,
		   void (*found)(void *data, const struct sock_diag_socket *socket), void *data);

/* The socket of one flow that this host opened; 0, -ENOENT, or another -errno. Waits for the
   kernel, which answers at once: some 20 us. */
int sock_walk_find(const struct tg_flow_key *key, struct sock_diag_socket *ret_socket);

#endif
