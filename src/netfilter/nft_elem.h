/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_ELEM_H
#define NETFILTER_NFT_ELEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>

struct nft_batch;
struct nlattr;

/* In the place of a key's family: the key is a protocol, one byte. Of a total: TCP. */
#define NFT_ELEM_PROTOCOL TG_FAMILY_COUNT
/* The key of a ban's element. */
struct tg_addr nft_elem_key(const struct tg_prefix *source);

/*
 * One ban as a set element. The comment is what `nft list` shows; behind it, in a
 * user data attribute of our own, stands what an adopting daemon wants to know.
 */
struct nft_elem {
	struct tg_addr key; /* masked */
	enum tg_action action;
	struct tg_rate to;
	enum tg_origin origin;
	uint64_t left_ms;
	uint64_t since_s; /* wall clock, seconds since the epoch; 0: not known */
	uint32_t measured, threshold, offence;
	const char *policy, *limit; /* automatic; borrowed */
	const char *reason;         /* by hand; borrowed, NULL: none given */
	bool unproven;              /* a rate-limit that stands in for something stronger */
	bool verified; /* no ban, but a pass: matches as long as its source keeps to the rate */
};

/*
 * A timeout is rounded down to the kernel's ticks (10 ms at worst), and one that becomes
 * zero means "for ever" there.
 */
#define NFT_ELEM_LEFT_MIN_MS 100

/* The elements to write, by index; valid until the next call. */
typedef const struct nft_elem *(*nft_elem_next)(void *data, size_t index);

/*
 * Messages that take out count elements, of which the kernel may hold any or none. destroy: the
 * kernel has DESTROYSETELEM; without it, each is added first, so that removing it cannot fail.
 */
void nft_elem_encode_remove(struct nft_batch *batch, const char *table, const char *set,
			    bool destroy, nft_elem_next next, void *data, size_t count);
void nft_elem_encode_add(struct nft_batch *batch, const char *table, const char *set,
			 nft_elem_next next, void *data, size_t count);

/* A part of an interval set, in network byte order: from first on, up to and without end. */
struct nft_interval {
	uint8_t first[16], end[16];
	bool open; /* no end: up to the last value there is */
};
/* Sorted, disjoint, not touching. set_id: of an anonymous set of the same batch; else 0. */
void nft_elem_encode_intervals(struct nft_batch *batch, const char *table, const char *set,
			       uint32_t set_id, uint32_t key_len,
			       const struct nft_interval *intervals, size_t count);
/* The question for one element. */
void nft_elem_encode_get(struct nft_batch *batch, const char *table, const char *set,
			 const struct tg_addr *key);

/* An element as the kernel tells it. Everything is optional but the key. */
struct nft_elem_found {
	struct tg_addr key;
	uint64_t left_ms; /* 0: no end */
	bool limited;     /* holds a limit */
	struct tg_rate to;
	bool counted; /* holds a counter */
	uint64_t packets, bytes;
	bool known; /* carries our user data: what follows is from there */
	enum tg_origin origin;
	uint64_t since_s;
	uint32_t measured, threshold, offence;
	bool unproven;
	char limit[TG_NAME_MAX + 1];
	char reason[TG_REASON_MAX];
};
/* A NFTA_LIST_ELEM of NFTA_SET_ELEM_LIST_ELEMENTS. False when there is no key of that family, or
 * NFT_ELEM_PROTOCOL. */
bool nft_elem_decode(const struct nlattr *list_elem, enum tg_family family,
		     struct nft_elem_found *ret_found);
/* Calls found for each element in a NEWSETELEM message (with nfgenmsg). */
struct nlmsghdr;
void nft_elem_decode_message(const struct nlmsghdr *message, enum tg_family family,
			     void (*found)(void *data, const struct nft_elem_found *elem),
			     void *data);

#endif
