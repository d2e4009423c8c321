/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_VERIFIED_H
#define NETFILTER_NFT_VERIFIED_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>

struct layout;
struct nft_batch;
struct nft_socket;
struct nft_sink_stats;

/*
 * Sources that pass by a policy's budget of SYNs, until they are sent; zero is empty. None of them
 * is owed a place: one that does not get in shares the budget with all others.
 */
struct nft_verified {
	struct nft_pass *passes;
	size_t count, capacity;
};

void nft_verified_finish(struct nft_verified *verified);
/* A single address; IPv6 passes by its /64. Out of memory is counted as refused. */
void nft_verified_add(struct nft_verified *verified, struct nft_sink_stats *stats, uint16_t policy,
		      const struct tg_addr *source);
/* In transactions of their own, so that a full set refuses no ban. Empty afterwards. */
void nft_verified_send(struct nft_verified *verified, struct layout *layout,
		       struct nft_socket *socket, struct nft_batch *batch,
		       struct nft_sink_stats *stats);

#endif
