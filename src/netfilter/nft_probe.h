/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_PROBE_H
#define NETFILTER_NFT_PROBE_H

#include <stdbool.h>

struct nft_socket;

struct nft_features {
	bool owner;   /* tables can be owned, and outlive their owner */
	bool destroy; /* DESTROYSETELEM */
	bool update;  /* an element that is added again takes the new end */
};

/* Finds out by trying, never from a version. 0; -EPERM, -EOPNOTSUPP without nf_tables, or another
 * -errno. */
int nft_probe(struct nft_socket *socket, struct nft_features *ret_features);

/* Does it have SYNPROXY? 0, or -errno when it could not be asked now. */
int nft_probe_synproxy(struct nft_socket *socket, bool *ret_has);

#endif
