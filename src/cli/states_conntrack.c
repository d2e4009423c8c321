/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is asked for conntrack's states: a daemon that counts them already, or the kernel. */
#include "states_conntrack.h"

#include <errno.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli.h"
#include "client.h"
#include "host/ct_states.h"

/* A daemon that is well answers within milliseconds, and without it there is the kernel. */
#define ANSWER_MS 1000

static void gather(struct states_conntrack *conntrack, const struct tg_record *record)
{
	uint64_t value;
	if (strcmp(record->name, "status") == 0)
		conntrack->closing_unknown =
			!tg_record_get_u64(record, "closing_followed", &value) || value == 0;
	if (strcmp(record->name, "states") != 0)
		return;
	for (unsigned i = 0; i < TG_TCP_STATE_COUNT; i++) {
		if (!tg_record_get_u64(record, tg_tcp_state_name((enum tg_tcp_state)i), &value))
			continue;
		conntrack->counts[i] = value;
		conntrack->total += value;
		conntrack->from = CONNTRACK_DAEMON;
	}
}

static enum client_result ask(struct client *client, struct states_conntrack *ret_conntrack)
{
	struct tg_record record;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "status");
	tg_record_end(&request);
	enum client_result result = client_send(client, &request) ? CLIENT_RECORD : CLIENT_BROKEN;
	tg_strbuf_finish(&request);
	while (result == CLIENT_RECORD) {
		result = client_next(client, ANSWER_MS, &record);
		if (result == CLIENT_RECORD)
			gather(ret_conntrack, &record);
	}
	return result;
}

static bool ask_daemon(const struct cli *cli, struct states_conntrack *ret_conntrack)
{
	struct states_conntrack conntrack = {0};
	struct client client;
	if (client_open(&client, cli->socket) < 0)
		return false;
	const bool told = !client_is_elsewhere(&client) &&
			  ask(&client, &conntrack) == CLIENT_DONE &&
			  conntrack.from == CONNTRACK_DAEMON;
	client_close(&client);
	if (told)
		*ret_conntrack = conntrack;
	return told;
}

void states_conntrack_read(const struct cli *cli, uint16_t port,
			   struct states_conntrack *ret_conntrack)
{
	struct states_conntrack told = {.from = CONNTRACK_UNKNOWN};
	struct ct_states states;
	const bool daemon = port == 0 && ask_daemon(cli, &told);
	if (!daemon || told.closing_unknown) {
		int err = ct_states_read(port, &states);
		if (!err) {
			told = (struct states_conntrack){.from = CONNTRACK_KERNEL,
							 .total = states.total};
			memcpy(told.counts, states.counts, sizeof(told.counts));
		} else if (!daemon) {
			told.err = err;
		}
	}
	*ret_conntrack = told;
}
