/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_STATE_H
#define NETFILTER_NFT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nft_socket;

/* NFT_SET_MAXNAMELEN; chains have the same. */
#define NFT_STATE_NAME_MAX 256

#define NFT_STATE_UNTOLD UINT32_MAX

/* A set or a chain of the table, as the kernel tells it. */
struct nft_state_item {
	char name[NFT_STATE_NAME_MAX];
	uint32_t key_len, flags; /* of a set */
	uint32_t count;          /* its elements, if the kernel tells; else NFT_STATE_UNTOLD */
	bool base;               /* of a chain: hangs on a hook */
};

/* What the kernel holds of one table, without rules and elements. */
struct nft_state {
	bool exists;
	uint32_t flags; /* NFT_TABLE_F_* */
	uint32_t owner; /* portid, or 0 */
	struct nft_state_item *sets, *chains;
	size_t set_count, chain_count, set_capacity, chain_capacity;
	bool failed; /* memory ran out */
};

/* Table alone, and table with its sets and chains. 0 or -errno; finish it in both cases. */
int nft_state_read_table(struct nft_state *state, struct nft_socket *socket, const char *table);
int nft_state_read(struct nft_state *state, struct nft_socket *socket, const char *table);
void nft_state_finish(struct nft_state *state);

const struct nft_state_item *nft_state_set(const struct nft_state *state, const char *name);

#endif
