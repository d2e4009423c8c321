/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the socket of a walk and its order: the listeners of IPv4, its sockets, then
 * the same of IPv6, among which are the IPv4 peers of dual-stack listeners. The kernel makes the
 * next piece of a dump while the last is received, so that reading little costs little.
 */
#include "netfilter/sock_walk.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "host/nl_reader.h"
#include "host/nlsock.h"

/* The kernel makes pieces of at most 32 KiB, as large as the reader's buffers. */
#define PIECE_SIZE 32768
#define PIECES 8

/* The dumps, in their order. */
enum stage { LISTEN_IPV4, SOCKETS_IPV4, LISTEN_IPV6, SOCKETS_IPV6 };

struct sock_walk {
	struct nlsock sock;
	struct nl_reader reader;
	struct sock_walk_params params;
	uint32_t seq;
	enum stage stage;             /* of the dump that is read */
	uint8_t listening[65536 / 8]; /* a bit for each local port */
};

static int walk_send(struct sock_walk *walk)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[SOCK_DIAG_REQUEST_MAX];
	const bool listen = walk->stage == LISTEN_IPV4 || walk->stage == LISTEN_IPV6;
	const struct sock_diag_query query = {
		.family = walk->stage < LISTEN_IPV6 ? AF_INET : AF_INET6,
		.states = listen ? SOCK_STATE(TCP_LISTEN) : walk->params.states,
		.info = !listen && walk->params.info,
		.remote = listen ? NULL : walk->params.remote,
		.ports = walk->params.ports,
		.port_count = walk->params.port_count,
	};
	size_t size = sock_diag_encode(bytes, ++walk->seq, &query);
	return nlsock_send(&walk->sock, bytes, size);
}

static int walk_open(struct sock_walk **ret_walk, unsigned pieces)
{
	struct sock_walk *walk = calloc(1, sizeof(*walk));
	if (!walk)
		return -ENOMEM;
	walk->sock = NLSOCK_CLOSED;
	int err = nl_reader_init(&walk->reader, pieces, PIECE_SIZE);
	if (!err)
		err = nlsock_open(NETLINK_SOCK_DIAG, &walk->sock);
	if (err) {
		sock_walk_end(walk);
		return err;
	}
	*ret_walk = walk;
	return 0;
}

int sock_walk_begin(const struct sock_walk_params *params, struct sock_walk **ret_walk)
{
	struct sock_walk *walk;
	int err = walk_open(&walk, PIECES);
	if (err)
		return err;
	walk->params = *params;
	walk->stage = params->ipv4 ? LISTEN_IPV4 : LISTEN_IPV6;
	err = walk_send(walk);
	if (err) {
		sock_walk_end(walk);
		return err;
	}
	*ret_walk = walk;
	return 0;
}

void sock_walk_end(struct sock_walk *walk)
{
	if (!walk)
		return;
	nlsock_close(&walk->sock);
	nl_reader_finish(&walk->reader);
	free(walk);
}

int sock_walk_fd(const struct sock_walk *walk)
{
	return walk->sock.fd;
}

/* 0: goes on; 1: complete; or -errno. */
static int dump_done(struct sock_walk *walk)
{
	if (walk->stage == SOCKETS_IPV6)
		return 1;
	walk->stage++;
	return walk_send(walk);
}

/* A connection that this host opened itself to a source proves nothing that was opened from there.
 */
static bool is_wanted(struct sock_walk *walk, struct sock_diag_socket *socket)
{
	uint8_t *byte = &walk->listening[socket->local_port / 8];
	const uint8_t bit = (uint8_t)(1u << socket->local_port % 8);
	if (socket->state == TCP_LISTEN) {
		*byte |= bit;
		return false;
	}
	socket->accepted = *byte & bit;
	return socket->accepted || walk->params.ours;
}

int sock_walk_read(struct sock_walk *walk,
		   void (*found)(void *data, const struct sock_diag_socket *socket), void *data)
{
	int error = nl_reader_fill(&walk->reader, walk->sock.fd, PIECES);
	const struct nlmsghdr *message;
	struct sock_diag_socket socket;
	if (error < 0)
		return error;
	while ((message = nl_reader_next(&walk->reader))) {
		if (message->nlmsg_seq != walk->seq)
			continue;
		switch (sock_diag_decode(message, &socket, &error)) {
		case SOCK_DIAG_SOCKET:
			if (is_wanted(walk, &socket))
				found(data, &socket);
			break;
		case SOCK_DIAG_DONE:
			error = dump_done(walk);
			if (error != 0)
				return error;
			break;
		case SOCK_DIAG_FAILED:
			/* A kernel that does without IPv6 has no such sockets. */
			if (error == -ENOENT && walk->stage >= LISTEN_IPV6)
				return 1;
			return error;
		case SOCK_DIAG_MALFORMED:
			return -EBADMSG;
		}
	}
	return walk->reader.malformed > 0 ? -EBADMSG : 0;
}

int sock_walk_find(const struct tg_flow_key *key, struct sock_diag_socket *ret_socket)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[SOCK_DIAG_REQUEST_MAX];
	struct sock_walk *walk;
	int err = walk_open(&walk, 1), error = -ENOENT;
	if (err)
		return err;
	err = nlsock_send(&walk->sock, bytes, sock_diag_encode_one(bytes, 1, key));
	/* The kernel answers within the send. */
	if (!err)
		err = nl_reader_fill(&walk->reader, walk->sock.fd, 1);
	const struct nlmsghdr *message = err > 0 ? nl_reader_next(&walk->reader) : NULL;
	if (message && sock_diag_decode(message, ret_socket, &error) == SOCK_DIAG_SOCKET)
		error = 0;
	sock_walk_end(walk);
	return err < 0 ? err : error;
}
