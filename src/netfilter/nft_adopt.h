/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_ADOPT_H
#define NETFILTER_NFT_ADOPT_H

#include <stdint.h>

#include <tcpguard/ban.h>

struct nft_socket;

/* Reads every ban out of the table's sets. wall_s: now, seconds since the epoch. 0 or -errno. */
int nft_adopt(struct nft_socket *socket, const char *table, uint64_t wall_s,
	      void (*found)(void *data, const struct tg_adopt *adopt), void *data);

#endif
