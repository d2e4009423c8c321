/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-server: the guarded service. Accepts on any number of addresses, sends back
 * what it is sent, holds connections until the client closes. Prints READY when
 * it listens, and a count when it is told to stop.
 */
#include "lab_util.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LISTENERS_MAX 64

struct server {
	int epoll, signals;
	int listeners[LISTENERS_MAX];
	size_t listener_count;
	uint64_t *last; /* by descriptor: when it last said something; 0: not a connection */
	size_t file_count;
	uint64_t idle; /* ns; 0: never */
	uint64_t backlog;
	bool accepts;
	uint64_t accepted, open;
};

static const char usage_text[] =
	"usage: lab-server --listen ADDRESS:PORT [--listen …] [options]\n"
	"Echoes what it is sent and holds connections until the client closes them.\n"
	"Prints READY when it listens; stops at SIGTERM.\n"
	"  --listen ADDRESS:PORT  listen here; IPv6 as [ADDRESS]:PORT; may be repeated\n"
	"  --backlog N            of listen(2) (4096)\n"
	"  --idle SECONDS         reset connections that said nothing for so long (never)\n"
	"  --no-accept            leave connections in the backlog\n"
	"  --help\n";

static int server_watch(struct server *server, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int server_listen(struct server *server, const char *text)
{
	struct sockaddr_storage address;
	int one = 1;

	if (server->listener_count == LISTENERS_MAX || !lab_endpoint("listen", text, &address))
		return -EINVAL;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	int error = 0;
	if (bind(fd, (struct sockaddr *)&address, lab_address_len(&address)) < 0 ||
	    listen(fd, (int)server->backlog) < 0)
		error = -errno;
	if (!error && server->accepts)
		error = server_watch(server, fd);
	if (error) {
		fprintf(stderr, "lab-server: %s: %s\n", text, strerror(-error));
		close(fd);
		return error;
	}
	server->listeners[server->listener_count++] = fd;
	return 0;
}

static bool server_is_listener(const struct server *server, int fd)
{
	for (size_t i = 0; i < server->listener_count; i++)
		if (server->listeners[i] == fd)
			return true;
	return false;
}

static void server_accept(struct server *server, int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if ((size_t)fd >= server->file_count || server_watch(server, fd) < 0) {
			close(fd);
			continue;
		}
		server->last[fd] = lab_now();
		server->accepted++;
		server->open++;
	}
}

static void server_close(struct server *server, int fd)
{
	close(fd);
	server->last[fd] = 0;
	server->open--;
}

static void server_echo(struct server *server, int fd)
{
	char buf[4096];

	for (;;) {
		ssize_t len = read(fd, buf, sizeof(buf));

		if (len < 0 && errno == EAGAIN)
			return;
		/* Lines of the lab fit into any socket buffer: a short write is a client to drop.
		 */
		if (len <= 0 || send(fd, buf, (size_t)len, MSG_NOSIGNAL) != len) {
			server_close(server, fd);
			return;
		}
		server->last[fd] = lab_now();
	}
}

/*
 * With a reset, as servers do that need the memory back: a FIN would wait for the
 * answer of a client that may be banned, and whose packets are dropped.
 */
static void server_reset_idle(struct server *server)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	uint64_t now = lab_now();

	for (size_t fd = 0; server->idle && fd < server->file_count; fd++) {
		if (!server->last[fd] || now - server->last[fd] <= server->idle)
			continue;
		(void)setsockopt((int)fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		server_close(server, (int)fd);
	}
}

static void server_run(struct server *server)
{
	struct epoll_event events[256];

	for (;;) {
		int count = epoll_wait(server->epoll, events, 256, server->idle ? 200 : -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == server->signals) {
				int sig = lab_signal_take(fd);

				if (sig == SIGTERM || sig == SIGINT)
					return;
			} else if (server_is_listener(server, fd)) {
				server_accept(server, fd);
			} else {
				server_echo(server, fd);
			}
		}
		server_reset_idle(server);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'}, {"backlog", required_argument, NULL, 'b'},
		{"idle", required_argument, NULL, 'i'},   {"no-accept", no_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	struct server server = {.backlog = 4096, .accepts = true};
	const char *listens[LISTENERS_MAX];
	size_t listen_count = 0;
	uint64_t seconds;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l' && listen_count < LISTENERS_MAX)
			listens[listen_count++] = optarg;
		else if (c == 'b' && lab_number("backlog", optarg, 1 << 20, &server.backlog))
			continue;
		else if (c == 'i' && lab_number("idle", optarg, 86400, &seconds))
			server.idle = seconds * LAB_SEC;
		else if (c == 'n')
			server.accepts = false;
		else
			return fputs(usage_text, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2;
	}
	if (!listen_count || optind != argc)
		return fputs(usage_text, stderr), 2;
	server.file_count = lab_raise_files();
	server.last = calloc(server.file_count, sizeof(*server.last));
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	server.signals = lab_signals();
	if (!server.last || server.epoll < 0 || server.signals < 0 ||
	    server_watch(&server, server.signals) < 0) {
		perror("lab-server");
		return 1;
	}
	for (size_t i = 0; i < listen_count; i++)
		if (server_listen(&server, listens[i]) < 0)
			return 1;
	puts("READY");
	fflush(stdout);
	server_run(&server);
	printf("accepted=%llu open=%llu\n", (unsigned long long)server.accepted,
	       (unsigned long long)server.open);
	free(server.last);
	return 0;
}
