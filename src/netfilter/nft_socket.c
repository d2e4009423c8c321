/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the request socket: sends, waits for the answer, tells errors apart. It
 * does not sleep in the normal case, because the kernel has done all the work by
 * the time sendmsg returns; the wait is there for a kernel that is not like that.
 */
#include "netfilter/nft_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "netfilter/nft_batch.h"

/* The kernel fills at most 32 KiB for one receive of a list, and only for whoever asked with a
 * buffer as large; single answers are smaller. */
#define BUFFER_SIZE (64 * 1024)
/* A transaction is one send. The largest that a policy can ask for allows 1,000,000 addresses, of
 * two elements each; the kernel doubles this. */
#define SEND_BUFFER (64 << 20)
#define RECEIVE_BUFFER (4 << 20)
#define WAIT_MS 1000
#define TRIES 5

int nft_socket_open(struct nft_socket *sock)
{
	const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	struct sockaddr_nl own = {0};
	socklen_t own_len = sizeof(own);
	const int one = 1, send_size = SEND_BUFFER, receive_size = RECEIVE_BUFFER;
	int err;

	struct nft_socket new_sock = {.fd = -1, .seq = 1};
	new_sock.buffer = malloc(BUFFER_SIZE);
	if (!new_sock.buffer)
		return -ENOMEM;
	new_sock.fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
	if (new_sock.fd < 0 || bind(new_sock.fd, (const struct sockaddr *)&any, sizeof(any)) < 0 ||
	    getsockname(new_sock.fd, (struct sockaddr *)&own, &own_len) < 0) {
		err = -errno;
		nft_socket_close(&new_sock);
		return err == -EPROTONOSUPPORT ? -EOPNOTSUPP : err;
	}
	/* Without the privilege for these the first transaction fails with EPERM anyway; an answer
	 * that carries the whole request back would fill the buffer for nothing. */
	(void)setsockopt(new_sock.fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_size, sizeof(send_size));
	(void)setsockopt(new_sock.fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_size,
			 sizeof(receive_size));
	(void)setsockopt(new_sock.fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	new_sock.portid = own.nl_pid;
	*sock = new_sock;
	return 0;
}

void nft_socket_close(struct nft_socket *sock)
{
	if (sock->fd >= 0)
		(void)close(sock->fd); /* every transaction was acknowledged before */
	free(sock->buffer);
	*sock = (struct nft_socket){.fd = -1};
}

static int socket_send(const struct nft_socket *sock, const void *data, size_t len)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	for (int i = 0; i < TRIES; i++) {
		if (sendto(sock->fd, data, len, 0, (const struct sockaddr *)&kernel,
			   sizeof(kernel)) >= 0)
			return 0;
		if (errno != EINTR && errno != EAGAIN && errno != ENOBUFS)
			break;
	}
	return -errno;
}

/* Bytes of one datagram of the kernel; 0: nothing is there (wait: within a second); or -errno. */
static ssize_t socket_receive(const struct nft_socket *sock, bool wait)
{
	for (int i = 0; i < TRIES; i++) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = sock->buffer, .iov_len = BUFFER_SIZE};
		struct msghdr msg = {.msg_name = &from,
				     .msg_namelen = sizeof(from),
				     .msg_iov = &iov,
				     .msg_iovlen = 1};
		ssize_t len = recvmsg(sock->fd, &msg, MSG_DONTWAIT);
		if (len >= 0 && from.nl_pid != 0)
			continue; /* any process of root may write to us */
		if (len >= 0)
			return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : len;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		struct pollfd pollfd = {.fd = sock->fd, .events = POLLIN};
		if (!wait || poll(&pollfd, 1, WAIT_MS) == 0)
			return 0;
	}
	return 0;
}

static int message_error(const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
	if (mnl_nlmsg_get_payload_len(message) < sizeof(error->error))
		return -EBADMSG;
	return error->error;
}

/* Answers to a question that was given up. An error may be one of those that reading clears. */
static void socket_drain(const struct nft_socket *sock)
{
	ssize_t len;
	for (int failed = 0; failed < TRIES && (len = socket_receive(sock, false)) != 0;)
		failed += len < 0;
}

/* Any error is the batch's: the kernel took back what it had acknowledged before. */
static int batch_once(struct nft_socket *sock, const struct nft_batch *batch)
{
	socket_drain(sock);
	int result = socket_send(sock, batch->data, batch->len);
	if (result < 0)
		return result;
	bool answered = false;
	for (;;) {
		ssize_t len = socket_receive(sock, !answered);
		if (len < 0)
			return result < 0 ? result : (int)len;
		if (len == 0)
			return answered ? result : -ETIMEDOUT;
		int left = (int)len;
		const struct nlmsghdr *message = (const struct nlmsghdr *)(void *)sock->buffer;
		for (; nft_socket_holds(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (message->nlmsg_type != NLMSG_ERROR ||
			    message->nlmsg_seq - batch->first_seq >= batch->seq - batch->first_seq)
				continue;
			answered = true;
			if (result == 0)
				result = message_error(message);
		}
	}
}

bool nft_socket_is_passing(int err)
{
	return err == -ENOMEM || err == -ENOBUFS || err == -EAGAIN || err == -EINTR ||
	       err == -ERESTART || err == -ETIMEDOUT;
}

int nft_socket_send(struct nft_socket *sock, struct nft_batch *batch)
{
	if (batch->failed)
		return -ENOMEM;
	sock->seq = batch->seq;
	int err = 0;
	for (int i = 0; i < TRIES; i++) {
		const uint64_t begun = sock->clock_ns ? sock->clock_ns() : 0;
		err = batch_once(sock, batch);
		if (sock->clock_ns)
			tg_histogram_add(&sock->took, sock->clock_ns() - begun);
		if (err != -EINTR && err != -EAGAIN && err != -ENOBUFS && err != -ERESTART)
			break;
	}
	return err;
}

struct nlmsghdr *nft_socket_request(char buffer[static NFT_SOCKET_REQUEST_MAX], uint8_t type)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | type;
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(request, sizeof(*nfg));
	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	return request;
}

int nft_socket_dump(struct nft_socket *sock, struct nlmsghdr *request, nft_socket_message message,
		    void *data)
{
	request->nlmsg_seq = sock->seq++;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	socket_drain(sock);
	int err = socket_send(sock, request, request->nlmsg_len);
	bool interrupted = false;
	while (err == 0) {
		ssize_t len = socket_receive(sock, true);
		if (len <= 0)
			return len < 0 ? (int)len : -ETIMEDOUT;
		int left = (int)len;
		const struct nlmsghdr *part = (const struct nlmsghdr *)(void *)sock->buffer;
		for (; nft_socket_holds(part, left); part = mnl_nlmsg_next(part, &left)) {
			if (part->nlmsg_seq != request->nlmsg_seq)
				continue;
			interrupted = interrupted || part->nlmsg_flags & NLM_F_DUMP_INTR;
			/* The end carries the error that cut the list off, if there was one. */
			if (part->nlmsg_type == NLMSG_DONE || part->nlmsg_type == NLMSG_ERROR)
				err = message_error(part);
			if (err < 0)
				return err;
			if (part->nlmsg_type == NLMSG_DONE)
				return interrupted ? -EINTR : 0;
			if (part->nlmsg_type >= NLMSG_MIN_TYPE)
				message(data, part);
		}
	}
	return err;
}

int nft_socket_ask(struct nft_socket *sock, const struct nft_batch *batch,
		   nft_socket_message message, void *data)
{
	if (batch->failed)
		return -ENOMEM;
	sock->seq = batch->seq;
	socket_drain(sock);
	int err = socket_send(sock, batch->data, batch->len);
	uint32_t missing = batch->seq - batch->first_seq;
	while (err == 0 && missing > 0) {
		ssize_t len = socket_receive(sock, true);
		if (len <= 0)
			return len < 0 ? (int)len : -ETIMEDOUT;
		int left = (int)len;
		const struct nlmsghdr *part = (const struct nlmsghdr *)(void *)sock->buffer;
		for (; nft_socket_holds(part, left); part = mnl_nlmsg_next(part, &left)) {
			if (part->nlmsg_seq - batch->first_seq >= batch->seq - batch->first_seq)
				continue;
			missing--;
			if (part->nlmsg_type >= NLMSG_MIN_TYPE)
				message(data, part);
			else if (part->nlmsg_type == NLMSG_ERROR && message_error(part) == -EPERM)
				err = -EPERM;
		}
	}
	return err;
}
