/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the table: its socket, its layout as installed, and the way from what there
 * is to what there should be. What a turn queues and how it is sent is nft_queue's.
 * Enforcement never stops: every change of rules is one transaction.
 */
#include "netfilter/nft_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "layout/layout.h"
#include "netfilter/nft_adopt.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_encode.h"
#include "netfilter/nft_layout.h"
#include "netfilter/nft_probe.h"
#include "netfilter/nft_queue.h"
#include "netfilter/nft_socket.h"
#include "netfilter/nft_state.h"
#include "netfilter/nft_verified.h"
#include "netfilter/nft_watch.h"

#define TABLE LAYOUT_TABLE
#define OWNED_FLAGS (NFT_TABLE_F_OWNER | NFT_BATCH_TABLE_PERSIST)

struct nft_sink {
	struct nft_socket socket;
	struct nft_batch batch;
	struct layout layout;
	struct nft_queue queue;
	struct nft_verified verified;
	struct nft_sink_stats stats;
	uint32_t set_size;
	bool observes;  /* from the next install on */
	bool installed; /* layout is what the kernel was last told */
	bool synproxy_asked, no_synproxy;
	bool suspect; /* found changed or gone since */
	int watch_fd; /* -1: the table is owned */
};

static int sink_send(struct nft_sink *sink)
{
	nft_batch_end(&sink->batch);
	int err = nft_socket_send(&sink->socket, &sink->batch);
	sink->stats.transactions++;
	if (err < 0)
		sink->stats.failed++;
	return err;
}

/* An orphan becomes ours again; what a living process owns does not. */
static int take_over(struct nft_sink *sink)
{
	struct nft_state state;
	int err = nft_state_read_table(&state, &sink->socket, TABLE);
	if (err < 0 || !state.exists)
		return err;
	if (state.flags & NFT_TABLE_F_OWNER)
		return -EBUSY;
	if (!sink->stats.owned || !(state.flags & NFT_BATCH_TABLE_PERSIST))
		return 0; /* a plain table is made anew by install, if it has to be */
	nft_batch_begin(&sink->batch, sink->socket.seq);
	nft_encode_table(&sink->batch, TABLE, OWNED_FLAGS);
	err = sink_send(sink);
	return err == -EPERM ? -EBUSY : err; /* the probe showed that we may; somebody was faster */
}

int nft_sink_create(const struct nft_sink_params *params, struct nft_sink **ret_sink)
{
	struct nft_features features;
	struct nft_sink *sink = calloc(1, sizeof(*sink));
	if (!sink)
		return -ENOMEM;
	sink->socket.fd = sink->watch_fd = -1;
	sink->set_size = params->set_size ? params->set_size : NFT_SINK_SET_SIZE_LEAST;
	int err = nft_socket_open(&sink->socket);
	if (err < 0)
		goto err_sink;
	err = nft_probe(&sink->socket, &features);
	if (err < 0)
		goto err_sink;
	/* Not before: what a probe provokes is no transaction of ours. */
	sink->socket.clock_ns = params->clock;
	sink->stats.owned = features.owner && !params->plain;
	sink->stats.destroy = features.destroy && !params->no_destroy;
	sink->no_synproxy = params->no_synproxy;
	sink->stats.update = features.update && !params->no_update;
	err = take_over(sink);
	if (err == 0 && !sink->stats.owned)
		err = nft_watch_open(sink->socket.portid, &sink->watch_fd);
	if (err < 0)
		goto err_sink;
	*ret_sink = sink;
	return 0;

err_sink:
	nft_sink_destroy(sink);
	return err;
}

void nft_sink_destroy(struct nft_sink *sink)
{
	if (!sink)
		return;
	nft_queue_finish(&sink->queue);
	nft_verified_finish(&sink->verified);
	layout_finish(&sink->layout);
	nft_batch_finish(&sink->batch);
	nft_socket_close(&sink->socket);
	if (sink->watch_fd >= 0)
		(void)close(sink->watch_fd); /* only read from */
	free(sink);
}

int nft_sink_adopt(struct nft_sink *sink, uint64_t wall_s,
		   void (*found)(void *data, const struct tg_adopt *adopt), void *data)
{
	return nft_adopt(&sink->socket, TABLE, wall_s, found, data);
}

/* Of one of its sets. */
static uint32_t fuse_key_len(const struct layout_fuse *fuse, const char *set)
{
	return strcmp(fuse->spill, set) == 0 ? 4u
					     : tg_family_bits((enum tg_family)fuse->family) / 8u;
}

/*
 * What a fuse has counted means the same as long as its limit does; elements that an earlier daemon
 * left behind do not say what it was.
 */
static bool keeps_fuse(const struct nft_sink *sink, const struct layout_fuse *fuse,
		       const struct nft_state *state)
{
	for (size_t i = 0; i < sink->layout.fuse_count; i++)
		if (layout_fuse_is_same(&sink->layout.fuses[i], fuse))
			return sink->installed && nft_state_set(state, fuse->meter) &&
			       nft_state_set(state, fuse->fused) &&
			       nft_state_set(state, fuse->spill);
	return false;
}

/* What stands under our names cannot be turned into what we want; then the table is made anew. */
static bool is_beyond_repair(const struct nft_sink *sink, const struct layout *layout,
			     const struct nft_state *state)
{
	enum tg_family family;
	struct layout_near near;
	size_t fuse;
	char policy[TG_NAME_MAX + 1];
	struct layout_set set;
	const uint32_t owned = sink->stats.owned ? OWNED_FLAGS : 0;
	if ((state->flags & NFT_TABLE_F_OWNER) != (owned & NFT_TABLE_F_OWNER) ||
	    state->flags & NFT_TABLE_F_DORMANT)
		return true;
	for (size_t i = 0; i < state->set_count; i++) {
		const struct nft_state_item *item = &state->sets[i];
		uint32_t flags = NFT_SET_INTERVAL;
		uint32_t key_len = 0;
		if (layout_parse_name(item->name, policy, &set)) {
			key_len = layout_key_len(&set);
			flags = NFT_SET_TIMEOUT;
		} else if (layout_parse_counts(item->name, &set)) {
			key_len = layout_key_len(&set);
			flags = nft_layout_counts_flags(&set);
		} else if (layout_fuse_find(layout, item->name, &fuse)) {
			key_len = fuse_key_len(&layout->fuses[fuse], item->name);
			flags = NFT_SET_TIMEOUT | NFT_SET_EVAL;
		} else if (layout_has_retry(layout, item->name, &family)) {
			key_len = layout_retry_key_len(family);
			flags = NFT_SET_TIMEOUT | NFT_SET_EVAL;
		} else if (layout_is_near_name(item->name, &near)) {
			family = near.family;
		} else if (!layout_is_address_set(item->name, &family)) {
			continue; /* not one of our names: taken out, whatever it is */
		}
		if (key_len == 0)
			key_len = tg_family_bits(family) / 8u;
		if (item->key_len != key_len || item->flags != flags)
			return true;
	}
	for (size_t i = 0; i < state->chain_count; i++) {
		const struct nft_state_item *item = &state->chains[i];
		const bool base = layout_is_base_chain(item->name);
		/* A stranger's chain can be taken out, hook and all; one of ours cannot lose or get
		 * a hook. */
		if (item->base != base && layout_has_chain(layout, item->name))
			return true;
	}
	return false;
}

/* Keeps what there is: rules anew, missing sets and chains added, strangers removed. */
static void encode_reconcile(struct nft_sink *sink, struct layout *layout,
			     const struct nft_state *state)
{
	struct nft_batch *batch = &sink->batch;
	enum tg_family family;
	size_t index;
	nft_encode_flush_rules(batch, TABLE);
	for (size_t i = 0; i < state->chain_count; i++) {
		const char *name = state->chains[i].name;
		/* What hangs on interfaces is made anew: others of them cannot be told apart. */
		if (!layout_has_chain(layout, name) || layout_is_ingress_chain(name))
			nft_encode_delete_chain(batch, TABLE, name);
	}
	for (size_t i = 0; i < state->set_count; i++) {
		const char *name = state->sets[i].name;
		if (layout_is_address_set(name, &family) || layout_has_near(layout, name) ||
		    layout_has_retry(layout, name, &family))
			continue;
		if (layout_fuse_find(layout, name, &index)) {
			layout->fuses[index].present =
				keeps_fuse(sink, &layout->fuses[index], state);
			if (!layout->fuses[index].present)
				nft_encode_delete_set(batch, TABLE, name);
			continue;
		}
		if (layout_find_name(layout, name, &index) < 0)
			nft_encode_delete_set(batch, TABLE, name);
		else if (strcmp(layout->sets[index].name, name) == 0)
			layout->sets[index].present = true;
	}
}

static int send_table(struct nft_sink *sink, struct layout *layout, const struct nft_state *state,
		      bool anew)
{
	struct nft_batch *batch = &sink->batch;
	nft_batch_begin(batch, sink->socket.seq);
	for (size_t i = 0; i < layout->count; i++)
		layout->sets[i].present = false;
	for (size_t i = 0; i < layout->fuse_count; i++)
		layout->fuses[i].present = false;
	if (state->exists && anew)
		nft_encode_delete_table(batch, TABLE);
	if (!state->exists || anew)
		nft_encode_table(batch, TABLE, sink->stats.owned ? OWNED_FLAGS : 0);
	else
		encode_reconcile(sink, layout, state);
	nft_layout_encode_chains(layout, batch);
	nft_layout_encode_address_sets(batch);
	nft_layout_encode_near_sets(layout, batch);
	nft_layout_encode_retry_sets(layout, batch);
	nft_layout_encode_protected(layout, batch);
	nft_layout_encode_allow(layout, batch);
	nft_layout_encode_near(layout, batch);
	for (size_t i = 0; i < layout->fuse_count; i++) {
		if (!layout->fuses[i].present)
			nft_layout_encode_fuse_sets(layout, batch, i);
	}
	for (size_t i = 0; i < layout->count; i++) {
		if (!layout->sets[i].present)
			nft_layout_encode_ban_set(layout, batch, i);
	}
	nft_layout_encode_rules(layout, batch);
	return sink_send(sink);
}

/* For what it says, and not for who says it, or when. */
static bool is_refused(int err)
{
	return err < 0 && err != -EPERM && !nft_socket_is_passing(err);
}

/* Keeping what there is, if that can be. *ret_anew: it cannot. */
static int send_any(struct nft_sink *sink, struct layout *layout, const struct nft_state *state,
		    bool *ret_anew)
{
	*ret_anew = !state->exists || is_beyond_repair(sink, layout, state);
	int err = send_table(sink, layout, state, *ret_anew);
	/* Something that the list of sets and chains does not show: a map's element that jumps into
	 * a chain, an object with one of our names. */
	if (is_refused(err) && !*ret_anew) {
		*ret_anew = true;
		err = send_table(sink, layout, state, true);
	}
	return err;
}

/* A set that was there is not, or not the same any more. */
static bool has_lost(const struct nft_sink *sink, const struct nft_state *state, bool anew)
{
	if (anew)
		return state->exists || sink->installed;
	for (size_t i = 0; i < sink->layout.count; i++) {
		if (sink->layout.sets[i].present &&
		    !nft_state_set(state, sink->layout.sets[i].name))
			return true;
	}
	return false;
}

/* Asked of the kernel when a policy first wants it: the question loads its module. */
static int find_synproxy(struct nft_sink *sink)
{
	bool has = false;
	if (sink->synproxy_asked || sink->no_synproxy)
		return 0;
	int err = nft_probe_synproxy(&sink->socket, &has);
	sink->synproxy_asked = err == 0;
	sink->no_synproxy = err == 0 && !has;
	return err;
}

int nft_sink_install(struct nft_sink *sink, const struct tg_config *config,
		     const struct tg_prefix_set *protected, const struct tg_prefix_set *allow,
		     const struct tg_syn_options *syn_options)
{
	struct layout layout;
	struct nft_state state;
	if (!nft_queue_is_empty(&sink->queue))
		return -EBUSY;
	int err = layout_init(&layout, config, protected, allow, sink->set_size);
	if (err < 0)
		return err;
	layout.syn_options = syn_options;
	err = nft_state_read(&state, &sink->socket, TABLE);
	if (err == 0 && state.flags & NFT_TABLE_F_OWNER && state.owner != sink->socket.portid)
		err = -EBUSY;
	if (err == 0 && tg_config_has_synproxy(config))
		err = find_synproxy(sink);
	if (err < 0)
		goto err_state;

	layout.no_synproxy = sink->no_synproxy;
	for (size_t i = 0; i < state.chain_count; i++)
		if (strcmp(state.chains[i].name, LAYOUT_KEEPER) == 0)
			layout.keeps_synproxy = !layout.no_synproxy;
	layout.observes = sink->observes;
	bool anew = false;
	err = send_any(sink, &layout, &state, &anew);
	/* It cannot log, or hash: the counts of flows have to do. */
	if (is_refused(err) && layout.fuse_count > 0) {
		layout_fuses_omit(&layout);
		err = send_any(sink, &layout, &state, &anew);
	}
	/* An interface that is not there, to a kernel that wants it; or ingress is not known at
	 * all: prerouting guards what comes by it. */
	if (is_refused(err) && layout.config->ingress_count > 0) {
		layout.no_ingress = true;
		err = send_any(sink, &layout, &state, &anew);
	}
	if (err == -EPERM)
		err = -EBUSY;
	if (err < 0)
		goto err_state;
	for (size_t i = 0; i < layout.count; i++)
		layout.sets[i].present = true;
	const bool lost = has_lost(sink, &state, anew);
	if (sink->installed && (lost || sink->suspect))
		sink->stats.repairs++;
	layout_finish(&sink->layout);
	sink->layout = layout;
	sink->installed = true;
	sink->suspect = false;
	sink->stats.fuses = layout.fuse_count;
	sink->stats.no_fuse = layout.no_fuse;
	sink->stats.synproxy = !layout.no_synproxy;
	sink->stats.ingress = layout.config->ingress_count > 0 && !layout.no_ingress;
	nft_state_finish(&state);
	return lost ? 1 : 0;

err_state:
	nft_state_finish(&state);
	layout_finish(&layout);
	return err;
}

void nft_sink_meters(struct nft_sink *sink, struct nft_meters *ret_meters)
{
	struct nft_state state = {0};
	*ret_meters =
		(struct nft_meters){.fuses = sink->layout.fuse_count, .room = LAYOUT_METER_SIZE};
	if (sink->layout.fuse_count == 0)
		return;
	int err = nft_state_read(&state, &sink->socket, TABLE);
	ret_meters->known = err == 0;
	for (size_t i = 0; i < sink->layout.fuse_count && ret_meters->known; i++) {
		const struct nft_state_item *meter =
			nft_state_set(&state, sink->layout.fuses[i].meter);
		ret_meters->known = meter && meter->count != NFT_STATE_UNTOLD;
		if (!ret_meters->known)
			break;
		ret_meters->sources += meter->count;
		ret_meters->most = MAX(ret_meters->most, meter->count);
	}
	nft_state_finish(&state);
}

void nft_sink_observe(struct nft_sink *sink, bool observes)
{
	sink->observes = observes;
}

int nft_sink_protect(struct nft_sink *sink, const struct tg_prefix_set *protected)
{
	if (!sink->installed)
		return -ENOENT;
	const struct tg_prefix_set *before = sink->layout.protected_set;
	sink->layout.protected_set = protected;
	nft_batch_begin(&sink->batch, sink->socket.seq);
	nft_layout_encode_protected(&sink->layout, &sink->batch);
	nft_layout_encode_near(&sink->layout, &sink->batch);
	int err = sink_send(sink);
	if (err < 0)
		sink->layout.protected_set = before;
	return err;
}

int nft_sink_add(struct nft_sink *sink, const struct tg_decision *decision, tg_time now,
		 uint64_t wall_s)
{
	if (decision->type != TG_DECISION_BAN && decision->type != TG_DECISION_LIFT)
		return -EINVAL;
	/* No element: no set could hold it. */
	if (decision->ban.action == TG_ACTION_OBSERVE)
		return -EINVAL;
	if (!sink->installed)
		return -ENOENT;
	return nft_queue_add(&sink->queue, &sink->layout, decision, now, wall_s);
}

void nft_sink_pass(struct nft_sink *sink, uint16_t policy, const struct tg_addr *source)
{
	nft_verified_add(&sink->verified, &sink->stats, policy, source);
}

int nft_sink_commit(struct nft_sink *sink,
		    void (*ack)(void *data, uint32_t ban, uint32_t version, int error), void *data)
{
	struct nft_queue_context context = {.socket = &sink->socket,
					    .batch = &sink->batch,
					    .layout = &sink->layout,
					    .stats = &sink->stats,
					    .destroy = sink->stats.destroy,
					    .update = sink->stats.update};
	/* First: who is known to be real does not meet the budget that may come with the bans. */
	nft_verified_send(&sink->verified, &sink->layout, &sink->socket, &sink->batch,
			  &sink->stats);
	int err = nft_queue_commit(&sink->queue, &context, ack, data);
	if (err < 0)
		sink->suspect = true;
	return err;
}

struct counted {
	uint32_t first_seq;
	struct nft_counters *counters;
	size_t count;
	const size_t *which; /* the ban that question seq - first_seq was about */
	enum tg_family family;
	size_t current;
};

static void count_elem(void *data, const struct nft_elem_found *elem)
{
	const struct counted *counted = data;
	counted->counters[counted->current] = (struct nft_counters){
		.packets = elem->packets, .bytes = elem->bytes, .found = elem->counted};
}

static void count_message(void *data, const struct nlmsghdr *message)
{
	struct counted *counted = data;
	const uint32_t question = message->nlmsg_seq - counted->first_seq;
	if (question >= counted->count)
		return;
	counted->current = counted->which[question];
	/* The key was in the question; its length tells nothing new. */
	nft_elem_decode_message(message, TG_IPV4, count_elem, counted);
	if (!counted->counters[counted->current].found)
		nft_elem_decode_message(message, TG_IPV6, count_elem, counted);
	if (!counted->counters[counted->current].found)
		nft_elem_decode_message(message, NFT_ELEM_PROTOCOL, count_elem, counted);
}

/* So many answers fit into the receive buffer with room to spare. */
#define QUESTIONS_MAX 256

int nft_sink_counters(struct nft_sink *sink, const struct tg_ban *bans, size_t count,
		      struct nft_counters *ret_counters)
{
	size_t which[QUESTIONS_MAX];
	for (size_t i = 0; i < count; i++)
		ret_counters[i] = (struct nft_counters){0};
	for (size_t done = 0; done < count;) {
		struct counted counted = {
			.first_seq = sink->socket.seq, .counters = ret_counters, .which = which};
		nft_batch_clear(&sink->batch, sink->socket.seq);
		for (; done < count && counted.count < QUESTIONS_MAX; done++) {
			size_t index;
			if (!sink->installed ||
			    layout_find(&sink->layout, &bans[done], &index) < 0 ||
			    !sink->layout.sets[index].present)
				continue;
			const struct tg_addr key = nft_elem_key(&bans[done].source);
			nft_elem_encode_get(&sink->batch, TABLE, sink->layout.sets[index].name,
					    &key);
			which[counted.count++] = done;
		}
		if (counted.count == 0)
			continue;
		int err = nft_socket_ask(&sink->socket, &sink->batch, count_message, &counted);
		if (err < 0)
			return err;
	}
	return 0;
}

int nft_sink_watch_fd(const struct nft_sink *sink)
{
	return sink->watch_fd;
}

bool nft_sink_watch_dispatch(struct nft_sink *sink)
{
	if (sink->watch_fd < 0 || !nft_watch_dispatch(sink->watch_fd, TABLE) || !sink->installed)
		return false;
	sink->suspect = true;
	return true;
}

int nft_sink_remove_table(void)
{
	struct nft_socket socket = {.fd = -1};
	struct nft_batch batch;
	nft_batch_init(&batch);
	int err = nft_socket_open(&socket);
	if (err < 0)
		return err;
	struct nft_state state;
	err = nft_state_read_table(&state, &socket, TABLE);
	if (err == 0 && state.exists && state.flags & NFT_TABLE_F_OWNER) {
		err = -EBUSY;
	} else if (err == 0 && state.exists) {
		nft_batch_begin(&batch, socket.seq);
		nft_encode_delete_table(&batch, TABLE);
		nft_batch_end(&batch);
		err = nft_socket_send(&socket, &batch);
	}
	nft_batch_finish(&batch);
	nft_socket_close(&socket);
	return err == -ENOENT ? 0 : err;
}

void nft_sink_stats(const struct nft_sink *sink, struct nft_sink_stats *ret_stats)
{
	*ret_stats = sink->stats;
	ret_stats->took = sink->socket.took;
}
