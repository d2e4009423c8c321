/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns an engine and the policy that it replays a trace under. */
#include "simulation.h"

#include <string.h>

#include <tcpguard/diag.h>

#include "base/util.h"
#include "cli.h"

#define DECISIONS 64
/* Deadlines kept between two events: three days of quarter seconds, so that a trace whose time
   jumps costs no more than that. */
#define TICKS_MAX (1 << 20)

static void step(struct simulation *simulation, const struct tg_event *event)
{
	tg_engine_step(simulation->engine, event);
}

static void prove(struct simulation *simulation, const struct tg_ban *ban)
{
	const struct tg_policy *policy = simulation_policy(simulation->config, ban);
	const struct tg_limit *limit = simulation_limit(simulation->config, ban);
	struct tg_event event = {
		.type = TG_EVENT_WITNESS,
		.at = simulation->now,
		.witness = {.source = ban->source, .proven = ban->measured},
	};
	if (!policy || !limit)
		return;
	memcpy(event.witness.policy, policy->name, strlen(policy->name));
	memcpy(event.witness.limit, limit->name, strlen(limit->name));
	step(simulation, &event);
}

static void take(struct simulation *simulation)
{
	struct tg_decision decisions[DECISIONS];
	size_t count;
	do {
		count = tg_engine_take(simulation->engine, decisions, DECISIONS);
		for (size_t i = 0; i < count; i++) {
			const struct tg_decision *d = &decisions[i];
			if (d->type == TG_DECISION_WITNESS && simulation->assume_real)
				prove(simulation, &d->ban);
			/* What a question would have been answered is in the trace, and nobody is
			 * there whose connections could be ended. */
			if (d->type == TG_DECISION_VERIFY || d->type == TG_DECISION_WITNESS ||
			    d->type == TG_DECISION_PROBE || d->type == TG_DECISION_PASS ||
			    d->type == TG_DECISION_KILL)
				continue;
			simulation->decided(simulation->data, d);
			if ((d->type == TG_DECISION_BAN || d->type == TG_DECISION_LIFT) &&
			    d->ban.enforced)
				step(simulation,
				     &(struct tg_event){.type = TG_EVENT_ACK,
							.at = simulation->now,
							.ack = {d->ban.id, d->ban.version, 0}});
		}
	} while (count > 0);
}

static void advance(struct simulation *simulation, tg_time to)
{
	take(simulation);
	tg_time deadline = tg_engine_deadline(simulation->engine);
	for (int i = 0; i < TICKS_MAX && deadline < to; i++) {
		simulation->now = MAX(deadline, simulation->now);
		step(simulation, &(struct tg_event){.type = TG_EVENT_TICK, .at = simulation->now});
		take(simulation);
		tg_time next = tg_engine_deadline(simulation->engine);
		if (next <= deadline)
			break; /* a deadline that a TICK did not move */
		deadline = next;
	}
	simulation->now = to;
}

/*
 * The recorded daemon asked the kernel about this flow when its own deadline passed; the
 * deadlines here may be a moment later, and an answer that nobody asked for is worth
 * nothing to an engine. So the answer is told as what it means at any time: a flow that
 * is gone has ended, and one that lives has so long a time left.
 */
static void answer(struct simulation *simulation, const struct tg_event *event)
{
	struct tg_event plain = *event;
	plain.flow.answered = false;
	if (event->type == TG_EVENT_FLOW_STATE) {
		step(simulation, event);
		plain.flow.state = TG_TCP_UNKNOWN;
	}
	step(simulation, &plain);
}

static bool is_answer(const struct tg_event *event)
{
	return (event->type == TG_EVENT_FLOW_STATE || event->type == TG_EVENT_FLOW_END) &&
	       event->flow.answered;
}

/* How many events from the first are of one time and told to the engine as they are. */
static int plain_run(const struct tg_event *events, int count)
{
	int run = 0;
	while (run < count && events[run].at <= events[0].at && !is_answer(&events[run]) &&
	       events[run].type != TG_EVENT_POLICY)
		run++;
	return run;
}

void simulation_step(struct simulation *simulation, const struct tg_event *events, int count)
{
	for (int i = 0; i < count;) {
		const struct tg_event *event = &events[i];
		if (event->at > simulation->now)
			advance(simulation, event->at);
		const int run = plain_run(event, count - i);
		if (run > 0)
			tg_engine_step_batch(simulation->engine, event, (size_t)run);
		else if (is_answer(event))
			answer(simulation, event);
		/* Else a policy that the daemon loaded then; this one is replayed under ours. */
		i += MAX(run, 1);
	}
	take(simulation);
}

static bool start(struct simulation *simulation, const struct tg_config *config,
		  const struct tg_trace_header *header, const enum tg_mode *mode_override)
{
	struct tg_engine_params params = {.max_sources = config->max_sources,
					  .max_flows = config->max_flows,
					  .max_bans = config->max_bans};
	memcpy(params.seed, header->seed, sizeof(params.seed));
	simulation->ruleset = tg_ruleset_create(config, &params, mode_override);
	simulation->engine = simulation->ruleset ? tg_engine_create(&params) : NULL;
	if (!simulation->engine)
		return false;
	step(simulation, &(struct tg_event){.type = TG_EVENT_POLICY,
					    .at = header->start,
					    .ruleset = simulation->ruleset});
	return true;
}

bool simulation_begin(struct simulation *simulation, const struct tg_config *config,
		      const struct tg_trace_header *header, simulation_decision_fn *decided,
		      void *data)
{
	static const enum tg_mode observe = TG_MODE_OBSERVE;
	*simulation = (struct simulation){.now = header->start, .decided = decided, .data = data};
	if (start(simulation, config, header, &observe))
		return true;
	simulation_finish(simulation);
	return false;
}

int simulation_init(struct simulation *simulation, const char *policy,
		    const struct tg_trace_header *header, simulation_decision_fn *decided,
		    void *data)
{
	struct tg_diag diag;
	*simulation = (struct simulation){.now = header->start, .decided = decided, .data = data};
	tg_diag_init(&diag);
	simulation->config = tg_config_load(policy, NULL, &diag);
	if (!simulation->config)
		cli_print_errors(&diag);
	tg_diag_finish(&diag);
	if (!simulation->config)
		return CLI_USAGE;
	if (start(simulation, simulation->config, header, NULL))
		return CLI_OK;
	cli_complain("out of memory");
	simulation_finish(simulation);
	return CLI_USAGE;
}

void simulation_finish(struct simulation *simulation)
{
	tg_engine_destroy(simulation->engine);
	tg_ruleset_destroy(simulation->ruleset);
	tg_config_destroy(simulation->config);
	simulation->engine = NULL;
	simulation->ruleset = NULL;
	simulation->config = NULL;
}

const struct tg_policy *simulation_policy(const struct tg_config *config, const struct tg_ban *ban)
{
	return ban->policy < config->policy_count ? &config->policies[ban->policy] : NULL;
}

const struct tg_limit *simulation_limit(const struct tg_config *config, const struct tg_ban *ban)
{
	const struct tg_policy *policy = simulation_policy(config, ban);
	return policy && ban->limit < policy->limit_count ? &policy->limits[ban->limit] : NULL;
}

size_t simulation_limit_count(const struct tg_config *config)
{
	size_t count = 0;
	for (size_t i = 0; i < config->policy_count; i++)
		count += config->policies[i].limit_count;
	return count;
}

int simulation_limit_index(const struct tg_config *config, const struct tg_ban *ban)
{
	size_t index = ban->limit;
	if (!simulation_limit(config, ban))
		return -1;
	for (size_t i = 0; i < ban->policy; i++)
		index += config->policies[i].limit_count;
	return (int)index;
}
