/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_LAYOUT_H
#define NETFILTER_NFT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>

struct nft_batch;
struct tg_prefix_set;

#define NFT_LAYOUT_TABLE "tcpguard"

/* "NAME-everything-ip6-128" and more. */
#define NFT_LAYOUT_NAME_MAX 64

/*
 * The engine holds at most 106496 bans, so that a set of this size is never more than
 * half full, even when one transaction replaces them.
 */
#define NFT_LAYOUT_SET_SIZE 262144

/* A fail-safe: an element that came without its own end goes away by itself. */
#define NFT_LAYOUT_TIMEOUT_MS 600000

/* A set of bans: one policy (or the hand), scope, family and prefix length. */
struct nft_ban_set {
	char name[NFT_LAYOUT_NAME_MAX];
	uint16_t policy; /* index into the config, or TG_NO_INDEX */
	uint8_t scope;   /* enum tg_scope */
	uint8_t family;
	uint8_t prefix_len;
	bool present; /* the kernel has it, and the rule that looks into it */
};

/* What the table should look like. Sets of policies come first, in the order of the config. */
struct nft_layout {
	const struct tg_config *config;            /* borrowed */
	const struct tg_prefix_set *protected_set; /* borrowed; may be NULL */
	const struct tg_prefix_set *allow;         /* borrowed; may be NULL */
	uint32_t set_size;
	struct nft_ban_set *sets;
	size_t count, capacity;
};

/* 0, -ENOMEM, or -EINVAL for a policy with the name of the hand. */
int nft_layout_init(struct nft_layout *layout, const struct tg_config *config,
		    const struct tg_prefix_set *protected_set, const struct tg_prefix_set *allow,
		    uint32_t set_size);
void nft_layout_finish(struct nft_layout *layout);

/*
 * The set that a ban belongs to: its index. Sets of bans by hand, and of single addresses of a
 * policy that counts wider prefixes, are added when they are first asked for, absent from the
 * kernel. -ENOENT when no limit of the policy makes such bans; -ENOMEM.
 */
int nft_layout_find(struct nft_layout *layout, const struct tg_ban *ban, size_t *ret_index);
/* The same by name. */
int nft_layout_find_name(struct nft_layout *layout, const char *name, size_t *ret_index);

/* What the name of a set says about the bans in it. ret_policy: empty for bans by hand. */
bool nft_layout_parse_name(const char *name, char ret_policy[static TG_NAME_MAX + 1],
			   struct nft_ban_set *ret_set);

/* The base chains and the sets of addresses, which every table has. */
bool nft_layout_has_chain(const struct nft_layout *layout, const char *name);
bool nft_layout_is_base_chain(const char *name);
bool nft_layout_is_address_set(const char *name, enum tg_family *ret_family);

/* Messages: every chain; the address sets; the sets of bans that are not present; every rule. */
void nft_layout_encode_chains(const struct nft_layout *layout, struct nft_batch *batch);
void nft_layout_encode_address_sets(const struct nft_layout *layout, struct nft_batch *batch);
void nft_layout_encode_ban_set(const struct nft_layout *layout, struct nft_batch *batch,
			       size_t index);
void nft_layout_encode_ban_rule(const struct nft_layout *layout, struct nft_batch *batch,
				size_t index);
/* For the ban sets that are present or policy's. */
void nft_layout_encode_rules(const struct nft_layout *layout, struct nft_batch *batch);
/* The addresses themselves: replaces what is in the two sets; which may be of a fresh table. */
void nft_layout_encode_protected(const struct nft_layout *layout, struct nft_batch *batch);
void nft_layout_encode_allow(const struct nft_layout *layout, struct nft_batch *batch);

#endif
