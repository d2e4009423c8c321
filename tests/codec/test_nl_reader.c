/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams as a kernel would send them and as it never would, put where recvmmsg leaves them. */
#include <linux/netlink.h>
#include <sys/socket.h>

#include "host/nl_reader.h"
#include "test.h"

#define SLOT 256

static struct nl_reader reader;

/* Room for a datagram from the given port, of messages with these lengths. */
static void put(uint32_t portid, const uint32_t *lengths, size_t count)
{
	const unsigned slot = reader.filled++;
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		const struct nlmsghdr message = {.nlmsg_len = lengths[i], .nlmsg_seq = (uint32_t)i};
		memcpy(reader.bytes + slot * SLOT + at, &message, sizeof(message));
		at += NLMSG_ALIGN(lengths[i]);
	}
	reader.senders[slot] = (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = portid};
	reader.headers[slot].msg_len = (unsigned)at;
	reader.headers[slot].msg_hdr.msg_flags = 0;
}

static unsigned drain(void)
{
	unsigned count = 0;
	while (nl_reader_next(&reader))
		count++;
	CHECK(nl_reader_is_empty(&reader));
	return count;
}

static void begin(void)
{
	CHECK(nl_reader_init(&reader, 4, SLOT) == 0);
}

static void finish(unsigned messages, unsigned foreign, unsigned malformed)
{
	CHECK_U64(drain(), messages);
	CHECK_U64(reader.foreign, foreign);
	CHECK_U64(reader.malformed, malformed);
	nl_reader_finish(&reader);
}

TEST(several_messages_in_one)
{
	begin();
	put(0, (const uint32_t[]){16, 33, 20}, 3);
	put(0, (const uint32_t[]){100}, 1);
	const struct nlmsghdr *message = nl_reader_next(&reader);
	CHECK(message && message->nlmsg_len == 16);
	message = nl_reader_next(&reader);
	CHECK(message && message->nlmsg_len == 33);
	CHECK(!nl_reader_is_empty(&reader));
	finish(2, 0, 0);
}

TEST(last_without_padding)
{
	begin();
	put(0, (const uint32_t[]){17}, 1);
	reader.headers[0].msg_len = 17;
	finish(1, 0, 0);
}

TEST(not_the_kernel)
{
	begin();
	put(77, (const uint32_t[]){16, 16}, 2);
	put(0, (const uint32_t[]){16}, 1);
	put(0, (const uint32_t[]){16}, 1);
	reader.headers[2].msg_hdr.msg_namelen = 2;
	finish(1, 2, 0);
}

TEST(cut_off)
{
	begin();
	put(0, (const uint32_t[]){16}, 1);
	reader.headers[0].msg_hdr.msg_flags = MSG_TRUNC;
	put(0, (const uint32_t[]){16}, 1);
	finish(1, 0, 1);
}

TEST(lengths_that_lie)
{
	begin();
	put(0, (const uint32_t[]){16, 64}, 2);
	reader.headers[0].msg_len = 40; /* the second is not whole */
	put(0, (const uint32_t[]){16}, 1);
	((struct nlmsghdr *)(void *)(reader.bytes + SLOT))->nlmsg_len = 3;
	put(0, (const uint32_t[]){16}, 1);
	reader.headers[2].msg_len = 0;
	put(0, (const uint32_t[]){16}, 1);
	((struct nlmsghdr *)(void *)(reader.bytes + 3 * SLOT))->nlmsg_len = UINT32_MAX;
	finish(1, 0, 4);
}

int main(void)
{
	RUN(several_messages_in_one);
	RUN(last_without_padding);
	RUN(not_the_kernel);
	RUN(cut_off);
	RUN(lengths_that_lie);
	return DONE();
}
