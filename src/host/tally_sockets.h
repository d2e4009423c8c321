/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_TALLY_SOCKETS_H
#define HOST_TALLY_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/addr.h>

/* One walk over this network namespace's TCP sockets, as the kernel tells of them. */

struct nlmsghdr;

struct tally_socket {
	struct tg_addr local, remote;
	uint16_t local_port, remote_port; /* host byte order */
	uint8_t state;                    /* TCP_ESTABLISHED and so on; TCP_SYN_RECV: a request */
	uint8_t timer;                    /* 0 none, 1 retransmission, 2 keepalive, 4 probes */
	uint32_t inode;                   /* 0: no process has it */
	uint32_t received, sent; /* queues in bytes; of a listener: in queue, and backlog */
	bool info;               /* the kernel told the times */
	uint32_t data_received_ms, data_sent_ms, ack_received_ms; /* since */
};

#define TALLY_STATE(state) (1u << (state))

/* Those of the states asked for, IPv4 first. 0 or -errno; what was found until then was told. */
int tally_sockets_walk(uint32_t states,
		       void (*found)(void *data, const struct tally_socket *socket), void *data);

/* One message of an answer; false: it is not of a socket. */
bool tally_sockets_decode(const struct nlmsghdr *message, struct tally_socket *ret_socket);

#endif
