/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is asked for the sources: the daemon, which has counted already, or the kernel; and of the
 * sources that are shown, the daemon again, how far each is from its nearest limit.
 */
#include "top_fetch.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/siphash.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "host/ct_states.h"
#include "host/sockets.h"
#include "socket_tally.h"

/* A daemon that is well answers within milliseconds. */
#define ANSWER_MS 2000
/* Sources that are ranked: 21 MiB. Only forged ones are as many, one connection each. */
#define SOURCES_MAX 262144
/* The daemon takes so many sources in one request, and is asked of so many in all. */
#define NEAR_AT_ONCE 64
#define NEAR_MAX 512

struct counting {
	struct socket_tally tally;
	struct top_eye *eye;
};

/* Hashed as bytes: no padding. */
struct tuple {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
};

static uint64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void count_socket(void *data, const struct sock_diag_socket *socket)
{
	struct counting *counting = data;
	struct tuple tuple = {.local_port = socket->local_port, .remote_port = socket->remote_port};
	struct tally_group *group = socket_tally_add(&counting->tally, socket);
	if (!group)
		return;
	memcpy(tuple.local, socket->local.bytes, sizeof(tuple.local));
	memcpy(tuple.remote, socket->remote.bytes, sizeof(tuple.remote));
	group->fresh += top_seen_add(&counting->eye->seen,
				     tg_siphash13(counting->eye->hash_key, &tuple, sizeof(tuple)));
}

/* A flow, as the socket of the side that was called would be. */
static void count_flow(void *data, const struct tg_flow_event *flow)
{
	struct sock_diag_socket socket = {
		.local = {.family = flow->key.family},
		.remote = {.family = flow->key.family},
		.local_port = flow->key.dport,
		.remote_port = flow->key.sport,
		.state = (uint8_t)top_state_of((enum tg_tcp_state)flow->state),
	};
	memcpy(socket.local.bytes, flow->key.dst, sizeof(socket.local.bytes));
	memcpy(socket.remote.bytes, flow->key.src, sizeof(socket.remote.bytes));
	count_socket(data, &socket);
}

static void describe(struct top_page *page, const char *what, int err)
{
	(void)snprintf(page->note, sizeof(page->note), "%s cannot be listed: %s", what,
		       err == -EOPNOTSUPP ? "the kernel tracks nothing" : strerror(-err));
}

static int count_host(const struct top_request *request, struct top_eye *eye, struct top_page *page)
{
	const struct sockets_query query = {.states = request->states};
	struct counting *counting = calloc(1, sizeof(*counting));
	const uint64_t now = now_ms();
	if (!counting)
		return -ENOMEM;
	if (!eye->keyed &&
	    getrandom(eye->hash_key, sizeof(eye->hash_key), 0) != (ssize_t)sizeof(eye->hash_key)) {
		free(counting);
		return -EIO;
	}
	if (eye->from != page->from)
		top_seen_finish(&eye->seen);
	eye->keyed = true;
	eye->from = page->from;
	counting->eye = eye;
	counting->tally = (struct socket_tally){.by = TALLY_BY_SOURCE,
						.port = request->port,
						.states_wanted = request->states,
						.groups_max = SOURCES_MAX};
	memcpy(counting->tally.source_len, request->source_len, sizeof(request->source_len));
	memcpy(counting->tally.hash_key, eye->hash_key, sizeof(eye->hash_key));
	top_seen_begin(&eye->seen);
	int err = page->from == TOP_FROM_SOCKETS ? sockets_walk(&query, count_socket, counting)
						 : ct_flows_walk(count_flow, counting);
	if (!err)
		top_page_take(page, &counting->tally,
			      top_seen_can_tell(&eye->seen) ? MAX(now - eye->looked_ms, 1) : 0);
	eye->looked_ms = now;
	socket_tally_finish(&counting->tally);
	free(counting);
	return err ? err : page->failed ? -ENOMEM : 0;
}

typedef void page_record_fn(struct top_page *page, const struct tg_record *record);

/* CLIENT_DONE, or why not. */
static enum client_result ask(struct client *client, const struct tg_strbuf *request,
			      struct top_page *page, page_record_fn *fn)
{
	struct tg_record record;
	enum client_result result = client_send(client, request) ? CLIENT_RECORD : CLIENT_BROKEN;
	while (result == CLIENT_RECORD) {
		result = client_next(client, ANSWER_MS, &record);
		if (result == CLIENT_RECORD)
			fn(page, &record);
	}
	return result;
}

static int ask_daemon(const struct cli *cli, const struct top_request *request,
		      struct top_page *page)
{
	struct tg_strbuf line;
	struct client client;
	int err = client_open(&client, cli->socket);
	if (err) {
		if (err == -EACCES || err == -EPERM) {
			(void)snprintf(page->note, sizeof(page->note),
				       "no permission to ask the daemon: be root or in the group "
				       "tcpguard");
			return CLI_NO;
		}
		(void)snprintf(page->note, sizeof(page->note), "no daemon answers: %s: %s",
			       cli->socket, strerror(-err));
		return CLI_NO_DAEMON;
	}
	tg_strbuf_init(&line);
	tg_record_begin(&line, "top");
	tg_record_put_u64(&line, "count", request->count);
	if (request->sort != TOP_TOTAL)
		tg_record_put(&line, "sort", top_column_words[request->sort]);
	tg_record_end(&line);
	const enum client_result result = ask(&client, &line, page, top_page_add);
	tg_strbuf_finish(&line);
	client_close(&client);
	if (result != CLIENT_DONE) {
		(void)snprintf(page->note, sizeof(page->note), "the daemon gives no answer: %s",
			       cli->socket);
		return CLI_NO_DAEMON;
	}
	top_page_sort(page);
	return page->failed ? CLI_NO : CLI_OK;
}

/* Of rows from first to last; the same source may stand in several. */
static bool ask_near(const struct cli *cli, struct top_page *page, size_t first, size_t last)
{
	struct tg_strbuf sources, line;
	struct client client;
	char text[TG_PREFIX_STRLEN];
	bool told = false;
	tg_strbuf_init(&sources);
	for (size_t i = first; i < last; i++) {
		if (tg_prefix_is_total(&page->rows[i].source))
			continue;
		tg_strbuf_printf(&sources, "%s%s", sources.len ? "," : "",
				 tg_prefix_format(&page->rows[i].source, text));
	}
	tg_strbuf_init(&line);
	tg_record_begin(&line, "near");
	tg_record_put(&line, "sources", sources.text);
	tg_record_end(&line);
	if (sources.len == 0) {
		told = true;
	} else if (client_open(&client, cli->socket) == 0) {
		/* One of another network namespace guards others than these. */
		told = (page->from == TOP_FROM_DAEMON || !client_is_elsewhere(&client)) &&
		       ask(&client, &line, page, top_page_add_near) == CLIENT_DONE;
		client_close(&client);
	}
	tg_strbuf_finish(&sources);
	tg_strbuf_finish(&line);
	return told;
}

static void add_near(const struct cli *cli, struct top_page *page)
{
	const size_t count = MIN(page->count, (size_t)NEAR_MAX);
	page->near_known = true;
	for (size_t i = 0; i < count && page->near_known; i += NEAR_AT_ONCE)
		page->near_known = ask_near(cli, page, i, MIN(i + NEAR_AT_ONCE, count));
}

/* Of the daemon there is a word already, if it was to be asked first. */
static void say_alone(struct top_page *page)
{
	const char *daemon = page->note[0] ? page->note : "no daemon answers";
	char note[sizeof(page->note)];
	(void)snprintf(note, sizeof(note), "%.*s: bans and limits are not known",
		       (int)strcspn(daemon, ":"), daemon);
	memcpy(page->note, note, sizeof(note));
}

int top_fetch(const struct cli *cli, const struct top_request *request, struct top_eye *eye,
	      struct top_page *ret_page)
{
	struct top_page page = {.from = request->from,
				.sort = request->sort,
				.port = request->port,
				.states_wanted = request->states,
				.wanted = request->count};
	int status = CLI_OK, err = 0;
	if (page.from == TOP_FROM_DAEMON) {
		status = ask_daemon(cli, request, &page);
		if (status != CLI_OK && request->daemon_first) {
			top_page_finish(&page);
			page.from = TOP_FROM_SOCKETS;
		}
	}
	if (page.from != TOP_FROM_DAEMON) {
		err = count_host(request, eye, &page);
		status = err ? CLI_NO : CLI_OK;
		if (err)
			describe(&page, page.from == TOP_FROM_SOCKETS ? "the sockets" : "conntrack",
				 err);
	}
	if (status == CLI_OK)
		add_near(cli, &page);
	if (status == CLI_OK && page.from != TOP_FROM_DAEMON && !page.near_known)
		say_alone(&page);
	*ret_page = page;
	return status;
}

void top_eye_finish(struct top_eye *eye)
{
	top_seen_finish(&eye->seen);
}
