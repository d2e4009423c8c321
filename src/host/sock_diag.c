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
#include "host/nl_attrs.h"

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

/* A comparison takes two instructions, the second of which holds the port. */
static size_t put_port_op(uint8_t *at, uint8_t code, size_t no, uint16_t port)
{
	const struct inet_diag_bc_op ops[2] = {
		{.code = code, .yes = sizeof(ops), .no = (uint16_t)no},
		{.no = port},
	};
	memcpy(at, ops, sizeof(ops));
	return sizeof(ops);
}

/*
 * The local port is one of these: from p to p, or the next one. What is behind the program's end
 * by four bytes says no, the end itself yes.
 */
static size_t put_ports(uint8_t *at, const uint16_t *ports, size_t count)
{
	const size_t one = 5 * sizeof(struct inet_diag_bc_op), code = count * one;
	const struct nlattr attr = {.nla_len = (uint16_t)(sizeof(attr) + code),
				    .nla_type = INET_DIAG_REQ_BYTECODE};
	memcpy(at, &attr, sizeof(attr));
	at += sizeof(attr);
	for (size_t i = 0; i < count; i++) {
		const size_t left = code - i * one; /* to the end, from this port's part */
		const size_t next = i + 1 < count ? one : left + 4;
		struct inet_diag_bc_op accept = {.code = INET_DIAG_BC_JMP,
						 .yes = sizeof(accept),
						 .no = (uint16_t)(left - 16)};
		at += put_port_op(at, INET_DIAG_BC_S_GE, next, ports[i]);
		at += put_port_op(at, INET_DIAG_BC_S_LE, next - 8, ports[i]);
		memcpy(at, &accept, sizeof(accept));
		at += sizeof(accept);
	}
	return attr.nla_len;
}

#define EXTENSION(attribute) (1u << ((attribute)-1))

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
				.idiag_ext =
					(uint8_t)((query->info ? EXTENSION(INET_DIAG_INFO) : 0) |
						  (query->memory ? EXTENSION(INET_DIAG_SKMEMINFO)
								 : 0)),
				.idiag_states = query->states,
			},
	};
	if (query->remote)
		request.header.nlmsg_len +=
			(uint32_t)put_filter((uint8_t *)bytes + sizeof(request), query->remote);
	else if (query->port_count > 0)
		request.header.nlmsg_len += (uint32_t)put_ports((uint8_t *)bytes + sizeof(request),
								query->ports, query->port_count);
	memcpy(bytes, &request, sizeof(request));
	return request.header.nlmsg_len;
}

/* About one socket: addresses and ports in the order of inet_diag, this side first. */
static struct request about_one(uint32_t seq, enum tg_family family, const uint8_t local[16],
				uint16_t local_port, const uint8_t remote[16], uint16_t remote_port)
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
				.sdiag_family = family == TG_IPV4 ? AF_INET : AF_INET6,
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_states = UINT32_MAX,
				.id =
					{
						.idiag_sport = htons(local_port),
						.idiag_dport = htons(remote_port),
						.idiag_cookie = {INET_DIAG_NOCOOKIE,
								 INET_DIAG_NOCOOKIE},
					},
			},
	};
	memcpy(request.question.id.idiag_src, local, 16);
	memcpy(request.question.id.idiag_dst, remote, 16);
	return request;
}

size_t sock_diag_encode_one(void *bytes, uint32_t seq, const struct tg_flow_key *key)
{
	const struct request request = about_one(seq, (enum tg_family)key->family, key->src,
						 key->sport, key->dst, key->dport);
	memcpy(bytes, &request, sizeof(request));
	return sizeof(request);
}

size_t sock_diag_encode_destroy(void *bytes, uint32_t seq, const struct sock_diag_socket *socket)
{
	struct request request =
		about_one(seq, (enum tg_family)socket->remote.family, socket->local.bytes,
			  socket->local_port, socket->remote.bytes, socket->remote_port);
	request.header.nlmsg_type = SOCK_DESTROY;
	/* A socket that took the place of this one meanwhile is another's. */
	memcpy(request.question.id.idiag_cookie, socket->cookie, sizeof(socket->cookie));
	request.question.id.idiag_if = socket->interface;
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
	struct nl_attr attr;
	while (nl_attr_next(&at, &left, &attr)) {
		/* TIME_WAIT and request sockets have none. */
		if (attr.type == INET_DIAG_INFO)
			read_info(attr.value, attr.size, socket);
		if (attr.type == INET_DIAG_SKMEMINFO &&
		    attr.size >= (SK_MEMINFO_RCVBUF + 1) * sizeof(uint32_t))
			memcpy(&socket->receive_buffer,
			       attr.value + SK_MEMINFO_RCVBUF * sizeof(uint32_t),
			       sizeof(socket->receive_buffer));
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
		.cookie = {diag.id.idiag_cookie[0], diag.id.idiag_cookie[1]},
		.interface = diag.id.idiag_if,
	};
	if (!decode_attrs(payload + sizeof(diag), size - sizeof(diag), &socket))
		return SOCK_DIAG_MALFORMED;
	*ret_socket = socket;
	return SOCK_DIAG_SOCKET;
}
