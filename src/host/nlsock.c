/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a netlink socket is opened, sized and asked for its losses. What is said on it is the
 * caller's. */
#include "host/nlsock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <unistd.h>

int nlsock_open(int protocol, struct nlsock *ret_sock)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
	socklen_t addr_len = sizeof(addr);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &addr_len) < 0) {
		int error = -errno;
		(void)close(fd); /* the first error is the one to tell */
		return error;
	}
	*ret_sock = (struct nlsock){.fd = fd, .portid = addr.nl_pid};
	return 0;
}

void nlsock_close(struct nlsock *sock)
{
	if (sock->fd >= 0)
		(void)close(sock->fd); /* nothing was written that could be lost */
	*sock = NLSOCK_CLOSED;
}

int nlsock_join(const struct nlsock *sock, unsigned group)
{
	if (setsockopt(sock->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return 0;
}

int nlsock_leave(const struct nlsock *sock, unsigned group)
{
	if (setsockopt(sock->fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return 0;
}

int nlsock_set_receive_buffer(const struct nlsock *sock, uint32_t bytes, uint32_t *ret_granted)
{
	int value = bytes < INT32_MAX ? (int)bytes : INT32_MAX;
	socklen_t len = sizeof(value);
	if (setsockopt(sock->fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) < 0 &&
	    setsockopt(sock->fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)) < 0)
		return -errno;
	if (getsockopt(sock->fd, SOL_SOCKET, SO_RCVBUF, &value, &len) < 0)
		return -errno;
	*ret_granted = (uint32_t)value;
	return 0;
}

int nlsock_set_no_enobufs(const struct nlsock *sock)
{
	const int one = 1;
	if (setsockopt(sock->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one)) < 0)
		return -errno;
	return 0;
}

int nlsock_load(const struct nlsock *sock, struct nlsock_load *ret_load)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);
	if (getsockopt(sock->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return -errno;
	*ret_load = (struct nlsock_load){
		.drops = info[SK_MEMINFO_DROPS],
		.queued = info[SK_MEMINFO_RMEM_ALLOC],
		.size = info[SK_MEMINFO_RCVBUF],
	};
	return 0;
}

int nlsock_send(const struct nlsock *sock, const void *bytes, size_t len)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t sent =
		sendto(sock->fd, bytes, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EIO;
}
