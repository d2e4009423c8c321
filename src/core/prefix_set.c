/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the immutable set of prefixes: one sorted array for each family, without
 * members that a wider one covers, so that a question is one bisection.
 */
#include <tcpguard/protect.h>

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct tg_prefix_set {
	struct tg_protected_prefix *members[TG_FAMILY_COUNT];
	size_t count[TG_FAMILY_COUNT];
	struct tg_protected_prefix all[];
};

/* By family and address, the wider of two with one address first; kind makes the order total. */
static int member_compare(const void *a, const void *b)
{
	const struct tg_protected_prefix *x = a, *y = b;
	if (x->prefix.addr.family != y->prefix.addr.family)
		return x->prefix.addr.family < y->prefix.addr.family ? -1 : 1;
	int order = memcmp(x->prefix.addr.bytes, y->prefix.addr.bytes, 16);
	if (order != 0)
		return order;
	if (x->prefix.len != y->prefix.len)
		return x->prefix.len < y->prefix.len ? -1 : 1;
	return (x->kind > y->kind) - (x->kind < y->kind);
}

struct tg_prefix_set *tg_prefix_set_create(const struct tg_protected_prefix *prefixes, size_t count)
{
	if (count > (SIZE_MAX - sizeof(struct tg_prefix_set)) / sizeof(*prefixes))
		return NULL;
	struct tg_prefix_set *set = calloc(1, sizeof(*set) + count * sizeof(*prefixes));
	if (!set)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		set->all[i] = prefixes[i];
		/* Members are compared as bytes: what a caller left beyond len must not count. */
		set->all[i].prefix = tg_addr_mask(&prefixes[i].prefix.addr, prefixes[i].prefix.len);
	}
	qsort(set->all, count, sizeof(set->all[0]), member_compare);

	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		/* Sorted so, only the last one kept can cover the next. */
		if (kept > 0 && tg_prefix_overlaps(&set->all[kept - 1].prefix, &set->all[i].prefix))
			continue;
		set->all[kept++] = set->all[i];
	}
	set->members[TG_IPV4] = set->all;
	while (set->count[TG_IPV4] < kept &&
	       set->all[set->count[TG_IPV4]].prefix.addr.family == TG_IPV4)
		set->count[TG_IPV4]++;
	set->members[TG_IPV6] = set->all + set->count[TG_IPV4];
	set->count[TG_IPV6] = kept - set->count[TG_IPV4];
	return set;
}

void tg_prefix_set_destroy(struct tg_prefix_set *set)
{
	free(set);
}

/* Its bytes as numbers, which compare as the bytes do. */
struct address {
	uint64_t high, low;
};

static struct address address_of(const struct tg_addr *addr)
{
	uint64_t words[2];
	memcpy(words, addr->bytes, sizeof(words));
	return (struct address){be64toh(words[0]), be64toh(words[1])};
}

static bool address_is_less(struct address a, struct address b)
{
	return a.high != b.high ? a.high < b.high : a.low < b.low;
}

const struct tg_protected_prefix *tg_prefix_set_overlap(const struct tg_prefix_set *set,
							const struct tg_prefix *prefix)
{
	if (!set)
		return NULL;
	const enum tg_family family = prefix->addr.family;
	const struct tg_protected_prefix *members = set->members[family];
	size_t low = 0, high = set->count[family];
	const struct address first = address_of(&prefix->addr);
	/* The first member that begins behind the prefix's first address. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (address_is_less(first, address_of(&members[mid].prefix.addr)))
			high = mid;
		else
			low = mid + 1;
	}
	if (low > 0 && tg_prefix_overlaps(&members[low - 1].prefix, prefix))
		return &members[low - 1];
	if (low < set->count[family] && tg_prefix_overlaps(&members[low].prefix, prefix))
		return &members[low];
	return NULL;
}

const struct tg_protected_prefix *tg_prefix_set_lookup(const struct tg_prefix_set *set,
						       const struct tg_addr *addr)
{
	const struct tg_prefix prefix = {*addr, tg_family_bits((enum tg_family)addr->family)};
	return tg_prefix_set_overlap(set, &prefix);
}

const struct tg_protected_prefix *tg_prefix_set_members(const struct tg_prefix_set *set,
							enum tg_family family, size_t *ret_count)
{
	*ret_count = set ? set->count[family] : 0;
	return set ? set->members[family] : NULL;
}

bool tg_prefix_set_equal(const struct tg_prefix_set *a, const struct tg_prefix_set *b)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		size_t count_a, count_b;
		const struct tg_protected_prefix *x = tg_prefix_set_members(a, family, &count_a);
		const struct tg_protected_prefix *y = tg_prefix_set_members(b, family, &count_b);
		if (count_a != count_b)
			return false;
		for (size_t i = 0; i < count_a; i++) {
			if (x[i].kind != y[i].kind || !tg_prefix_equal(&x[i].prefix, &y[i].prefix))
				return false;
		}
	}
	return true;
}

#define IPV4(a, b, c, d, length, why)                  \
	{                                              \
		{{{a, b, c, d}, TG_IPV4}, length}, why \
	}
#define IPV6(a, b, last, length, why)                                     \
	{                                                                 \
		{{{[0] = a, [1] = b, [15] = last}, TG_IPV6}, length}, why \
	}

const struct tg_protected_prefix *tg_protect_always(size_t *ret_count)
{
	static const struct tg_protected_prefix always[] = {
		IPV4(0, 0, 0, 0, 8, TG_PROTECT_OWN), /* "this network", unspecified */
		IPV4(127, 0, 0, 0, 8, TG_PROTECT_LOOPBACK),
		IPV4(169, 254, 0, 0, 16, TG_PROTECT_LINK_LOCAL),
		IPV4(224, 0, 0, 0, 4, TG_PROTECT_MULTICAST),
		IPV4(255, 255, 255, 255, 32, TG_PROTECT_MULTICAST),
		IPV6(0, 0, 0, 128, TG_PROTECT_OWN), /* unspecified */
		IPV6(0, 0, 1, 128, TG_PROTECT_LOOPBACK),
		IPV6(0xfe, 0x80, 0, 10, TG_PROTECT_LINK_LOCAL),
		IPV6(0xff, 0, 0, 8, TG_PROTECT_MULTICAST),
	};
	*ret_count = ARRAY_SIZE(always);
	return always;
}
