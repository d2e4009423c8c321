/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_PROTECTED_H
#define DAEMON_PROTECTED_H

struct resolvers;
struct rt_watch;
struct tg_config;
struct tg_prefix_set;

/*
 * What must never be banned on this host: the always protected, its own addresses,
 * its gateways and its resolvers, as they are now. 0 or -errno; the caller owns *ret_set.
 */
int protected_read(struct rt_watch *watch, const struct resolvers *resolvers,
		   struct tg_prefix_set **ret_set);
/* The allow list of a policy; NULL when memory runs out. */
struct tg_prefix_set *protected_allow(const struct tg_config *config);

#endif
