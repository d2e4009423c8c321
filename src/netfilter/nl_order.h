/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NL_ORDER_H
#define NETFILTER_NL_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "host/nl_reader.h"
#include "host/nlsock.h"

/*
 * Orders to the kernel, many in one system call, that it answers only when it did not carry one
 * out. What is not there any more needs no carrying out.
 */
struct nl_order {
	struct nlsock sock;
	struct nl_reader reader;
	uint32_t seq;
	size_t count, len; /* written, and not sent yet */
	uint64_t done, gone, failed;
	int error; /* the last that failed with: negative errno */
	_Alignas(8) uint8_t bytes[8192];
};

#define NL_ORDER_MESSAGE_MAX 128

/* protocol as in nlsock_open(). 0 or -errno. */
int nl_order_init(struct nl_order *order, int protocol);
/* Accepts one that is zeroed. */
void nl_order_finish(struct nl_order *order);

/* Where the next message is written, of NL_ORDER_MESSAGE_MAX bytes at most, with sequence number
 * nl_order_seq(). Sends what is there when there is no room. */
void *nl_order_next(struct nl_order *order);
uint32_t nl_order_seq(const struct nl_order *order);
/* It was written, in so many bytes. */
void nl_order_put(struct nl_order *order, size_t len);
/* Sends what is there and hears what became of it. */
void nl_order_flush(struct nl_order *order);

#endif
