/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard status: for people first what is wrong, for scripts everything. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>

#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"

/* A daemon sends about 90, and a file for each of policies.d. */
#define VALUES_MAX 1024

/* The whole answer, flat: it is small, and is printed in another order than it comes. */
struct status {
	struct value {
		unsigned group; /* values of one record have one number */
		char *record, *key, *text;
	} values[VALUES_MAX];
	size_t count;
	unsigned groups;
};

static void gather(void *data, const struct tg_record *record)
{
	struct status *status = data;
	status->groups++;
	for (size_t i = 0; i < record->count && status->count < VALUES_MAX; i++) {
		struct value *value = &status->values[status->count];
		*value = (struct value){.group = status->groups,
					.record = strdup(record->name),
					.key = strdup(record->fields[i].key),
					.text = strdup(record->fields[i].value)};
		status->count++;
		if (value->record && value->key && value->text)
			continue;
		free(value->record);
		free(value->key);
		free(value->text);
		status->count--;
	}
}

static void finish(struct status *status)
{
	for (size_t i = 0; i < status->count; i++) {
		free(status->values[i].record);
		free(status->values[i].key);
		free(status->values[i].text);
	}
	free(status);
}

static const char *find(const struct status *status, unsigned group, const char *record,
			const char *key)
{
	for (size_t i = 0; i < status->count; i++) {
		const struct value *value = &status->values[i];
		if ((group == 0 || value->group == group) && strcmp(value->record, record) == 0 &&
		    strcmp(value->key, key) == 0)
			return value->text;
	}
	return NULL;
}

static const char *get(const struct status *status, const char *record, const char *key)
{
	const char *text = find(status, 0, record, key);
	return text ? text : "?";
}

static uint64_t number(const struct status *status, const char *record, const char *key)
{
	uint64_t value = 0;
	const char *text = find(status, 0, record, key);
	return text && tg_text_u64(text, &value) ? value : 0;
}

static void json_value(struct json *json, const char *key, const char *text)
{
	static const char *const flags[] = {"owned", "stale", "closing_followed",
					    "sources_lowered"};
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
	if (strcmp(key, "started") == 0)
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
		const char *since = find(status, group, "service", "since");
		if (!since)
			continue;
		json_object(json, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			json_string(json, words[i], find(status, group, "service", words[i]));
		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
			const char *text = find(status, group, "service", numbers[i]);
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
		const char *reason = find(status, group, "degraded", "reason");
		const char *text = find(status, group, "degraded", "text");
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
	json_time(&json, "loaded", number(status, "status", "loaded"));
	json_end(&json);
	json_groups(&json, status);
	/* conntrack without figures is an empty record: there is none to name it. */
	if (!find(status, 0, "conntrack", "count")) {
		json_object(&json, "conntrack");
		json_string(&json, "count", NULL);
		json_string(&json, "max", NULL);
		json_end(&json);
	}
	json_finish(&json);
}

static void print_health(const struct cli *cli, const struct status *status)
{
	bool ok = strcmp(get(status, "status", "health"), "ok") == 0;
	char span[OUTPUT_SPAN_STRLEN];
	(void)printf("tcpguardd ");
	output_text(stdout, get(status, "status", "version"));
	(void)printf(": mode %s", output_color(cli->color, OUTPUT_BOLD));
	output_text(stdout, get(status, "status", "mode"));
	(void)printf("%s (by ", output_color(cli->color, OUTPUT_PLAIN));
	output_text(stdout, get(status, "status", "mode_from"));
	(void)printf("), health %s", output_color(cli->color, ok ? OUTPUT_GREEN : OUTPUT_RED));
	output_text(stdout, get(status, "status", "health"));
	(void)printf("%s, running for %s\n", output_color(cli->color, OUTPUT_PLAIN),
		     output_span(number(status, "status", "uptime"), span));
	for (unsigned group = 1; group <= status->groups; group++) {
		const char *reason = find(status, group, "degraded", "reason");
		const char *text = find(status, group, "degraded", "text");
		const char *since = find(status, group, "degraded", "since");
		char time[OUTPUT_TIME_STRLEN];
		uint64_t at = 0;
		if (!reason || !text)
			continue;
		(void)printf("%s  ! ", output_color(cli->color, OUTPUT_RED));
		output_text(stdout, reason);
		(void)printf("%s: ", output_color(cli->color, OUTPUT_PLAIN));
		output_text(stdout, text);
		(void)printf(" (since %s)\n",
			     since && tg_text_u64(since, &at) ? output_time(at, time) : "?");
	}
}

/* A service whose whole traffic is over a limit. */
static void print_services(const struct cli *cli, const struct status *status)
{
	static const char *const keys[] = {"policy", "limit", "measure", "measured", "threshold"};
	static const char *const after[] = {"/", ": ", " ", " > ", ""};
	for (unsigned group = 1; group <= status->groups; group++) {
		char time[OUTPUT_TIME_STRLEN];
		uint64_t at = 0;
		const char *since = find(status, group, "service", "since");
		if (!since)
			continue;
		(void)printf("%s  * %s", output_color(cli->color, OUTPUT_YELLOW),
			     output_color(cli->color, OUTPUT_PLAIN));
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			const char *text = find(status, group, "service", keys[i]);
			output_text(stdout, text ? text : "?");
			(void)fputs(after[i], stdout);
		}
		(void)printf(" in all (since %s)\n",
			     tg_text_u64(since, &at) ? output_time(at, time) : "?");
	}
}

static void print_policy(const struct status *status)
{
	char time[OUTPUT_TIME_STRLEN];
	const char *title = "policy";
	for (size_t i = 0; i < status->count; i++) {
		if (strcmp(status->values[i].record, "file") != 0)
			continue;
		(void)printf("%-10s  ", title);
		output_text(stdout, status->values[i].text);
		(void)fputc('\n', stdout);
		title = "";
	}
	(void)printf("%-10s  loaded %s\n", "",
		     output_time(number(status, "status", "loaded"), time));
	const uint64_t left = number(status, "status", "confirm_in");
	if (left > 0)
		(void)printf("%-10s  the one before comes back in %" PRIu64
			     "s, unless 'tcpguard reload' confirms it\n",
			     "", left);
}

static void print_events(const struct cli *cli, const struct status *status)
{
	uint64_t lost = number(status, "events", "lost");
	(void)printf("%-10s  %" PRIu64 " received, ", "events",
		     number(status, "events", "received"));
	if (lost == 0)
		(void)printf("none lost");
	else
		(void)printf("%s%" PRIu64 " lost%s in %" PRIu64 " gaps",
			     output_color(cli->color, OUTPUT_YELLOW), lost,
			     output_color(cli->color, OUTPUT_PLAIN),
			     number(status, "events", "gaps"));
	(void)printf(", resyncs %" PRIu64 "%s\n", number(status, "events", "resyncs"),
		     number(status, "events", "stale") ? ", counts not rebuilt yet" : "");
}

static void print_figures(const struct cli *cli, const struct status *status)
{
	(void)printf("%-10s  %" PRIu64 " in force, %" PRIu64 " only observed, %" PRIu64
		     " on their way to the kernel; %" PRIu64 " since the start\n",
		     "bans", number(status, "bans", "active"), number(status, "bans", "observed"),
		     number(status, "bans", "pending"), number(status, "bans", "begun"));
	(void)printf("%-10s  %" PRIu64 " asked of the sockets, %" PRIu64 " proven, %" PRIu64
		     " not; %" PRIu64 " wait as a rate-limit; %" PRIu64 " kept for insisting\n",
		     "witness", number(status, "engine", "witness_asked"),
		     number(status, "engine", "witness_proven"),
		     number(status, "engine", "witness_denied"), number(status, "bans", "unproven"),
		     number(status, "engine", "insisting"));
	print_events(cli, status);
	(void)printf("%-10s  %" PRIu64 " of %" PRIu64 " followed, from %" PRIu64
		     " counted sources (room for %" PRIu64 " of each family)\n",
		     "flows", number(status, "status", "flows"),
		     number(status, "status", "max_flows"), number(status, "status", "sources"),
		     number(status, "status", "max_sources"));
	(void)printf("%-10s  %.1f MiB reserved", "memory",
		     (double)number(status, "status", "memory") / (1 << 20));
	if (number(status, "status", "sources_lowered"))
		(void)printf("; room for fewer sources than %d, to stay within %d MiB with this "
			     "policy: set max-sources to have more",
			     TG_MAX_SOURCES_DEFAULT, (int)(TG_MEMORY_MAX >> 20));
	(void)fputc('\n', stdout);
	(void)printf("%-10s ", "states");
	for (size_t i = 0; i < status->count; i++) {
		if (strcmp(status->values[i].record, "states") != 0)
			continue;
		(void)fputc(' ', stdout);
		output_text(stdout, status->values[i].key);
		(void)fputc(' ', stdout);
		output_text(stdout, status->values[i].text);
	}
	if (!number(status, "status", "closing_followed"))
		(void)printf("\n%-10s  no limit counts `concurrent`, so closing states are not "
			     "followed: established holds them, too",
			     "");
	(void)fputc('\n', stdout);
	uint64_t count = number(status, "conntrack", "count");
	uint64_t max = number(status, "conntrack", "max");
	if (max > 0)
		(void)printf("%-10s  %s%" PRIu64 " of %" PRIu64 " entries (%" PRIu64 " %%)%s\n",
			     "conntrack",
			     output_color(cli->color && count >= max / 10 * 8, OUTPUT_YELLOW),
			     count, max, count * 100 / max,
			     output_color(cli->color && count >= max / 10 * 8, OUTPUT_PLAIN));
}

/* Whatever was dropped, evicted, lost, retried or refused; nothing when nothing was. */
static void print_losses(const struct status *status)
{
	static const struct {
		const char *record, *key, *words;
	} losses[] = {
		{"events", "malformed", "malformed messages"},
		{"events", "foreign", "messages not from the kernel"},
		{"events", "resyncs_failed", "resyncs failed"},
		{"events", "feed_restarts", "feed restarts"},
		{"events", "questions_failed", "questions not asked"},
		{"bans", "refused_protected", "bans of protected addresses refused"},
		{"bans", "refused_full", "bans refused for lack of room"},
		{"bans", "evicted", "bans evicted for lack of room"},
		{"bans", "refused_admin", "bans of admins held back"},
		{"bans", "braked_rate", "bans held back by max-bans-per-minute"},
		{"bans", "braked_sources", "bans held back by max-share-of-sources"},
		{"bans", "braked_flows", "bans held back by max-share-of-flows"},
		{"engine", "sources_evicted", "sources evicted"},
		{"engine", "flows_evicted", "flows evicted"},
		{"engine", "flows_refused", "flows not counted"},
		{"engine", "uncounted", "flows without packet counters"},
		{"engine", "suppressed", "offences left to their service in a flood"},
		{"witness", "walks_failed", "looks at the sockets given up"},
		{"witness", "dropped", "questions to the sockets dropped"},
		{"witness", "probes_failed", "elements without an answer"},
		{"admins", "looks_failed", "looks for sessions of admins given up"},
		{"kill", "passes_failed", "kills that may not be complete"},
		{"kill", "dropped", "kills dropped"},
		{"store", "failed", "failures to write the state file"},
		{"engine", "decisions_lost", "notes lost"},
		{"engine", "reloads_failed", "reloads failed"},
		{"table", "failed", "transactions refused"},
		{"table", "elements_failed", "elements refused"},
		{"table", "retried", "kernel errors retried"},
		{"table", "repairs", "repairs of the table"},
		{"table", "verified_refused", "verified sources without a place"},
		{"control", "denied", "clients denied"},
		{"control", "busy", "clients too many"},
		{"control", "malformed", "requests malformed"},
		{"control", "timed_out", "clients timed out"},
		{"record", "lost", "recorded events lost"},
		{"log", "suppressed", "log lines left out"},
		{"log", "dropped", "log lines dropped"},
	};
	const char *title = "losses";
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		uint64_t value = number(status, losses[i].record, losses[i].key);
		if (value == 0)
			continue;
		(void)printf("%-10s  %" PRIu64 " %s\n", title, value, losses[i].words);
		title = "";
	}
}

static int run_status(const struct cli *cli, const struct cli_args *args)
{
	struct status *status = calloc(1, sizeof(*status));
	if (!status) {
		cli_complain("out of memory");
		return CLI_NO;
	}
	int result = client_ask_simple(cli, "status", gather, status);
	if (result == CLI_OK && args->values[0]) {
		print_json(status);
	} else if (result == CLI_OK) {
		print_health(cli, status);
		print_services(cli, status);
		print_policy(status);
		print_figures(cli, status);
		print_losses(status);
	}
	finish(status);
	return result;
}

const struct cli_verb verb_status = {
	.name = "status",
	.operands = "",
	.summary = "Show how it goes, and what does not",
	.options = {{"json", NULL, "as one JSON object"}},
	.run = run_status,
};
