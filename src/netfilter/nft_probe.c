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

#include <tcpguard/config.h>

#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_encode.h"
#include "netfilter/nft_socket.h"

static const struct nft_elem *only(void *data, size_t index)
{
	(void)index; /* there is one */
	return data;
}

/* "tcpguard-probe-" and a number. */
#define TABLE_STRLEN 48

static const struct nft_set_spec spec = {.name = "probe",
					 .key_type = NFT_ENCODE_TYPE_IPV4,
					 .key_len = 4,
					 .flags = NFT_SET_TIMEOUT,
					 .size = 1,
					 .timeout_ms = 1000};

static void name_table(const struct nft_socket *socket, char table[static TABLE_STRLEN])
{
	(void)snprintf(table, TABLE_STRLEN, "tcpguard-probe-%" PRIu32, socket->portid);
}

static int try_once(struct nft_socket *socket, struct nft_batch *batch, bool owner, bool destroy)
{
	struct nft_elem elem = {.key = {.family = TG_IPV4}};
	char table[TABLE_STRLEN];
	name_table(socket, table);
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

/* The element again, and an answer that says which end it has now. */
#define UPDATE_FIRST_MS 60000
#define UPDATE_AGAIN_MS 600000

static void look(void *data, const struct nft_elem_found *elem)
{
	*(uint64_t *)data = elem->left_ms;
}

static void read_answer(void *data, const struct nlmsghdr *message)
{
	nft_elem_decode_message(message, TG_IPV4, look, data);
}

static int add_with(struct nft_socket *socket, struct nft_batch *batch, const char *table,
		    bool first)
{
	struct nft_elem elem = {.key = {.family = TG_IPV4},
				.action = TG_ACTION_DROP,
				.left_ms = first ? UPDATE_FIRST_MS : UPDATE_AGAIN_MS};
	nft_batch_begin(batch, socket->seq);
	if (first) {
		/* Goes with our socket, whatever happens. */
		nft_encode_table(batch, table, NFT_TABLE_F_OWNER);
		nft_encode_set(batch, table, &spec);
	}
	nft_elem_encode_add(batch, table, spec.name, only, &elem, 1);
	nft_batch_end(batch);
	return nft_socket_send(socket, batch);
}

/* Old kernels take the second for the first, without a word. */
static bool can_update(struct nft_socket *socket, struct nft_batch *batch)
{
	const struct tg_addr key = {.family = TG_IPV4};
	char table[TABLE_STRLEN];
	uint64_t left_ms = 0;
	name_table(socket, table);
	if (add_with(socket, batch, table, true) < 0)
		return false;
	if (add_with(socket, batch, table, false) == 0) {
		nft_batch_clear(batch, socket->seq);
		nft_elem_encode_get(batch, table, spec.name, &key);
		(void)nft_socket_ask(socket, batch, read_answer, &left_ms); /* no answer is no */
	}
	nft_batch_begin(batch, socket->seq);
	nft_encode_delete_table(batch, table);
	nft_batch_end(batch);
	(void)nft_socket_send(socket, batch); /* else it goes with the socket */
	return left_ms > UPDATE_FIRST_MS;
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
	/* Without owners a table of ours could be left behind: then the other way will do. */
	if (err == 0 && features.owner)
		features.update = can_update(socket, &batch);
	nft_batch_finish(&batch);
	if (err < 0)
		return err;
	*ret_features = features;
	return 0;
}

int nft_probe_synproxy(struct nft_socket *socket, bool *ret_has)
{
	static const struct tg_syn_options any = {.mss = {1460, 1440}};
	static const struct nft_chain_spec chain = {.name = "probe"};
	struct nft_batch batch;
	struct nft_rule rule;
	char table[TABLE_STRLEN];
	name_table(socket, table);
	nft_batch_init(&batch);
	nft_batch_begin(&batch, socket->seq);
	nft_encode_table(&batch, table, 0);
	nft_encode_chain(&batch, table, &chain);
	nft_rule_begin(&rule, &batch, table, chain.name);
	nft_rule_answer(&rule, &any, TG_IPV4);
	nft_rule_end(&rule);
	nft_encode_delete_table(&batch, table);
	nft_batch_end(&batch);
	const int err = nft_socket_send(socket, &batch);
	nft_batch_finish(&batch);
	if (nft_socket_is_passing(err))
		return err;
	*ret_has = err == 0;
	return 0;
}
