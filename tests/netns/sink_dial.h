/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_NETNS_SINK_DIAL_H
#define TESTS_NETNS_SINK_DIAL_H

/* Real connections between the two sides of sink_lab.h, from any source of the outside. */
#include <errno.h>
#include <poll.h>

#include "sink_lab.h"

union dial_addr {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static inline socklen_t dial_addr(const char *text, uint16_t port, union dial_addr *ret)
{
	struct tg_addr addr;
	*ret = (union dial_addr){0};
	if (!tg_addr_parse(text, &addr))
		abort();
	if (addr.family == TG_IPV4) {
		ret->four.sin_family = AF_INET;
		ret->four.sin_port = htons(port);
		memcpy(&ret->four.sin_addr, addr.bytes, 4);
		return sizeof(ret->four);
	}
	ret->six.sin6_family = AF_INET6;
	ret->six.sin6_port = htons(port);
	memcpy(&ret->six.sin6_addr, addr.bytes, 16);
	return sizeof(ret->six);
}

/* A TCP socket of one of the namespaces, with an address that need not be on an interface. */
static inline int dial_socket(int netns, int back, const char *from, uint16_t port)
{
	const int one = 1;
	union dial_addr addr;
	const socklen_t len = dial_addr(from, port, &addr);
	if (setns(netns, CLONE_NEWNET) < 0)
		return -1;
	const int fd = socket(addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (setns(back, CLONE_NEWNET) < 0 || fd < 0)
		abort();
	setsockopt(fd, SOL_IP, IP_FREEBIND, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &addr.any, len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int dial_listen(int netns, int back, const char *address, uint16_t port)
{
	const int fd = dial_socket(netns, back, address, port);
	if (fd < 0 || listen(fd, 64) < 0)
		abort();
	return fd;
}

/* Its SYN is sent when this returns. */
static inline int dial_start(int netns, int back, const char *from, const char *to, uint16_t port)
{
	union dial_addr addr;
	const socklen_t len = dial_addr(to, port, &addr);
	const int fd = dial_socket(netns, back, from, 0);
	if (fd >= 0 && connect(fd, &addr.any, len) < 0 && errno != EINPROGRESS)
		printf("# connect: %s\n", strerror(errno));
	return fd;
}

/* What became of it: 0, or an errno. */
static inline int dial_result(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
	int err = 0;
	socklen_t len = sizeof(err);
	if (poll(&pollfd, 1, 5000) != 1)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? errno : err;
}

/* One byte from one end to the other: 0, or the errno with which the connection ended. */
static inline int dial_say(int from, int to)
{
	struct pollfd ends[] = {{.fd = to, .events = POLLIN}, {.fd = from}};
	char byte = 'x';
	if (write(from, &byte, 1) != 1)
		return errno;
	if (poll(ends, 2, 5000) < 1)
		return ETIMEDOUT;
	if (ends[1].revents)
		return dial_result(from);
	return read(to, &byte, 1) == 1 ? 0 : errno;
}

/* The other end of a connection to a listener. */
static inline int dial_accept(int listener)
{
	struct pollfd pollfd = {.fd = listener, .events = POLLIN};
	return poll(&pollfd, 1, 5000) == 1 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

/* Ends it with a RST, so that nothing of it is left at either side. */
static inline void dial_reset(int fd)
{
	const struct linger linger = {.l_onoff = 1};
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

#endif
