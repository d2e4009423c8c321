/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the socket of orders and the count of what became of them. */
#include "netfilter/nl_order.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

#include "base/util.h"

/* An error repeats the order's header; some kernels all of it. */
#define ANSWER_SIZE 512
#define ANSWERS 64
/* Each answer is charged a page and more: room for one to each order of a full batch. */
#define RECEIVE_BUFFER (4096u * 256u)

int nl_order_init(struct nl_order *order, int protocol)
{
	uint32_t granted;
	*order = (struct nl_order){.sock = NLSOCK_CLOSED};
	int err = nl_reader_init(&order->reader, ANSWERS, ANSWER_SIZE);
	if (!err)
		err = nlsock_open(protocol, &order->sock);
	if (!err)
		err = nlsock_set_receive_buffer(&order->sock, RECEIVE_BUFFER, &granted);
	if (!err)
		err = nlsock_set_no_enobufs(&order->sock);
	if (err)
		nl_order_finish(order);
	return err;
}

void nl_order_finish(struct nl_order *order)
{
	nlsock_close(&order->sock);
	nl_reader_finish(&order->reader);
	order->sock = NLSOCK_CLOSED;
}

void *nl_order_next(struct nl_order *order)
{
	if (order->len + NL_ORDER_MESSAGE_MAX > sizeof(order->bytes))
		nl_order_flush(order);
	return order->bytes + order->len;
}

uint32_t nl_order_seq(const struct nl_order *order)
{
	return order->seq + (uint32_t)order->count;
}

void nl_order_put(struct nl_order *order, size_t len)
{
	order->len += NLMSG_ALIGN(len);
	order->count++;
}

static void refused(struct nl_order *order, int error, uint64_t count)
{
	order->done -= MIN(order->done, count);
	if (error == -ENOENT || error == -ESTALE) {
		order->gone += count;
	} else {
		order->failed += count;
		order->error = error;
	}
}

static void hear(struct nl_order *order, const struct nlmsghdr *message)
{
	int error = 0;
	if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_seq - order->seq >= order->count ||
	    message->nlmsg_len < NLMSG_HDRLEN + sizeof(error))
		return;
	memcpy(&error, NLMSG_DATA(message), sizeof(error));
	if (error < 0)
		refused(order, error, 1);
}

void nl_order_flush(struct nl_order *order)
{
	if (order->count == 0)
		return;
	order->done += order->count;
	int err = nlsock_send(&order->sock, order->bytes, order->len);
	if (err < 0)
		refused(order, err, order->count);
	/* The kernel carries out, and answers, within the send. */
	while (nl_reader_fill(&order->reader, order->sock.fd, ANSWERS) > 0) {
		const struct nlmsghdr *message;
		while ((message = nl_reader_next(&order->reader)))
			hear(order, message);
	}
	order->seq += (uint32_t)order->count;
	order->count = order->len = 0;
}
