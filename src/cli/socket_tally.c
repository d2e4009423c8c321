/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the counts of one walk over the sockets. A socket costs one look into a hash at
 * most, keyed, because peers choose their addresses; memory grows with the groups only.
 */
#include "socket_tally.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "base/util.h"
#include "host/processes.h"

#define SLOTS_AT_FIRST 1024
/* What is counted as one source where the policy does not say otherwise. */
static const uint8_t default_len[TG_FAMILY_COUNT] = {[TG_IPV4] = 32, [TG_IPV6] = 64};

_Static_assert(sizeof(struct tally_key) == 24, "the key has no padding");

void socket_tally_finish(struct socket_tally *tally)
{
	free(tally->groups);
	free(tally->slots);
	tally->groups = NULL;
	tally->slots = NULL;
}

static uint32_t *find_slot(const struct socket_tally *tally, const struct tally_key *key)
{
	uint32_t at = (uint32_t)tg_siphash13(tally->hash_key, key, sizeof(*key));
	for (;; at++) {
		uint32_t *slot = &tally->slots[at & (tally->slot_count - 1)];
		if (*slot == 0 || memcmp(&tally->groups[*slot - 1].key, key, sizeof(*key)) == 0)
			return slot;
	}
}

/* Room for one group more, and slots that are never more than half full. */
static bool grow(struct socket_tally *tally)
{
	if (tally->group_count < tally->group_room)
		return true;
	const uint32_t room = tally->group_room ? tally->group_room * 2 : SLOTS_AT_FIRST / 2;
	struct tally_group *groups = reallocarray(tally->groups, room, sizeof(*groups));
	if (!groups)
		return false;
	tally->groups = groups;
	uint32_t *slots = calloc(room, 2 * sizeof(*slots));
	if (!slots)
		return false;
	free(tally->slots);
	tally->slots = slots;
	tally->slot_count = 2 * room;
	tally->group_room = room;
	for (uint32_t i = 0; i < tally->group_count; i++)
		*find_slot(tally, &tally->groups[i].key) = i + 1;
	return true;
}

static bool listens(struct socket_tally *tally, const struct sock_diag_socket *socket)
{
	uint8_t *byte = &tally->listening[socket->local_port / 8];
	const uint8_t bit = (uint8_t)(1u << socket->local_port % 8);
	if (socket->state == TCP_LISTEN)
		*byte |= bit;
	return *byte & bit;
}

/* A port whose listener is gone is as a rule below those that are picked for calls. */
static struct tally_key port_key(bool listened, const struct sock_diag_socket *socket)
{
	if (listened || socket->local_port < socket->remote_port)
		return (struct tally_key){.kind = TALLY_IN, .number = socket->local_port};
	return (struct tally_key){.kind = TALLY_OUT, .number = socket->remote_port};
}

static struct tally_key process_key(const struct socket_tally *tally,
				    const struct sock_diag_socket *socket)
{
	if (socket->inode == 0)
		return (struct tally_key){.kind = TALLY_KERNEL};
	const struct processes_owner *owner = processes_find(tally->processes, socket->inode);
	if (!owner)
		return (struct tally_key){.kind = TALLY_HIDDEN};
	return (struct tally_key){.kind = TALLY_PROCESS, .number = owner->pid};
}

static struct tally_key source_key(const struct socket_tally *tally,
				   const struct sock_diag_socket *socket)
{
	if (socket->state == TCP_LISTEN)
		return (struct tally_key){.kind = TALLY_LISTENING};
	const uint8_t family = socket->remote.family;
	const uint8_t len =
		tally->source_len[family] ? tally->source_len[family] : default_len[family];
	return (struct tally_key){.kind = TALLY_SOURCE,
				  .number = len,
				  .addr = tg_addr_mask(&socket->remote, len).addr};
}

static struct tally_key make_key(const struct socket_tally *tally, bool listened,
				 const struct sock_diag_socket *socket)
{
	switch (tally->by) {
	case TALLY_BY_PORT:
		return port_key(listened, socket);
	case TALLY_BY_PROCESS:
		return process_key(tally, socket);
	case TALLY_BY_SOURCE:
		return source_key(tally, socket);
	case TALLY_BY_USER:
		if (socket->inode == 0)
			break;
		return (struct tally_key){.kind = TALLY_USER, .number = socket->uid};
	case TALLY_BY_NOTHING:
		break;
	}
	return (struct tally_key){.kind = TALLY_KERNEL};
}

/* NULL: no memory, or no room that may be had. */
static struct tally_group *find_group(struct socket_tally *tally, const struct tally_key *key)
{
	if (!grow(tally)) {
		tally->failed = true;
		return NULL;
	}
	uint32_t *slot = find_slot(tally, key);
	if (*slot == 0) {
		if (tally->groups_max != 0 && tally->group_count == tally->groups_max) {
			tally->crowded++;
			return NULL;
		}
		tally->groups[tally->group_count++] = (struct tally_group){.key = *key};
		*slot = tally->group_count;
	}
	return &tally->groups[*slot - 1];
}

struct tally_group *socket_tally_add(struct socket_tally *tally,
				     const struct sock_diag_socket *socket)
{
	const bool listened = listens(tally, socket);
	if (socket->state >= SOCKET_STATE_COUNT || !(tally->states_wanted >> socket->state & 1))
		return NULL;
	if (tally->port != 0 && tally->port != socket->local_port &&
	    tally->port != socket->remote_port)
		return NULL;
	tally->states[socket->state]++;
	tally->total++;
	if (tally->by == TALLY_BY_NOTHING || tally->failed)
		return NULL;
	const struct tally_key key = make_key(tally, listened, socket);
	struct tally_group *group = find_group(tally, &key);
	if (!group)
		return NULL;
	group->states[socket->state]++;
	group->total++;
	group->inode = socket->inode;
	return group;
}

/* By total, the fullest first; those that are equal in an order that does not change. */
static int compare(const void *a, const void *b)
{
	const struct tally_group *left = a, *right = b;
	if (left->total != right->total)
		return left->total < right->total ? 1 : -1;
	if (left->key.kind != right->key.kind)
		return left->key.kind < right->key.kind ? -1 : 1;
	if (left->key.number != right->key.number)
		return left->key.number < right->key.number ? -1 : 1;
	return memcmp(&left->key.addr, &right->key.addr, sizeof(left->key.addr));
}

void socket_tally_top(struct socket_tally *tally, uint32_t count)
{
	tally->groups_in_all = tally->group_count;
	if (tally->group_count > 0)
		qsort(tally->groups, tally->group_count, sizeof(*tally->groups), compare);
	for (uint32_t i = count; i < tally->group_count; i++)
		for (size_t state = 0; state < SOCKET_STATE_COUNT; state++)
			tally->others[state] += tally->groups[i].states[state];
	tally->group_count = MIN(tally->group_count, count);
}
