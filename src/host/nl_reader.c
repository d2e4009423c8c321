/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the buffers of batched receiving, and the check that a datagram comes from the kernel and
 * holds whole messages. It does not know what the messages say. */
#include "host/nl_reader.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/util.h"

int nl_reader_init(struct nl_reader *reader, unsigned slots, size_t slot_size)
{
	*reader = (struct nl_reader){
		.headers = calloc(slots, sizeof(*reader->headers)),
		.vectors = calloc(slots, sizeof(*reader->vectors)),
		.senders = calloc(slots, sizeof(*reader->senders)),
		.bytes = calloc(slots, slot_size),
		.slots = slots,
	};
	if (!reader->headers || !reader->vectors || !reader->senders || !reader->bytes) {
		nl_reader_finish(reader);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < slots; i++) {
		reader->vectors[i] = (struct iovec){
			.iov_base = reader->bytes + i * slot_size,
			.iov_len = slot_size,
		};
		reader->headers[i].msg_hdr = (struct msghdr){
			.msg_name = &reader->senders[i],
			.msg_namelen = sizeof(reader->senders[i]),
			.msg_iov = &reader->vectors[i],
			.msg_iovlen = 1,
		};
	}
	return 0;
}

void nl_reader_finish(struct nl_reader *reader)
{
	free(reader->headers);
	free(reader->vectors);
	free(reader->senders);
	free(reader->bytes);
	*reader = (struct nl_reader){0};
}

int nl_reader_fill(struct nl_reader *reader, int fd, unsigned max)
{
	for (unsigned i = 0; i < reader->filled; i++)
		reader->headers[i].msg_hdr.msg_namelen = sizeof(reader->senders[i]);
	reader->filled = reader->next = 0;
	reader->offset = 0;
	int got = recvmmsg(fd, reader->headers, MIN(max, reader->slots), MSG_DONTWAIT, NULL);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	reader->filled = (unsigned)got;
	return got;
}

/* Looks at a datagram before its first message: is it the kernel's, and all of it? */
static bool datagram_is_good(struct nl_reader *reader)
{
	const struct msghdr *header = &reader->headers[reader->next].msg_hdr;
	const struct sockaddr_nl *sender = &reader->senders[reader->next];
	if (header->msg_namelen < sizeof(*sender) || sender->nl_family != AF_NETLINK ||
	    sender->nl_pid != 0) {
		reader->foreign++;
		return false;
	}
	if (header->msg_flags & MSG_TRUNC) {
		reader->malformed++;
		return false;
	}
	return true;
}

static void datagram_leave(struct nl_reader *reader)
{
	reader->next++;
	reader->offset = 0;
}

const struct nlmsghdr *nl_reader_next(struct nl_reader *reader)
{
	while (reader->next < reader->filled) {
		if (reader->offset == 0 && !datagram_is_good(reader)) {
			datagram_leave(reader);
			continue;
		}
		const size_t left = reader->headers[reader->next].msg_len - reader->offset;
		/* Slots are of malloc's alignment and offsets multiples of four. */
		const void *at =
			(const uint8_t *)reader->vectors[reader->next].iov_base + reader->offset;
		const struct nlmsghdr *message = at;
		if (left < sizeof(*message) || message->nlmsg_len < sizeof(*message) ||
		    message->nlmsg_len > left) {
			reader->malformed++;
			datagram_leave(reader);
			continue;
		}
		reader->offset += NLMSG_ALIGN(message->nlmsg_len);
		if (NLMSG_ALIGN(message->nlmsg_len) >= left)
			datagram_leave(reader);
		return message;
	}
	return NULL;
}
