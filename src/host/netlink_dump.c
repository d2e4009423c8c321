/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the waiting for a dump of the kernel's. What the messages say is the caller's. */
#include "host/netlink_dump.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>

/* The kernel writes pieces of at most 32 KiB, the next while the last is taken: so a system call
   seldom brings more than one. With room for a kernel that writes larger ones. */
#define PIECES 4
#define PIECE_SIZE 65536
/* The kernel makes a piece in well under a millisecond; one that falls silent has a fault. */
#define SILENCE_MS 10000

int netlink_dump_init(struct netlink_dump *dump, int protocol)
{
	*dump = (struct netlink_dump){.sock = NLSOCK_CLOSED};
	int err = nl_reader_init(&dump->reader, PIECES, PIECE_SIZE);
	return err ? err : nlsock_open(protocol, &dump->sock);
}

void netlink_dump_finish(struct netlink_dump *dump)
{
	nlsock_close(&dump->sock);
	nl_reader_finish(&dump->reader);
}

/* 0: the kernel has more; or what fn said to the last message that it saw. */
static int read_pieces(struct netlink_dump *dump, netlink_dump_fn *fn, void *data)
{
	const struct nlmsghdr *message;
	int result = nl_reader_fill(&dump->reader, dump->sock.fd, PIECES);
	if (result < 0)
		return result;
	while ((message = nl_reader_next(&dump->reader))) {
		if (message->nlmsg_seq != dump->seq)
			continue;
		result = fn(data, message);
		if (result != 0)
			return result;
	}
	return dump->reader.malformed > 0 ? -EBADMSG : 0;
}

int netlink_dump_run(struct netlink_dump *dump, const void *request, size_t size,
		     netlink_dump_fn *fn, void *data)
{
	struct pollfd pfd = {.fd = dump->sock.fd, .events = POLLIN};
	int result = nlsock_send(&dump->sock, request, size);
	while (result == 0) {
		result = read_pieces(dump, fn, data);
		if (result == 0 && dump->reader.filled == 0 && poll(&pfd, 1, SILENCE_MS) == 0)
			return -ETIMEDOUT;
	}
	return result > 0 ? 0 : result;
}
