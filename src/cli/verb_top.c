/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard top: who holds most connections, once or again and again. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <tcpguard/units.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"

enum { TOP_JSON, TOP_COUNT, TOP_EVERY };

static const char *const states[] = {"syn-sent",   "syn-recv", "established", "fin-wait",
				     "close-wait", "last-ack", "time-wait",   "close"};

struct ranking {
	struct json json;
	struct output_table table;
};

static void put_number(struct json *json, const struct tg_record *record, const char *key)
{
	uint64_t value = 0;
	(void)tg_record_get_u64(record, key, &value); /* an older daemon's unknown state is none */
	json_number(json, key, value);
}

/* As in list: no answer, no list. */
static void begin_list(struct json *json)
{
	if (json->out)
		return;
	json_begin(json, stdout);
	json_array(json, "sources");
}

static void json_source(void *data, const struct tg_record *record)
{
	struct json *json = &((struct ranking *)data)->json;
	if (strcmp(record->name, "source") != 0)
		return;
	begin_list(json);
	json_object(json, NULL);
	json_string(json, "source", tg_record_get(record, "source"));
	json_string(json, "policy", tg_record_get(record, "policy"));
	put_number(json, record, "total");
	json_object(json, "states");
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		put_number(json, record, states[i]);
	json_end(json);
	put_number(json, record, "idle");
	put_number(json, record, "hosts");
	put_number(json, record, "new_rate");
	json_end(json);
}

static void table_source(void *data, const struct tg_record *record)
{
	struct ranking *ranking = data;
	if (strcmp(record->name, "source") != 0)
		return;
	const char *cells[] = {
		tg_record_get(record, "source"),   tg_record_get(record, "policy"),
		tg_record_get(record, "total"),    tg_record_get(record, "syn-sent"),
		tg_record_get(record, "syn-recv"), tg_record_get(record, "established"),
		tg_record_get(record, "fin-wait"), tg_record_get(record, "close-wait"),
		tg_record_get(record, "last-ack"), tg_record_get(record, "time-wait"),
		tg_record_get(record, "close"),    tg_record_get(record, "new_rate"),
	};
	output_table_row(&ranking->table, cells);
}

static int print_table(const struct cli *cli, const struct tg_strbuf *request)
{
	static const struct output_column columns[] = {
		{"SOURCE", false},  {"POLICY", false},   {"TOTAL", true},    {"SYN-SENT", true},
		{"SYN-RECV", true}, {"ESTAB", true},     {"FIN-WAIT", true}, {"CLOSE-WAIT", true},
		{"LAST-ACK", true}, {"TIME-WAIT", true}, {"CLOSE", true},    {"NEW", true}};
	struct ranking ranking;
	output_table_init(&ranking.table, stdout, cli->color, columns, ARRAY_SIZE(columns));
	int status = client_ask(cli, request, table_source, &ranking);
	output_table_finish(&ranking.table);
	if (status == CLI_OK && ranking.table.total == 0)
		(void)puts("no source has a connection that a policy counts");
	return status;
}

static int print_json(const struct cli *cli, const struct tg_strbuf *request)
{
	struct ranking ranking = {.json = {0}};
	int status = client_ask(cli, request, json_source, &ranking);
	if (status == CLI_OK) {
		begin_list(&ranking.json);
		json_finish(&ranking.json);
	}
	return status;
}

static int repeat(const struct cli *cli, const struct tg_strbuf *request, uint64_t every_ms)
{
	int status = CLI_OK;
	while (status == CLI_OK) {
		if (isatty(STDOUT_FILENO))
			(void)fputs("\033[H\033[2J", stdout);
		status = print_table(cli, request);
		if (fflush(stdout) != 0)
			return CLI_USAGE;
		(void)poll(NULL, 0, (int)MIN(every_ms, (uint64_t)3600000)); /* until ^C */
	}
	return status;
}

static int run_top(const struct cli *cli, const struct cli_args *args)
{
	uint64_t count = 20, every_ms = 0;
	const char *every = args->values[TOP_EVERY], *text = args->values[TOP_COUNT];
	const char *wrong = every ? tg_duration_parse(every, &every_ms) : NULL;
	if (!wrong && text && (!tg_text_u64(text, &count) || count > 500))
		wrong = "--count is from 1 to 500, or 0 for all";
	if (!wrong && every && args->values[TOP_JSON])
		wrong = "--json prints once";
	if (wrong) {
		cli_complain("%s", wrong);
		return CLI_USAGE;
	}
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "top");
	tg_record_put_u64(&request, "count", count);
	tg_record_end(&request);
	int status = args->values[TOP_JSON] ? print_json(cli, &request)
		     : every                ? repeat(cli, &request, every_ms)
					    : print_table(cli, &request);
	tg_strbuf_finish(&request);
	return status;
}

const struct cli_verb verb_top = {
	.name = "top",
	.operands = "",
	.summary = "Show the sources with the most connections, by state",
	.options = {[TOP_JSON] = {"json", NULL, "as one JSON object"},
		    [TOP_COUNT] = {"count", "N",
				   "how many (20; at most 500), or 0 for all, in no order"},
		    [TOP_EVERY] = {"every", "TIME", "again and again, such as 2s, until ^C"}},
	.run = run_top,
};
