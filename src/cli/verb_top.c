/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard top: who holds most connections; live on a terminal, else once or again and again. */
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <tcpguard/units.h>

#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "host/sockets.h"
#include "names.h"
#include "terminal.h"
#include "top_fetch.h"
#include "top_live.h"
#include "top_output.h"

enum {
	TOP_JSON,
	TOP_COUNT,
	TOP_EVERY,
	TOP_SORT,
	TOP_STATE,
	TOP_PREFIX,
	TOP_PORT,
	TOP_FROM,
	TOP_RESOLVE
};

/* Every state that has a peer. */
#define PEER_STATES (SOCKETS_STATES & ~SOCK_STATE(TCP_LISTEN))
/* New ones of this host's are those between two looks. */
#define TWO_LOOKS_MS 1000

struct options {
	struct top_request request;
	uint64_t every_ms; /* 0: not said */
	bool json;
	struct names *names; /* NULL: not wanted */
};

static const char *read_numbers(const struct cli_args *args, struct options *options)
{
	const char *count = args->values[TOP_COUNT], *port = args->values[TOP_PORT];
	uint64_t value;
	if (count) {
		if (!tg_text_u64(count, &value) || value > 500)
			return "-n is from 1 to 500, or 0 for all";
		options->request.count = (uint32_t)value;
	}
	if (port) {
		if (!tg_text_u64(port, &value) || value == 0 || value > UINT16_MAX)
			return "--port is from 1 to 65535";
		options->request.port = (uint16_t)value;
	}
	return NULL;
}

static const char *read_prefix(const char *text, uint8_t lens[static TG_FAMILY_COUNT])
{
	static const char wrong[] = "--prefix is a length for IPv4, 1 to 32; or with a comma one "
				    "for IPv6, to 128: 24,48";
	const size_t len = strcspn(text, ",");
	char first[8];
	uint64_t ipv4, ipv6 = 64;
	if (len >= sizeof(first))
		return wrong;
	memcpy(first, text, len);
	first[len] = '\0';
	if (!tg_text_u64(first, &ipv4) || ipv4 == 0 || ipv4 > 32)
		return wrong;
	if (text[len] && (!tg_text_u64(text + len + 1, &ipv6) || ipv6 == 0 || ipv6 > 128))
		return wrong;
	lens[TG_IPV4] = (uint8_t)ipv4;
	lens[TG_IPV6] = (uint8_t)ipv6;
	return NULL;
}

static const char *read_from(const char *text, struct top_request *request)
{
	static const char *const words[] = {"daemon", "sockets", "conntrack"};
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			request->from = (enum top_from)i;
			return NULL;
		}
	}
	return "--from is daemon, sockets or conntrack";
}

/* The daemon counts by what its limits need: neither any state nor any prefix, and no ports. */
static const char *choose_from(const struct cli_args *args, struct top_request *request)
{
	const bool narrowed =
		args->values[TOP_STATE] || args->values[TOP_PREFIX] || args->values[TOP_PORT];
	if (!args->values[TOP_FROM]) {
		request->from = narrowed ? TOP_FROM_SOCKETS : TOP_FROM_DAEMON;
		request->daemon_first = !narrowed;
		return NULL;
	}
	const char *wrong = read_from(args->values[TOP_FROM], request);
	if (!wrong && narrowed && request->from == TOP_FROM_DAEMON)
		wrong = "--state, --prefix and --port are for --from sockets or conntrack";
	return wrong;
}

static const char *read_states(const char *text, uint32_t *ret_states)
{
	uint32_t states = 0;
	if (socket_states_parse(text, &states))
		return "--state is syn-sent, syn-recv, established, fin-wait-1, fin-wait-2, "
		       "closing, time-wait, close-wait, last-ack or close, or several with commas";
	if (states & SOCK_STATE(TCP_LISTEN))
		return "who listens has no peer: 'tcpguard states --by port --state listen'";
	*ret_states = states;
	return NULL;
}

static const char *read_every(const char *text, struct options *options)
{
	const char *wrong = tg_duration_parse(text, &options->every_ms);
	if (!wrong && options->json)
		return "--json prints once";
	if (!wrong && (options->every_ms < 100 || options->every_ms > 3600000))
		return "--every is from 100ms to 1h";
	return wrong;
}

static const char *read_options(const struct cli_args *args, struct options *ret_options)
{
	struct options options = {.request = {.count = 20, .states = PEER_STATES},
				  .json = args->values[TOP_JSON] != NULL};
	const char *sort = args->values[TOP_SORT];
	const char *wrong = read_numbers(args, &options);
	if (!wrong && args->values[TOP_EVERY])
		wrong = read_every(args->values[TOP_EVERY], &options);
	if (!wrong && args->values[TOP_PREFIX])
		wrong = read_prefix(args->values[TOP_PREFIX], options.request.source_len);
	if (!wrong && args->values[TOP_STATE])
		wrong = read_states(args->values[TOP_STATE], &options.request.states);
	if (!wrong && sort && !top_column_parse(sort, &options.request.sort))
		wrong = "--sort is total, half-open, established, closing, time-wait or new";
	if (!wrong)
		wrong = choose_from(args, &options.request);
	if (!wrong)
		*ret_options = options;
	return wrong;
}

static void print(const struct cli *cli, const struct options *options, const struct top_page *page)
{
	struct top_look look = {.color = cli->color, .newline = "\n", .names = options->names};
	size_t height;
	if (options->names)
		top_page_names(page, options->names);
	if (isatty(STDOUT_FILENO))
		terminal_size(&look.width, &height);
	if (options->json)
		top_output_json(stdout, options->names, page);
	else
		top_output_table(stdout, &look, page);
}

static int show(const struct cli *cli, const struct options *options, struct top_eye *eye)
{
	struct top_page page;
	int status = top_fetch(cli, &options->request, eye, &page);
	/* What is new shows between two looks only. */
	if (status == CLI_OK && options->request.sort == TOP_NEW && !page.rates_known &&
	    page.from != TOP_FROM_DAEMON) {
		top_page_finish(&page);
		(void)poll(NULL, 0, TWO_LOOKS_MS);
		status = top_fetch(cli, &options->request, eye, &page);
	}
	if (status == CLI_OK)
		print(cli, options, &page);
	else
		cli_complain("%s%s", page.note, status == CLI_NO_DAEMON ? CLIENT_START_HINT : "");
	top_page_finish(&page);
	return status;
}

/* Until ^C, or until nobody reads any more. */
static int repeat(const struct cli *cli, const struct options *options, struct top_eye *eye)
{
	int status = CLI_OK;
	while (status == CLI_OK) {
		status = show(cli, options, eye);
		(void)fputc('\n', stdout);
		if (fflush(stdout) != 0)
			return CLI_USAGE;
		(void)poll(NULL, 0, (int)options->every_ms);
	}
	return status;
}

static int run_top(const struct cli *cli, const struct cli_args *args)
{
	static struct names names; /* large */
	struct options options;
	struct top_eye eye = {.keyed = false};
	const char *wrong = read_options(args, &options);
	if (wrong) {
		cli_complain("%s", wrong);
		return CLI_USAGE;
	}
	if (args->values[TOP_RESOLVE])
		options.names = &names;
	if (!options.json && terminal_is_there())
		return top_live(cli, &options.request, options.every_ms ? options.every_ms : 2000,
				options.names);
	int status = options.every_ms ? repeat(cli, &options, &eye) : show(cli, &options, &eye);
	top_eye_finish(&eye);
	return status;
}

const struct cli_verb verb_top = {
	.name = "top",
	.operands = "",
	.summary = "Show the sources with the most connections, live on a terminal",
	.options = {[TOP_JSON] = {"json", NULL, "once, as one JSON object"},
		    [TOP_COUNT] = {"count", "N",
				   "how many (20; at most 500), or 0: all; also -n N"},
		    [TOP_EVERY] = {"every", "TIME",
				   "how often anew, such as 5s (2s on a terminal)"},
		    [TOP_SORT] = {"sort", "COLUMN",
				  "total, half-open, established, closing, time-wait, new"},
		    [TOP_STATE] = {"state", "S[,S]...", "only sockets in these states"},
		    [TOP_PREFIX] = {"prefix", "LEN[,LEN]", "by network: of IPv4, of IPv6 (32,64)"},
		    [TOP_PORT] = {"port", "N", "only what has this port on either side"},
		    [TOP_FROM] = {"from", "WHOM",
				  "daemon, sockets or conntrack (daemon, else sockets)"},
		    [TOP_RESOLVE] = {"resolve", NULL,
				     "names, too, as far as they come within a second"}},
	.run = run_top,
};
