/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard list: what is in force, streamed. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "ban_record.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "names.h"
#include "output.h"

enum { LIST_JSON, LIST_RESOLVE };

struct listing {
	struct json json;
	struct output_table table;
	bool resolves;
	struct names names;
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
	struct listing *listing = data;
	struct json *json = &listing->json;
	if (strcmp(record->name, "ban") != 0)
		return;
	begin_list(json);
	json_object(json, NULL);
	ban_record_json(json, record);
	if (listing->resolves)
		json_string(json, "name",
			    names_find(&listing->names, tg_record_get(record, "source")));
	json_end(json);
}

static void table_ban(void *data, const struct tg_record *record)
{
	struct listing *listing = data;
	char action[64], why[256], span[OUTPUT_SPAN_STRLEN];
	char source[TG_PREFIX_STRLEN + NAMES_LEN + 4];
	uint64_t left = 0;
	if (strcmp(record->name, "ban") != 0)
		return;
	(void)tg_record_get_u64(record, "expires_in", &left); /* without one: 0 */
	ban_record_action(record, action, sizeof(action));
	ban_record_why(record, why, sizeof(why));
	const char *text = tg_record_get(record, "source"), *name = NULL;
	if (listing->resolves)
		name = names_find(&listing->names, text);
	(void)snprintf(source, sizeof(source), "%s%s%s", text ? text : "?", name ? " " : "",
		       name ? name : "");
	const char *cells[] = {source,
			       action,
			       ban_record_is(record, "enforced") ? "yes" : "observed",
			       output_span(left, span),
			       tg_record_get(record, "packets"),
			       why};
	output_table_row(&listing->table, cells);
}

static void want_name(void *data, const struct tg_record *record)
{
	names_want(data, tg_record_get(record, "source"));
}

static int run_list(const struct cli *cli, const struct cli_args *args)
{
	static const struct output_column columns[] = {{"SOURCE", false},   {"ACTION", false},
						       {"ENFORCED", false}, {"EXPIRES IN", true},
						       {"PACKETS", true},   {"WHY", false}};
	static struct listing listing; /* names are many */
	listing.resolves = args->values[LIST_RESOLVE] != NULL;
	if (listing.resolves) {
		const int status = client_ask_simple(cli, "list", want_name, &listing.names);
		if (status != CLI_OK)
			return status;
		names_resolve(&listing.names);
	}
	if (args->values[LIST_JSON]) {
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
	.options = {[LIST_JSON] = {"json", NULL, "as one JSON object"},
		    [LIST_RESOLVE] = {"resolve", NULL,
				      "names, too, as far as they come within a second"}},
	.run = run_list,
};
