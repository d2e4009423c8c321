/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_PROTECT_H
#define TCPGUARD_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>

/* Why an address must not be banned. */
enum tg_protect_kind {
	TG_PROTECT_OWN,
	TG_PROTECT_LOOPBACK,
	TG_PROTECT_LINK_LOCAL,
	TG_PROTECT_MULTICAST,
	TG_PROTECT_GATEWAY,
	TG_PROTECT_RESOLVER,
	TG_PROTECT_ALLOWED, /* by the operator's policy */
	TG_PROTECT_ADMIN,   /* has a live session of an admin: limited at most, but by hand */
	TG_PROTECT_KIND_COUNT
};

struct tg_protected_prefix {
	struct tg_prefix prefix;
	enum tg_protect_kind kind;
};

/*
 * An immutable set of prefixes, for "does this source touch one of them": sorted,
 * without those that a wider one covers, searched by bisection.
 */
struct tg_prefix_set;

/* Copies. NULL when memory runs out. */
struct tg_prefix_set *tg_prefix_set_create(const struct tg_protected_prefix *prefixes,
					   size_t count);
void tg_prefix_set_destroy(struct tg_prefix_set *set);

/* A member that shares an address with the prefix, or NULL. set may be NULL: nothing is in it. */
const struct tg_protected_prefix *tg_prefix_set_overlap(const struct tg_prefix_set *set,
							const struct tg_prefix *prefix);
const struct tg_protected_prefix *tg_prefix_set_lookup(const struct tg_prefix_set *set,
						       const struct tg_addr *addr);

/* The members of a family in ascending order, disjoint. */
const struct tg_protected_prefix *tg_prefix_set_members(const struct tg_prefix_set *set,
							enum tg_family family, size_t *ret_count);
bool tg_prefix_set_equal(const struct tg_prefix_set *a, const struct tg_prefix_set *b);

/* Loopback, link-local, multicast, unspecified and broadcast: protected on every host. */
const struct tg_protected_prefix *tg_protect_always(size_t *ret_count);

const char *tg_protect_kind_name(enum tg_protect_kind kind);

#endif
