/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the walk over conntrack's table, one dump, and the count of its entries by state. */
#include "host/ct_states.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/ct_decode.h"
#include "host/netlink_dump.h"

/* There as soon as the kernel can track connections. */
static const char loaded[] = "/proc/sys/net/netfilter/nf_conntrack_count";

struct walk {
	void (*found)(void *data, const struct tg_flow_event *flow);
	void *data;
};

struct counting {
	struct ct_states states;
	uint16_t port;
};

static int read_error(const struct nlmsghdr *message)
{
	int error = 0;
	if (message->nlmsg_len < NLMSG_HDRLEN + sizeof(error))
		return message->nlmsg_type == NLMSG_DONE ? NETLINK_DUMP_END : -EBADMSG;
	memcpy(&error, NLMSG_DATA(message), sizeof(error));
	if (error < 0)
		return error == -EINVAL ? -EOPNOTSUPP : error; /* nobody answers for conntrack */
	return NETLINK_DUMP_END;
}

static int read_message(void *data, const struct nlmsghdr *message)
{
	const struct walk *walk = data;
	struct ct_message entry;
	if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR)
		return read_error(message);
	switch (ct_decode(message, message->nlmsg_len, &entry)) {
	case CT_FLOW:
		break;
	case CT_IGNORED:
		return 0;
	case CT_MALFORMED:
		return -EBADMSG;
	}
	if (entry.flow.state < TG_TCP_STATE_COUNT)
		walk->found(walk->data, &entry.flow);
	return 0;
}

int ct_flows_walk(void (*found)(void *data, const struct tg_flow_event *flow), void *data)
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
			},
		.generic = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
	};
	struct walk walk = {.found = found, .data = data};
	struct netlink_dump dump;
	/* To ask would load the module, and change what the host does. */
	if (access(loaded, F_OK) < 0 && errno == ENOENT)
		return -EOPNOTSUPP;
	int err = netlink_dump_init(&dump, NETLINK_NETFILTER);
	if (!err)
		err = netlink_dump_run(&dump, &request, sizeof(request), read_message, &walk);
	netlink_dump_finish(&dump);
	return err;
}

static void count(void *data, const struct tg_flow_event *flow)
{
	struct counting *counting = data;
	if (counting->port != 0 && flow->key.sport != counting->port &&
	    flow->key.dport != counting->port)
		return;
	counting->states.counts[flow->state]++;
	counting->states.total++;
}

int ct_states_read(uint16_t port, struct ct_states *ret_states)
{
	struct counting counting = {.port = port};
	int err = ct_flows_walk(count, &counting);
	if (!err)
		*ret_states = counting.states;
	return err;
}
