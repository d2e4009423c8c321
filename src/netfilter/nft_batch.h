/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_BATCH_H
#define NETFILTER_NFT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nlmsghdr;

/* What KERNEL headers of Debian 12 do not name yet. */
#define NFT_BATCH_TABLE_PERSIST 0x4
#define NFT_BATCH_DESTROYSETELEM 30

/*
 * One nf_tables transaction as bytes. Grows; when memory runs out it stays as it
 * was and says so in failed, so that a writer checks once, at the end.
 */
struct nft_batch {
	char *data;
	size_t len, capacity;
	size_t last; /* where the newest message begins */
	uint32_t first_seq, seq;
	bool failed;
};

/* A message may grow to this without a check: its widest attribute ends at 64 KiB. */
#define NFT_BATCH_MESSAGE_MAX (72 * 1024)

void nft_batch_init(struct nft_batch *batch);
void nft_batch_finish(struct nft_batch *batch);

/* Empties it, for questions: messages without a frame, numbered from seq. */
void nft_batch_clear(struct nft_batch *batch, uint32_t seq);
/* Empties it and begins a transaction whose messages are numbered from seq. */
void nft_batch_begin(struct nft_batch *batch, uint32_t seq);
/* The newest message will be acknowledged; nothing may follow. */
void nft_batch_end(struct nft_batch *batch);
/* No message between begin and end. */
bool nft_batch_is_empty(const struct nft_batch *batch);

/*
 * Begins a message of nf_tables (NFT_MSG_*) for family inet. Valid until the next one; NULL when
 * memory ran out. Whoever got it closes it.
 */
struct nlmsghdr *nft_batch_open(struct nft_batch *batch, uint8_t type, uint16_t flags);
void nft_batch_close(struct nft_batch *batch, const struct nlmsghdr *message);

#endif
