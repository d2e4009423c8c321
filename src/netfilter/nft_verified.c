/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the lane of those who are known to be real, on its way into the kernel. What is there
 * already stays as it is: its rate goes on, and it is told again when its time is over.
 */
#include "netfilter/nft_verified.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "layout/layout.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_sink.h"
#include "netfilter/nft_socket.h"

#define TRANSACTION_MAX 4096
#define KEEP_MAX 4096

/* New connections of one source that pass: more than a browser or a proxy begins at once, and too
 * few to be worth forging its address. */
static const struct tg_rate lane = {.count = 50, .per_ms = 1000};

struct nft_pass {
	uint16_t policy;
	struct tg_addr key;
};

void nft_verified_finish(struct nft_verified *verified)
{
	free(verified->passes);
	*verified = (struct nft_verified){0};
}

void nft_verified_add(struct nft_verified *verified, struct nft_sink_stats *stats, uint16_t policy,
		      const struct tg_addr *source)
{
	if (verified->count == verified->capacity) {
		const size_t capacity = verified->capacity ? 2 * verified->capacity : 256;
		struct nft_pass *passes = reallocarray(verified->passes, capacity, sizeof(*passes));
		if (!passes) {
			stats->verified_refused++;
			return;
		}
		verified->passes = passes;
		verified->capacity = capacity;
	}
	const struct tg_prefix key = tg_addr_mask(source, LAYOUT_VERIFIED_LEN(source->family));
	verified->passes[verified->count++] = (struct nft_pass){policy, key.addr};
}

static int compare(const void *a, const void *b)
{
	const struct nft_pass *x = a, *y = b;
	if (x->policy != y->policy)
		return x->policy < y->policy ? -1 : 1;
	return memcmp(&x->key, &y->key, sizeof(x->key));
}

/* Sorted, each once. */
static void settle(struct nft_verified *verified)
{
	size_t count = 0;
	qsort(verified->passes, verified->count, sizeof(*verified->passes), compare);
	for (size_t i = 0; i < verified->count; i++)
		if (count == 0 || compare(&verified->passes[count - 1], &verified->passes[i]) != 0)
			verified->passes[count++] = verified->passes[i];
	verified->count = count;
}

struct picking {
	const struct nft_pass *passes;
	struct nft_elem elem;
};

static const struct nft_elem *next_elem(void *data, size_t index)
{
	struct picking *picking = data;
	picking->elem = (struct nft_elem){.key = picking->passes[index].key,
					  .action = TG_ACTION_RATE_LIMIT,
					  .to = lane,
					  .left_ms = LAYOUT_VERIFIED_MS,
					  .verified = true};
	return &picking->elem;
}

/* passes[0..count), all of one set. */
static int send_some(const struct nft_pass *passes, size_t count, const char *set,
		     struct nft_socket *socket, struct nft_batch *batch)
{
	struct picking picking = {.passes = passes};
	nft_batch_begin(batch, socket->seq);
	nft_elem_encode_add(batch, LAYOUT_TABLE, set, next_elem, &picking, count);
	nft_batch_end(batch);
	return nft_socket_send(socket, batch);
}

void nft_verified_send(struct nft_verified *verified, struct layout *layout,
		       struct nft_socket *socket, struct nft_batch *batch,
		       struct nft_sink_stats *stats)
{
	if (verified->count == 0)
		return;
	settle(verified);
	for (size_t from = 0, to; from < verified->count; from = to) {
		const struct nft_pass *first = &verified->passes[from];
		size_t set;
		for (to = from + 1; to < verified->count && to - from < TRANSACTION_MAX; to++)
			if (verified->passes[to].policy != first->policy ||
			    verified->passes[to].key.family != first->key.family)
				break;
		int err = layout_find_verified(layout, first->policy,
					       (enum tg_family)first->key.family, &set);
		if (err == 0)
			err = send_some(first, to - from, layout->sets[set].name, socket, batch);
		if (err == 0)
			stats->verified += to - from;
		else
			stats->verified_refused += to - from;
	}
	verified->count = 0;
	if (verified->capacity > KEEP_MAX)
		nft_verified_finish(verified);
}
