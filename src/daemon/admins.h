/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_ADMINS_H
#define DAEMON_ADMINS_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/protect.h>

struct loop;

/*
 * Who has a live session of an admin on this host: the peers of established sockets that were
 * accepted on one of the admin ports. Found by looking at those sockets now and then, and told by
 * whoever sees one in between. A socket proves its peer, so that nobody can be made an admin by
 * forged packets.
 */
struct admins;

struct admins_stats {
	uint64_t looks, failed; /* that were complete; that were given up */
	uint64_t last_us;       /* how long the last one was under way */
	uint32_t count;         /* addresses now */
};

/* The set has changed; borrowed until the next call. */
typedef void admins_fn(void *data, const struct tg_prefix_set *set);

/* 0 or -ENOMEM. */
int admins_create(struct loop *loop, admins_fn *changed, void *data, struct admins **ret_admins);
void admins_destroy(struct admins *admins);

/* Borrowed until the next call; looks soon. None: nobody is an admin. */
void admins_set_ports(struct admins *admins, const uint16_t *ports, size_t count);
/* Somebody has seen such a socket. */
void admins_saw(struct admins *admins, const struct tg_addr *addr);
const struct tg_prefix_set *admins_set(const struct admins *admins);

void admins_stats(const struct admins *admins, struct admins_stats *ret_stats);

#endif
