/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard-exporter: takes the sockets that the service manager passes, and answers at them. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "server.h"

enum exporter_exit { EXPORTER_OK, EXPORTER_FAILED, EXPORTER_USAGE };

/* As sd_listen_fds(3): the first of the descriptors that are passed. */
#define FIRST_FD 3

static void print_help(FILE *out)
{
	(void)fprintf(out, "Usage: tcpguard-exporter [--socket PATH]\n"
			   "Answers GET /metrics at the sockets that it is given by the service "
			   "manager.\n\n"
			   "  --socket PATH        the daemon's (" TCPGUARD_METRICS_SOCKET ")\n"
			   "  --help               show this\n"
			   "  --version            show the version\n");
}

static uint64_t clock_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How many sockets are for us; 0: none. */
static size_t count_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t value, count;
	if (!pid || !fds || !tg_text_u64(pid, &value) || value != (uint64_t)getpid() ||
	    !tg_text_u64(fds, &count) || count > SERVER_LISTENERS_MAX)
		return 0;
	return (size_t)count;
}

static bool is_listener(int fd)
{
	int listening = 0, type = 0;
	socklen_t len = sizeof(listening);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
		return false;
	len = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static bool take_sockets(int listeners[SERVER_LISTENERS_MAX], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const int fd = FIRST_FD + (int)i;
		if (!is_listener(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
		    fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
			(void)fprintf(stderr,
				      "tcpguard-exporter: descriptor %d is no socket that listens "
				      "for streams; in the .socket unit it is Accept=no and "
				      "ListenStream=\n",
				      fd);
			return false;
		}
		listeners[i] = fd;
	}
	return true;
}

static int serve(const char *socket)
{
	int listeners[SERVER_LISTENERS_MAX], err = 0;
	const size_t count = count_passed();
	if (count == 0) {
		(void)fprintf(stderr,
			      "tcpguard-exporter: started without sockets: start "
			      "tcpguard-exporter.socket, or to try it: systemd-socket-activate -l "
			      "127.0.0.1:10977 tcpguard-exporter\n");
		return EXPORTER_USAGE;
	}
	if (!take_sockets(listeners, count))
		return EXPORTER_USAGE;
	const struct server_params params = {.listeners = listeners,
					     .listener_count = count,
					     .socket = socket,
					     .clock_ms = clock_ms};
	struct server *server = server_create(&params);
	if (!server)
		err = -ENOMEM;
	while (!err)
		err = server_turn(server, -1);
	(void)fprintf(stderr, "tcpguard-exporter: %s\n", strerror(-err));
	server_destroy(server);
	return EXPORTER_FAILED;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'v'},
						{0}};
	const char *socket = TCPGUARD_METRICS_SOCKET;
	int id;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (id) {
		case 's':
			socket = optarg;
			break;
		case 'h':
			print_help(stdout);
			return EXPORTER_OK;
		case 'v':
			(void)puts("tcpguard-exporter " TCPGUARD_VERSION);
			return EXPORTER_OK;
		default:
			optind = argc + 1;
			break;
		}
	}
	if (optind != argc) {
		(void)fprintf(stderr, "Try 'tcpguard-exporter --help'.\n");
		return EXPORTER_USAGE;
	}
	return serve(socket);
}
