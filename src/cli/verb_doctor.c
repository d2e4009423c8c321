/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard doctor: what is wrong with this host. Needs no daemon; reads, and changes nothing. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>
#include <tcpguard/units.h>

#include "cli.h"
#include "doctor.h"
#include "doctor_output.h"
#include "host/snapshot.h"
#include "progress.h"

enum doctor_option {
	DOCTOR_JSON,
	DOCTOR_SYSCTL,
	DOCTOR_AT_LEAST,
	DOCTOR_OVER,
	DOCTOR_IDLE,
	DOCTOR_ROOT
};

#define IDLE_MS (10 * 60 * 1000)
/* Longer is for a monitoring system. */
#define OVER_MS_MAX (60 * 60 * 1000)

/* Who looks at the terminal meanwhile. */
struct looking {
	struct progress progress;
	uint64_t over_s;
};

/* Whether the policy, if there is one that loads, has a limit that needs packet counts. */
static bool wants_accounting(const char *path)
{
	struct tg_diag diag;
	bool wants = false;
	if (access(path, R_OK) < 0)
		return false;
	tg_diag_init(&diag);
	struct tg_config *config = tg_config_load(path, NULL, &diag);
	for (size_t i = 0; config && i < config->policy_count; i++)
		for (size_t j = 0; j < config->policies[i].limit_count; j++)
			wants = wants || config->policies[i].limits[j].measure == TG_MEASURE_IDLE;
	tg_config_destroy(config);
	tg_diag_finish(&diag);
	return wants;
}

static bool read_time(const char *name, const char *text, uint64_t max_ms, uint64_t *ret_ms)
{
	uint64_t ms;
	const char *wrong = tg_duration_parse(text, &ms);
	if (!wrong && ms > max_ms)
		wrong = "too long, one hour at most";
	if (wrong) {
		cli_complain("--%s: %s", name, wrong);
		return false;
	}
	*ret_ms = ms;
	return true;
}

static bool read_options(const struct cli_args *args, struct snapshot_params *params,
			 enum doctor_severity *least)
{
	const char *over = args->values[DOCTOR_OVER], *idle = args->values[DOCTOR_IDLE];
	const char *at_least = args->values[DOCTOR_AT_LEAST], *root = args->values[DOCTOR_ROOT];
	uint64_t over_ms = 0;
	if (over && !read_time("over", over, OVER_MS_MAX, &over_ms))
		return false;
	if (over && over_ms < 1000) {
		cli_complain("--over: at least 1s");
		return false;
	}
	if (idle && !read_time("idle", idle, UINT64_MAX, &params->idle_ms))
		return false;
	if (at_least && !doctor_severity_parse(at_least, least)) {
		cli_complain("--at-least: advice, warning or critical");
		return false;
	}
	if (args->values[DOCTOR_JSON] && args->values[DOCTOR_SYSCTL]) {
		cli_complain("either --json or --sysctl");
		return false;
	}
	params->over_s = over_ms / 1000;
	if (root && strcmp(root, "/") != 0)
		params->root = root;
	return true;
}

static int show(const struct cli *cli, const struct cli_args *args,
		const struct doctor_report *report, enum doctor_severity least)
{
	if (args->values[DOCTOR_JSON])
		doctor_output_json(stdout, report, least);
	else if (args->values[DOCTOR_SYSCTL])
		doctor_output_sysctl(stdout, report, least);
	else
		doctor_output_text(stdout, cli->color, report, least);
	for (size_t i = 0; i < report->count; i++)
		if (report->findings[i].severity >= least)
			return CLI_NO;
	return CLI_OK;
}

static void show_waiting(void *data, uint64_t gone_s)
{
	struct looking *looking = data;
	if (gone_s == 0 ? looking->progress.wanted : progress_is_due(&looking->progress))
		progress_show(&looking->progress, "counting: %" PRIu64 " of %" PRIu64 " s", gone_s,
			      looking->over_s);
}

static void show_walking(void *data, uint64_t sockets)
{
	struct looking *looking = data;
	if (progress_is_due(&looking->progress))
		progress_show(&looking->progress, "looking: %" PRIu64 " sockets", sockets);
}

static int run_doctor(const struct cli *cli, const struct cli_args *args)
{
	struct looking looking;
	struct snapshot_params params = {.idle_ms = IDLE_MS,
					 .root = "",
					 .waiting = show_waiting,
					 .walking = show_walking,
					 .data = &looking};
	enum doctor_severity least = DOCTOR_ADVICE;
	struct host_snapshot snapshot;
	if (!read_options(args, &params, &least))
		return CLI_USAGE;
	looking.over_s = params.over_s;
	progress_begin(&looking.progress);
	int err = snapshot_read(&params, &snapshot);
	progress_hide(&looking.progress);
	if (err) {
		cli_complain("cannot read %s: %s", *params.root ? params.root : "this host",
			     strerror(-err));
		return CLI_USAGE;
	}
	int status = CLI_USAGE;
	struct doctor_report *report = doctor_report_create();
	if (report) {
		report->wants_accounting = wants_accounting(cli->config);
		doctor_check_all(&snapshot, report);
	}
	if (report && !report->failed)
		status = show(cli, args, report, least);
	else
		cli_complain("out of memory");
	doctor_report_destroy(report);
	snapshot_finish(&snapshot);
	return status;
}

const struct cli_verb verb_doctor = {
	.name = "doctor",
	.operands = "",
	.summary = "Say what is wrong with this host, how it shows, what to do and what not",
	.options = {[DOCTOR_JSON] = {"json", NULL, "as one JSON object"},
		    [DOCTOR_SYSCTL] = {"sysctl", NULL, "as a file for sysctl.d; writes nothing"},
		    [DOCTOR_AT_LEAST] = {"at-least", "SEVERITY", "advice (all), warning, critical"},
		    [DOCTOR_OVER] = {"over", "TIME", "count for so long, not since boot: 10s"},
		    [DOCTOR_IDLE] = {"idle", "TIME", "what counts as idle (10m)"},
		    [DOCTOR_ROOT] = {"root", "DIR", "sysctl.d files of the system below DIR"}},
	.run = run_doctor,
};
