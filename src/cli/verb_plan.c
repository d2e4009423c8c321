/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcpguard plan: what a reload would change. The daemon tells what is in force; the policy is read
 * here, so that nothing is touched, and a file can be one that the daemon must not read.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/ban.h>
#include <tcpguard/diag.h>
#include <tcpguard/protect.h>

#include "ban_record.h"
#include "base/cleanup.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"
#include "plan.h"

enum { PLAN_JSON, PLAN_AS };

/* A table of the daemon, whose size is what it was started with. */
struct fixed_size {
	const char *key, *name;
	uint64_t now, then;
};

enum { FIXED_SOURCES, FIXED_FLOWS, FIXED_BANS, FIXED_COUNT };

struct planning {
	const struct cli *cli;
	struct tg_config *config;
	struct tg_prefix_set *allow;
	struct plan_settings now, then;
	struct json json;
	bool wants_json;
	/* Of the daemon. */
	char *file;
	bool answered, observes;
	uint64_t confirm_in;
	struct fixed_size sizes[FIXED_COUNT];
	/* Of the bans. */
	const char *shown; /* the heading under which they stand */
	enum tg_fate wanted;
	size_t fates[3];
};

static const char *const fate_names[] = {
	[TG_FATE_STAYS] = "stays", [TG_FATE_ENDS] = "lifted", [TG_FATE_BEGINS] = "begun"};

static void take_head(struct planning *planning, const struct tg_record *record)
{
	const char *file = tg_record_get(record, "file");
	/* It begins anew when another policy came in between. */
	plan_settings_finish(&planning->now);
	free(planning->file);
	planning->file = file ? strdup(file) : NULL;
	planning->answered = true;
	planning->observes = ban_record_is(record, "observe") || ban_record_is(record, "panic");
	(void)tg_record_get_u64(record, "confirm_in", &planning->confirm_in); /* none: 0 */
	for (unsigned i = 0; i < FIXED_COUNT; i++) {
		struct fixed_size *size = &planning->sizes[i];
		size->now = size->then;
		(void)tg_record_get_u64(record, size->key, &size->now);
	}
}

static void take_setting(void *data, const struct tg_record *record)
{
	struct planning *planning = data;
	if (strcmp(record->name, "policy") == 0)
		take_head(planning, record);
	if (strcmp(record->name, "setting") != 0)
		return;
	const char *section = tg_record_get(record, "section"), *key = tg_record_get(record, "key");
	const char *value = tg_record_get(record, "value");
	if (section && key && value)
		plan_settings_add(&planning->now, section, key, value);
}

static const struct tg_limit *find_limit(const struct tg_config *config, const char *policy,
					 const char *limit, bool *ret_policy)
{
	*ret_policy = false;
	for (size_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *found = &config->policies[p];
		if (strcmp(found->name, policy) != 0)
			continue;
		*ret_policy = true;
		for (size_t i = 0; limit && i < found->limit_count; i++)
			if (strcmp(found->limits[i].name, limit) == 0)
				return &found->limits[i];
	}
	return NULL;
}

static bool read_action(const char *text, enum tg_action *ret_action)
{
	for (enum tg_action a = 0; a < TG_ACTION_COUNT; a++) {
		if (strcmp(text, tg_action_name(a)) == 0) {
			*ret_action = a;
			return true;
		}
	}
	return false;
}

static bool read_scope(const char *text, enum tg_scope *ret_scope)
{
	for (enum tg_scope s = 0; s < TG_SCOPE_COUNT; s++) {
		if (strcmp(text, tg_scope_name(s)) == 0) {
			*ret_scope = s;
			return true;
		}
	}
	return false;
}

/* False: not a ban that this program understands. */
static bool read_ban(const struct tg_record *record, struct tg_ban *ret_ban)
{
	const char *source = tg_record_get(record, "source");
	const char *action = tg_record_get(record, "action");
	const char *scope = tg_record_get(record, "scope");
	uint64_t offence = 0;
	struct tg_ban ban = {.enforced = ban_record_is(record, "enforced")};
	if (!source || !action || !scope || !read_action(action, &ban.action) ||
	    !read_scope(scope, &ban.scope))
		return false;
	if (strcmp(source, "total") == 0)
		ban.source.len = TG_TOTAL_LEN;
	else if (tg_prefix_parse(source, &ban.source))
		return false;
	(void)tg_record_get_u64(record, "offence", &offence); /* of one by hand: none */
	ban.offence = (uint32_t)offence;
	*ret_ban = ban;
	return true;
}

/* What becomes of it, and why. */
static enum tg_fate judge(const struct planning *planning, const struct tg_record *record,
			  const char **ret_why)
{
	const char *policy = tg_record_get(record, "policy");
	struct tg_ban ban;
	*ret_why = NULL;
	if (!read_ban(record, &ban))
		return TG_FATE_STAYS;
	if (!tg_prefix_is_total(&ban.source) &&
	    tg_prefix_set_overlap(planning->allow, &ban.source)) {
		*ret_why = "the allow list has it";
		return TG_FATE_ENDS;
	}
	if (!policy)
		return TG_FATE_STAYS;
	bool has_policy;
	const struct tg_limit *limit =
		find_limit(planning->config, policy, tg_record_get(record, "limit"), &has_policy);
	const bool enforces = limit && limit->mode == TG_MODE_ENFORCE && !planning->observes;
	const enum tg_fate fate = tg_ban_fate(&ban, limit, enforces);
	if (fate == TG_FATE_BEGINS)
		*ret_why = "its limit enforces";
	else if (fate == TG_FATE_ENDS)
		*ret_why = !has_policy                 ? "its policy is gone"
			   : !limit                    ? "its limit is gone"
			   : !enforces && ban.enforced ? "its limit only observes"
						       : "its limit makes no such ban";
	return fate;
}

static void json_ban(struct json *json, const struct tg_record *record, const char *change,
		     const char *why)
{
	json_object(json, NULL);
	json_string(json, "change", change);
	json_string(json, "why", why);
	ban_record_json(json, record);
	json_end(json);
}

static void print_ban(struct planning *planning, const struct tg_record *record, enum tg_fate fate,
		      const char *why)
{
	const bool color = planning->cli->color, ends = fate == TG_FATE_ENDS;
	char action[64];
	const char *policy = tg_record_get(record, "policy"),
		   *limit = tg_record_get(record, "limit");
	if (!planning->shown)
		(void)puts("bans");
	planning->shown = "bans";
	ban_record_action(record, action, sizeof(action));
	(void)printf("%s%c   ", output_color(color, ends ? OUTPUT_RED : OUTPUT_GREEN),
		     ends ? '-' : '+');
	output_text(stdout, tg_record_get(record, "source"));
	(void)fputc(' ', stdout);
	output_text(stdout, action);
	(void)fputs(policy ? " by " : " by hand", stdout);
	if (policy) {
		output_text(stdout, policy);
		(void)fputc('/', stdout);
		output_text(stdout, limit ? limit : "?");
	}
	(void)printf(": %s%s\n", why, output_color(color, OUTPUT_PLAIN));
}

static void take_ban(void *data, const struct tg_record *record)
{
	struct planning *planning = data;
	const char *why;
	if (strcmp(record->name, "ban") != 0)
		return;
	const enum tg_fate fate = judge(planning, record, &why);
	planning->fates[fate]++;
	if (fate == TG_FATE_STAYS)
		return;
	if (planning->wants_json)
		json_ban(&planning->json, record, fate_names[fate], why);
	else
		print_ban(planning, record, fate, why);
}

static void json_end_of(struct planning *planning)
{
	struct json *json = &planning->json;
	json_number(json, "lifted", planning->fates[TG_FATE_ENDS]);
	json_number(json, "begun", planning->fates[TG_FATE_BEGINS]);
	json_number(json, "stay", planning->fates[TG_FATE_STAYS]);
	json_array(json, "restart");
	for (unsigned i = 0; i < FIXED_COUNT; i++)
		if (planning->sizes[i].now != planning->sizes[i].then)
			json_string(json, NULL, planning->sizes[i].name);
	json_end(json);
	if (planning->confirm_in > 0)
		json_number(json, "confirm_in", planning->confirm_in);
	json_finish(json);
}

static void print_end(const struct planning *planning, size_t changes)
{
	if (changes + planning->fates[TG_FATE_ENDS] + planning->fates[TG_FATE_BEGINS] == 0)
		(void)puts("nothing would change");
	else
		(void)printf("%zu change%s; bans: %zu lifted, %zu begun, %zu stay\n", changes,
			     changes == 1 ? "" : "s", planning->fates[TG_FATE_ENDS],
			     planning->fates[TG_FATE_BEGINS], planning->fates[TG_FATE_STAYS]);
	for (unsigned i = 0; i < FIXED_COUNT; i++)
		if (planning->sizes[i].now != planning->sizes[i].then)
			(void)printf("%s takes a restart: until then %" PRIu64 " stays in force\n",
				     planning->sizes[i].name, planning->sizes[i].now);
	char span[OUTPUT_SPAN_STRLEN];
	if (planning->confirm_in > 0)
		(void)printf("the policy in force waits to be confirmed: without a reload the one "
			     "before comes back in %s\n",
			     output_span(planning->confirm_in, span));
}

static bool prepare(struct planning *planning)
{
	const struct tg_config *config = planning->config;
	const struct fixed_size sizes[FIXED_COUNT] = {
		[FIXED_SOURCES] = {"max_sources", "max-sources", 0, config->max_sources},
		[FIXED_FLOWS] = {"max_flows", "max-flows", 0, config->max_flows},
		[FIXED_BANS] = {"max_bans", "max-bans", 0, config->max_bans},
	};
	memcpy(planning->sizes, sizes, sizeof(sizes));
	_cleanup_free_ struct tg_protected_prefix *allow =
		calloc(config->allow_count + 1, sizeof(*allow));
	for (size_t i = 0; allow && i < config->allow_count; i++)
		allow[i] = (struct tg_protected_prefix){config->allow[i], TG_PROTECT_ALLOWED};
	planning->allow = allow ? tg_prefix_set_create(allow, config->allow_count) : NULL;
	plan_settings_of(config, &planning->then);
	if (planning->allow && !planning->then.failed)
		return true;
	cli_complain("out of memory");
	return false;
}

/* A plan for another policy than the daemon's is of use to nobody who does not know that it is. */
static void warn_of_file(const struct planning *planning)
{
	const char *ours = planning->cli->config, *theirs = planning->file;
	_cleanup_free_ char *x = realpath(ours, NULL), *y = theirs ? realpath(theirs, NULL) : NULL;
	if (theirs && strcmp(x ? x : ours, y ? y : theirs) != 0)
		cli_complain("note: the daemon reads %s, and this is a plan for %s (--config)",
			     theirs, ours);
}

static int compare(struct planning *planning)
{
	struct json *json = planning->wants_json ? &planning->json : NULL;
	int status = client_ask_simple(planning->cli, "policy", take_setting, planning);
	if (status != CLI_OK)
		return status;
	if (planning->now.failed || !planning->answered) {
		cli_complain(planning->answered ? "out of memory"
						: "the daemon does not tell its policy");
		return CLI_USAGE;
	}
	warn_of_file(planning);
	if (json) {
		json_begin(json, stdout);
		json_array(json, "changes");
	}
	const size_t changes =
		plan_print(&planning->now, &planning->then, stdout, planning->cli->color, json);
	if (json) {
		json_end(json);
		json_array(json, "bans");
	}
	status = client_ask_simple(planning->cli, "list", take_ban, planning);
	if (status != CLI_OK)
		return status; /* half of a plan stays broken JSON, on purpose */
	if (json) {
		json_end(json);
		json_end_of(planning);
	} else {
		print_end(planning, changes);
	}
	return changes + planning->fates[TG_FATE_ENDS] + planning->fates[TG_FATE_BEGINS] > 0
		       ? CLI_NO
		       : CLI_OK;
}

static int run_plan(const struct cli *cli, const struct cli_args *args)
{
	const char *file = args->operand_count > 0 ? args->operands[0] : NULL;
	struct planning planning = {.cli = cli, .wants_json = args->values[PLAN_JSON] != NULL};
	struct tg_diag diag;
	tg_diag_init(&diag);
	int status = cli_load_policy(cli, file, args->values[PLAN_AS], &diag, &planning.config);
	if (status == CLI_NO) {
		/* NO is what a plan with changes says. */
		cli_print_errors(&diag);
		status = CLI_USAGE;
	}
	tg_diag_finish(&diag);
	if (status == CLI_OK)
		status = prepare(&planning) ? compare(&planning) : CLI_USAGE;
	plan_settings_finish(&planning.now);
	plan_settings_finish(&planning.then);
	tg_prefix_set_destroy(planning.allow);
	tg_config_destroy(planning.config);
	free(planning.file);
	return status;
}

const struct cli_verb verb_plan = {
	.name = "plan",
	.operands = "[FILE]",
	.summary = "Show what a reload would change, with FILE as it will be",
	.options = {[PLAN_JSON] = {"json", NULL, "as one JSON object"},
		    [PLAN_AS] = {"as", "PATH",
				 "as if this file of the policy held what is in FILE"}},
	.operands_max = 1,
	.run = run_plan,
};
