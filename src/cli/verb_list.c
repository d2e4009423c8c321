/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard list: what is in force, streamed. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"

struct listing {
	struct json json;
	struct output_table table;
};

static void put_number(struct json *json, const struct tg_record *record, const char *key)
{
	uint64_t value;
	if (tg_record_get_u64(record, key, &value))
		json_number(json, key, value);
	else
		json_string(json, key, NULL);
}

static void put_string(struct json *json, const struct tg_record *record, const char *key)
{
	json_string(json, key, tg_record_get(record, key));
}

static bool is_true(const struct tg_record *record, const char *key)
{
	const char *text = tg_record_get(record, key);
	return text && strcmp(text, "true") == 0;
}

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
	uint64_t since;
	if (strcmp(record->name, "ban") != 0)
		return;
	begin_list(json);
	json_object(json, NULL);
	put_string(json, record, "source");
	put_string(json, record, "action");
	put_string(json, record, "to");
	put_string(json, record, "scope");
	put_string(json, record, "policy");
	put_string(json, record, "limit");
	put_string(json, record, "measure");
	put_number(json, record, "measured");
	put_number(json, record, "threshold");
	put_string(json, record, "origin");
	put_number(json, record, "offence");
	if (tg_record_get_u64(record, "since", &since))
		json_time(json, "since", since);
	put_number(json, record, "expires_in");
	json_bool(json, "enforced", is_true(record, "enforced"));
	json_bool(json, "unproven", is_true(record, "unproven"));
	put_number(json, record, "packets");
	put_number(json, record, "bytes");
	put_string(json, record, "reason");
	json_end(json);
}

static void table_ban(void *data, const struct tg_record *record)
{
	struct listing *listing = data;
	char action[64], why[256], span[OUTPUT_SPAN_STRLEN];
	uint64_t left = 0;
	if (strcmp(record->name, "ban") != 0)
		return;
	const char *to = tg_record_get(record, "to"), *policy = tg_record_get(record, "policy");
	const char *limit = tg_record_get(record, "limit"), *text = tg_record_get(record, "reason");
	const char *name = tg_record_get(record, "action");
	const char *measured = tg_record_get(record, "measured");
	const char *threshold = tg_record_get(record, "threshold");
	const char *measure = tg_record_get(record, "measure");
	(void)tg_record_get_u64(record, "expires_in", &left); /* without one: 0 */
	(void)snprintf(action, sizeof(action), "%s%s%s", name ? name : "?", to ? " " : "",
		       to ? to : "");
	if (policy)
		(void)snprintf(why, sizeof(why), "%s/%s: %s %s > %s%s", policy, limit ? limit : "?",
			       measure ? measure : "?", measured ? measured : "?",
			       threshold ? threshold : "?",
			       is_true(record, "unproven") ? "; for a drop: no witness yet" : "");
	else
		(void)snprintf(why, sizeof(why), "by hand%s%s", text && *text ? ": " : "",
			       text ? text : "");
	const char *cells[] = {tg_record_get(record, "source"),
			       action,
			       is_true(record, "enforced") ? "yes" : "observed",
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
