/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_SOCKET_H
#define NETFILTER_NFT_SOCKET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "base/histogram.h"

struct nft_batch;

/* One netlink socket for requests to nf_tables: transactions and questions, one at a time. */
struct nft_socket {
	int fd; /* -1: closed */
	uint32_t portid;
	uint32_t seq;
	char *buffer;               /* what is received goes here */
	uint64_t (*clock_ns)(void); /* NULL: transactions are not timed */
	struct tg_histogram took;   /* from sending a transaction to its answer */
};

/* 0 or -errno. */
int nft_socket_open(struct nft_socket *socket);
void nft_socket_close(struct nft_socket *socket);

/* Sends a finished transaction and reads the answer. 0, or what the kernel said first: -errno.
 * What a signal or a busy kernel interrupted is tried again, a few times. */
int nft_socket_send(struct nft_socket *socket, struct nft_batch *batch);

/* A whole message in what is left. libmnl takes a length above INT_MAX for a negative one. */
static inline bool nft_socket_holds(const struct nlmsghdr *message, int left)
{
	return mnl_nlmsg_ok(message, left) && message->nlmsg_len <= INT_MAX;
}

/* Says nothing about what was asked for: memory, a signal, a kernel that does not answer. */
bool nft_socket_is_passing(int err);

typedef void (*nft_socket_message)(void *data, const struct nlmsghdr *message);

/* Two names of NFT_NAME_MAXLEN, and the headers. */
#define NFT_SOCKET_REQUEST_MAX 1024
/* A request for a list of the inet family, in buffer, to which the caller adds what it filters by.
 */
struct nlmsghdr *nft_socket_request(char buffer[static NFT_SOCKET_REQUEST_MAX], uint8_t type);

/*
 * Asks for a list (request: one message, without batch frame) and hands over each message of the
 * answer. 0 or -errno; -EINTR: something changed meanwhile, so that the list may be wrong.
 */
int nft_socket_dump(struct nft_socket *socket, struct nlmsghdr *request, nft_socket_message message,
		    void *data);

/*
 * Sends the messages of an unframed batch, each of them a question with one answer. message gets
 * the answers; a question that has none is skipped. 0 or -errno.
 */
int nft_socket_ask(struct nft_socket *socket, const struct nft_batch *batch,
		   nft_socket_message message, void *data);

#endif
