/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy reader fed with anything. What must hold: no crash, an error exactly when
 * nothing was loaded, every error within its file, and bounds kept by what was loaded.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>
#include <tcpguard/engine.h>

#include "base/strbuf.h"
#include "policy/loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_step(const struct tg_step *step)
{
	require(step->action < TG_ACTION_COUNT);
	require(step->scope < TG_SCOPE_COUNT &&
		(step->scope == TG_SCOPE_NEW || step->action >= TG_ACTION_REJECT));
	require(!step->kill || step->action >= TG_ACTION_REJECT);
	require((step->action == TG_ACTION_CAP) == (step->cap > 0));
	require(step->expire_ms >= 1000 && step->expire_ms <= TG_DURATION_MAX_MS);
	/* What stands in for a drop passes something, too. */
	require((step->action <= TG_ACTION_SYNPROXY) == (step->to.count == 0));
}

/* From step to step no weaker. */
static void check_order(const struct tg_step *step, const struct tg_step *before)
{
	require(step->action >= before->action);
	if (step->action == before->action)
		require(step->scope >= before->scope);
	if (step->action == before->action || before->action == TG_ACTION_RATE_LIMIT)
		require((uint64_t)step->to.count * before->to.per_ms <=
			(uint64_t)before->to.count * step->to.per_ms);
}

static void check_limit(const struct tg_limit *limit)
{
	require(limit->name && limit->file && limit->line > 0);
	require(limit->threshold > 0 && limit->measure < TG_MEASURE_COUNT);
	require(tg_measure_is_rate(limit->measure) == (limit->window_ms > 0));
	require(limit->burst == 0 || limit->window_ms > 0);
	require(limit->step_count > 0 && limit->step_count <= TG_STEPS_MAX);
	require(limit->ladder ? limit->forget_ms >= 1000 && limit->forget_ms <= TG_DURATION_MAX_MS
			      : limit->step_count == 1 && limit->forget_ms == 0);
	for (size_t i = 0; i < limit->step_count; i++) {
		check_step(&limit->steps[i]);
		require(!limit->total || limit->steps[i].action == TG_ACTION_OBSERVE ||
			(limit->steps[i].action <= TG_ACTION_RATE_LIMIT &&
			 limit->measure != TG_MEASURE_FAN_OUT));
		require(limit->steps[i].action != TG_ACTION_SYNPROXY ||
			(limit->total && !limit->ladder));
		if (i > 0)
			check_order(&limit->steps[i], &limit->steps[i - 1]);
	}
	/* Below a drop there must be something for what can be forged. */
	require(tg_measure_evidence(limit->measure) != TG_EVIDENCE_FORGEABLE ||
		limit->steps[0].action <= TG_ACTION_RATE_LIMIT);
	require(limit->total || limit->measure != TG_MEASURE_FAN_OUT);
	require(limit->prefix_len[TG_IPV4] <= 32 && limit->prefix_len[TG_IPV6] <= 128);
	if (limit->min_hosts > 0)
		require(limit->min_hosts >= 2 && limit->min_hosts <= TG_MIN_HOSTS_MAX &&
			!limit->total && limit->prefix_len[TG_IPV4] < 32 &&
			limit->prefix_len[TG_IPV6] < 64);
}

/* What was loaded can be taken into use. */
static void check_ruleset(const struct tg_config *config)
{
	static const struct tg_engine_params params = {8, 8, 8, "fuzz"};
	struct tg_ruleset *ruleset = tg_ruleset_create(config, &params, NULL);
	struct tg_engine *engine = tg_engine_create(&params);
	if (ruleset && engine)
		tg_engine_step(engine, &(struct tg_event){.type = TG_EVENT_POLICY,
							  .at = TG_SEC,
							  .ruleset = ruleset});
	tg_engine_destroy(engine);
	tg_ruleset_destroy(ruleset);
}

static void check_config(const struct tg_config *config)
{
	require(config->policy_count <= TG_POLICIES_MAX && config->file_count == 1);
	require(config->idle_after_ms >= 1000 && config->idle_after_ms <= 24ull * 3600 * 1000);
	for (size_t i = 0; i < config->policy_count; i++) {
		const struct tg_policy *policy = &config->policies[i];
		require(policy->limit_count > 0 && policy->limit_count <= TG_LIMITS_MAX);
		for (size_t k = 0; k < policy->limit_count; k++)
			check_limit(&policy->limits[k]);
		for (size_t k = 1; k < policy->port_count; k++)
			require(policy->ports[k].first > policy->ports[k - 1].last + 1);
		for (size_t k = 0; k < i; k++)
			require(strcmp(policy->name, config->policies[k].name) != 0);
	}
	check_ruleset(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tg_diag diag;
	struct tg_strbuf out;
	tg_diag_init(&diag);
	tg_strbuf_init(&out);
	struct tg_config *config = config_load_text("policy.yaml", data, size, &diag);
	require((config != NULL) == (diag.count == 0));
	if (config)
		check_config(config);
	tg_diag_sort(&diag);
	for (size_t i = 0; i < diag.count; i++)
		require(diag.entries[i].line <= size + 1 && diag.entries[i].col <= size + 1);
	tg_diag_print(&diag, &out);
	tg_strbuf_finish(&out);
	tg_diag_finish(&diag);
	tg_config_destroy(config);
	return 0;
}
