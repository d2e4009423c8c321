/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_ASK_H
#define NETFILTER_CT_ASK_H

#include <stddef.h>
#include <stdint.h>

#include "host/ct_decode.h"
#include "host/nl_reader.h"
#include "host/nlsock.h"

/*
 * Questions about single flows, and what the kernel answers. It answers while the
 * question is being sent, so an answer that is not there afterwards never comes.
 */
struct ct_ask {
	struct nlsock sock;
	struct nl_reader reader;
	struct tg_flow_key *keys; /* asked and not answered, a ring by sequence number */
	uint32_t first, next;     /* sequence numbers: the oldest of those; of the next question */
	uint64_t failed;          /* questions that the kernel did not answer, or with an error */
};

enum ct_ask_step {
	CT_ASK_EMPTY,  /* no answer is left; questions without one were counted as failed */
	CT_ASK_FLOW,   /* *ret_message is the flow asked about */
	CT_ASK_GONE,   /* *ret_message's key was asked about and is not there */
	CT_ASK_FAILED, /* the kernel could or would not tell; counted */
	CT_ASK_STRAY   /* nobody asked */
};

/* 0 or -errno. */
int ct_ask_init(struct ct_ask *ask);
void ct_ask_finish(struct ct_ask *ask);

/* How many more may be asked now; how many have no answer yet. */
size_t ct_ask_room(const struct ct_ask *ask);
size_t ct_ask_pending(const struct ct_ask *ask);

/*
 * Asks about the first count keys, which must be within the room. *ret_asked is how
 * many were; 0, or -errno if that is not all.
 */
int ct_ask_send(struct ct_ask *ask, const struct tg_flow_key *keys, size_t count,
		size_t *ret_asked);
enum ct_ask_step ct_ask_next(struct ct_ask *ask, struct ct_message *ret_message);

#endif
