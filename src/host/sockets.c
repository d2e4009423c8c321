/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns a walk over all TCP sockets of this host in one go, for a program that does nothing
 * else meanwhile. The kernel writes pieces of at most 32 KiB, the next while the last is taken.
 */
#include "host/sockets.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "host/nl_reader.h"
#include "host/nlsock.h"

/* Pieces that one system call may bring, each with room for a kernel that writes larger ones. */
#define PIECES 4
#define PIECE_SIZE 65536
/* The kernel makes a piece in well under a millisecond; a listing that stops is a fault. */
#define SILENCE_MS 10000

struct walk {
	struct nlsock sock;
	struct nl_reader reader;
	uint32_t seq;
	void (*found)(void *data, const struct sock_diag_socket *socket);
	void *data;
};

/* 0: the kernel has more; 1: that was all; or -errno. */
static int read_pieces(struct walk *walk)
{
	struct sock_diag_socket socket;
	const struct nlmsghdr *message;
	int error = nl_reader_fill(&walk->reader, walk->sock.fd, PIECES);
	if (error < 0)
		return error;
	while ((message = nl_reader_next(&walk->reader))) {
		if (message->nlmsg_seq != walk->seq)
			continue;
		switch (sock_diag_decode(message, &socket, &error)) {
		case SOCK_DIAG_SOCKET:
			walk->found(walk->data, &socket);
			break;
		case SOCK_DIAG_DONE:
			return 1;
		case SOCK_DIAG_FAILED:
			return error;
		case SOCK_DIAG_MALFORMED:
			return -EBADMSG;
		}
	}
	return walk->reader.malformed > 0 ? -EBADMSG : 0;
}

static int walk_dump(struct walk *walk, const struct sock_diag_query *query)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[SOCK_DIAG_REQUEST_MAX];
	int result = nlsock_send(&walk->sock, bytes, sock_diag_encode(bytes, ++walk->seq, query));
	while (result == 0) {
		struct pollfd pfd = {.fd = walk->sock.fd, .events = POLLIN};
		result = read_pieces(walk);
		if (result == 0 && walk->reader.filled == 0 && poll(&pfd, 1, SILENCE_MS) == 0)
			return -ETIMEDOUT;
	}
	/* A kernel that does without IPv6 has no such sockets. */
	if (result == -ENOENT && query->family == AF_INET6)
		return 0;
	return result > 0 ? 0 : result;
}

static int walk_all(struct walk *walk, const struct sockets_query *query)
{
	static const int families[] = {AF_INET, AF_INET6};
	const uint32_t states = query->states ? query->states & SOCKETS_STATES : SOCKETS_STATES;
	const uint32_t listen = SOCK_STATE(TCP_LISTEN);
	int error = 0;
	for (unsigned i = 0; i < 4 && error == 0; i++) {
		const bool listeners = i < 2;
		const struct sock_diag_query dump = {
			.family = families[i % 2],
			.states = listeners ? states & listen : states & ~listen,
			.info = query->info,
			.remote = query->remote,
		};
		if (dump.states != 0 && !(listeners && query->remote))
			error = walk_dump(walk, &dump);
	}
	return error;
}

int sockets_walk(const struct sockets_query *query,
		 void (*found)(void *data, const struct sock_diag_socket *socket), void *data)
{
	struct walk walk = {.sock = NLSOCK_CLOSED, .found = found, .data = data};
	int error = nl_reader_init(&walk.reader, PIECES, PIECE_SIZE);
	if (!error)
		error = nlsock_open(NETLINK_SOCK_DIAG, &walk.sock);
	if (!error)
		error = walk_all(&walk, query);
	nlsock_close(&walk.sock);
	nl_reader_finish(&walk.reader);
	return error;
}
