/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_LAYOUT_H
#define NETFILTER_NFT_LAYOUT_H

#include <stddef.h>

struct layout;
struct nft_batch;

/*
 * A set may be more than full for a moment, when one transaction replaces all that is in it, and
 * expired elements keep their places for a second: twice as many as there may be bans, or this.
 */
#define NFT_LAYOUT_SET_SIZE 262144

/* Messages: every chain; the address sets; the sets of bans that are not present; every rule. */
void nft_layout_encode_chains(const struct layout *layout, struct nft_batch *batch);
void nft_layout_encode_address_sets(struct nft_batch *batch);
void nft_layout_encode_ban_set(const struct layout *layout, struct nft_batch *batch, size_t index);
void nft_layout_encode_rules(const struct layout *layout, struct nft_batch *batch);
/* For a set that came later. */
void nft_layout_encode_set_rules(const struct layout *layout, struct nft_batch *batch,
				 size_t index);
/* The addresses themselves: replaces what is in the two sets; which may be of a fresh table. */
void nft_layout_encode_protected(const struct layout *layout, struct nft_batch *batch);
void nft_layout_encode_allow(const struct layout *layout, struct nft_batch *batch);

#endif
