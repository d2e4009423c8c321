/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The exporter's clients over real sockets, with a clock of the test's: slow ones, silent ones, too
   many, ones that leave, and no daemon to be asked. */
#include "exporter/server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"

#define GET "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

static uint64_t now_ms;
static char dir[] = "/tmp/tcpguard-server.XXXXXX";
static struct sockaddr_un addr = {.sun_family = AF_UNIX};
static char daemon_path[64];
static int listener;
static struct server *server;

static uint64_t clock_ms(void)
{
	return now_ms;
}

static void turns(int count)
{
	while (count-- > 0)
		CHECK(server_turn(server, 0) == 0);
}

static int come(const char *request)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	if (request)
		CHECK(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
	turns(4);
	return fd;
}

/* What came; "" when the connection was closed without a word, NULL when it is still open. */
static const char *said(int fd)
{
	static char text[4096];
	ssize_t len = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (len < 0)
		return NULL;
	text[len] = '\0';
	return text;
}

static bool begins(const char *text, const char *with)
{
	return text && strncmp(text, with, strlen(with)) == 0;
}

static bool is_over(int fd)
{
	char byte;
	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

TEST(answers)
{
	int fd = come(GET);
	const char *text = said(fd);
	CHECK(begins(text, "HTTP/1.1 200 OK\r\n"));
	CHECK(text && strstr(text, "\r\n\r\n# HELP tcpguard_up "));
	CHECK(text && strstr(text, "\ntcpguard_up 0\n"));
	CHECK(is_over(fd));
	close(fd);
	turns(2);
	CHECK_U64(server_client_count(server), 0);
}

TEST(others)
{
	static const char *const cases[][2] = {
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
		{"DELETE /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "},
		{"hello\n", "HTTP/1.1 400 "},
	};
	for (size_t i = 0; i < 3; i++) {
		int fd = come(cases[i][0]);
		CHECK(begins(said(fd), cases[i][1]));
		CHECK(is_over(fd));
		close(fd);
	}
	turns(2);
	CHECK_U64(server_client_count(server), 0);
}

TEST(byte_by_byte)
{
	int fd = come(NULL);
	for (const char *c = GET; *c; c++) {
		CHECK(said(fd) == NULL);
		CHECK(send(fd, c, 1, MSG_NOSIGNAL) == 1);
		turns(1);
	}
	turns(3);
	CHECK(begins(said(fd), "HTTP/1.1 200 OK\r\n"));
	close(fd);
	turns(2);
}

/* A request that never ends: told so, and the rest thrown away. */
TEST(endless)
{
	static char flood[4096];
	memset(flood, 'x', sizeof(flood));
	int fd = come(NULL);
	for (int i = 0; i < 16; i++) {
		(void)send(fd, flood, sizeof(flood), MSG_NOSIGNAL | MSG_DONTWAIT);
		turns(2);
	}
	CHECK(begins(said(fd), "HTTP/1.1 431 "));
	close(fd);
	turns(2);
	CHECK_U64(server_client_count(server), 0);
}

TEST(silence_has_an_end)
{
	int silent = come(NULL), half = come("GET /metr");
	now_ms += SERVER_CLIENT_MS - 1;
	turns(2);
	CHECK(said(silent) == NULL && said(half) == NULL);
	now_ms += 1;
	turns(2);
	CHECK(is_over(silent) && is_over(half));
	CHECK_U64(server_client_count(server), 0);
	close(silent);
	close(half);
}

TEST(those_who_leave)
{
	for (int i = 0; i < 3 * SERVER_CLIENTS_MAX; i++)
		close(come(i % 3 == 0 ? NULL : i % 3 == 1 ? "GET /m" : GET));
	turns(4);
	CHECK_U64(server_client_count(server), 0);
}

/* Those who say nothing cannot keep out who asks. */
TEST(too_many)
{
	int silent[SERVER_CLIENTS_MAX + 8];
	for (int i = 0; i < SERVER_CLIENTS_MAX + 8; i++) {
		now_ms++;
		silent[i] = come(NULL);
	}
	CHECK_U64(server_client_count(server), SERVER_CLIENTS_MAX);
	for (int i = 0; i < 8; i++)
		CHECK(is_over(silent[i]));
	CHECK(said(silent[8]) == NULL);
	int fd = come(GET);
	CHECK(begins(said(fd), "HTTP/1.1 200 OK\r\n"));
	CHECK(is_over(silent[8]));
	close(fd);
	for (int i = 0; i < SERVER_CLIENTS_MAX + 8; i++)
		close(silent[i]);
	turns(4);
	CHECK_U64(server_client_count(server), 0);
}

/* How often a daemon was asked, by who waits to be taken there. */
static int asked(int at)
{
	int count = 0, fd;
	while ((fd = accept4(at, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		close(fd);
		count++;
	}
	return count;
}

/* Many scrapes at once are one question; a daemon that hangs up is none that answers. */
TEST(asks_once)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	memcpy(at.sun_path, daemon_path, strlen(daemon_path) + 1);
	int daemon = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(bind(daemon, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(daemon, 8) == 0);
	/* The page of before is still fresh: nobody is asked. */
	close(come(GET));
	CHECK(asked(daemon) == 0);
	/* It has ended before it is asked, so that nothing waits for its answer. */
	CHECK(shutdown(daemon, SHUT_RDWR) == 0);
	now_ms += SERVER_PAGE_MS;
	int fd = come(GET);
	const char *text = said(fd);
	CHECK(text && strstr(text, "\ntcpguard_up 0\n"));
	close(fd);
	close(daemon);
	CHECK(unlink(daemon_path) == 0);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 2;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/http", dir);
	(void)snprintf(daemon_path, sizeof(daemon_path), "%s/daemon", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 64) < 0)
		return 2;
	const struct server_params params = {.listeners = &listener,
					     .listener_count = 1,
					     .socket = daemon_path,
					     .clock_ms = clock_ms};
	server = server_create(&params);
	if (!server)
		return 2;
	RUN(answers);
	RUN(others);
	RUN(byte_by_byte);
	RUN(endless);
	RUN(silence_has_an_end);
	RUN(those_who_leave);
	RUN(too_many);
	RUN(asks_once);
	server_destroy(server);
	close(listener);
	(void)unlink(addr.sun_path);
	(void)rmdir(dir);
	return DONE();
}
