/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way back from set elements to bans, once, at start. A set is read to its
 * end before the first of its bans is told, because a list that was disturbed is
 * read again. Elements that others put into our sets become bans by hand.
 */
#include "netfilter/nft_adopt.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <tcpguard/units.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "layout/layout.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_socket.h"
#include "netfilter/nft_state.h"

/* Another program reloads its rules over and over: then what the last reading found will do. */
#define TRIES 5
/* What disturbed a list is over soon if we do not take the processor from it; a list of 100,000
 * takes ten times as long. */
#define SETTLE_MS 50

struct adopter {
	char policy[TG_NAME_MAX + 1];
	struct layout_set set;
	uint64_t wall_s;
	void (*found)(void *data, const struct tg_adopt *adopt);
	void *data;
};

static void keep_message(void *data, const struct nlmsghdr *message)
{
	tg_strbuf_append(data, message, MNL_ALIGN(message->nlmsg_len));
}

static enum tg_action action_of(const struct layout_set *set, const struct nft_elem_found *elem)
{
	switch ((enum layout_form)set->form) {
	case LAYOUT_REJECT:
		return TG_ACTION_REJECT;
	case LAYOUT_CAP:
		return TG_ACTION_CAP;
	case LAYOUT_SYNPROXY:
		return TG_ACTION_SYNPROXY;
	case LAYOUT_DROP:
	case LAYOUT_BUDGET:
	case LAYOUT_VERIFIED:
	case LAYOUT_FORM_COUNT:
		break;
	}
	return elem->limited ? TG_ACTION_RATE_LIMIT : TG_ACTION_DROP;
}

static void adopt_elem(void *data, const struct nft_elem_found *elem)
{
	const struct adopter *adopter = data;
	struct tg_adopt adopt = {
		.source = adopter->set.prefix_len == TG_TOTAL_LEN
				  ? (struct tg_prefix){.len = TG_TOTAL_LEN}
				  : tg_addr_mask(&elem->key, adopter->set.prefix_len),
		.action = action_of(&adopter->set, elem),
		.unproven = elem->unproven,
		.scope = adopter->set.scope,
		.origin = elem->origin,
		.measured = elem->measured,
		.threshold = elem->threshold,
		.offence = elem->offence,
		/* The kernel takes 584 years, of which a clock of ours runs over. */
		.left_ms = MIN(elem->left_ms, TG_DURATION_MAX_MS),
	};
	if (adopt.action == TG_ACTION_RATE_LIMIT)
		adopt.to = elem->to;
	else if (adopt.action == TG_ACTION_CAP)
		adopt.to.count = adopter->set.cap;
	if (elem->since_s > 0 && adopter->wall_s > elem->since_s)
		adopt.age_ms = (adopter->wall_s - elem->since_s) * 1000;
	memcpy(adopt.policy, adopter->policy, sizeof(adopt.policy));
	memcpy(adopt.limit, elem->limit, sizeof(adopt.limit));
	memcpy(adopt.reason, elem->reason, sizeof(adopt.reason));
	adopter->found(adopter->data, &adopt);
}

static void each_elem(const struct tg_strbuf *messages, enum tg_family family,
		      void (*found)(void *data, const struct nft_elem_found *elem), void *data)
{
	int left = (int)messages->len;
	const struct nlmsghdr *message = (const struct nlmsghdr *)(void *)messages->text;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
		nft_elem_decode_message(message, family, found, data);
}

struct keys {
	struct tg_addr *list; /* NULL: only counted */
	size_t count;
};

static void keep_key(void *data, const struct nft_elem_found *elem)
{
	struct keys *keys = data;
	if (keys->list)
		keys->list[keys->count] = elem->key;
	keys->count++;
}

static int key_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tg_addr));
}

/*
 * The kernel goes on with a list by counting how many it told, and a hash table that it makes
 * larger or smaller meanwhile has another order: then some are told twice, and as many not at all.
 * It says nothing of that. 0, -EINTR, or -ENOMEM.
 */
static int check_order(const struct tg_strbuf *messages, enum tg_family family)
{
	struct keys keys = {0};
	each_elem(messages, family, keep_key, &keys);
	if (keys.count < 2)
		return 0;
	keys.list = calloc(keys.count, sizeof(*keys.list));
	if (!keys.list)
		return -ENOMEM;
	keys.count = 0;
	each_elem(messages, family, keep_key, &keys);
	qsort(keys.list, keys.count, sizeof(*keys.list), key_compare);
	int err = 0;
	for (size_t i = 1; i < keys.count && err == 0; i++)
		err = key_compare(&keys.list[i - 1], &keys.list[i]) == 0 ? -EINTR : 0;
	free(keys.list);
	return err;
}

static int read_set(struct nft_socket *socket, const char *table, const char *set,
		    enum tg_family family, struct tg_strbuf *messages)
{
	int err = -EINTR;
	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		char buffer[NFT_SOCKET_REQUEST_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
		struct nlmsghdr *request = nft_socket_request(buffer, NFT_MSG_GETSETELEM);
		mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, table);
		mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, set);
		tg_strbuf_clear(messages);
		err = nft_socket_dump(socket, request, keep_message, messages);
		if (err == 0 && !messages->failed)
			err = check_order(messages, family);
		if (err == -EINTR)
			(void)poll(NULL, 0, SETTLE_MS); /* only to wait */
	}
	if (messages->failed)
		return -ENOMEM;
	return err == -EINTR ? 0 : err;
}

int nft_adopt(struct nft_socket *socket, const char *table, uint64_t wall_s,
	      void (*found)(void *data, const struct tg_adopt *adopt), void *data)
{
	struct adopter adopter = {.wall_s = wall_s, .found = found, .data = data};
	struct nft_state state;
	struct tg_strbuf messages;
	tg_strbuf_init(&messages);
	int err = nft_state_read(&state, socket, table);
	for (size_t i = 0; i < state.set_count && err == 0; i++) {
		const struct nft_state_item *item = &state.sets[i];
		if (!layout_parse_name(item->name, adopter.policy, &adopter.set) ||
		    adopter.set.form == LAYOUT_VERIFIED ||
		    item->key_len != layout_key_len(&adopter.set) ||
		    item->flags & (NFT_SET_INTERVAL | NFT_SET_MAP))
			continue;
		const enum tg_family family = (enum tg_family)adopter.set.family;
		err = read_set(socket, table, item->name, family, &messages);
		if (err == 0)
			each_elem(&messages, family, adopt_elem, &adopter);
	}
	tg_strbuf_finish(&messages);
	nft_state_finish(&state);
	return err;
}
