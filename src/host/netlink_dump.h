/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_NETLINK_DUMP_H
#define HOST_NETLINK_DUMP_H

#include <stddef.h>
#include <stdint.h>

#include "host/nl_reader.h"
#include "host/nlsock.h"

struct nlmsghdr;

/* Questions to the kernel and their whole answers, for a program that does nothing else meanwhile.
 */
struct netlink_dump {
	struct nlsock sock;
	struct nl_reader reader;
	uint32_t seq; /* of the last question */
};

/* What a reader says to a message: 0, the dump goes on; NETLINK_DUMP_END; or -errno, it failed. */
#define NETLINK_DUMP_END 1
typedef int netlink_dump_fn(void *data, const struct nlmsghdr *message);

/* protocol is NETLINK_SOCK_DIAG or NETLINK_NETFILTER. 0 or -errno; finish accepts what failed. */
int netlink_dump_init(struct netlink_dump *dump, int protocol);
void netlink_dump_finish(struct netlink_dump *dump);

/* Sends request, whose sequence number is dump->seq, and hands every message of the answer to fn.
   0 when fn has seen the end, or -errno. */
int netlink_dump_run(struct netlink_dump *dump, const void *request, size_t size,
		     netlink_dump_fn *fn, void *data);

#endif
