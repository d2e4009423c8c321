/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the netlink socket of a walk and the bytes of its questions and answers. */
#include "host/tally_sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

/* The kernel makes pieces of at most 32 KiB. */
#define PIECE_SIZE 32768
/* It answers at once; this is for one that never does. */
#define PATIENCE_MS 10000

struct walk {
	void (*found)(void *data, const struct tally_socket *socket);
	void *data;
};

static void read_info(const uint8_t *at, size_t size, struct tally_socket *socket)
{
	struct tcp_info info;
	memset(&info, 0, sizeof(info));
	/* An old kernel's is shorter, and one without the times is none to us. */
	if (size < offsetof(struct tcp_info, tcpi_last_ack_recv) + sizeof(info.tcpi_last_ack_recv))
		return;
	memcpy(&info, at, MIN(size, sizeof(info)));
	socket->info = true;
	socket->data_received_ms = info.tcpi_last_data_recv;
	socket->data_sent_ms = info.tcpi_last_data_sent;
	socket->ack_received_ms = info.tcpi_last_ack_recv;
}

static bool read_attributes(const uint8_t *at, size_t left, struct tally_socket *socket)
{
	struct nlattr attr;
	while (left >= sizeof(attr)) {
		memcpy(&attr, at, sizeof(attr));
		if (attr.nla_len < sizeof(attr) || attr.nla_len > left)
			return false;
		if ((attr.nla_type & NLA_TYPE_MASK) == INET_DIAG_INFO)
			read_info(at + NLA_HDRLEN, attr.nla_len - NLA_HDRLEN, socket);
		const size_t step = MIN((size_t)NLA_ALIGN(attr.nla_len), left);
		at += step;
		left -= step;
	}
	return left == 0;
}

bool tally_sockets_decode(const struct nlmsghdr *message, struct tally_socket *ret_socket)
{
	struct inet_diag_msg diag;
	const uint8_t *payload = (const uint8_t *)message + NLMSG_HDRLEN;
	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    message->nlmsg_len < NLMSG_HDRLEN + sizeof(diag))
		return false;
	memcpy(&diag, payload, sizeof(diag));
	if (diag.idiag_family != AF_INET && diag.idiag_family != AF_INET6)
		return false;
	const bool ipv4 = diag.idiag_family == AF_INET;
	struct tally_socket socket = {
		.local = ipv4 ? tg_addr_from_ipv4(diag.id.idiag_src)
			      : tg_addr_from_ipv6(diag.id.idiag_src),
		.remote = ipv4 ? tg_addr_from_ipv4(diag.id.idiag_dst)
			       : tg_addr_from_ipv6(diag.id.idiag_dst),
		.local_port = ntohs(diag.id.idiag_sport),
		.remote_port = ntohs(diag.id.idiag_dport),
		.state = diag.idiag_state,
		.timer = diag.idiag_timer,
		.inode = diag.idiag_inode,
		.received = diag.idiag_rqueue,
		.sent = diag.idiag_wqueue,
	};
	if (!read_attributes(payload + sizeof(diag),
			     message->nlmsg_len - NLMSG_HDRLEN - sizeof(diag), &socket))
		return false;
	*ret_socket = socket;
	return true;
}

static int ask(int fd, int family, uint32_t states)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 question;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.question = {.sdiag_family = (uint8_t)family,
			     .sdiag_protocol = IPPROTO_TCP,
			     .idiag_ext = 1u << (INET_DIAG_INFO - 1),
			     .idiag_states = states},
	};
	return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

static int receive(int fd, uint8_t *bytes, size_t size, size_t *ret_len)
{
	for (;;) {
		ssize_t len = recv(fd, bytes, size, 0);
		if (len >= 0) {
			*ret_len = (size_t)len;
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		if (errno == EAGAIN && poll(&poll_fd, 1, PATIENCE_MS) == 0)
			return -ETIMEDOUT;
	}
}

/* 0: more is to come; 1: that was the end; or -errno. */
static int read_piece(const struct walk *walk, const uint8_t *bytes, size_t left)
{
	while (left >= NLMSG_HDRLEN) {
		const struct nlmsghdr *message = (const void *)bytes;
		struct tally_socket socket;
		int error = 0;
		if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len > left)
			return -EBADMSG;
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
			if (message->nlmsg_len >= NLMSG_HDRLEN + sizeof(error))
				memcpy(&error, bytes + NLMSG_HDRLEN, sizeof(error));
			return error < 0 ? error : 1;
		}
		if (tally_sockets_decode(message, &socket))
			walk->found(walk->data, &socket);
		const size_t step = MIN((size_t)NLMSG_ALIGN(message->nlmsg_len), left);
		bytes += step;
		left -= step;
	}
	return 0;
}

static int walk_family(int fd, int family, uint32_t states, const struct walk *walk)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[PIECE_SIZE];
	size_t len = 0;
	int err = ask(fd, family, states);
	while (!err) {
		err = receive(fd, bytes, sizeof(bytes), &len);
		if (!err)
			err = read_piece(walk, bytes, len);
	}
	return err < 0 ? err : 0;
}

int tally_sockets_walk(uint32_t states,
		       void (*found)(void *data, const struct tally_socket *socket), void *data)
{
	const struct walk walk = {.found = found, .data = data};
	_cleanup_close_ int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return -errno;
	int err = walk_family(fd, AF_INET, states, &walk);
	if (!err)
		err = walk_family(fd, AF_INET6, states, &walk);
	return err == -ENOENT ? 0 : err; /* a kernel without IPv6 has none of its sockets */
}
