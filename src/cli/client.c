/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Talks to the control socket. Never waits without an end. */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "cli.h"

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

int client_explain_open(const char *path, int err)
{
	if (err == -EACCES || err == -EPERM) {
		cli_complain("no permission for %s: be root or in the group tcpguard", path);
		return CLI_NO;
	}
	if (err == -ENAMETOOLONG) {
		cli_complain("the path of the socket is too long: %s", path);
		return CLI_USAGE;
	}
	if (err == -EAGAIN) /* its backlog is full */
		cli_complain("the daemon at %s hangs: it takes no more connections", path);
	else
		cli_complain("no daemon answers at %s: %s", path, strerror(-err));
	return CLI_NO_DAEMON;
}

int client_explain(enum client_result result, const struct tg_record *record)
{
	uint64_t code = CLI_NO;
	const char *message;
	switch (result) {
	case CLIENT_RECORD:
	case CLIENT_DONE:
		return CLI_OK;
	case CLIENT_ERROR:
		message = tg_record_get(record, "message");
		cli_complain("%s", message ? message : "the daemon says no");
		(void)tg_record_get_u64(record, "code", &code); /* without one: no is no */
		return code == CLI_USAGE ? CLI_USAGE : CLI_NO;
	case CLIENT_BROKEN:
		cli_complain("the daemon ended the conversation early");
		return CLI_NO_DAEMON;
	case CLIENT_TIMEOUT:
		cli_complain("the daemon does not answer");
		return CLI_NO_DAEMON;
	}
	return CLI_NO;
}

int client_ask(const struct cli *cli, const struct tg_strbuf *request, client_record_fn *fn,
	       void *data)
{
	struct client client;
	struct tg_record record;
	int err = client_open(&client, cli->socket);
	if (err)
		return client_explain_open(cli->socket, err);
	enum client_result result = client_send(&client, request) ? CLIENT_RECORD : CLIENT_BROKEN;
	if (result == CLIENT_BROKEN)
		/* It may have said why before it closed. */
		result = client_next(&client, 0, &record);
	while (result == CLIENT_RECORD) {
		result = client_next(&client, CLIENT_TIMEOUT_MS, &record);
		if (result == CLIENT_RECORD && fn)
			fn(data, &record);
	}
	client_close(&client);
	return client_explain(result, &record);
}

int client_ask_simple(const struct cli *cli, const char *name, client_record_fn *fn, void *data)
{
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, name);
	tg_record_end(&request);
	int status = client_ask(cli, &request, fn, data);
	tg_strbuf_finish(&request);
	return status;
}
