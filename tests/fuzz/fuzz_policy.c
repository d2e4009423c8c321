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

static void check_step(const struct tg_limit *limit, const struct tg_step *step)
{
	require(step->expire_ms >= 1000 && step->expire_ms <= TG_DURATION_MAX_MS);
	require((step->action == TG_ACTION_OBSERVE) == (step->to.count == 0));
	require(step->action == TG_ACTION_OBSERVE || step->to.per_ms > 0);
	require(step->scope == (step->action == TG_ACTION_DROP ? TG_SCOPE_PORTS : TG_SCOPE_NEW));
	/* SYNs are anybody's, and of what the kernel enforces against all there is no set. */
	require(step->action != TG_ACTION_DROP ||
		tg_measure_evidence(limit->measure) == TG_EVIDENCE_WITNESSABLE);
	require(!limit->total || step->action == TG_ACTION_OBSERVE);
}

static void check_limit(const struct tg_config *config, const struct tg_limit *limit)
{
	require(limit->name && strlen(limit->name) <= TG_NAME_MAX);
	require(limit->file && limit->line > 0);
	require(limit->threshold > 0);
	require(limit->step_count > 0 && limit->step_count <= TG_STEPS_MAX);
	require(limit->ladder || limit->step_count == 1);
	require(limit->forget_ms <= TG_DURATION_MAX_MS);
	require(tg_measure_is_rate(limit->measure) == (limit->window_ms > 0));
	require(tg_measure_is_rate(limit->measure) || limit->burst == 0);
	require(limit->measure != TG_MEASURE_FAN_OUT || limit->total);
	require(limit->measure != TG_MEASURE_IDLE || config->idle_after_ms > 0);
	require(limit->min_hosts <= TG_MIN_HOSTS_MAX && (limit->min_hosts == 0 || !limit->total));
	require(limit->prefix_len[TG_IPV4] <= 32 && limit->prefix_len[TG_IPV6] <= 128);
	for (size_t i = 0; i < limit->step_count; i++)
		check_step(limit, &limit->steps[i]);
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
	for (size_t i = 0; i < config->policy_count; i++) {
		const struct tg_policy *policy = &config->policies[i];
		require(policy->limit_count > 0 && policy->limit_count <= TG_LIMITS_MAX);
		for (size_t k = 0; k < policy->limit_count; k++)
			check_limit(config, &policy->limits[k]);
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
