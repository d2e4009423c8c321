/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_WATCH_H
#define NETFILTER_NFT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* What others do to our table. portid: of our own changes, which are not told. */
int nft_watch_open(uint32_t portid, int *ret_fd);

/* Reads all there is. True when something of the table was taken out or a rule or chain was put
 * in, or when notifications were lost. */
bool nft_watch_dispatch(int fd, const char *table);

#endif
