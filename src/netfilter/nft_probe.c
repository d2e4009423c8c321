/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the question what this kernel can do. Each try is one transaction that makes
 * a scratch table and takes it out again, so that nothing ever stands in the
 * kernel, whatever happens to us in between.
 */
#include "netfilter/nft_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <linux/netfilter/nf_tables.h>

#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_encode.h"
#include "netfilter/nft_socket.h"

static const struct nft_elem *only(void *data, size_t index)
{
	(void)index; /* there is one */
	return data;
}

static int try_once(struct nft_socket *socket, struct nft_batch *batch, bool owner, bool destroy)
{
	const struct nft_set_spec spec = {.name = "probe",
					  .key_type = NFT_ENCODE_TYPE_IPV4,
					  .key_len = 4,
					  .flags = NFT_SET_TIMEOUT,
					  .size = 1,
					  .timeout_ms = 1000};
	struct nft_elem elem = {.key = {.family = TG_IPV4}};
	char table[48];
	(void)snprintf(table, sizeof(table), "tcpguard-probe-%" PRIu32, socket->portid);
	nft_batch_begin(batch, socket->seq);
	nft_encode_table(batch, table, owner ? NFT_TABLE_F_OWNER | NFT_BATCH_TABLE_PERSIST : 0);
	if (destroy) {
		nft_encode_set(batch, table, &spec);
		nft_elem_encode_remove(batch, table, spec.name, true, only, &elem, 1);
	}
	nft_encode_delete_table(batch, table);
	nft_batch_end(batch);
	return nft_socket_send(socket, batch);
}

/* What passes is no answer: a table made without its owner, because memory was short for a moment,
 * would cost the bans in it and its guard. */
static int learn(struct nft_socket *socket, struct nft_batch *batch, bool owner, bool destroy,
		 bool *ret_can)
{
	const int err = try_once(socket, batch, owner, destroy);
	if (nft_socket_is_passing(err))
		return err;
	*ret_can = err == 0;
	return 0;
}

int nft_probe(struct nft_socket *socket, struct nft_features *ret_features)
{
	struct nft_batch batch;
	nft_batch_init(&batch);
	/* An error costs the kernel 10 ms, and a new one gives none. */
	struct nft_features features = {.owner = true, .destroy = true};
	int err = try_once(socket, &batch, true, true);
	if (err < 0 && err != -EPERM) {
		err = try_once(socket, &batch, false, false);
		if (err == 0)
			err = learn(socket, &batch, true, false, &features.owner);
		if (err == 0)
			err = learn(socket, &batch, false, true, &features.destroy);
	}
	nft_batch_finish(&batch);
	if (err < 0)
		return err;
	*ret_features = features;
	return 0;
}
