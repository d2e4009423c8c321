/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the socket of a dump and when one has to be given up. All families and
 * protocols are asked for, and what is not TCP is thrown away here: the kernel's own
 * filter costs a walk for each family and is wrong for IPv6 addresses in some
 * kernels.
 */
#include "netfilter/ct_dump.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
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

int ct_dump_begin(struct ct_dump *dump, tg_time now)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg generic;
	} request = {
		.header =
			{
				.nlmsg_len = sizeof(request),
				.nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
				.nlmsg_seq = ++dump->seq,
			},
		.generic = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
	};
	int error = nlsock_open(NETLINK_NETFILTER, &dump->sock);
	if (error < 0)
		return error;
	error = nlsock_send(&dump->sock, &request, sizeof(request));
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

bool ct_dump_is_running(const struct ct_dump *dump)
{
	return dump->sock.fd >= 0;
}

tg_time ct_dump_deadline(const struct ct_dump *dump)
{
	return dump->heard + SILENCE;
}
