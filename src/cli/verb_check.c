/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard check: reads policy files as the daemon would. Needs no daemon and no privilege. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>
#include <tcpguard/engine.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli.h"
#include "json.h"
#include "output.h"

enum { CHECK_JSON, CHECK_AS };

static bool is_readable(const char *path)
{
	char byte;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && read(fd, &byte, 1) >= 0)
		return true;
	cli_complain("cannot read %s: %s", path, strerror(errno));
	return false;
}

static uint64_t reserved(const struct tg_config *config)
{
	const struct tg_engine_params params = {.max_sources = config->max_sources,
						.max_flows = config->max_flows,
						.max_bans = config->max_bans};
	return tg_engine_memory(config, &params);
}

static bool is_lowered(const struct tg_config *config)
{
	return !config->sources_given && config->max_sources < TG_MAX_SOURCES_DEFAULT;
}

static void print_json(const struct tg_config *config, const struct tg_diag *diag)
{
	struct json json;
	json_begin(&json, stdout);
	json_array(&json, "files");
	for (size_t i = 0; config && i < config->file_count; i++)
		json_string(&json, NULL, config->files[i]);
	/* Without a config: the files that are to blame. Their errors stand together. */
	for (size_t i = 0; !config && i < diag->count; i++)
		if (i == 0 || strcmp(diag->entries[i].file, diag->entries[i - 1].file) != 0)
			json_string(&json, NULL, diag->entries[i].file);
	json_end(&json);
	json_array(&json, "errors");
	for (size_t i = 0; i < diag->count; i++) {
		const struct tg_diag_entry *entry = &diag->entries[i];
		json_object(&json, NULL);
		json_string(&json, "file", entry->file);
		json_number(&json, "line", entry->line);
		json_number(&json, "col", entry->col);
		json_string(&json, "message", entry->message);
		json_end(&json);
	}
	json_end(&json);
	if (config) {
		json_number(&json, "memory", reserved(config));
		json_number(&json, "max_sources", config->max_sources);
		json_bool(&json, "sources_lowered", is_lowered(config));
	}
	json_finish(&json);
}

/* What can follow: nothing forged ever comes to a drop. */
static void print_steps(FILE *out, const struct tg_limit *limit)
{
	char text[TG_DURATION_STRLEN], rate[TG_RATE_STRLEN];
	const bool proves = tg_measure_evidence(limit->measure) != TG_EVIDENCE_FORGEABLE;
	for (size_t i = 0; i < limit->step_count; i++) {
		const struct tg_step *step = &limit->steps[i];
		if (step->action > TG_ACTION_RATE_LIMIT && !proves)
			break;
		(void)fprintf(out, "%s %s", i == 0 ? "" : ", then", tg_action_name(step->action));
		if (step->action == TG_ACTION_RATE_LIMIT)
			(void)fprintf(out, " to %s", tg_rate_format(&step->to, rate));
		if (step->action == TG_ACTION_CAP)
			(void)fprintf(out, " to %" PRIu32, step->cap);
		if (step->action >= TG_ACTION_REJECT && step->scope != TG_SCOPE_PORTS)
			(void)fprintf(out, " of %s", tg_scope_name(step->scope));
		if (step->kill)
			(void)fprintf(out, " and kill");
		(void)fprintf(out, " for %s", tg_duration_format(step->expire_ms, text));
		if (step->action > TG_ACTION_RATE_LIMIT)
			(void)fprintf(out, " once proven");
	}
	if (limit->step_count > 1)
		(void)fprintf(out, ", forgotten after %s",
			      tg_duration_format(limit->forget_ms, text));
}

static void print_limit(FILE *out, const struct tg_limit *limit, uint64_t idle_after_ms)
{
	char text[TG_DURATION_STRLEN];
	(void)fprintf(out, "  ");
	output_text(out, limit->name);
	(void)fprintf(out, ": more than %" PRIu32 " %s", limit->threshold,
		      tg_measure_name(limit->measure));
	if (limit->window_ms > 0)
		(void)fprintf(out, " in %s (burst %" PRIu32 ")",
			      tg_duration_format(limit->window_ms, text), limit->burst);
	if (limit->measure == TG_MEASURE_IDLE)
		(void)fprintf(out, " for %s", tg_duration_format(idle_after_ms, text));
	if (limit->total)
		(void)fprintf(out, " in total");
	else
		(void)fprintf(out, " per /%u or /%u", limit->prefix_len[TG_IPV4],
			      limit->prefix_len[TG_IPV6]);
	if (limit->min_hosts > 0)
		(void)fprintf(out, " of at least %u hosts", limit->min_hosts);
	(void)fputc(':', out);
	print_steps(out, limit);
	(void)fprintf(out, ", mode %s%s\n", tg_mode_name(limit->mode),
		      tg_limit_has_fuse(limit) ? ", in the packet path" : "");
}

static void print_policy(FILE *out, const struct tg_policy *policy, uint64_t idle_after_ms)
{
	output_text(out, policy->name);
	(void)fprintf(out, ": ");
	if (policy->port_count == 0)
		(void)fprintf(out, "every port");
	for (size_t i = 0; i < policy->port_count; i++) {
		const struct tg_port_range *range = &policy->ports[i];
		(void)fprintf(out, "%s%u", i == 0 ? "ports " : ", ", range->first);
		if (range->last != range->first)
			(void)fprintf(out, "-%u", range->last);
	}
	if (policy->address_count > 0)
		(void)fprintf(out, ", on %zu addresses or networks", policy->address_count);
	(void)fputc('\n', out);
	for (size_t i = 0; i < policy->limit_count; i++)
		print_limit(out, &policy->limits[i], idle_after_ms);
}

static void print_memory(FILE *out, const struct tg_config *config)
{
	const int most = (int)(TG_MEMORY_MAX >> 20);
	const uint64_t bytes = reserved(config);
	if (bytes == 0)
		return; /* no memory to find out here: a daemon says so itself */
	(void)fprintf(out,
		      "memory: %.1f MiB reserved at start, for %" PRIu32
		      " sources of each family and %" PRIu32 " flows\n",
		      (double)bytes / (1 << 20), config->max_sources, config->max_flows);
	if (is_lowered(config))
		(void)fprintf(out,
			      "  max-sources is %" PRIu32 " and not %d, to stay within %d MiB with "
			      "the rates and lists of this policy; set it to have more\n",
			      config->max_sources, TG_MAX_SOURCES_DEFAULT, most);
	if (bytes + TG_MEMORY_PROCESS > TG_MEMORY_MAX)
		(void)fprintf(out,
			      "  with what the daemon takes beside, this is more than %d MiB\n",
			      most);
}

/* As it is, or broken at blanks to stay within a terminal. */
static void print_config(const struct tg_config *config)
{
	char *text = NULL;
	size_t len = 0, limits = 0;
	FILE *out = open_memstream(&text, &len);
	if (!out) {
		cli_complain("out of memory");
		return;
	}
	for (size_t i = 0; i < config->policy_count; i++) {
		print_policy(out, &config->policies[i], config->idle_after_ms);
		limits += config->policies[i].limit_count;
	}
	print_memory(out, config);
	(void)fprintf(out,
		      "ok: policies %zu, limits %zu, files %zu, allowed prefixes %zu, mode %s\n",
		      config->policy_count, limits, config->file_count, config->allow_count,
		      tg_mode_name(config->mode));
	if (fclose(out) == 0)
		output_wrap(stdout, text, output_width());
	free(text);
}

/* The reader has escaped nothing; a file may hold anything. Lines stay lines. */
void cli_print_errors(const struct tg_diag *diag)
{
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	tg_diag_print(diag, &text);
	for (char *line = text.text; *line;) {
		size_t len = strcspn(line, "\n");
		bool more = line[len] == '\n';
		line[len] = '\0';
		for (char *tab = strchr(line, '\t'); tab; tab = strchr(tab, '\t'))
			*tab = ' '; /* the caret stands under the same column */
		output_text(stderr, line);
		(void)fputc('\n', stderr);
		line += len + more;
	}
	(void)fprintf(stderr, "%zu error%s\n", diag->count, diag->count == 1 ? "" : "s");
	tg_strbuf_finish(&text);
}

int cli_load_policy(const struct cli *cli, const char *file, const char *as, struct tg_diag *diag,
		    struct tg_config **ret_config)
{
	if (as && !file) {
		cli_complain("--as wants the FILE that shall be read in its place");
		return CLI_USAGE;
	}
	if (!is_readable(file ? file : cli->config))
		return CLI_USAGE;
	*ret_config = as ? tg_config_load_as(cli->config, as, file, diag)
			 : tg_config_load(cli->config, file, diag);
	return *ret_config ? CLI_OK : CLI_NO;
}

static int run_check(const struct cli *cli, const struct cli_args *args)
{
	const char *instead = args->operand_count > 0 ? args->operands[0] : NULL;
	struct tg_config *config = NULL;
	struct tg_diag diag;
	tg_diag_init(&diag);
	const int status = cli_load_policy(cli, instead, args->values[CHECK_AS], &diag, &config);
	if (status == CLI_USAGE)
		return status;
	if (args->values[CHECK_JSON])
		print_json(config, &diag);
	else if (config)
		print_config(config);
	else
		cli_print_errors(&diag);
	tg_config_destroy(config);
	tg_diag_finish(&diag);
	return status;
}

const struct cli_verb verb_check = {
	.name = "check",
	.operands = "[FILE]",
	.summary = "Check the policy, with FILE in the place of the file it will become",
	.options = {[CHECK_JSON] = {"json", NULL, "as one JSON object"},
		    [CHECK_AS] = {"as", "PATH",
				  "as if this file of the policy held what is in FILE"}},
	.operands_max = 1,
	.run = run_check,
};
