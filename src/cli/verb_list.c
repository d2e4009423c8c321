/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard list: what is in force, streamed. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "ban_record.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"

struct listing {
	struct json json;
	struct output_table table;
};

/* Not before something has come: without an answer there is no list, and an empty one would lie. */
static void begin_list(struct json *json)
{
	if (json->out)
		return;
	json_begin(json, stdout);
	json_array(json, "bans");
}

static void json_ban(void *data, const struct tg_record *record)
{
	struct json *json = &((struct listing *)data)->json;
	if (strcmp(record->name, "ban") != 0)
		return;
	begin_list(json);
	json_object(json, NULL);
	ban_record_json(json, record);
	json_end(json);
}

static void table_ban(void *data, const struct tg_record *record)
{
	struct listing *listing = data;
	char action[64], why[256], span[OUTPUT_SPAN_STRLEN];
	uint64_t left = 0;
	if (strcmp(record->name, "ban") != 0)
		return;
	(void)tg_record_get_u64(record, "expires_in", &left); /* without one: 0 */
	ban_record_action(record, action, sizeof(action));
	ban_record_why(record, why, sizeof(why));
	const char *cells[] = {tg_record_get(record, "source"),
			       action,
			       ban_record_is(record, "enforced") ? "yes" : "observed",
			       output_span(left, span),
			       tg_record_get(record, "packets"),
			       why};
	output_table_row(&listing->table, cells);
}

static int run_list(const struct cli *cli, const struct cli_args *args)
{
	static const struct output_column columns[] = {{"SOURCE", false},   {"ACTION", false},
						       {"ENFORCED", false}, {"EXPIRES IN", true},
						       {"PACKETS", true},   {"WHY", false}};
	struct listing listing = {.json = {0}};
	if (args->values[0]) {
		int status = client_ask_simple(cli, "list", json_ban, &listing);
		/* Half of a list stays broken JSON, on purpose. */
		if (status == CLI_OK) {
			begin_list(&listing.json);
			json_finish(&listing.json);
		}
		return status;
	}
	output_table_init(&listing.table, stdout, cli->color, columns, ARRAY_SIZE(columns));
	listing.table.fit = output_width();
	int status = client_ask_simple(cli, "list", table_ban, &listing);
	output_table_finish(&listing.table);
	if (status == CLI_OK && listing.table.total == 0)
		(void)puts("nothing is banned");
	return status;
}

const struct cli_verb verb_list = {
	.name = "list",
	.operands = "",
	.summary = "Show every ban in force or observed",
	.options = {{"json", NULL, "as one JSON object"}},
	.run = run_list,
};
