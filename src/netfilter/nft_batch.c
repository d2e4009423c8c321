/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the frame of an nf_tables transaction: the buffer, the numbers of the
 * messages, and BEGIN and END around them. Pure: it neither sends nor knows what
 * the messages say.
 */
#include "netfilter/nft_batch.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

void nft_batch_init(struct nft_batch *batch)
{
	*batch = (struct nft_batch){0};
}

void nft_batch_finish(struct nft_batch *batch)
{
	free(batch->data);
	*batch = (struct nft_batch){0};
}

static struct nlmsghdr *batch_put_header(struct nft_batch *batch, uint16_t type, uint16_t flags,
					 uint8_t family, uint16_t res_id)
{
	if (batch->failed)
		return NULL;
	if (batch->capacity - batch->len < NFT_BATCH_MESSAGE_MAX) {
		size_t capacity = batch->capacity * 2 + NFT_BATCH_MESSAGE_MAX;
		char *data = realloc(batch->data, capacity);
		if (!data) {
			batch->failed = true;
			return NULL;
		}
		batch->data = data;
		batch->capacity = capacity;
	}
	batch->last = batch->len;
	struct nlmsghdr *message = mnl_nlmsg_put_header(batch->data + batch->len);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = batch->seq++;
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(message, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res_id);
	return message;
}

void nft_batch_close(struct nft_batch *batch, const struct nlmsghdr *message)
{
	if (message)
		batch->len += MNL_ALIGN(message->nlmsg_len);
}

void nft_batch_clear(struct nft_batch *batch, uint32_t seq)
{
	batch->len = batch->last = 0;
	batch->failed = false;
	batch->first_seq = batch->seq = seq;
}

void nft_batch_begin(struct nft_batch *batch, uint32_t seq)
{
	nft_batch_clear(batch, seq);
	nft_batch_close(batch, batch_put_header(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC,
						NFNL_SUBSYS_NFTABLES));
}

void nft_batch_end(struct nft_batch *batch)
{
	if (!batch->failed)
		((struct nlmsghdr *)(void *)(batch->data + batch->last))->nlmsg_flags |= NLM_F_ACK;
	const size_t last = batch->last;
	nft_batch_close(batch, batch_put_header(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC,
						NFNL_SUBSYS_NFTABLES));
	batch->last = last;
}

bool nft_batch_is_empty(const struct nft_batch *batch)
{
	return batch->last == 0;
}

struct nlmsghdr *nft_batch_open(struct nft_batch *batch, uint8_t type, uint16_t flags)
{
	return batch_put_header(batch, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_INET, 0);
}
