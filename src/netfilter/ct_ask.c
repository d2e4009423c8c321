/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the socket for questions and which key each sequence number asked about. */
#include "netfilter/ct_ask.h"

#include <assert.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "netfilter/ct_encode.h"

/* Without an answer at a time; a power of two. What a limit on deadlines brings in one turn. */
#define PENDING_MAX 2048u
/* Each answer is charged one page and a half to the receive buffer, in the worst case. */
#define RECEIVE_BUFFER (PENDING_MAX * 6144u)
/* One system call for so many. */
#define BATCH 32u
#define ANSWER_MAX 4096
#define ANSWERS 32

int ct_ask_init(struct ct_ask *ask)
{
	uint32_t granted;
	*ask = (struct ct_ask){.sock = NLSOCK_CLOSED, .first = 1, .next = 1};
	ask->keys = calloc(PENDING_MAX, sizeof(*ask->keys));
	if (!ask->keys)
		return -ENOMEM;
	int error = nl_reader_init(&ask->reader, ANSWERS, ANSWER_MAX);
	if (error < 0)
		return error;
	error = nlsock_open(NETLINK_NETFILTER, &ask->sock);
	if (error < 0)
		return error;
	error = nlsock_set_receive_buffer(&ask->sock, RECEIVE_BUFFER, &granted);
	if (error < 0)
		return error;
	return nlsock_set_no_enobufs(&ask->sock);
}

void ct_ask_finish(struct ct_ask *ask)
{
	nlsock_close(&ask->sock);
	nl_reader_finish(&ask->reader);
	free(ask->keys);
	ask->keys = NULL;
}

size_t ct_ask_pending(const struct ct_ask *ask)
{
	return ask->next - ask->first;
}

size_t ct_ask_room(const struct ct_ask *ask)
{
	return PENDING_MAX - ct_ask_pending(ask);
}

int ct_ask_send(struct ct_ask *ask, const struct tg_flow_key *keys, size_t count, size_t *ret_asked)
{
	_Alignas(struct nlmsghdr) uint8_t batch[BATCH * CT_ENCODE_MAX];
	size_t asked = 0;
	assert(count <= ct_ask_room(ask));
	while (asked < count) {
		const size_t part = MIN(count - asked, (size_t)BATCH);
		size_t len = 0;
		for (size_t i = 0; i < part; i++) {
			len += ct_encode_get(batch + len, ask->next + (uint32_t)i,
					     &keys[asked + i]);
		}
		int error = nlsock_send(&ask->sock, batch, len);
		if (error < 0) {
			*ret_asked = asked;
			return error;
		}
		for (size_t i = 0; i < part; i++)
			ask->keys[ask->next++ % PENDING_MAX] = keys[asked + i];
		asked += part;
	}
	*ret_asked = asked;
	return 0;
}

static enum ct_ask_step answer(const struct nlmsghdr *message, const struct tg_flow_key *key,
			       struct ct_message *ret_message)
{
	if (message->nlmsg_type == NLMSG_ERROR) {
		int error = 0;
		if (message->nlmsg_len >= NLMSG_HDRLEN + sizeof(error))
			memcpy(&error, NLMSG_DATA(message), sizeof(error));
		if (error != -ENOENT)
			return CT_ASK_FAILED;
	} else {
		struct ct_message found;
		if (ct_decode(message, message->nlmsg_len, &found) != CT_FLOW)
			return CT_ASK_FAILED;
		/* The kernel looks among the replies too: then it is a flow the other way round. */
		if (memcmp(&found.flow.key, key, sizeof(*key)) == 0 && !found.dying) {
			*ret_message = found;
			return CT_ASK_FLOW;
		}
	}
	*ret_message = (struct ct_message){
		.kind = CT_DESTROY,
		.flow = {.key = *key, .state = TG_TCP_UNKNOWN},
	};
	return CT_ASK_GONE;
}

enum ct_ask_step ct_ask_next(struct ct_ask *ask, struct ct_message *ret_message)
{
	const struct nlmsghdr *message;
	while (!(message = nl_reader_next(&ask->reader))) {
		if (nl_reader_fill(&ask->reader, ask->sock.fd, ANSWERS) > 0)
			continue;
		ask->failed += ct_ask_pending(ask);
		ask->first = ask->next;
		return CT_ASK_EMPTY;
	}
	const uint32_t index = message->nlmsg_seq - ask->first;
	if (message->nlmsg_pid != ask->sock.portid || index >= ct_ask_pending(ask))
		return CT_ASK_STRAY;
	/* Answers come in order; a hole is a question whose answer found no room. */
	ask->failed += index;
	ask->first += index;
	const struct tg_flow_key key = ask->keys[ask->first++ % PENDING_MAX];
	const enum ct_ask_step step = answer(message, &key, ret_message);
	if (step == CT_ASK_FAILED)
		ask->failed++;
	return step;
}
