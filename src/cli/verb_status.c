/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard status: for people first what is wrong, for scripts everything. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"
#include "status_answer.h"

static void json_value(struct json *json, const char *key, const char *text)
{
	static const char *const flags[] = {"owned",           "stale",   "closing_followed",
					    "sources_lowered", "looking", "cut"};
	uint64_t value;
	if (!tg_text_u64(text, &value)) {
		json_string(json, key, text);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strcmp(key, flags[i]) == 0) {
			json_bool(json, key, value != 0);
			return;
		}
	}
	if (strcmp(key, "started") == 0 || strcmp(key, "since") == 0)
		json_time(json, key, value);
	else
		json_number(json, key, value);
}

/* Every record that is not printed in a form of its own, in the order in which they came. */
static void json_groups(struct json *json, const struct status *status)
{
	static const char *const own[] = {"status", "degraded", "file", "service"};
	unsigned open = 0;
	for (size_t i = 0; i < status->count; i++) {
		const struct value *value = &status->values[i];
		bool skip = false;
		for (size_t j = 0; j < ARRAY_SIZE(own); j++)
			skip |= strcmp(value->record, own[j]) == 0;
		if (skip)
			continue;
		if (value->group != open && open != 0)
			json_end(json);
		if (value->group != open)
			json_object(json, value->record);
		open = value->group;
		json_value(json, value->key, value->text);
	}
	if (open != 0)
		json_end(json);
}

static void json_services(struct json *json, const struct status *status)
{
	static const char *const words[] = {"policy", "limit", "measure"};
	static const char *const numbers[] = {"measured", "threshold"};
	json_array(json, "services");
	for (unsigned group = 1; group <= status->groups; group++) {
		uint64_t value = 0;
		const char *since = status_find(status, group, "service", "since");
		if (!since)
			continue;
		json_object(json, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			json_string(json, words[i],
				    status_find(status, group, "service", words[i]));
		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
			const char *text = status_find(status, group, "service", numbers[i]);
			json_number(json, numbers[i],
				    text && tg_text_u64(text, &value) ? value : 0);
		}
		json_time(json, "since", tg_text_u64(since, &value) ? value : 0);
		json_end(json);
	}
	json_end(json);
}

static void print_json(const struct status *status)
{
	struct json json;
	json_begin(&json, stdout);
	for (size_t i = 0; i < status->count; i++)
		if (strcmp(status->values[i].record, "status") == 0 &&
		    strcmp(status->values[i].key, "loaded") != 0)
			json_value(&json, status->values[i].key, status->values[i].text);
	json_array(&json, "degraded");
	for (unsigned group = 1; group <= status->groups; group++) {
		const char *reason = status_find(status, group, "degraded", "reason");
		const char *text = status_find(status, group, "degraded", "text");
		char line[320];
		if (!reason || !text)
			continue;
		(void)snprintf(line, sizeof(line), "%s: %s", reason, text);
		json_string(&json, NULL, line);
	}
	json_end(&json);
	json_services(&json, status);
	json_object(&json, "policy");
	json_array(&json, "files");
	for (size_t i = 0; i < status->count; i++)
		if (strcmp(status->values[i].record, "file") == 0)
			json_string(&json, NULL, status->values[i].text);
	json_end(&json);
	json_time(&json, "loaded", status_number(status, "status", "loaded"));
	json_end(&json);
	json_groups(&json, status);
	/* conntrack without figures is an empty record: there is none to name it. */
	if (!status_find(status, 0, "conntrack", "count")) {
		json_object(&json, "conntrack");
		json_string(&json, "count", NULL);
		json_string(&json, "max", NULL);
		json_end(&json);
	}
	json_finish(&json);
}

static int run_status(const struct cli *cli, const struct cli_args *args)
{
	struct status *status = calloc(1, sizeof(*status));
	if (!status) {
		cli_complain("out of memory");
		return CLI_NO;
	}
	int result = client_ask_simple(cli, "status", status_gather, status);
	if (result == CLI_OK && args->values[0]) {
		print_json(status);
	} else if (result == CLI_OK) {
		status_print(stdout, cli->color, output_width(), status);
	}
	status_finish(status);
	return result;
}

const struct cli_verb verb_status = {
	.name = "status",
	.operands = "",
	.summary = "Show how it goes, and what does not",
	.options = {{"json", NULL, "as one JSON object"}},
	.run = run_status,
};
