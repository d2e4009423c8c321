/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the bytes of sock_diag: questions about TCP sockets and what the kernel answers. No socket
 * and no state. */
#include "host/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 question;
};

/* A program of one instruction for the kernel: the peer is of that prefix. */
static size_t put_filter(uint8_t *at, const struct tg_prefix *remote)
{
	const bool ipv4 = remote->addr.family == TG_IPV4;
	const size_t addr_size = ipv4 ? 4 : 16;
	struct inet_diag_hostcond cond;
	struct inet_diag_bc_op op = {.code = INET_DIAG_BC_D_COND};
	const size_t code = sizeof(op) + sizeof(cond) + addr_size;
	const struct nlattr attr = {.nla_len = (uint16_t)(sizeof(attr) + code),
				    .nla_type = INET_DIAG_REQ_BYTECODE};
	memset(&cond, 0, sizeof(cond)); /* its padding, too, goes to the kernel */
	cond.family = ipv4 ? AF_INET : AF_INET6;
	cond.prefix_len = remote->len;
	cond.port = -1;
	/* The end of the program accepts; a jump to four bytes beyond it does not. */
	op.yes = (uint8_t)code;
	op.no = (uint16_t)(code + 4);
	memcpy(at, &attr, sizeof(attr));
	memcpy(at + sizeof(attr), &op, sizeof(op));
	memcpy(at + sizeof(attr) + sizeof(op), &cond, sizeof(cond));
	memcpy(at + sizeof(attr) + sizeof(op) + sizeof(cond), remote->addr.bytes, addr_size);
	return attr.nla_len;
}

size_t sock_diag_encode(void *bytes, uint32_t seq, const struct sock_diag_query *query)
{
	struct request request = {
		.header =
			{
				.nlmsg_len = sizeof(request),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
				.nlmsg_seq = seq,
			},
		.question =
			{
				.sdiag_family = (uint8_t)query->family,
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_ext = query->info ? 1u << (INET_DIAG_INFO - 1) : 0,
				.idiag_states = query->states,
			},
	};
	if (query->remote)
		request.header.nlmsg_len +=
			(uint32_t)put_filter((uint8_t *)bytes + sizeof(request), query->remote);
	memcpy(bytes, &request, sizeof(request));
	return request.header.nlmsg_len;
}

size_t sock_diag_encode_one(void *bytes, uint32_t seq, const struct tg_flow_key *key)
{
	struct request request = {
		.header =
			{
				.nlmsg_len = sizeof(request),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST,
				.nlmsg_seq = seq,
			},
		.question =
			{
				.sdiag_family = key->family == TG_IPV4 ? AF_INET : AF_INET6,
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_states = UINT32_MAX,
				.id =
					{
						.idiag_sport = htons(key->sport),
						.idiag_dport = htons(key->dport),
						.idiag_cookie = {INET_DIAG_NOCOOKIE,
								 INET_DIAG_NOCOOKIE},
					},
			},
	};
	memcpy(request.question.id.idiag_src, key->src, sizeof(key->src));
	memcpy(request.question.id.idiag_dst, key->dst, sizeof(key->dst));
	memcpy(bytes, &request, sizeof(request));
	return sizeof(request);
}

/* When something last came and went, out of tcp_info; an old kernel has a shorter one. */
static void read_info(const uint8_t *info, size_t size, struct sock_diag_socket *socket)
{
	struct tcp_info tcp;
	const size_t needed =
		offsetof(struct tcp_info, tcpi_last_ack_recv) + sizeof(tcp.tcpi_last_ack_recv);
	if (size < needed)
		return;
	memcpy(&tcp, info, needed);
	socket->info = true;
	socket->received_ms = tcp.tcpi_last_data_recv;
	socket->sent_ms = tcp.tcpi_last_data_sent;
	socket->heard_ms = tcp.tcpi_last_ack_recv;
}

/* Whether the attributes are whole; without tcp_info among them info stays false. */
static bool decode_attrs(const uint8_t *at, size_t left, struct sock_diag_socket *socket)
{
	struct nlattr attr;
	while (left >= sizeof(attr)) {
		memcpy(&attr, at, sizeof(attr));
		if (attr.nla_len < sizeof(attr) || attr.nla_len > left)
			return false;
		/* TIME_WAIT and request sockets have none. */
		if ((attr.nla_type & NLA_TYPE_MASK) == INET_DIAG_INFO)
			read_info(at + NLA_HDRLEN, attr.nla_len - NLA_HDRLEN, socket);
		const size_t step = MIN((size_t)NLA_ALIGN(attr.nla_len), left);
		at += step;
		left -= step;
	}
	return left == 0;
}

enum sock_diag_verdict sock_diag_decode(const struct nlmsghdr *message,
					struct sock_diag_socket *ret_socket, int *ret_error)
{
	struct inet_diag_msg diag;
	const uint8_t *payload = (const uint8_t *)message + NLMSG_HDRLEN;
	int error = 0;
	if (message->nlmsg_len < NLMSG_HDRLEN)
		return SOCK_DIAG_MALFORMED;
	const size_t size = message->nlmsg_len - NLMSG_HDRLEN;
	if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
		if (size >= sizeof(error))
			memcpy(&error, payload, sizeof(error));
		else if (message->nlmsg_type == NLMSG_ERROR)
			return SOCK_DIAG_MALFORMED;
		if (error >= 0)
			return SOCK_DIAG_DONE;
		*ret_error = error;
		return SOCK_DIAG_FAILED;
	}
	if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || size < sizeof(diag))
		return SOCK_DIAG_MALFORMED;
	memcpy(&diag, payload, sizeof(diag));
	if (diag.idiag_family != AF_INET && diag.idiag_family != AF_INET6)
		return SOCK_DIAG_MALFORMED;
	const bool ipv4 = diag.idiag_family == AF_INET;
	struct sock_diag_socket socket = {
		.local = ipv4 ? tg_addr_from_ipv4(diag.id.idiag_src)
			      : tg_addr_from_ipv6(diag.id.idiag_src),
		.remote = ipv4 ? tg_addr_from_ipv4(diag.id.idiag_dst)
			       : tg_addr_from_ipv6(diag.id.idiag_dst),
		.local_port = ntohs(diag.id.idiag_sport),
		.remote_port = ntohs(diag.id.idiag_dport),
		.state = diag.idiag_state,
		.timer = diag.idiag_timer,
		.retransmits = diag.idiag_retrans,
		.timer_ms = diag.idiag_expires,
		.uid = diag.idiag_uid,
		.inode = diag.idiag_inode,
		.rqueue = diag.idiag_rqueue,
		.wqueue = diag.idiag_wqueue,
		.interface = diag.id.idiag_if,
	};
	if (!decode_attrs(payload + sizeof(diag), size - sizeof(diag), &socket))
		return SOCK_DIAG_MALFORMED;
	*ret_socket = socket;
	return SOCK_DIAG_SOCKET;
}
