/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_LAYOUT_H
#define NETFILTER_NFT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

struct layout;
struct layout_set;
struct nft_batch;

/* Messages: every chain; the address sets; the sets of bans that are not present; every rule. */
void nft_layout_encode_chains(const struct layout *layout, struct nft_batch *batch);
void nft_layout_encode_address_sets(struct nft_batch *batch);
void nft_layout_encode_ban_set(const struct layout *layout, struct nft_batch *batch, size_t index);
/* The three of a fuse. */
void nft_layout_encode_fuse_sets(const struct layout *layout, struct nft_batch *batch,
				 size_t index);
void nft_layout_encode_retry_sets(const struct layout *layout, struct nft_batch *batch);
void nft_layout_encode_near_sets(const struct layout *layout, struct nft_batch *batch);
void nft_layout_encode_rules(const struct layout *layout, struct nft_batch *batch);
/* For a set that came later. */
void nft_layout_encode_set_rules(const struct layout *layout, struct nft_batch *batch,
				 size_t index);
/* The addresses themselves: replaces what is in the two sets; which may be of a fresh table. */
void nft_layout_encode_protected(const struct layout *layout, struct nft_batch *batch);
void nft_layout_encode_allow(const struct layout *layout, struct nft_batch *batch);
/* Both, as the fuses of wider prefixes want them. */
void nft_layout_encode_near(const struct layout *layout, struct nft_batch *batch);

/* NFT_SET_* of the set that the rules of a set write to. */
uint32_t nft_layout_counts_flags(const struct layout_set *set);

#endif
