/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard kill: ends the connections of a source, without banning it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tcpguard/addr.h>

#include "base/strbuf.h"
#include "cli.h"
#include "client.h"
#include "json.h"

enum { KILL_PORT, KILL_EVERYTHING, KILL_FORCE, KILL_JSON };

struct killed {
	bool json;
	char source[TG_PREFIX_STRLEN];
};

static void say_killed(void *data, const struct tg_record *record)
{
	const struct killed *killed = data;
	uint64_t sockets = 0, flows = 0;
	if (strcmp(record->name, "killed") != 0 ||
	    !tg_record_get_u64(record, "sockets", &sockets) ||
	    !tg_record_get_u64(record, "flows", &flows))
		return;
	if (killed->json) {
		struct json json;
		json_begin(&json, stdout);
		json_string(&json, "source", killed->source);
		json_number(&json, "sockets", sockets);
		json_number(&json, "flows", flows);
		json_finish(&json);
	} else if (sockets == 0 && flows == 0) {
		(void)printf("%s: nothing to kill\n", killed->source);
	} else {
		(void)printf("%s: killed %" PRIu64 " socket%s and %" PRIu64
			     " tracked connection%s\n",
			     killed->source, sockets, sockets == 1 ? "" : "s", flows,
			     flows == 1 ? "" : "s");
	}
}

static int run_kill(const struct cli *cli, const struct cli_args *args)
{
	struct killed killed = {.json = args->values[KILL_JSON]};
	struct tg_prefix source;
	if (!cli_read_source(args->operands[0], &source))
		return CLI_USAGE;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "kill");
	tg_record_put(&request, "source", tg_prefix_format(&source, killed.source));
	if (args->values[KILL_PORT])
		tg_record_put(&request, "port", args->values[KILL_PORT]);
	if (args->values[KILL_EVERYTHING])
		tg_record_put(&request, "everything", "true");
	if (args->values[KILL_FORCE])
		tg_record_put(&request, "force", "true");
	tg_record_end(&request);
	int status = client_ask(cli, &request, say_killed, &killed);
	tg_strbuf_finish(&request);
	return status;
}

const struct cli_verb verb_kill = {
	.name = "kill",
	.operands = "ADDR[/LEN]",
	.summary = "End the connections that a source has opened, without a ban",
	.options = {[KILL_PORT] = {"port", "PORT", "only those to this port"},
		    [KILL_EVERYTHING] = {"everything", NULL,
					 "also those that this host has opened to it"},
		    [KILL_FORCE] = {"force", NULL, "also of an address that is protected"},
		    [KILL_JSON] = {"json", NULL, "as one JSON object"}},
	.operands_min = 1,
	.operands_max = 1,
	.run = run_kill,
};
