/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_SOCKETS_H
#define HOST_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "host/sock_diag.h"

/* ESTABLISHED to CLOSING: SYN_RECV stands for request sockets, too. */
#define SOCKETS_STATES 0xffeu

struct sockets_query {
	uint32_t states; /* SOCK_STATE bits; 0: all */
	bool info;   /* tell when something last came and went; costs the kernel as much again */
	bool memory; /* tell the size of the receive buffer */
	const struct tg_prefix *remote; /* of the peer; NULL: any. Listeners have none */
};

/*
 * Calls found for each TCP socket of this network namespace, listeners first. It is a walk and not
 * a picture: a socket that changes meanwhile may be missed or be told of twice. Needs no privilege.
 * 0 or -errno; what was found before an error has been told of.
 */
int sockets_walk(const struct sockets_query *query,
		 void (*found)(void *data, const struct sock_diag_socket *socket), void *data);

#endif
