/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a policy costs: the engine reserves what was said before it was made, the default stays
 * within its bound whatever the rates, and a reload takes no more than it says.
 */
#include <stdlib.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>

#include "base/util.h"
#include "test.h"

static const struct tg_step observe = {.action = TG_ACTION_OBSERVE, .expire_ms = 60000};

struct plan {
	struct tg_limit limits[TG_LIMITS_MAX];
	struct tg_policy policy;
	struct tg_config config;
};

static struct tg_limit limit_of(enum tg_measure measure)
{
	return (struct tg_limit){.name = "limit",
				 .measure = measure,
				 .threshold = 100,
				 .window_ms = tg_measure_is_rate(measure) ? 1000 : 0,
				 .prefix_len = {32, 64},
				 .steps = &observe,
				 .step_count = 1};
}

static void plan_init(struct plan *plan, unsigned rates, bool idle)
{
	size_t count = 0;
	plan->limits[count++] = limit_of(TG_MEASURE_CONCURRENT);
	for (unsigned i = 0; i < rates; i++)
		plan->limits[count++] = limit_of(i % 2 ? TG_MEASURE_FAILED : TG_MEASURE_NEW);
	if (idle)
		plan->limits[count++] = limit_of(TG_MEASURE_IDLE);
	plan->policy =
		(struct tg_policy){.name = "web", .limits = plan->limits, .limit_count = count};
	plan->config = (struct tg_config){.max_flows = TG_MAX_FLOWS_DEFAULT,
					  .max_bans = TG_MAX_BANS_DEFAULT,
					  .idle_after_ms = TG_IDLE_AFTER_MS_DEFAULT,
					  .policies = &plan->policy,
					  .policy_count = 1};
}

static struct tg_engine_params params_of(const struct tg_config *config, uint32_t sources)
{
	return (struct tg_engine_params){.max_sources = sources,
					 .max_flows = config->max_flows,
					 .max_bans = config->max_bans,
					 .seed = "memory"};
}

static void take_policy(struct tg_engine *engine, struct tg_ruleset *ruleset)
{
	tg_engine_step(engine, &(struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
}

static uint64_t memory_of(const struct tg_engine *engine)
{
	struct tg_engine_stats stats;
	tg_engine_stats(engine, &stats);
	return stats.memory;
}

/* That of an engine with this policy, as it says itself. */
static uint64_t really(const struct tg_config *config, const struct tg_engine_params *params)
{
	struct tg_engine *engine = tg_engine_create(params);
	struct tg_ruleset *ruleset = tg_ruleset_create(config, params, NULL);
	CHECK(engine && ruleset);
	take_policy(engine, ruleset);
	const uint64_t bytes = memory_of(engine);
	tg_engine_destroy(engine);
	tg_ruleset_destroy(ruleset);
	return bytes;
}

TEST(the_default_stays_within_its_bound_and_leaves_little)
{
	const uint64_t most = TG_MEMORY_MAX - TG_MEMORY_PROCESS;
	uint32_t before = TG_MAX_SOURCES_DEFAULT;
	for (unsigned rates = 0; rates <= TG_LIMITS_MAX - 2; rates++) {
		for (unsigned idle = 0; idle < 2; idle++) {
			struct plan plan;
			plan_init(&plan, rates, idle);
			const uint32_t fitting = tg_engine_fitting_sources(&plan.config);
			struct tg_engine_params params = params_of(&plan.config, fitting);
			const uint64_t said = tg_engine_memory(&plan.config, &params);
			CHECK_U64(really(&plan.config, &params), said);
			CHECK(said <= most);
			CHECK(fitting <= before);
			if (!idle)
				before = fitting;
			params.max_sources += 1024;
			CHECK(fitting == TG_MAX_SOURCES_DEFAULT ||
			      tg_engine_memory(&plan.config, &params) > most);
		}
	}
	CHECK(before < TG_MAX_SOURCES_DEFAULT);
}

TEST(a_simple_policy_has_the_whole_default)
{
	struct plan plan;
	plan_init(&plan, 1, false);
	CHECK_U64(tg_engine_fitting_sources(&plan.config), TG_MAX_SOURCES_DEFAULT);
}

TEST(more_flows_do_not_cost_sources_and_fewer_make_room)
{
	struct plan plan;
	plan_init(&plan, 8, false);
	const uint32_t fitting = tg_engine_fitting_sources(&plan.config);
	plan.config.max_flows = 4 * TG_MAX_FLOWS_DEFAULT;
	plan.config.max_bans = 2 * TG_MAX_BANS_DEFAULT;
	CHECK_U64(tg_engine_fitting_sources(&plan.config), fitting);
	plan.config.max_flows = TG_MAX_FLOWS_DEFAULT / 2;
	CHECK(tg_engine_fitting_sources(&plan.config) > fitting);
}

TEST(a_reload_takes_no_more_than_it_says)
{
	static const struct {
		unsigned rates;
		bool idle;
		uint64_t grows; /* in rates; the marks beside */
	} turns[] = {{4, false, 0}, {4, false, 0}, {2, false, 0}, {4, false, 0},
		     {6, false, 6}, {6, true, 0},  {1, true, 0},  {0, false, 0}};
	enum { SOURCES = 4096, FLOWS = 8192 };
	struct plan plans[ARRAY_SIZE(turns)];
	struct tg_engine *engine = NULL;
	struct tg_ruleset *old = NULL;
	bool had_idle = false;
	for (size_t i = 0; i < ARRAY_SIZE(turns); i++) {
		plan_init(&plans[i], turns[i].rates, turns[i].idle);
		plans[i].config.max_flows = FLOWS;
		plans[i].config.max_bans = 1024;
		const struct tg_engine_params params = params_of(&plans[i].config, SOURCES);
		struct tg_ruleset *ruleset = tg_ruleset_create(&plans[i].config, &params, NULL);
		if (!engine)
			engine = tg_engine_create(&params);
		else
			CHECK_U64(tg_engine_grows(engine, ruleset),
				  turns[i].grows * 8 * SOURCES * TG_FAMILY_COUNT +
					  (turns[i].idle && !had_idle ? 8 * FLOWS : 0));
		const uint64_t before = old ? memory_of(engine) : 0;
		const uint64_t grows = old ? tg_engine_grows(engine, ruleset) : 0;
		take_policy(engine, ruleset);
		/* But for what a policy takes beside its tables. */
		if (old)
			CHECK(memory_of(engine) <= before + grows + 8192);
		tg_ruleset_destroy(old);
		old = ruleset;
		had_idle = turns[i].idle;
	}
	tg_engine_destroy(engine);
	tg_ruleset_destroy(old);
}

int main(void)
{
	RUN(the_default_stays_within_its_bound_and_leaves_little);
	RUN(a_simple_policy_has_the_whole_default);
	RUN(more_flows_do_not_cost_sources_and_fewer_make_room);
	RUN(a_reload_takes_no_more_than_it_says);
	return DONE();
}
