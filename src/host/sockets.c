/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the order of a walk over all TCP sockets of this host: its listeners, then the others. */
#include "host/sockets.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/util.h"
#include "host/netlink_dump.h"

struct walk {
	struct netlink_dump dump;
	void (*found)(void *data, const struct sock_diag_socket *socket);
	void *data;
};

static int read_message(void *data, const struct nlmsghdr *message)
{
	const struct walk *walk = data;
	struct sock_diag_socket socket;
	int error = 0;
	switch (sock_diag_decode(message, &socket, &error)) {
	case SOCK_DIAG_SOCKET:
		walk->found(walk->data, &socket);
		return 0;
	case SOCK_DIAG_DONE:
		return NETLINK_DUMP_END;
	case SOCK_DIAG_FAILED:
		return error;
	case SOCK_DIAG_MALFORMED:
		break;
	}
	return -EBADMSG;
}

static int walk_family(struct walk *walk, const struct sock_diag_query *query)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[SOCK_DIAG_REQUEST_MAX];
	if (query->states == 0)
		return 0;
	size_t size = sock_diag_encode(bytes, ++walk->dump.seq, query);
	int err = netlink_dump_run(&walk->dump, bytes, size, read_message, walk);
	/* A kernel that does without IPv6 has no such sockets. */
	return err == -ENOENT && query->family == AF_INET6 ? 0 : err;
}

static int walk_all(struct walk *walk, const struct sockets_query *query)
{
	static const int families[] = {AF_INET, AF_INET6};
	const uint32_t states = query->states ? query->states & SOCKETS_STATES : SOCKETS_STATES;
	const uint32_t parts[] = {query->remote ? 0 : states & SOCK_STATE(TCP_LISTEN),
				  states & ~SOCK_STATE(TCP_LISTEN)};
	int err = 0;
	for (unsigned part = 0; part < ARRAY_SIZE(parts); part++) {
		for (unsigned i = 0; i < ARRAY_SIZE(families) && !err; i++)
			err = walk_family(walk, &(struct sock_diag_query){
							.family = families[i],
							.states = parts[part],
							.info = query->info,
							.memory = query->memory,
							.remote = query->remote,
						});
	}
	return err;
}

int sockets_walk(const struct sockets_query *query,
		 void (*found)(void *data, const struct sock_diag_socket *socket), void *data)
{
	struct walk walk = {.found = found, .data = data};
	int err = netlink_dump_init(&walk.dump, NETLINK_SOCK_DIAG);
	if (!err)
		err = walk_all(&walk, query);
	netlink_dump_finish(&walk.dump);
	return err;
}
