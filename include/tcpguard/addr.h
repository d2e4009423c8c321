/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_ADDR_H
#define TCPGUARD_ADDR_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Also the index of arrays that hold one thing for each family. */
enum tg_family { TG_IPV4, TG_IPV6, TG_FAMILY_COUNT };

/*
 * Network byte order. IPv4 stands in the first four bytes and the rest is
 * zero, so that two addresses compare with memcmp. An IPv4-mapped IPv6
 * address never appears in here: whoever makes a tg_addr folds it.
 */
struct tg_addr {
	uint8_t bytes[16];
	uint8_t family; /* enum tg_family */
};

/*
 * Bits beyond len are zero. Or, as the source of a count or a ban only, a policy's whole traffic:
 * then len is TG_TOTAL_LEN and the address tells
 * totals of one policy apart; it contains and overlaps nothing.
 */
#define TG_TOTAL_LEN 255
struct tg_prefix {
	struct tg_addr addr;
	uint8_t len;
};

#define TG_ADDR_STRLEN 46   /* INET6_ADDRSTRLEN */
#define TG_PREFIX_STRLEN 50 /* and "/128" */

/* Number of bits of an address: 32 or 128. */
static inline uint8_t tg_family_bits(enum tg_family family)
{
	return family == TG_IPV4 ? 32 : 128;
}

/* From network bytes; folds ::ffff:a.b.c.d into IPv4. */
struct tg_addr tg_addr_from_ipv4(const void *bytes4);
struct tg_addr tg_addr_from_ipv6(const void *bytes16);

/* Strict: no leading zeros in a decimal part, no scope, no blanks. False if text is not an address.
 */
bool tg_addr_parse(const char *text, struct tg_addr *ret_addr);
const char *tg_addr_format(const struct tg_addr *addr, char buf[static TG_ADDR_STRLEN]);

bool tg_addr_equal(const struct tg_addr *a, const struct tg_addr *b);

/* The prefix of length len that holds addr; len is capped to the family's bits. Several times on
 * every event, and by words: a byte stored and read back with its neighbours would stall. */
static inline struct tg_prefix tg_addr_mask(const struct tg_addr *addr, uint8_t len)
{
	const uint8_t bits = tg_family_bits((enum tg_family)addr->family);
	struct tg_prefix prefix;
	uint64_t words[2];
	if (len > bits)
		len = bits;
	memcpy(words, addr->bytes, sizeof(words));
	if (len < 64)
		words[0] &= htobe64(~(UINT64_MAX >> len));
	if (len <= 64)
		words[1] = 0;
	else if (len < 128)
		words[1] &= htobe64(~(UINT64_MAX >> (len - 64)));
	memcpy(prefix.addr.bytes, words, sizeof(words));
	prefix.addr.family = addr->family;
	prefix.len = len;
	return prefix;
}

/*
 * ADDR or ADDR/LEN. Host bits beyond LEN are an error, because they hide a typing
 * mistake. Returns NULL, or a sentence for people ("prefix length 33 is over 32"),
 * static, that says why not; *ret_prefix is then untouched.
 */
const char *tg_prefix_parse(const char *text, struct tg_prefix *ret_prefix);

static inline bool tg_prefix_is_total(const struct tg_prefix *prefix)
{
	return prefix->len == TG_TOTAL_LEN;
}

/* Always with /LEN; or "total". */
const char *tg_prefix_format(const struct tg_prefix *prefix, char buf[static TG_PREFIX_STRLEN]);

bool tg_prefix_equal(const struct tg_prefix *a, const struct tg_prefix *b);
bool tg_prefix_contains(const struct tg_prefix *prefix, const struct tg_addr *addr);
/* One of the two contains the other. */
bool tg_prefix_overlaps(const struct tg_prefix *a, const struct tg_prefix *b);
/* The last address of a prefix. */
struct tg_addr tg_prefix_last(const struct tg_prefix *prefix);

#endif
