/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard simulate: what a policy would have decided. Needs no daemon and no privilege. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "cli.h"
#include "comparison.h"
#include "decisions.h"
#include "json.h"
#include "simulation.h"
#include "trace_file.h"

/* Events read ahead: fits beside the engine's hot lines in a cache. */
#define BATCH 64

enum { SIMULATE_POLICY, SIMULATE_JSON, SIMULATE_COMPARE, SIMULATE_ASSUME_REAL };

struct replay {
	struct simulation simulation, other;
	struct comparison_side side, other_side;
	bool compare, assume_real;
	struct json *json; /* NULL: lines */
	struct trace_file *file;
	const struct tg_trace_header *header;
	uint64_t *bans; /* by limit */
	uint64_t bans_by_hand;
	uint64_t kinds[TG_DECISION_COUNT];
	uint64_t events, gaps, lost;
	tg_time last;
	double cpu;
};

static void decided(void *data, const struct tg_decision *decision)
{
	struct replay *replay = data;
	const struct tg_config *config = replay->simulation.config;
	replay->kinds[decision->type]++;
	if (decision->type == TG_DECISION_BAN &&
	    (decision->cause == TG_CAUSE_OFFENCE || decision->cause == TG_CAUSE_OPERATOR)) {
		const int index = simulation_limit_index(config, &decision->ban);
		if (index >= 0)
			replay->bans[index]++;
		else
			replay->bans_by_hand++;
	}
	if (replay->compare) {
		comparison_add(&replay->side, decision);
		return;
	}
	progress_hide(&replay->file->progress);
	if (replay->json)
		decisions_json(replay->json, config, replay->header, decision);
	else
		decisions_print(config, replay->header, decision);
}

static void other_decided(void *data, const struct tg_decision *decision)
{
	struct replay *replay = data;
	comparison_add(&replay->other_side, decision);
}

static double cpu_seconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail for this clock */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void note(struct replay *replay, const struct tg_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		replay->gaps += events[i].type == TG_EVENT_GAP;
		replay->lost += events[i].type == TG_EVENT_GAP ? events[i].lost : 0;
	}
	replay->events += (uint64_t)count;
	replay->last = events[count - 1].at;
}

static int run_trace(struct replay *replay, struct trace_file *file)
{
	struct tg_event events[BATCH];
	const double begin = cpu_seconds();
	int count;
	while ((count = trace_file_next(file, events, BATCH)) > 0) {
		simulation_step(&replay->simulation, events, count);
		if (replay->compare)
			simulation_step(&replay->other, events, count);
		note(replay, events, count);
	}
	replay->cpu = cpu_seconds() - begin;
	return count < 0 ? CLI_USAGE : CLI_OK;
}

static uint64_t per_second(const struct replay *replay)
{
	return replay->cpu > 0 ? (uint64_t)((double)replay->events / replay->cpu) : 0;
}

/* How many drops waited for a witness, or were asked for again; and how many got one. */
static uint64_t asked_for_witness(const struct replay *replay, uint64_t *ret_proven)
{
	struct tg_engine_stats stats;
	tg_engine_stats(replay->simulation.engine, &stats);
	*ret_proven = stats.witness_proven;
	return stats.witness_asked;
}

static void json_summary(const struct replay *replay)
{
	struct json *json = replay->json;
	const struct tg_config *config = replay->simulation.config;
	uint64_t proven;
	json_number(json, "events", replay->events);
	json_time(json, "begin", decisions_wall(replay->header, replay->header->start));
	json_number(json, "seconds", (replay->last - replay->header->start) / TG_SEC);
	json_number(json, "events_per_second", per_second(replay));
	json_number(json, "gaps", replay->gaps);
	json_number(json, "lost", replay->lost);
	json_number(json, "witness_asked", asked_for_witness(replay, &proven));
	json_number(json, "witness_proven", proven);
	json_array(json, "bans");
	size_t index = 0;
	for (size_t p = 0; p < config->policy_count; p++) {
		for (size_t l = 0; l < config->policies[p].limit_count; l++) {
			json_object(json, NULL);
			json_string(json, "policy", config->policies[p].name);
			json_string(json, "limit", config->policies[p].limits[l].name);
			json_number(json, "bans", replay->bans[index++]);
			json_end(json);
		}
	}
	json_end(json);
	json_number(json, "bans_by_hand", replay->bans_by_hand);
}

static void print_summary(const struct replay *replay)
{
	const struct tg_config *config = replay->simulation.config;
	const tg_time span = replay->last - replay->header->start;
	uint64_t proven;
	const uint64_t asked = asked_for_witness(replay, &proven);
	(void)printf("%" PRIu64 " events of %.3f s, replayed at %" PRIu64 " events/s",
		     replay->events, (double)span / (double)TG_SEC, per_second(replay));
	if (replay->gaps > 0)
		(void)printf("; %" PRIu64 " lost in %" PRIu64 " gaps", replay->lost, replay->gaps);
	(void)fputc('\n', stdout);
	size_t index = 0;
	for (size_t p = 0; p < config->policy_count; p++)
		for (size_t l = 0; l < config->policies[p].limit_count; l++)
			(void)printf("%s/%s: %" PRIu64 " bans\n", config->policies[p].name,
				     config->policies[p].limits[l].name, replay->bans[index++]);
	if (replay->bans_by_hand > 0)
		(void)printf("by hand: %" PRIu64 " bans\n", replay->bans_by_hand);
	if (asked > 0 && !replay->assume_real)
		(void)printf("for a drop a witness was asked %" PRIu64 " times, and the trace has "
			     "%" PRIu64 " that say yes; --assume-real shows what follows if all "
			     "do\n",
			     asked, proven);
}

static int finish_comparison(struct replay *replay)
{
	if (replay->side.failed || replay->other_side.failed) {
		cli_complain("out of memory");
		return CLI_USAGE;
	}
	if (replay->json)
		json_array(replay->json, "differences");
	size_t count =
		comparison_print(&replay->side, &replay->other_side, replay->header, replay->json);
	if (replay->json)
		json_end(replay->json);
	else
		(void)printf("%zu differ; bans: %zu and %zu\n", count, replay->side.count,
			     replay->other_side.count);
	return count > 0 ? CLI_NO : CLI_OK;
}

static int run_open(struct replay *replay, struct trace_file *file)
{
	struct json json;
	const bool wants_json = replay->json != NULL;
	if (wants_json) {
		replay->json = &json;
		json_begin(&json, stdout);
		if (!replay->compare)
			json_array(&json, "decisions");
	}
	int status = run_trace(replay, file);
	if (wants_json && !replay->compare)
		json_end(&json);
	if (replay->compare) {
		int differs = finish_comparison(replay);
		status = status ? status : differs;
	}
	if (wants_json) {
		json_summary(replay);
		json_finish(&json);
	} else {
		print_summary(replay);
	}
	return status;
}

static int prepare(struct replay *replay, const char *policy, const char *other)
{
	int status = simulation_init(&replay->simulation, policy, replay->header, decided, replay);
	if (status == CLI_OK && other)
		status = simulation_init(&replay->other, other, replay->header, other_decided,
					 replay);
	replay->simulation.assume_real = replay->other.assume_real = replay->assume_real;
	if (status)
		return status;
	replay->bans = calloc(simulation_limit_count(replay->simulation.config) + 1,
			      sizeof(*replay->bans));
	replay->compare = other != NULL;
	bool done = replay->bans != NULL;
	if (other)
		done = comparison_init(&replay->side) && comparison_init(&replay->other_side) &&
		       done;
	replay->side.config = replay->simulation.config;
	replay->other_side.config = replay->other.config;
	if (!done)
		cli_complain("out of memory");
	return done ? CLI_OK : CLI_USAGE;
}

static int run_simulate(const struct cli *cli, const struct cli_args *args)
{
	const char *policy = args->values[SIMULATE_POLICY];
	struct json asked; /* only that it is wanted; run_open makes the real one */
	struct replay replay = {.json = args->values[SIMULATE_JSON] ? &asked : NULL,
				.assume_real = args->values[SIMULATE_ASSUME_REAL] != NULL};
	struct trace_file file;
	if (!trace_file_open(&file, args->operands[0]))
		return CLI_USAGE;
	replay.file = &file;
	replay.header = trace_file_header(&file);
	replay.last = replay.header->start;
	int status =
		prepare(&replay, policy ? policy : cli->config, args->values[SIMULATE_COMPARE]);
	if (status == CLI_OK)
		status = run_open(&replay, &file);
	comparison_finish(&replay.side);
	comparison_finish(&replay.other_side);
	simulation_finish(&replay.simulation);
	simulation_finish(&replay.other);
	free(replay.bans);
	trace_file_close(&file);
	return status;
}

const struct cli_verb verb_simulate = {
	.name = "simulate",
	.operands = "TRACE",
	.summary = "Show what a policy would have decided about recorded events",
	.options = {[SIMULATE_POLICY] = {"policy", "FILE", "instead of the policy in use"},
		    [SIMULATE_JSON] = {"json", NULL, "as one JSON object"},
		    [SIMULATE_ASSUME_REAL] = {"assume-real", NULL,
					      "take every source for proven, as if a witness had "
					      "said so"},
		    [SIMULATE_COMPARE] = {"compare", "FILE",
					  "show only what this policy would do otherwise"}},
	.operands_min = 1,
	.operands_max = 1,
	.run = run_simulate,
};
