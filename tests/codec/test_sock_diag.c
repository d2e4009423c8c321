/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to sock_diag byte for byte, and its answers: whole, cut and damaged. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/util.h"
#include "host/sock_diag.h"
#include "test.h"

#define MESSAGE_MAX 1024

/* An answer about one socket; with what tcp_info says of the last payload, or without. */
static size_t answer(void *buf, int family, const void *remote, bool info, uint32_t received_ms)
{
	const struct inet_diag_msg diag = {
		.idiag_family = (uint8_t)family,
		.idiag_state = 1,
		.idiag_uid = 33,
		.idiag_inode = 4711,
		.idiag_timer = SOCK_TIMER_KEEPALIVE,
		.idiag_retrans = 3,
		.idiag_expires = 7000,
		.idiag_rqueue = 17,
		.idiag_wqueue = 1400,
		.id = {.idiag_sport = htons(443), .idiag_dport = htons(50000)},
	};
	const struct nlattr attr = {.nla_len = NLA_HDRLEN + sizeof(struct tcp_info),
				    .nla_type = INET_DIAG_INFO};
	const struct tcp_info tcp = {.tcpi_last_data_recv = received_ms,
				     .tcpi_last_data_sent = received_ms + 1,
				     .tcpi_last_ack_recv = received_ms + 2};
	const struct nlmsghdr header = {
		.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(diag)) + (info ? attr.nla_len : 0)),
		.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlmsg_flags = NLM_F_MULTI,
	};
	uint8_t *at = buf;
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), &diag, sizeof(diag));
	memcpy(at + sizeof(header) + offsetof(struct inet_diag_msg, id.idiag_dst), remote,
	       family == AF_INET ? 4 : 16);
	at += NLMSG_LENGTH(sizeof(diag));
	if (info) {
		memcpy(at, &attr, sizeof(attr));
		memcpy(at + NLA_HDRLEN, &tcp, sizeof(tcp));
	}
	return header.nlmsg_len;
}

static struct tg_prefix prefix(const char *text)
{
	struct tg_prefix parsed = {0};
	CHECK(!tg_prefix_parse(text, &parsed));
	return parsed;
}

TEST(a_walk_asks_for_states)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[SOCK_DIAG_REQUEST_MAX];
	const struct sock_diag_query query = {.family = AF_INET, .states = 0x0d72};
	CHECK_U64(sock_diag_encode(bytes, 7, &query), 72);
	/* Length, type 20, REQUEST|DUMP, sequence; then family, protocol, extensions, states. */
	static const uint8_t want[] = {72, 0, 0, 0, 20, 0, 1, 3, 7,    0,    0, 0,
				       0,  0, 0, 0, 2,  6, 0, 0, 0x72, 0x0d, 0, 0};
	CHECK(memcmp(bytes, want, sizeof(want)) == 0);
}

TEST(one_source_is_filtered_by_the_kernel)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[SOCK_DIAG_REQUEST_MAX];
	const struct tg_prefix source = prefix("198.51.100.0/24");
	struct sock_diag_query query = {
		.family = AF_INET6, .states = 2, .info = true, .remote = &source};
	CHECK_U64(sock_diag_encode(bytes, 1, &query), 72 + 20);
	CHECK_U64(bytes[18], 2); /* tcp_info wanted */
	/* Attribute; D_COND, yes to the end, no to beyond it; AF_INET, /24, any port; the address.
	 */
	static const uint8_t want[] = {20, 0, 1,    0,    8,    16,   20,  0,  2,   24,
				       0,  0, 0xff, 0xff, 0xff, 0xff, 198, 51, 100, 0};
	CHECK(memcmp(bytes + 72, want, sizeof(want)) == 0);
	const struct tg_prefix wide = prefix("2001:db8::/64");
	query.remote = &wide;
	CHECK_U64(sock_diag_encode(bytes, 1, &query), 72 + 32);
	CHECK_U64(bytes[72 + 4 + 1], 28);
	CHECK_U64(bytes[72 + 4 + 2], 32);
}

TEST(answers_are_read)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[MESSAGE_MAX];
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
	struct sock_diag_socket socket;
	int error = 0;
	char text[TG_ADDR_STRLEN];
	answer(bytes, AF_INET, mapped + 12, false, 0);
	CHECK(sock_diag_decode((void *)bytes, &socket, &error) == SOCK_DIAG_SOCKET);
	CHECK_STR(tg_addr_format(&socket.remote, text), "192.0.2.1");
	CHECK(socket.local_port == 443 && socket.remote_port == 50000 && socket.state == 1);
	CHECK(socket.uid == 33 && socket.inode == 4711 && !socket.info);
	CHECK(socket.timer == SOCK_TIMER_KEEPALIVE && socket.timer_ms == 7000);
	CHECK(socket.retransmits == 3 && socket.rqueue == 17 && socket.wqueue == 1400);
	/* An IPv4 peer of a dual-stack listener is IPv4. */
	answer(bytes, AF_INET6, mapped, true, 61000);
	CHECK(sock_diag_decode((void *)bytes, &socket, &error) == SOCK_DIAG_SOCKET);
	CHECK_STR(tg_addr_format(&socket.remote, text), "192.0.2.1");
	CHECK(socket.info && socket.received_ms == 61000);
	CHECK(socket.sent_ms == 61001 && socket.heard_ms == 61002);
}

TEST(ends_and_errors)
{
	struct {
		struct nlmsghdr header;
		int error;
	} message = {.header = {.nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_DONE}};
	struct sock_diag_socket socket;
	int error = 0;
	CHECK(sock_diag_decode(&message.header, &socket, &error) == SOCK_DIAG_DONE);
	message.header.nlmsg_type = NLMSG_ERROR;
	message.error = -ENOENT;
	CHECK(sock_diag_decode(&message.header, &socket, &error) == SOCK_DIAG_FAILED);
	CHECK(error == -ENOENT);
	message.header.nlmsg_len = NLMSG_HDRLEN;
	CHECK(sock_diag_decode(&message.header, &socket, &error) == SOCK_DIAG_MALFORMED);
}

/* In a block of exactly its size, so that a sanitizer sees a read beyond it. */
TEST(cut_answers)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[MESSAGE_MAX];
	static const uint8_t remote[16] = {0x20, 1};
	struct sock_diag_socket socket;
	int error = 0;
	size_t size = answer(bytes, AF_INET6, remote, true, 5);
	for (size_t len = NLMSG_HDRLEN; len < size; len++) {
		struct nlmsghdr *copy = malloc(len);
		CHECK(copy);
		if (!copy)
			return;
		memcpy(copy, bytes, len);
		copy->nlmsg_len = (uint32_t)len;
		const bool whole = len == NLMSG_LENGTH(sizeof(struct inet_diag_msg));
		CHECK(sock_diag_decode(copy, &socket, &error) ==
		      (whole ? SOCK_DIAG_SOCKET : SOCK_DIAG_MALFORMED));
		free(copy);
	}
}

int main(void)
{
	RUN(a_walk_asks_for_states);
	RUN(one_source_is_filtered_by_the_kernel);
	RUN(answers_are_read);
	RUN(ends_and_errors);
	RUN(cut_answers);
	return DONE();
}
