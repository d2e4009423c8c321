/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcpguard explain: why an address is held back, or is not, and how far it is from each limit. What
 * the daemon tells is gathered first, because its verdict heads the page.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/addr.h>

#include "ban_record.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "names.h"
#include "output.h"

enum { EXPLAIN_JSON, EXPLAIN_RESOLVE };

/* Lists of the JSON: one record of the daemon's is one entry. */
static const char *const lists[][2] = {
	{"ban", "bans"}, {"offence", "offences"}, {"limit", "limits"}, {"flow", "flows"}};

struct page {
	const struct cli *cli;
	bool as_json;
	struct json json;
	int list; /* that is open; -1: none */
	bool banned, told, headed;
	char address[TG_ADDR_STRLEN];
	bool resolves;
	const char *name; /* asked for, and known; else NULL */
	struct output_table table;
};

static void put_field(struct json *json, const char *key, const char *value)
{
	uint64_t number;
	if (tg_text_u64(value, &number))
		json_number(json, key, number);
	else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
		json_bool(json, key, value[0] == 't');
	else
		json_string(json, key, value);
}

static void put_fields(struct json *json, const struct tg_record *record)
{
	for (size_t i = 0; i < record->count; i++)
		put_field(json, record->fields[i].key, record->fields[i].value);
}

/* As in list, and where its limit stands. */
static void put_ban_members(struct json *json, const struct tg_record *record)
{
	uint64_t number;
	ban_record_json(json, record);
	json_string(json, "file", tg_record_get(record, "file"));
	if (tg_record_get_u64(record, "line", &number))
		json_number(json, "line", number);
	else
		json_string(json, "line", NULL);
}

/* The first ban, which is the strongest, stands by itself, too; record NULL: there is none. */
static void put_ban(struct page *page, const struct tg_record *record)
{
	if (page->banned)
		return;
	page->banned = true;
	if (!record) {
		json_string(&page->json, "ban", NULL);
		return;
	}
	json_object(&page->json, "ban");
	put_ban_members(&page->json, record);
	json_end(&page->json);
}

/* Lists come in their order, some empty. */
static void open_list(struct page *page, int wanted)
{
	put_ban(page, NULL);
	while (page->list < wanted) {
		if (page->list >= 0)
			json_end(&page->json);
		page->list++;
		if (page->list < (int)ARRAY_SIZE(lists))
			json_array(&page->json, lists[page->list][1]);
	}
}

static void json_record(void *data, const struct tg_record *record)
{
	struct page *page = data;
	struct json *json = &page->json;
	if (strcmp(record->name, "explain") == 0) {
		const char *allowed = tg_record_get(record, "allowed");
		json_begin(json, stdout);
		json_string(json, "source", tg_record_get(record, "source"));
		if (page->resolves)
			json_string(json, "name", page->name);
		json_string(json, "verdict", tg_record_get(record, "verdict"));
		json_string(json, "allowed_by",
			    allowed && strcmp(allowed, "true") == 0
				    ? tg_record_get(record, "protected")
				    : NULL);
		json_string(json, "protected_as", tg_record_get(record, "kind"));
	} else if (strcmp(record->name, "states") == 0) {
		/* They stand between limits and flows. */
		open_list(page, 2);
		json_end(json);
		json_object(json, "states");
		put_fields(json, record);
		json_end(json);
		page->list++;
		json_array(json, lists[page->list][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (strcmp(record->name, lists[i][0]) != 0)
			continue;
		if (i == 0)
			put_ban(page, record);
		open_list(page, (int)i);
		json_object(json, NULL);
		if (i == 0)
			put_ban_members(json, record);
		else
			put_fields(json, record);
		json_end(json);
	}
}

#define VALUE_COLUMN 13

static void line(const char *title, const char *text)
{
	struct tg_strbuf safe;
	tg_strbuf_init(&safe);
	tg_text_escape(&safe, text);
	(void)printf("  %-10s ", title);
	output_wrap_at(stdout, safe.text, VALUE_COLUMN, output_width());
	(void)putchar('\n');
	tg_strbuf_finish(&safe);
}

static void print_verdict(struct page *page, const struct tg_record *record)
{
	const char *verdict = tg_record_get(record, "verdict");
	const char *kind = tg_record_get(record, "kind");
	const char *protected = tg_record_get(record, "protected");
	verdict = verdict ? verdict : "?";
	const enum output_color color = strcmp(verdict, "banned") == 0     ? OUTPUT_RED
					: strcmp(verdict, "observed") == 0 ? OUTPUT_YELLOW
									   : OUTPUT_GREEN;
	(void)printf("%s is %s%s%s\n", page->address, output_color(page->cli->color, color),
		     verdict, output_color(page->cli->color, OUTPUT_PLAIN));
	if (page->name)
		line("name", page->name);
	if (kind && protected) {
		char text[160];
		(void)snprintf(text, sizeof(text), "%s: %s", protected, kind);
		line("protected", text);
	}
}

/* Of an automatic ban: where to change it. */
static void print_place(const struct tg_record *record)
{
	const char *file = tg_record_get(record, "file"), *number = tg_record_get(record, "line");
	struct tg_strbuf text;
	if (!file || !number)
		return;
	tg_strbuf_init(&text);
	tg_strbuf_printf(&text, "%s:%s", file, number);
	line("stands in", text.text);
	tg_strbuf_finish(&text);
}

static void print_ban(struct page *page, const struct tg_record *record)
{
	char action[64], text[256], span[OUTPUT_SPAN_STRLEN], time[OUTPUT_TIME_STRLEN];
	uint64_t since = 0, left = 0, packets = 0, bytes = 0;
	const bool enforced = ban_record_is(record, "enforced");
	const char *source = tg_record_get(record, "source"),
		   *scope = tg_record_get(record, "scope");
	const char *offence = tg_record_get(record, "offence");
	ban_record_action(record, action, sizeof(action));
	(void)snprintf(text, sizeof(text), "%s of %s (scope %s)%s", action, source ? source : "?",
		       scope ? scope : "?", enforced ? "" : ": nothing is held back");
	line(enforced ? "in force" : "observed", text);
	ban_record_why(record, text, sizeof(text));
	line("why", text);
	print_place(record);
	if (tg_record_get_u64(record, "since", &since) &&
	    tg_record_get_u64(record, "expires_in", &left)) {
		(void)snprintf(text, sizeof(text), "%s, ends in %s%s%s", output_time(since, time),
			       output_span(left, span), offence ? ", offence " : "",
			       offence ? offence : "");
		line("since", text);
	}
	if (enforced && tg_record_get_u64(record, "packets", &packets) &&
	    tg_record_get_u64(record, "bytes", &bytes)) {
		(void)snprintf(text, sizeof(text), "%" PRIu64 " packets, %" PRIu64 " bytes",
			       packets, bytes);
		line("held back", text);
	}
	(void)snprintf(text, sizeof(text), "tcpguard unban %s", source ? source : page->address);
	line("to lift", text);
	/* Once: it is the same for all that follow. */
	if (page->told)
		return;
	page->told = true;
	(void)snprintf(text, sizeof(text), "add %s to 'allow' in the policy, then tcpguard reload",
		       page->address);
	line("for good", text);
}

static void print_limit(struct page *page, const struct tg_record *record)
{
	static const struct output_column columns[] = {{"LIMIT", false},
						       {"MEASURE", false},
						       {"NOW", true},
						       {"ALLOWED", true},
						       {"COUNTED AS", false}};
	char name[80];
	const char *policy = tg_record_get(record, "policy"),
		   *limit = tg_record_get(record, "limit");
	if (!page->headed)
		output_table_init(&page->table, stdout, page->cli->color, columns,
				  ARRAY_SIZE(columns));
	page->headed = true;
	(void)snprintf(name, sizeof(name), "%s/%s", policy ? policy : "?", limit ? limit : "?");
	const char *cells[] = {name, tg_record_get(record, "measure"),
			       tg_record_get(record, "measured"),
			       tg_record_get(record, "threshold"), tg_record_get(record, "source")};
	output_table_row(&page->table, cells);
}

static void print_states(struct page *page, const struct tg_record *record)
{
	char text[256] = "";
	size_t len = 0;
	if (page->headed)
		output_table_finish(&page->table);
	for (size_t i = 0; i < record->count; i++) {
		if (strcmp(record->fields[i].value, "0") == 0)
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s", len ? ", " : "",
					record->fields[i].key, record->fields[i].value);
		len = MIN(len, sizeof(text) - 1);
	}
	line("flows", len ? text : "none");
}

static void print_record(void *data, const struct tg_record *record)
{
	struct page *page = data;
	char text[160];
	const char *name = record->name;
	if (strcmp(name, "explain") == 0) {
		print_verdict(page, record);
	} else if (strcmp(name, "ban") == 0) {
		print_ban(page, record);
	} else if (strcmp(name, "offence") == 0) {
		uint64_t left = 0;
		char span[OUTPUT_SPAN_STRLEN];
		const char *policy = tg_record_get(record, "policy");
		const char *offence = tg_record_get(record, "offence");
		(void)tg_record_get_u64(record, "forgotten_in", &left);
		(void)snprintf(text, sizeof(text), "offence %s of policy %s, forgotten in %s",
			       offence ? offence : "?", policy ? policy : "?",
			       output_span(left, span));
		line("remembered", text);
	} else if (strcmp(name, "limit") == 0) {
		print_limit(page, record);
	} else if (strcmp(name, "states") == 0) {
		print_states(page, record);
	} else if (strcmp(name, "flow") == 0) {
		const char *sport = tg_record_get(record, "sport"),
			   *to = tg_record_get(record, "to");
		const char *dport = tg_record_get(record, "dport");
		(void)snprintf(text, sizeof(text), "port %s to %s port %s", sport ? sport : "?",
			       to ? to : "?", dport ? dport : "?");
		line("", text);
	}
}

static void find_name(struct page *page)
{
	static struct names names; /* large */
	names_want(&names, page->address);
	names_resolve(&names);
	page->resolves = true;
	page->name = names_find(&names, page->address);
}

static int run_explain(const struct cli *cli, const struct cli_args *args)
{
	struct page page = {.cli = cli, .as_json = args->values[EXPLAIN_JSON], .list = -1};
	struct tg_prefix source;
	if (!cli_read_source(args->operands[0], &source))
		return CLI_USAGE;
	if (source.len != tg_family_bits((enum tg_family)source.addr.family)) {
		cli_complain(
			"explain takes one address; 'tcpguard list' shows the bans of networks");
		return CLI_USAGE;
	}
	struct tg_strbuf request;
	tg_addr_format(&source.addr, page.address);
	if (args->values[EXPLAIN_RESOLVE])
		find_name(&page);
	tg_strbuf_init(&request);
	tg_record_begin(&request, "explain");
	tg_record_put(&request, "source", page.address);
	tg_record_end(&request);
	int status = client_ask(cli, &request, page.as_json ? json_record : print_record, &page);
	tg_strbuf_finish(&request);
	if (page.as_json && status == CLI_OK) {
		json_end(&page.json);
		json_finish(&page.json);
	}
	return status;
}

const struct cli_verb verb_explain = {
	.name = "explain",
	.operands = "ADDR",
	.summary = "Say why an address is held back, or how far it is from each limit",
	.options = {[EXPLAIN_JSON] = {"json", NULL, "as one JSON object"},
		    [EXPLAIN_RESOLVE] = {"resolve", NULL,
					 "its name, too, if that comes within a second"}},
	.operands_min = 1,
	.operands_max = 1,
	.run = run_explain,
};
