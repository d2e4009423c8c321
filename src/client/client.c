/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Talks to the control socket. Never waits without an end. */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/strbuf.h"

int client_open(struct client *client, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	client->fd = fd;
	client->start = client->end = 0;
	return 0;
}

void client_close(struct client *client)
{
	(void)close(client->fd); /* only read from by now */
}

bool client_send(struct client *client, const struct tg_strbuf *request)
{
	/* A request is far smaller than a socket's buffer: in one piece or not at all. */
	return !request->failed &&
	       send(client->fd, request->text, request->len, MSG_NOSIGNAL) == (ssize_t)request->len;
}

/* More bytes behind those that are there. */
static enum client_result fill(struct client *client, int timeout_ms)
{
	memmove(client->buf, client->buf + client->start, client->end - client->start);
	client->end -= client->start;
	client->start = 0;
	if (client->end == sizeof(client->buf))
		return CLIENT_BROKEN; /* no line is so long */
	struct pollfd pfd = {.fd = client->fd, .events = POLLIN};
	int ready = poll(&pfd, 1, timeout_ms);
	if (ready == 0)
		return CLIENT_TIMEOUT;
	ssize_t got = ready < 0 ? -1
				: recv(client->fd, client->buf + client->end,
				       sizeof(client->buf) - client->end, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return CLIENT_RECORD;
	if (got <= 0)
		return CLIENT_BROKEN;
	client->end += (size_t)got;
	return CLIENT_RECORD;
}

enum client_result client_next(struct client *client, int timeout_ms, struct tg_record *ret_record)
{
	char *newline;
	while (!(newline =
			 memchr(client->buf + client->start, '\n', client->end - client->start))) {
		enum client_result result = fill(client, timeout_ms);
		if (result != CLIENT_RECORD)
			return result;
	}
	char *line = client->buf + client->start;
	*newline = '\0';
	client->start = (size_t)(newline + 1 - client->buf);
	if (!tg_record_parse(line, ret_record))
		return CLIENT_BROKEN;
	if (strcmp(ret_record->name, "done") == 0)
		return CLIENT_DONE;
	return strcmp(ret_record->name, "error") == 0 ? CLIENT_ERROR : CLIENT_RECORD;
}

bool client_is_elsewhere(const struct client *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct stat ours, theirs;
	char path[40];
	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)peer.pid);
	/* Who may not look takes it for ours: only root changes namespaces. */
	return stat("/proc/self/ns/net", &ours) == 0 && stat(path, &theirs) == 0 &&
	       (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
}
