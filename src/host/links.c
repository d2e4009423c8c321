/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the question what this host's interfaces can carry. */
#include "host/links.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "host/netlink_dump.h"
#include "host/nl_attrs.h"

/* *least: the smallest so far, or 0. False: the attributes are not whole. */
static bool take_mtu(const uint8_t *at, size_t left, uint32_t *least)
{
	struct nl_attr attr;
	uint32_t mtu;
	while (nl_attr_next(&at, &left, &attr)) {
		if (attr.type != IFLA_MTU || attr.size != sizeof(mtu))
			continue;
		memcpy(&mtu, attr.value, sizeof(mtu));
		*least = *least == 0 ? mtu : MIN(*least, mtu);
	}
	return left == 0;
}

static int read_link(void *data, const struct nlmsghdr *message)
{
	const uint8_t *payload = (const uint8_t *)message + NLMSG_HDRLEN;
	const size_t size = message->nlmsg_len - NLMSG_HDRLEN;
	struct ifinfomsg link;
	int error = 0;
	if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
		memcpy(&error, payload, MIN(size, sizeof(error)));
		return error < 0 ? error : NETLINK_DUMP_END;
	}
	if (message->nlmsg_type != RTM_NEWLINK || size < NLMSG_ALIGN(sizeof(link)))
		return -EBADMSG;
	memcpy(&link, payload, sizeof(link));
	if (!(link.ifi_flags & IFF_UP) || link.ifi_flags & IFF_LOOPBACK)
		return 0;
	return take_mtu(payload + NLMSG_ALIGN(sizeof(link)), size - NLMSG_ALIGN(sizeof(link)), data)
		       ? 0
		       : -EBADMSG;
}

int links_least_mtu(uint32_t *ret_mtu)
{
	struct netlink_dump dump;
	uint32_t least = 0;
	int err = netlink_dump_init(&dump, NETLINK_ROUTE);
	if (!err) {
		const struct {
			struct nlmsghdr header;
			struct ifinfomsg link;
		} request = {.header = {.nlmsg_len = sizeof(request),
					.nlmsg_type = RTM_GETLINK,
					.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
					.nlmsg_seq = ++dump.seq}};
		err = netlink_dump_run(&dump, &request, sizeof(request), read_link, &least);
	}
	netlink_dump_finish(&dump);
	if (!err)
		*ret_mtu = least;
	return err;
}
