/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_QUEUE_H
#define NETFILTER_NFT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/decision.h>

struct nft_batch;
struct layout;
struct nft_sink_stats;
struct nft_socket;

/* The changes of one turn of the loop, until the kernel has answered. Zero is empty. */
struct nft_queue {
	struct nft_op *ops;
	size_t count, capacity;
};

/* What a commit works with; nothing of it is kept. */
struct nft_queue_context {
	struct nft_socket *socket;
	struct nft_batch *batch;
	struct layout *layout;
	struct nft_sink_stats *stats;
	bool destroy; /* the kernel has DESTROYSETELEM */
	bool update;  /* and moves the end of an element in place */
};

void nft_queue_finish(struct nft_queue *queue);
bool nft_queue_is_empty(const struct nft_queue *queue);
/* 0 or -ENOMEM. The layout must stay until commit. */
int nft_queue_add(struct nft_queue *queue, struct layout *layout,
		  const struct tg_decision *decision, tg_time now, uint64_t wall_s);
/* As nft_sink_commit(); the queue is empty afterwards. */
int nft_queue_commit(struct nft_queue *queue, const struct nft_queue_context *context,
		     void (*ack)(void *data, uint32_t ban, uint32_t version, int error),
		     void *data);

#endif
