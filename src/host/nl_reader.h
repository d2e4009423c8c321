/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_NL_READER_H
#define HOST_NL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;
struct mmsghdr;
struct nlmsghdr;
struct sockaddr_nl;

/*
 * Datagrams received in batches and taken apart message by message. A batch may be
 * read in several goes, so that a caller with a full array stops anywhere.
 */
struct nl_reader {
	struct mmsghdr *headers;
	struct iovec *vectors;
	struct sockaddr_nl *senders;
	uint8_t *bytes;
	unsigned slots;
	unsigned filled, next; /* datagrams received; the one being read */
	size_t offset;         /* of the next message in it */
	uint64_t foreign;      /* datagrams that another process sent, not the kernel */
	uint64_t malformed;    /* datagrams cut off, or with a length that cannot be */
};

/* 0 or -ENOMEM. */
int nl_reader_init(struct nl_reader *reader, unsigned slots, size_t slot_size);
/* Accepts one that is zeroed. */
void nl_reader_finish(struct nl_reader *reader);

/*
 * Receives at most max datagrams, when the last batch has been read or is of no interest
 * any more. Their number, 0 when none waits, or -errno. Less than max means that the socket
 * was empty then.
 */
int nl_reader_fill(struct nl_reader *reader, int fd, unsigned max);

/* The next whole message of the kernel's, valid until the next fill; NULL at the end of the batch.
 */
const struct nlmsghdr *nl_reader_next(struct nl_reader *reader);

static inline bool nl_reader_is_empty(const struct nl_reader *reader)
{
	return reader->next == reader->filled;
}

#endif
