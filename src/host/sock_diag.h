/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_SOCK_DIAG_H
#define HOST_SOCK_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>
#include <tcpguard/event.h>

struct nlmsghdr;

/* States of sockets as the kernel numbers them: bits of a mask. */
#define SOCK_STATE(state) (1u << (state))

/* The longest request: header, question and a filter for the most ports. */
#define SOCK_DIAG_REQUEST_MAX 512
#define SOCK_DIAG_PORTS_MAX 16

/* Which TCP sockets of this network namespace to tell of. */
struct sock_diag_query {
	int family;      /* AF_INET or AF_INET6; IPv4 peers of dual-stack sockets are in the last */
	uint32_t states; /* SOCK_STATE bits */
	bool info;       /* tell when something last came and went */
	bool memory;     /* tell the size of the receive buffer */
	const struct tg_prefix *remote; /* of the peer; NULL: any */
	/* Of this side, if remote is NULL; 0 of them: any. SOCK_DIAG_PORTS_MAX at most. */
	const uint16_t *ports;
	size_t port_count;
};

/* What the kernel waits for with a socket, as it numbers it. */
enum sock_diag_timer {
	SOCK_TIMER_NONE,
	SOCK_TIMER_RETRANSMIT, /* an answer to what it has sent */
	SOCK_TIMER_KEEPALIVE,  /* the time to ask whether the peer is still there */
	SOCK_TIMER_TIME_WAIT,  /* the end of TIME_WAIT, and of FIN_WAIT2 without a process */
	SOCK_TIMER_PROBE       /* the peer to open its window */
};

struct sock_diag_socket {
	struct tg_addr local, remote;
	uint16_t local_port, remote_port; /* host byte order */
	uint8_t state;                    /* a request socket is SYN_RECV */
	uint8_t timer;                    /* enum sock_diag_timer, or what a later kernel adds */
	uint8_t retransmits;              /* of what the timer waits for */
	uint32_t timer_ms;                /* until it is over, if timer */
	uint32_t uid,
		inode; /* inode 0: no process has it; uid then is that of the listener or root */
	/* LISTEN: connections that wait to be accepted, and how many may. Others: bytes that the
	   process has not read, and bytes that the peer has not acknowledged. */
	uint32_t rqueue, wqueue;
	uint32_t cookie[2];      /* names it to the kernel for as long as it lives */
	uint32_t interface;      /* index, of a socket that is bound to one; 0: any */
	uint32_t receive_buffer; /* octets; 0: not told */
	bool accepted;           /* on a port that this host listens on; only sock_walk knows */
	bool info;               /* the rest is there: not for TIME_WAIT and request sockets */
	uint32_t received_ms;    /* since payload was last received */
	uint32_t sent_ms;        /* and sent */
	uint32_t heard_ms;       /* since the last acknowledgement came */
};

enum sock_diag_verdict {
	SOCK_DIAG_SOCKET,
	SOCK_DIAG_DONE,     /* the last of a dump */
	SOCK_DIAG_FAILED,   /* the kernel says no: *ret_error is a negative errno */
	SOCK_DIAG_MALFORMED /* cannot be from sock_diag */
};

/* A dump request into bytes, which are aligned for a netlink header. Its length. */
size_t sock_diag_encode(void *bytes, uint32_t seq, const struct sock_diag_query *query);
/* A question about one socket by its tuple. key is as conntrack has it: src is this side. */
size_t sock_diag_encode_one(void *bytes, uint32_t seq, const struct tg_flow_key *key);

/* The wish that the socket ended; the kernel answers when it cannot. */
size_t sock_diag_encode_destroy(void *bytes, uint32_t seq, const struct sock_diag_socket *socket);

/* One message of an answer. ret_socket is written for SOCK_DIAG_SOCKET only. */
enum sock_diag_verdict sock_diag_decode(const struct nlmsghdr *message,
					struct sock_diag_socket *ret_socket, int *ret_error);

#endif
