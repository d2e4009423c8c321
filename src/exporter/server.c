/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the clients and the page that they share. A client that is slow costs its own place
 * only, and that for a bounded time; when all places are taken, the one that has asked
 * for nothing for longest gives way.
 */
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "http.h"
#include "page.h"

#define ACCEPTS_PER_TURN 16

/* The daemon's answer, shared by all that read it. */
struct page {
	unsigned readers; /* and the server, as long as it is fresh */
	struct tg_strbuf text;
};

struct client {
	int fd; /* -1: free */
	uint64_t since;
	bool asked;
	size_t in_len;
	char in[HTTP_REQUEST_MAX];
	struct tg_strbuf head;
	struct page *page; /* after the head; NULL: nothing */
	size_t sent;       /* of both */
};

struct server {
	struct server_params params;
	struct client clients[SERVER_CLIENTS_MAX];
	size_t client_count;
	struct page *page;
	uint64_t page_at;
	int said; /* what was wrong with the daemon, as it was last told */
};

static void page_release(struct page *page)
{
	if (!page || --page->readers > 0)
		return;
	tg_strbuf_finish(&page->text);
	free(page);
}

/* Told when it changes, so that a daemon that is stopped fills no log. */
static void tell(struct server *server, int err)
{
	if (err == server->said)
		return;
	server->said = err;
	if (err)
		(void)fprintf(stderr, "tcpguard-exporter: no numbers from %s: %s\n",
			      server->params.socket, strerror(-err));
	else
		(void)fprintf(stderr, "tcpguard-exporter: the daemon answers\n");
}

/* For one more reader; NULL when memory runs out. */
static struct page *page_get(struct server *server)
{
	if (server->page && server->params.clock_ms() - server->page_at < SERVER_PAGE_MS) {
		server->page->readers++;
		return server->page;
	}
	page_release(server->page);
	server->page = NULL;
	struct page *page = malloc(sizeof(*page));
	if (!page)
		return NULL;
	page->readers = 1;
	tg_strbuf_init(&page->text);
	int err = page_ask(server->params.socket, &page->text);
	tell(server, err);
	if (err == -ENOMEM) {
		page_release(page);
		return NULL;
	}
	page->readers++;
	server->page = page;
	/* After the answer: a daemon that lets us wait is not asked again by the next in line. */
	server->page_at = server->params.clock_ms();
	return page;
}

static void client_close(struct server *server, struct client *client)
{
	(void)close(client->fd); /* what was not sent is lost with its reader */
	client->fd = -1;
	tg_strbuf_finish(&client->head);
	page_release(client->page);
	client->page = NULL;
	server->client_count--;
}

static void client_answer(struct server *server, struct client *client, enum http_status status)
{
	client->asked = true;
	if (status == HTTP_OK) {
		client->page = page_get(server);
		if (!client->page)
			status = HTTP_UNAVAILABLE;
	}
	const char *body = http_body(status);
	http_put_head(&client->head, status, client->page ? client->page->text.len : strlen(body));
	tg_strbuf_puts(&client->head, body);
}

/*
 * The answer is sent, and bytes that nobody will read may still be there: closing over them would
 * reset the connection, and the answer might be lost. So this side ends first, and what comes is
 * thrown away until the other has ended, too, or its time is over.
 */
static void client_drain(struct server *server, struct client *client)
{
	char nothing[4096];
	ssize_t got = recv(client->fd, nothing, sizeof(nothing), MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		client_close(server, client);
}

static size_t client_total(const struct client *client)
{
	return client->head.len + (client->page ? client->page->text.len : 0);
}

static bool client_is_sent(const struct client *client)
{
	return client->asked && client->sent == client_total(client);
}

static void client_write(struct server *server, struct client *client)
{
	const bool in_head = client->sent < client->head.len;
	const struct tg_strbuf *part = in_head ? &client->head : &client->page->text;
	const size_t at = in_head ? client->sent : client->sent - client->head.len;
	ssize_t sent = send(client->fd, part->text + at, part->len - at,
			    MSG_NOSIGNAL | MSG_DONTWAIT | (in_head && client->page ? MSG_MORE : 0));
	if (client->head.failed || (sent < 0 && errno != EAGAIN && errno != EINTR)) {
		client_close(server, client);
		return;
	}
	client->sent += sent > 0 ? (size_t)sent : 0;
	if (client_is_sent(client) && shutdown(client->fd, SHUT_WR) < 0)
		client_close(server, client);
}

static void client_read(struct server *server, struct client *client)
{
	ssize_t got = recv(client->fd, client->in + client->in_len,
			   sizeof(client->in) - client->in_len, MSG_DONTWAIT);
	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			client_close(server, client);
		return;
	}
	client->in_len += (size_t)got;
	const enum http_status status = http_judge(client->in, client->in_len);
	if (status != HTTP_INCOMPLETE)
		client_answer(server, client, status);
}

static short client_wants(const struct client *client)
{
	return client->asked && !client_is_sent(client) ? POLLOUT : POLLIN;
}

static void client_ready(struct server *server, struct client *client)
{
	if (!client->asked)
		client_read(server, client);
	else if (client_is_sent(client))
		client_drain(server, client);
	else
		client_write(server, client);
}

/* A free place, perhaps of who has not asked, or has its answer; NULL: all wait for theirs. */
static struct client *find_place(struct server *server)
{
	struct client *oldest = NULL;
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];
		if (client->fd < 0)
			return client;
		if (client->asked && !client_is_sent(client))
			continue;
		if (!oldest || client->since < oldest->since)
			oldest = client;
	}
	if (oldest)
		client_close(server, oldest);
	return oldest;
}

static void refuse(int fd)
{
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	http_put_head(&out, HTTP_UNAVAILABLE, strlen(http_body(HTTP_UNAVAILABLE)));
	tg_strbuf_puts(&out, http_body(HTTP_UNAVAILABLE));
	(void)send(fd, out.text, out.len, MSG_NOSIGNAL | MSG_DONTWAIT); /* a courtesy */
	(void)close(fd);                                                /* nothing is lost */
	tg_strbuf_finish(&out);
}

static void admit(struct server *server, int listener)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		/* Nothing there; or no memory, which may be there in the next turn. Descriptors
		 * cannot run out: there are a few more than places. */
		if (fd < 0)
			return;
		struct client *client = find_place(server);
		if (!client) {
			refuse(fd);
			continue;
		}
		memset(client, 0, offsetof(struct client, in));
		client->fd = fd;
		client->since = server->params.clock_ms();
		tg_strbuf_init(&client->head);
		client->page = NULL;
		client->sent = 0;
		server->client_count++;
	}
}

struct server *server_create(const struct server_params *params)
{
	struct server *server = calloc(1, sizeof(*server));
	if (!server)
		return NULL;
	server->params = *params;
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++)
		server->clients[i].fd = -1;
	return server;
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++)
		if (server->clients[i].fd >= 0)
			client_close(server, &server->clients[i]);
	page_release(server->page);
	free(server);
}

size_t server_client_count(const struct server *server)
{
	return server->client_count;
}

/* Closes whose time is over; when the next one's is, or wanted if that is sooner. */
static int sweep(struct server *server, int wanted)
{
	const uint64_t now = server->params.clock_ms();
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];
		if (client->fd < 0)
			continue;
		const uint64_t age = now - client->since;
		if (age >= SERVER_CLIENT_MS)
			client_close(server, client);
		else if (wanted < 0 || (uint64_t)wanted > SERVER_CLIENT_MS - age)
			wanted = (int)(SERVER_CLIENT_MS - age);
	}
	return wanted;
}

int server_turn(struct server *server, int timeout_ms)
{
	struct pollfd fds[SERVER_LISTENERS_MAX + SERVER_CLIENTS_MAX];
	const size_t listeners = MIN(server->params.listener_count, (size_t)SERVER_LISTENERS_MAX);
	timeout_ms = sweep(server, timeout_ms);
	for (size_t i = 0; i < listeners; i++)
		fds[i] = (struct pollfd){.fd = server->params.listeners[i], .events = POLLIN};
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++)
		fds[listeners + i] = (struct pollfd){.fd = server->clients[i].fd,
						     .events = client_wants(&server->clients[i])};
	if (poll(fds, listeners + SERVER_CLIENTS_MAX, timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < SERVER_CLIENTS_MAX; i++)
		if (fds[listeners + i].revents && server->clients[i].fd >= 0)
			client_ready(server, &server->clients[i]);
	for (size_t i = 0; i < listeners; i++)
		if (fds[i].revents)
			admit(server, fds[i].fd);
	return 0;
}
