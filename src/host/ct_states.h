/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_CT_STATES_H
#define HOST_CT_STATES_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/event.h>

/* What conntrack has of TCP in this network namespace, by its own states. */
struct ct_states {
	uint64_t counts[TG_TCP_STATE_COUNT];
	uint64_t total;
};

/*
 * Calls found for each entry whose state is told: the whole table, some 2 us an entry. 0 or
 * -errno: -EPERM without CAP_NET_ADMIN, -EOPNOTSUPP when the kernel has no conntrack. A namespace
 * that tracks nothing has an empty table.
 */
int ct_flows_walk(void (*found)(void *data, const struct tg_flow_event *flow), void *data);

/* Counted that way; only flows of this port on either side, unless it is 0. 0 or -errno. */
int ct_states_read(uint16_t port, struct ct_states *ret_states);

#endif
