/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-clients: the people a guard must not get in the way of. Every client has an
 * address of its own and connects, sends a line, reads it back, closes, pauses and
 * does it again. Counts what went well and what did not, and how long it took.
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

#define TAG_SIGNALS UINT64_MAX

static const char line[] = "is anybody there?\n";

struct client {
	struct sockaddr_storage source;
	int fd; /* -1: pausing */
	bool sent;
	uint64_t began, next;
	uint64_t rounds;
	size_t got;
};

/* What went on since the last report. */
struct tally {
	uint64_t ok, timed_out, reset, other;
	uint32_t *times_us; /* of those that were ok */
	size_t capacity;
};

struct clients {
	struct sockaddr_storage to, from;
	struct client *clients;
	uint64_t count, stride, pause, timeout, rounds, each;
	struct tally tally;
	uint64_t finished; /* ok or not, since the start */
	uint64_t failed;
	int epoll, signals;
	bool stop;
};

static const char usage_text[] =
	"usage: lab-clients --to ADDRESS:PORT --from ADDRESS [options]\n"
	"Clients that connect, exchange a line and close, over and over. Prints READY when\n"
	"signals are heard, at SIGUSR1 what happened since the last report, at SIGTERM the\n"
	"rest. Exit status 1 when any exchange of the whole run failed.\n"
	"  --to ADDRESS:PORT   where to; IPv6 as [ADDRESS]:PORT\n"
	"  --from ADDRESS      the first client's address\n"
	"  --sources N         clients (1)\n"
	"  --stride LEN        clients are neighbours of this prefix length (one address)\n"
	"  --pause MS          between two exchanges of a client (100)\n"
	"  --timeout MS        an exchange that takes longer has failed (2000)\n"
	"  --rounds N          end after so many exchanges of all clients together\n"
	"  --each N            every client ends after so many exchanges\n"
	"  --help\n";

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(const struct tally *tally, unsigned int percent)
{
	return tally->ok ? tally->times_us[(tally->ok - 1) * percent / 100] : 0;
}

static void tally_report(struct tally *tally)
{
	if (tally->ok)
		qsort(tally->times_us, tally->ok, sizeof(*tally->times_us), compare_u32);
	printf("REPORT ok=%llu failed=%llu timeout=%llu reset=%llu p50_us=%u p95_us=%u max_us=%u\n",
	       (unsigned long long)tally->ok,
	       (unsigned long long)(tally->timed_out + tally->reset + tally->other),
	       (unsigned long long)tally->timed_out, (unsigned long long)tally->reset,
	       percentile(tally, 50), percentile(tally, 95), percentile(tally, 100));
	fflush(stdout);
	tally->ok = tally->timed_out = tally->reset = tally->other = 0;
}

static bool tally_ok(struct tally *tally, uint64_t ns)
{
	if (tally->ok == tally->capacity) {
		size_t capacity = tally->capacity ? 2 * tally->capacity : 4096;
		uint32_t *times = realloc(tally->times_us, capacity * sizeof(*times));

		if (!times)
			return false;
		tally->times_us = times;
		tally->capacity = capacity;
	}
	tally->times_us[tally->ok++] = (uint32_t)(ns / 1000);
	return true;
}

static void client_end(struct clients *all, struct client *client, int error)
{
	uint64_t now = lab_now();

	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	client->next = now + all->pause;
	all->finished++;
	all->failed += error != 0;
	if (!error)
		all->stop |= !tally_ok(&all->tally, now - client->began);
	else if (error == ETIMEDOUT)
		all->tally.timed_out++;
	else if (error == ECONNRESET || error == ECONNREFUSED)
		all->tally.reset++;
	else
		all->tally.other++;
	if (++client->rounds == all->each)
		client->next = UINT64_MAX;
	if (all->rounds && all->finished >= all->rounds)
		all->stop = true;
}

static void client_begin(struct clients *all, struct client *client, uint64_t index)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = index};

	client->began = lab_now();
	client->sent = false;
	client->got = 0;
	int fd = lab_socket(&client->source, &all->to);
	client->fd = fd < 0 ? -1 : fd;
	if (fd < 0)
		client_end(all, client, -fd);
	else if ((connect(fd, (struct sockaddr *)&all->to, lab_address_len(&all->to)) < 0 &&
		  errno != EINPROGRESS) ||
		 epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		client_end(all, client, errno);
}

static void client_advance(struct clients *all, struct client *client)
{
	char buf[sizeof(line)];

	if (client->fd < 0)
		return;
	if (!client->sent) {
		if (send(client->fd, line, sizeof(line) - 1, MSG_NOSIGNAL) < 0) {
			if (errno != EAGAIN && errno != ENOTCONN)
				client_end(all, client, errno);
			return;
		}
		client->sent = true;
	}
	ssize_t len = recv(client->fd, buf, sizeof(buf), 0);
	if (len < 0 && errno == EAGAIN)
		return;
	if (len <= 0 || memcmp(buf, line + client->got, (size_t)len) != 0) {
		client_end(all, client, len < 0 ? errno : EPROTO);
		return;
	}
	client->got += (size_t)len;
	if (client->got == sizeof(line) - 1)
		client_end(all, client, 0);
}

static void clients_poll(struct clients *all)
{
	struct epoll_event events[128];
	int count = epoll_wait(all->epoll, events, 128, 1);

	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 != TAG_SIGNALS) {
			client_advance(all, &all->clients[events[i].data.u64]);
			continue;
		}
		int sig = lab_signal_take(all->signals);
		if (sig == SIGUSR1)
			tally_report(&all->tally);
		all->stop |= sig == SIGTERM || sig == SIGINT;
	}
}

static void clients_run(struct clients *all)
{
	while (!all->stop) {
		uint64_t now = lab_now();

		for (uint64_t i = 0; i < all->count && !all->stop; i++) {
			struct client *client = &all->clients[i];

			if (client->fd < 0 && now >= client->next)
				client_begin(all, client, i);
			else if (client->fd >= 0 && now > client->began &&
				 now - client->began > all->timeout)
				client_end(all, client, ETIMEDOUT);
		}
		clients_poll(all);
	}
	tally_report(&all->tally);
}

static int clients_parse(struct clients *all, int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'f'},
		{"sources", required_argument, NULL, 's'},
		{"stride", required_argument, NULL, 'p'},
		{"pause", required_argument, NULL, 'w'},
		{"timeout", required_argument, NULL, 'm'},
		{"rounds", required_argument, NULL, 'r'},
		{"each", required_argument, NULL, 'e'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool good = false;

		if (c == 't')
			good = lab_endpoint("to", optarg, &all->to);
		else if (c == 'f')
			good = lab_address("from", optarg, &all->from);
		else if (c == 's')
			good = lab_number("sources", optarg, 1 << 16, &all->count);
		else if (c == 'p')
			good = lab_number("stride", optarg, 128, &all->stride);
		else if (c == 'w')
			good = lab_number("pause", optarg, 3600000, &all->pause);
		else if (c == 'm')
			good = lab_number("timeout", optarg, 3600000, &all->timeout);
		else if (c == 'r')
			good = lab_number("rounds", optarg, UINT32_MAX, &all->rounds);
		else if (c == 'e')
			good = lab_number("each", optarg, UINT16_MAX, &all->each);
		else if (c == 'h')
			return fputs(usage_text, stdout), 0;
		if (!good)
			return 2;
	}
	if (!all->to.ss_family || !all->from.ss_family || optind != argc || !all->count)
		return 2;
	all->pause *= LAB_MSEC;
	all->timeout *= LAB_MSEC;
	if (all->each)
		all->rounds = all->each * all->count;
	return -1;
}

int main(int argc, char **argv)
{
	struct clients all = {.count = 1, .stride = 128, .pause = 100, .timeout = 2000};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = TAG_SIGNALS};
	int status = clients_parse(&all, argc, argv);

	if (status >= 0) {
		if (status)
			fputs(usage_text, stderr);
		return status;
	}
	(void)lab_raise_files();
	all.clients = calloc(all.count, sizeof(*all.clients));
	all.epoll = epoll_create1(EPOLL_CLOEXEC);
	all.signals = lab_signals();
	if (!all.clients || all.epoll < 0 || all.signals < 0 ||
	    epoll_ctl(all.epoll, EPOLL_CTL_ADD, all.signals, &event) < 0) {
		perror("lab-clients");
		return 1;
	}
	puts("READY");
	fflush(stdout);
	uint64_t now = lab_now();
	for (uint64_t i = 0; i < all.count; i++) {
		all.clients[i].source = lab_address_nth(&all.from, (unsigned int)all.stride, i);
		all.clients[i].fd = -1;
		/* Spread over the pause: people do not all come in the same millisecond. */
		all.clients[i].next = now + all.pause * i / all.count;
	}
	clients_run(&all);
	free(all.clients);
	free(all.tally.times_us);
	return all.failed != 0;
}
