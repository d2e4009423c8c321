/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_STATES_CONNTRACK_H
#define CLI_STATES_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/event.h>

struct cli;

/* What conntrack has by state, and who told. */
struct states_conntrack {
	enum { CONNTRACK_UNKNOWN, CONNTRACK_DAEMON, CONNTRACK_KERNEL } from;
	int err;              /* why unknown: a negative errno */
	bool closing_unknown; /* the daemon holds closing flows for established */
	uint64_t counts[TG_TCP_STATE_COUNT], total;
};

/*
 * From the daemon, if there is one in this network namespace and it follows every state; else from
 * the kernel, if this user may; else from the daemon all the same. The daemon knows no ports: a
 * port other than 0 is for the kernel alone. Says nothing on stderr.
 */
void states_conntrack_read(const struct cli *cli, uint16_t port,
			   struct states_conntrack *ret_conntrack);

#endif
