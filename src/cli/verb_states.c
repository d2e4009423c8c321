/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard states: the sockets of this host by state, without the daemon. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <tcpguard/units.h>

#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "host/processes.h"
#include "host/sockets.h"
#include "names.h"
#include "progress.h"
#include "socket_tally.h"
#include "states_conntrack.h"
#include "states_report.h"

enum {
	STATES_BY,
	STATES_COUNT,
	STATES_JSON,
	STATES_PORT,
	STATES_STATE,
	STATES_WATCH,
	STATES_RESOLVE
};

/* Sockets between two looks at the clock. */
#define PROGRESS_SOCKETS 1024

/* What was asked for. */
struct request {
	enum tally_by by;
	uint32_t count;
	uint16_t port;
	uint32_t states;
	uint64_t every_ms; /* 0: once */
	bool json, resolve;
};

static const char *read_by(const char *text, struct request *request)
{
	static const char *const words[] = {"", "port", "process", "source", "user"};
	for (unsigned i = TALLY_BY_PORT; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			request->by = (enum tally_by)i;
			return NULL;
		}
	}
	return "--by is port, process, source or user";
}

static const char *read_numbers(const struct cli_args *args, struct request *request)
{
	const char *count = args->values[STATES_COUNT], *port = args->values[STATES_PORT];
	uint64_t value;
	if (count) {
		if (!tg_text_u64(count, &value) || value == 0 || value > UINT32_MAX)
			return "-n is a number from 1";
		if (request->by == TALLY_BY_NOTHING)
			return "-n is for --by: how many of its rows";
		request->count = (uint32_t)value;
	}
	if (port) {
		if (!tg_text_u64(port, &value) || value == 0 || value > UINT16_MAX)
			return "--port is from 1 to 65535";
		request->port = (uint16_t)value;
	}
	return NULL;
}

static const char *read_watch(const struct cli_args *args, struct request *request)
{
	const char *text = args->values[STATES_WATCH];
	if (!text)
		return args->operand_count > 0 ? "states takes no operands" : NULL;
	if (args->values[STATES_JSON])
		return "--json prints once";
	/* "--watch 5s": an option whose value may be missing leaves it among the operands. */
	if (args->operand_count > 0) {
		if (text[0] != '\0')
			return "states takes no operands";
		text = args->operands[0];
	}
	request->every_ms = 2000;
	const char *wrong = text[0] ? tg_duration_parse(text, &request->every_ms) : NULL;
	if (!wrong && (request->every_ms < 100 || request->every_ms > 3600000))
		wrong = "--watch is from 100ms to 1h";
	return wrong;
}

/* False after it has been complained about. */
static bool read_request(const struct cli_args *args, struct request *ret_request)
{
	struct request request = {.count = 20,
				  .states = SOCKETS_STATES,
				  .json = args->values[STATES_JSON] != NULL,
				  .resolve = args->values[STATES_RESOLVE] != NULL};
	const char *by = args->values[STATES_BY], *states = args->values[STATES_STATE];
	const char *wrong = by ? read_by(by, &request) : NULL;
	if (!wrong)
		wrong = read_numbers(args, &request);
	if (!wrong)
		wrong = read_watch(args, &request);
	if (!wrong && request.resolve && request.by != TALLY_BY_SOURCE)
		wrong = "--resolve is for --by source";
	if (wrong) {
		cli_complain("%s", wrong);
		return false;
	}
	wrong = states ? socket_states_parse(states, &request.states) : NULL;
	if (wrong) {
		cli_complain("'%.*s' is no state: listen, syn-sent, syn-recv, established, "
			     "fin-wait-1, fin-wait-2, closing, time-wait, close-wait, last-ack or "
			     "close",
			     (int)strcspn(wrong, ","), wrong);
		return false;
	}
	*ret_request = request;
	return true;
}

/* Who knows names. */
struct naming {
	struct processes *processes; /* NULL: not asked for */
	struct names *names;
};

static const char *source_text(const struct tally_group *group, char buf[static TG_PREFIX_STRLEN])
{
	const struct tg_prefix source = {.addr = group->key.addr,
					 .len = (uint8_t)group->key.number};
	return tg_prefix_format(&source, buf);
}

static const char *name_of(void *data, const struct tally_group *group)
{
	const struct naming *naming = data;
	char text[TG_PREFIX_STRLEN];
	if (group->key.kind == TALLY_PROCESS) {
		const struct processes_owner *owner =
			processes_find(naming->processes, group->inode);
		return owner ? owner->name : NULL;
	}
	if (group->key.kind == TALLY_SOURCE)
		return names_find(naming->names, source_text(group, text));
	if (group->key.kind != TALLY_USER)
		return NULL;
	const struct passwd *user = getpwuid(group->key.number);
	return user ? user->pw_name : NULL;
}

static void ask_names(const struct socket_tally *tally, struct names *names)
{
	char text[TG_PREFIX_STRLEN];
	names_make_room(names);
	for (uint32_t i = 0; i < tally->group_count; i++)
		if (tally->groups[i].key.kind == TALLY_SOURCE)
			names_want(names, source_text(&tally->groups[i], text));
	names_resolve(names);
}

struct counting {
	struct socket_tally *tally;
	uint64_t seen;
	struct progress progress;
};

static void found(void *data, const struct sock_diag_socket *socket)
{
	struct counting *counting = data;
	(void)socket_tally_add(counting->tally, socket); /* failed says so */
	if (++counting->seen % PROGRESS_SOCKETS == 0 && progress_is_due(&counting->progress))
		progress_show(&counting->progress, "counting: %" PRIu64 " sockets", counting->seen);
}

static uint64_t count_hidden(const struct socket_tally *tally)
{
	for (uint32_t i = 0; i < tally->group_count; i++)
		if (tally->groups[i].key.kind == TALLY_HIDDEN)
			return tally->groups[i].total;
	return 0;
}

/* 0 or -errno. */
static int count(const struct request *request, struct socket_tally *tally)
{
	/* Listeners tell which way a connection goes. */
	const uint32_t listen = request->by == TALLY_BY_PORT ? SOCK_STATE(TCP_LISTEN) : 0;
	const struct sockets_query query = {.states = request->states | listen};
	if (getrandom(tally->hash_key, sizeof(tally->hash_key), 0) !=
	    (ssize_t)sizeof(tally->hash_key))
		return -EIO;
	struct counting counting = {.tally = tally};
	progress_begin(&counting.progress);
	int err = sockets_walk(&query, found, &counting);
	progress_hide(&counting.progress);
	return err ? err : tally->failed ? -ENOMEM : 0;
}

static int show(const struct cli *cli, const struct request *request)
{
	struct socket_tally tally = {
		.by = request->by, .port = request->port, .states_wanted = request->states};
	struct states_conntrack conntrack = {.from = CONNTRACK_UNKNOWN};
	static struct names names; /* large; those of the look before are known */
	struct naming naming = {.names = &names};
	struct states_report report = {.tally = &tally,
				       .conntrack = &conntrack,
				       .name = name_of,
				       .data = &naming,
				       .resolved = request->resolve};
	int err = request->by == TALLY_BY_PROCESS ? processes_create(&naming.processes) : 0;
	tally.processes = naming.processes;
	if (!err)
		err = count(request, &tally);
	if (err) {
		cli_complain("the sockets cannot be listed: %s", strerror(-err));
	} else {
		report.hidden = count_hidden(&tally);
		socket_tally_top(&tally, request->count);
		if (request->resolve)
			ask_names(&tally, &names);
		if (request->by == TALLY_BY_NOTHING)
			states_conntrack_read(cli, request->port, &conntrack);
		if (request->json)
			states_report_json(stdout, &report);
		else
			states_report_table(stdout, cli->color, &report);
	}
	socket_tally_finish(&tally);
	processes_destroy(naming.processes);
	return err ? CLI_NO : CLI_OK;
}

/* Until ^C, or until nobody reads any more. */
static int watch(const struct cli *cli, const struct request *request)
{
	const bool terminal = isatty(STDOUT_FILENO);
	int status = CLI_OK;
	while (status == CLI_OK) {
		if (terminal)
			(void)fputs("\033[H\033[2J", stdout);
		status = show(cli, request);
		if (!terminal)
			(void)fputc('\n', stdout);
		if (fflush(stdout) != 0)
			return CLI_USAGE;
		(void)poll(NULL, 0, (int)request->every_ms);
	}
	return status;
}

static int run_states(const struct cli *cli, const struct cli_args *args)
{
	struct request request;
	if (!read_request(args, &request))
		return CLI_USAGE;
	return request.every_ms ? watch(cli, &request) : show(cli, &request);
}

const struct cli_verb verb_states = {
	.name = "states",
	.operands = "",
	.summary = "Show the sockets of this host by state, beside conntrack's",
	.options =
		{[STATES_BY] = {"by", "WHAT", "and by port, process, source or user"},
		 [STATES_COUNT] = {"count", "N", "rows of --by, the fullest (20); also -n N"},
		 [STATES_JSON] = {"json", NULL, "as one JSON object"},
		 [STATES_PORT] = {"port", "N", "only what has this port on either side"},
		 [STATES_STATE] = {"state", "S[,S]...", "only these states"},
		 [STATES_WATCH] = {"watch", "[TIME]", "again every TIME (2s), until ^C"},
		 [STATES_RESOLVE] = {"resolve", NULL,
				     "names of --by source, as far as they come within a second"}},
	.operands_max = 1,
	.run = run_states,
};
