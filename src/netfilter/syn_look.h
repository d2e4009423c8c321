/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_SYN_LOOK_H
#define NETFILTER_SYN_LOOK_H

#include <stdbool.h>
#include <stdint.h>

struct tg_config;

/*
 * A look at the handshakes that this host's sockets wait for: the request sockets of its
 * listeners, by policy. Costs the kernel a walk over its table of sockets, and us what it finds.
 */
struct syn_look;

/* config is borrowed until the end. 0 or -errno. */
int syn_look_begin(const struct tg_config *config, struct syn_look **ret_look);
void syn_look_end(struct syn_look *look);
int syn_look_fd(const struct syn_look *look);
/* A piece, when the descriptor is readable. 0: more is to come; 1: complete; or -errno. */
int syn_look_read(struct syn_look *look);
/* Found so far: to a policy's ports and addresses; to any. */
uint32_t syn_look_policy(const struct syn_look *look, uint16_t policy);
uint32_t syn_look_all(const struct syn_look *look);
/* There are more than a look counts. */
bool syn_look_is_cut(const struct syn_look *look);

/* What the network namespace has counted since it began. */
struct syn_counters {
	bool known;
	uint64_t dropped; /* SYNs and handshakes that a listener had no room for */
	uint64_t cookies; /* answers to SYNs that nothing was kept of */
};
void syn_counters_read(struct syn_counters *ret_counters);

#endif
