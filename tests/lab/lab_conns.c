/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-conns: one greedy client. Opens connections from one source (or some), says
 * for each when it was established on the clock the whole machine shares, and
 * holds them, in silence or talking, until it is told to stop.
 */
#include "lab_util.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The tag of the signalfd among the connections' indices. */
#define TAG_SIGNALS UINT64_MAX

/* What becomes of a connection that is established. */
enum then { THEN_HOLD, THEN_CLOSE, THEN_HALF_CLOSE };

static const char line[] = "still there\n";

struct conn {
	int fd;               /* -1: not open */
	uint64_t began, took; /* ns; took: until it was established */
	bool connected;
};

struct conns {
	struct sockaddr_storage to, from;
	bool has_from, rst, quiet;
	enum then then;
	uint64_t count, sources, stride, targets, rate, timeout, hold, window;
	bool holds_for_ever;
	uint64_t talk, next_talk; /* ns; 0: silent */
	uint64_t said, heard;     /* bytes */
	struct conn *conns;
	uint64_t begun, connected, failed, pending, oldest;
	int epoll, signals;
	bool stop;
};

static const char usage_text[] =
	"usage: lab-conns --to ADDRESS:PORT [options]\n"
	"Opens connections and holds them. For each, prints 'connected I NS' with the time\n"
	"it was established, or 'failed I NS REASON' with the time its SYN was sent\n"
	"(CLOCK_MONOTONIC); then 'DONE connected=N failed=N median_us=N p95_us=N'.\n"
	"  --to ADDRESS:PORT   where to; IPv6 as [ADDRESS]:PORT\n"
	"  --from ADDRESS      first source address\n"
	"  --sources N         so many source addresses, in turn (1)\n"
	"  --stride LEN        sources are neighbours of this prefix length (one address)\n"
	"  --targets N         to so many neighbours of that address, in turn (1)\n"
	"  --count N           connections (1)\n"
	"  --rate N            new ones a second (as fast as it can)\n"
	"  --window N          at most so many unfinished at once (all)\n"
	"  --timeout MS        give a connect up (3000)\n"
	"  --hold SECONDS      then close and end (until SIGTERM)\n"
	"  --then WHAT         with an established one: hold, close or half-close (hold)\n"
	"  --talk MS           every open connection says something that often (never); at the\n"
	"                      end prints 'TALKED said=N heard=N', in bytes\n"
	"  --rst               close with a reset, not with a FIN\n"
	"  --quiet             only the DONE line\n"
	"  --help\n";

static void conns_failed(struct conns *all, uint64_t index, int error)
{
	struct conn *conn = &all->conns[index];

	if (!all->quiet)
		printf("failed %llu %llu %s\n", (unsigned long long)index,
		       (unsigned long long)conn->began, strerror(error));
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	all->failed++;
	all->pending--;
}

static void conns_close(struct conns *all, struct conn *conn)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (all->rst)
		(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(conn->fd);
	conn->fd = -1;
}

static void conns_begin(struct conns *all)
{
	uint64_t index = all->begun++;
	struct conn *conn = &all->conns[index];
	struct sockaddr_storage to = lab_address_nth(&all->to, 128, index % all->targets);
	struct sockaddr_storage source;
	struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.u64 = index};

	source = lab_address_nth(&all->from, (unsigned int)all->stride, index % all->sources);
	all->pending++;
	conn->began = lab_now();
	int fd = lab_socket(all->has_from ? &source : NULL, &to);
	conn->fd = fd < 0 ? -1 : fd;
	if (fd < 0)
		conns_failed(all, index, -fd);
	else if ((connect(fd, (struct sockaddr *)&to, lab_address_len(&to)) < 0 &&
		  errno != EINPROGRESS) ||
		 epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		conns_failed(all, index, errno);
}

static void conns_finish(struct conns *all, uint64_t index)
{
	struct conn *conn = &all->conns[index];
	int error = 0;
	socklen_t len = sizeof(error);

	if (conn->fd < 0 || conn->connected)
		return;
	(void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		conns_failed(all, index, error);
		return;
	}
	conn->connected = true;
	conn->took = lab_now() - conn->began;
	all->connected++;
	all->pending--;
	if (!all->quiet)
		printf("connected %llu %llu\n", (unsigned long long)index,
		       (unsigned long long)lab_now());
	if (all->then == THEN_CLOSE)
		conns_close(all, conn);
	else if (all->then == THEN_HALF_CLOSE)
		(void)shutdown(conn->fd, SHUT_WR); /* it may be reset by now */
}

/* What comes back is taken, so that no buffer fills; a connection that was reset stays silent. */
static void conns_talk(struct conns *all)
{
	uint64_t now = lab_now();
	char buf[4096];
	ssize_t len;

	if (!all->talk || now < all->next_talk)
		return;
	all->next_talk = now + all->talk;
	for (uint64_t i = 0; i < all->begun; i++) {
		const struct conn *conn = &all->conns[i];

		if (conn->fd < 0 || !conn->connected)
			continue;
		while ((len = recv(conn->fd, buf, sizeof(buf), 0)) > 0)
			all->heard += (uint64_t)len;
		len = send(conn->fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
		all->said += len > 0 ? (uint64_t)len : 0;
	}
}

static void conns_poll(struct conns *all, int wait_ms)
{
	struct epoll_event events[64];
	int count = epoll_wait(all->epoll, events, 64, wait_ms);

	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 != TAG_SIGNALS) {
			conns_finish(all, events[i].data.u64);
			continue;
		}
		int sig = lab_signal_take(all->signals);
		all->stop |= sig == SIGTERM || sig == SIGINT;
	}
	conns_talk(all);
}

static void conns_expire(struct conns *all)
{
	uint64_t now = lab_now();

	while (all->oldest < all->begun) {
		struct conn *conn = &all->conns[all->oldest];

		if (conn->fd >= 0 && !conn->connected) {
			if (now - conn->began < all->timeout)
				return;
			conns_failed(all, all->oldest, ETIMEDOUT);
		}
		all->oldest++;
	}
}

static int compare_took(const void *a, const void *b)
{
	const struct conn *x = a, *y = b;
	return x->took < y->took ? -1 : x->took > y->took;
}

/* So many of a hundred were established within so many microseconds. 0: none was. */
static uint64_t conns_took(struct conns *all, uint64_t percent)
{
	struct conn *sorted = calloc(all->begun + 1, sizeof(*sorted));
	uint64_t count = 0, took;

	if (!sorted)
		return 0;
	for (uint64_t i = 0; i < all->begun; i++)
		if (all->conns[i].connected)
			sorted[count++] = all->conns[i];
	qsort(sorted, count, sizeof(*sorted), compare_took);
	took = count > 0 ? sorted[(count * percent + 99) / 100 - 1].took / 1000 : 0;
	free(sorted);
	return took;
}

static void conns_open_all(struct conns *all)
{
	uint64_t start = lab_now();

	while (!all->stop && all->connected + all->failed < all->count) {
		uint64_t due = lab_paced(start, lab_now(), all->rate, all->count);
		bool can = all->begun < due && all->pending < all->window;

		if (can)
			conns_begin(all);
		/* After each connect, so that the time told is when it was established. */
		conns_poll(all, can ? 0 : 1);
		conns_expire(all);
	}
	printf("DONE connected=%llu failed=%llu median_us=%llu p95_us=%llu\n",
	       (unsigned long long)all->connected, (unsigned long long)all->failed,
	       (unsigned long long)conns_took(all, 50), (unsigned long long)conns_took(all, 95));
	fflush(stdout);
}

static void conns_close_all(struct conns *all)
{
	for (uint64_t i = 0; i < all->begun; i++)
		if (all->conns[i].fd >= 0)
			conns_close(all, &all->conns[i]);
}

static bool conns_then(const char *text, enum then *ret_then)
{
	static const char *const words[] = {
		[THEN_HOLD] = "hold", [THEN_CLOSE] = "close", [THEN_HALF_CLOSE] = "half-close"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*ret_then = (enum then)i;
		return true;
	}
	fprintf(stderr, "--then: '%s' is not hold, close or half-close\n", text);
	return false;
}

static int conns_parse(struct conns *all, int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},      {"from", required_argument, NULL, 'f'},
		{"sources", required_argument, NULL, 's'}, {"stride", required_argument, NULL, 'p'},
		{"targets", required_argument, NULL, 'T'}, {"count", required_argument, NULL, 'c'},
		{"rate", required_argument, NULL, 'r'},    {"window", required_argument, NULL, 'w'},
		{"timeout", required_argument, NULL, 'm'}, {"hold", required_argument, NULL, 'o'},
		{"then", required_argument, NULL, 'n'},    {"talk", required_argument, NULL, 'k'},
		{"rst", no_argument, NULL, 'R'},           {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool good = true;

		switch (c) {
		case 't':
			good = lab_endpoint("to", optarg, &all->to);
			break;
		case 'f':
			good = all->has_from = lab_address("from", optarg, &all->from);
			break;
		case 's':
			good = lab_number("sources", optarg, 1 << 24, &all->sources);
			break;
		case 'p':
			good = lab_number("stride", optarg, 128, &all->stride);
			break;
		case 'T':
			good = lab_number("targets", optarg, 1 << 24, &all->targets);
			break;
		case 'c':
			good = lab_number("count", optarg, 1 << 20, &all->count);
			break;
		case 'r':
			good = lab_number("rate", optarg, 10000000, &all->rate);
			break;
		case 'w':
			good = lab_number("window", optarg, 1 << 20, &all->window);
			break;
		case 'm':
			good = lab_number("timeout", optarg, 3600000, &all->timeout);
			break;
		case 'o':
			good = lab_number("hold", optarg, 86400, &all->hold);
			all->holds_for_ever = false;
			break;
		case 'n':
			good = conns_then(optarg, &all->then);
			break;
		case 'k':
			good = lab_number("talk", optarg, 3600000, &all->talk);
			break;
		case 'R':
			all->rst = true;
			break;
		case 'q':
			all->quiet = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		default:
			good = false;
		}
		if (!good)
			return 2;
	}
	if (!all->to.ss_family || optind != argc || !all->count || !all->sources || !all->targets ||
	    !all->window)
		return 2;
	all->timeout *= LAB_MSEC;
	all->talk *= LAB_MSEC;
	return -1;
}

int main(int argc, char **argv)
{
	struct conns all = {.count = 1,
			    .sources = 1,
			    .stride = 128,
			    .targets = 1,
			    .timeout = 3000,
			    .window = 1 << 20,
			    .holds_for_ever = true};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = TAG_SIGNALS};
	int status = conns_parse(&all, argc, argv);

	if (status >= 0) {
		if (status)
			fputs(usage_text, stderr);
		return status;
	}
	(void)lab_raise_files();
	all.conns = calloc(all.count, sizeof(*all.conns));
	all.epoll = epoll_create1(EPOLL_CLOEXEC);
	all.signals = lab_signals();
	if (!all.conns || all.epoll < 0 || all.signals < 0 ||
	    epoll_ctl(all.epoll, EPOLL_CTL_ADD, all.signals, &event) < 0) {
		perror("lab-conns");
		return 1;
	}
	conns_open_all(&all);
	uint64_t end = lab_now() + all.hold * LAB_SEC;
	while (!all.stop && (all.holds_for_ever || lab_now() < end))
		conns_poll(&all, all.holds_for_ever && !all.talk ? -1 : 10);
	if (all.talk)
		printf("TALKED said=%llu heard=%llu\n", (unsigned long long)all.said,
		       (unsigned long long)all.heard);
	conns_close_all(&all);
	free(all.conns);
	return 0;
}
