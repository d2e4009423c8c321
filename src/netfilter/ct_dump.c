/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the socket of a dump and when one has to be given up. All families and
 * protocols are asked for, and what is not TCP is thrown away here: the kernel's own
 * filter costs a walk for each family and is wrong for IPv6 addresses in some
 * kernels.
 */
#include "netfilter/ct_dump.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel writes parts as large as our buffer, but not beyond 32 KiB. */
#define PART_SIZE 32768
/* The kernel writes the next part while we take the last; a second of silence is a fault. */
#define SILENCE TG_SEC

int ct_dump_init(struct ct_dump *dump)
{
	*dump = (struct ct_dump){.sock = NLSOCK_CLOSED};
	return nl_reader_init(&dump->reader, 1, PART_SIZE);
}

void ct_dump_finish(struct ct_dump *dump)
{
	nlsock_close(&dump->sock);
	nl_reader_finish(&dump->reader);
}

/* Of CTA_FILTER: which parts of the tuple are compared. The kernel keeps the names to itself. */
#define FILTER_IP_SRC (1u << 0)
#define FILTER_PROTO_NUM (1u << 3)
#define FILTER_DST_PORT (1u << 5)

static void put_filter(struct nlmsghdr *header, const struct ct_dump_filter *filter)
{
	uint32_t flags = FILTER_PROTO_NUM;
	struct nlattr *tuple = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
	if (filter->source->family == TG_IPV4) {
		struct nlattr *ip = mnl_attr_nest_start(header, CTA_TUPLE_IP);
		mnl_attr_put(header, CTA_IP_V4_SRC, 4, filter->source->bytes);
		mnl_attr_nest_end(header, ip);
		flags |= FILTER_IP_SRC;
	}
	struct nlattr *proto = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(header, CTA_PROTO_NUM, IPPROTO_TCP);
	if (filter->port != 0) {
		mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(filter->port));
		flags |= FILTER_DST_PORT;
	}
	mnl_attr_nest_end(header, proto);
	mnl_attr_nest_end(header, tuple);
	struct nlattr *nest = mnl_attr_nest_start(header, CTA_FILTER);
	mnl_attr_put_u32(header, CTA_FILTER_ORIG_FLAGS, flags);
	mnl_attr_nest_end(header, nest);
}

int ct_dump_begin(struct ct_dump *dump, tg_time now, const struct ct_dump_filter *filter)
{
	_Alignas(struct nlmsghdr) uint8_t bytes[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
	request->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = ++dump->seq;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(request, sizeof(*generic));
	*generic = (struct nfgenmsg){.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};
	if (filter && filter->source) {
		generic->nfgen_family = filter->source->family == TG_IPV4 ? AF_INET : AF_INET6;
		put_filter(request, filter);
	}
	int error = nlsock_open(NETLINK_NETFILTER, &dump->sock);
	if (error < 0)
		return error;
	error = nlsock_send(&dump->sock, request, request->nlmsg_len);
	if (error < 0) {
		nlsock_close(&dump->sock);
		return error;
	}
	/* What was left of an earlier one that was given up. */
	dump->reader.filled = dump->reader.next = 0;
	dump->interrupted = false;
	dump->malformed = dump->reader.malformed;
	dump->heard = now;
	return 0;
}

static enum ct_dump_step over(struct ct_dump *dump, bool complete)
{
	nlsock_close(&dump->sock);
	/* A part that could not be read held entries: to leave them out would say they are gone. */
	complete = complete && !dump->interrupted && dump->reader.malformed == dump->malformed;
	return complete ? CT_DUMP_END : CT_DUMP_FAILED;
}

/* The last message carries the error that ended the walk, if any. */
static bool is_done_well(const struct nlmsghdr *message)
{
	int error = 0;
	if (message->nlmsg_len >= NLMSG_HDRLEN + sizeof(error))
		memcpy(&error, NLMSG_DATA(message), sizeof(error));
	return error >= 0;
}

enum ct_dump_step ct_dump_next(struct ct_dump *dump, tg_time now, struct ct_message *ret_message)
{
	const struct nlmsghdr *message = nl_reader_next(&dump->reader);
	if (!message) {
		int got = nl_reader_fill(&dump->reader, dump->sock.fd, 1);
		if (got < 0)
			return over(dump, false);
		if (got == 0)
			return now >= ct_dump_deadline(dump) ? over(dump, false) : CT_DUMP_WAIT;
		dump->heard = now;
		return CT_DUMP_PART;
	}
	if (message->nlmsg_seq != dump->seq || message->nlmsg_pid != dump->sock.portid)
		return CT_DUMP_IGNORED;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		dump->interrupted = true;
	if (message->nlmsg_type == NLMSG_DONE)
		return over(dump, is_done_well(message));
	if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_OVERRUN)
		return over(dump, false);
	switch (ct_decode(message, message->nlmsg_len, ret_message)) {
	case CT_FLOW:
		return CT_DUMP_ENTRY;
	case CT_IGNORED:
		return CT_DUMP_IGNORED;
	case CT_MALFORMED:
		break;
	}
	return CT_DUMP_MALFORMED;
}

void ct_dump_abandon(struct ct_dump *dump)
{
	nlsock_close(&dump->sock);
}

bool ct_dump_is_running(const struct ct_dump *dump)
{
	return dump->sock.fd >= 0;
}

tg_time ct_dump_deadline(const struct ct_dump *dump)
{
	return dump->heard + SILENCE;
}
