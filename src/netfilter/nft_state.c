/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns reading back what the kernel holds of a table: its flags, its sets and its chains. */
#include "netfilter/nft_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "netfilter/nft_batch.h"
#include "netfilter/nft_socket.h"

/* NFTA_SET_COUNT, since Linux 6.17 or so; what the headers of Debian 12 do not name yet. */
#define SET_COUNT 20

/* Others may change the ruleset while we read; then once more. */
#define TRIES 5

struct reader {
	struct nft_state *state;
	const char *table;
};

static uint32_t attr_be32(const struct nlattr *attr)
{
	uint32_t value = 0;
	if (mnl_attr_get_payload_len(attr) == sizeof(value))
		memcpy(&value, mnl_attr_get_payload(attr), sizeof(value));
	return ntohl(value);
}

static bool attr_is(const struct nlattr *attr, const char *text)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0 &&
	       strcmp(mnl_attr_get_str(attr), text) == 0;
}

static void found_table(void *data, const struct nlmsghdr *message)
{
	const struct reader *reader = data;
	const struct nlattr *attr, *name = NULL;
	uint32_t flags = 0, owner = 0;
	mnl_attr_for_each (attr, message, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			name = attr;
		else if (mnl_attr_get_type(attr) == NFTA_TABLE_FLAGS)
			flags = attr_be32(attr);
		else if (mnl_attr_get_type(attr) == NFTA_TABLE_OWNER)
			owner = attr_be32(attr);
	}
	if (!attr_is(name, reader->table))
		return;
	reader->state->exists = true;
	reader->state->flags = flags;
	reader->state->owner = owner;
}

/* The item is zeroed. NULL when memory ran out. */
static struct nft_state_item *append(struct nft_state *state, struct nft_state_item **items,
				     size_t *count, size_t *capacity)
{
	if (*count == *capacity) {
		size_t more = *capacity ? 2 * *capacity : 16;
		struct nft_state_item *list = reallocarray(*items, more, sizeof(*list));
		if (!list) {
			state->failed = true;
			return NULL;
		}
		*items = list;
		*capacity = more;
	}
	struct nft_state_item *item = &(*items)[(*count)++];
	*item = (struct nft_state_item){0};
	return item;
}

static void found_set(void *data, const struct nlmsghdr *message)
{
	const struct reader *reader = data;
	const struct nlattr *attr, *table = NULL, *name = NULL;
	uint32_t flags = 0, key_len = 0, count = NFT_STATE_UNTOLD;
	mnl_attr_for_each (attr, message, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_SET_TABLE)
			table = attr;
		else if (mnl_attr_get_type(attr) == NFTA_SET_NAME)
			name = attr;
		else if (mnl_attr_get_type(attr) == NFTA_SET_FLAGS)
			flags = attr_be32(attr);
		else if (mnl_attr_get_type(attr) == NFTA_SET_KEY_LEN)
			key_len = attr_be32(attr);
		else if (mnl_attr_get_type(attr) == SET_COUNT)
			count = attr_be32(attr);
	}
	/* Anonymous sets go with their rules. */
	if (!attr_is(table, reader->table) || !name || flags & NFT_SET_ANONYMOUS ||
	    mnl_attr_validate(name, MNL_TYPE_NUL_STRING) < 0)
		return;
	struct nft_state *state = reader->state;
	struct nft_state_item *item =
		append(state, &state->sets, &state->set_count, &state->set_capacity);
	if (!item)
		return;
	(void)snprintf(item->name, sizeof(item->name), "%s", mnl_attr_get_str(name));
	item->flags = flags;
	item->key_len = key_len;
	item->count = count;
}

static void found_chain(void *data, const struct nlmsghdr *message)
{
	const struct reader *reader = data;
	const struct nlattr *attr, *table = NULL, *name = NULL, *hook = NULL;
	mnl_attr_for_each (attr, message, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_CHAIN_TABLE)
			table = attr;
		else if (mnl_attr_get_type(attr) == NFTA_CHAIN_NAME)
			name = attr;
		else if (mnl_attr_get_type(attr) == NFTA_CHAIN_HOOK)
			hook = attr;
	}
	if (!attr_is(table, reader->table) || !name ||
	    mnl_attr_validate(name, MNL_TYPE_NUL_STRING) < 0)
		return;
	struct nft_state *state = reader->state;
	struct nft_state_item *item =
		append(state, &state->chains, &state->chain_count, &state->chain_capacity);
	if (!item)
		return;
	(void)snprintf(item->name, sizeof(item->name), "%s", mnl_attr_get_str(name));
	item->base = hook != NULL;
}

static int read_list(struct nft_socket *socket, uint8_t type, const char *table,
		     nft_socket_message found, void *data)
{
	char buffer[NFT_SOCKET_REQUEST_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = nft_socket_request(buffer, type);
	/* The table as a filter; a list of tables has none. */
	if (type != NFT_MSG_GETTABLE)
		mnl_attr_put_strz(message, NFTA_SET_TABLE, table);
	return nft_socket_dump(socket, message, found, data);
}

int nft_state_read_table(struct nft_state *state, struct nft_socket *socket, const char *table)
{
	int err = -EINTR;
	*state = (struct nft_state){0};
	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		state->exists = false;
		err = read_list(socket, NFT_MSG_GETTABLE, table, found_table,
				&(struct reader){.state = state, .table = table});
	}
	return err;
}

int nft_state_read(struct nft_state *state, struct nft_socket *socket, const char *table)
{
	const struct reader reader = {.state = state, .table = table};
	int err = nft_state_read_table(state, socket, table);
	if (err < 0 || !state->exists)
		return err;
	err = -EINTR;
	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		state->set_count = state->chain_count = 0;
		err = read_list(socket, NFT_MSG_GETSET, table, found_set, (void *)&reader);
		if (err == 0)
			err = read_list(socket, NFT_MSG_GETCHAIN, table, found_chain,
					(void *)&reader);
	}
	return err == 0 && state->failed ? -ENOMEM : err;
}

void nft_state_finish(struct nft_state *state)
{
	free(state->sets);
	free(state->chains);
	*state = (struct nft_state){0};
}

const struct nft_state_item *nft_state_set(const struct nft_state *state, const char *name)
{
	for (size_t i = 0; i < state->set_count; i++) {
		if (strcmp(state->sets[i].name, name) == 0)
			return &state->sets[i];
	}
	return NULL;
}
