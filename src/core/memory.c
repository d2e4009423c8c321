/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the question how much memory a policy costs, and how many sources can be counted within
 * what a process that nobody has given more may take.
 */
#include "base/util.h"
#include "engine_state.h"

/* With millions of allowed prefixes there is no room for any; a table that is none helps nobody. */
#define SOURCES_LEAST 16384
/* A round number is easier to compare, and to write down. */
#define SOURCES_STEP 1024

/* An allowed prefix in the config and in the daemon's own set, and while a policy is replaced all
 * of it twice; once of it is the ruleset's. */
#define ALLOWED_BYTES (2 * (sizeof(struct tg_prefix) + 2 * sizeof(struct tg_protected_prefix)))

uint64_t tg_engine_memory(const struct tg_config *config, const struct tg_engine_params *params)
{
	/* Made for a moment; what nobody writes to takes no page. So nothing is forgotten. */
	struct tg_ruleset *ruleset = tg_ruleset_create(config, params, NULL);
	struct ban_table *bans = ban_table_create(params->max_bans, params->seed);
	uint64_t bytes = 0;
	if (ruleset && bans)
		bytes = sizeof(struct tg_engine) + ENGINE_NOTES * sizeof(struct tg_decision) +
			flow_table_bytes(params->max_flows) +
			TG_FAMILY_COUNT * (uint64_t)source_table_bytes(params->max_sources) +
			ban_table_memory(bans) + ruleset->memory;
	ban_table_destroy(bans);
	tg_ruleset_destroy(ruleset);
	return bytes;
}

uint32_t tg_engine_fitting_sources(const struct tg_config *config)
{
	/* Whoever raises these has said that there is memory for them, and not for less else. */
	struct tg_engine_params params = {
		.max_sources = SOURCES_LEAST,
		.max_flows = MIN(config->max_flows, TG_MAX_FLOWS_DEFAULT),
		.max_bans = MIN(config->max_bans, TG_MAX_BANS_DEFAULT),
	};
	const uint64_t least = tg_engine_memory(config, &params);
	params.max_sources = SOURCES_LEAST + SOURCES_STEP;
	const uint64_t next = tg_engine_memory(config, &params);
	if (least == 0 || next == 0)
		return 0;
	const uint64_t taken = least + TG_MEMORY_PROCESS + config->allow_count * ALLOWED_BYTES;
	if (taken >= TG_MEMORY_MAX)
		return SOURCES_LEAST;
	const uint64_t steps = (TG_MEMORY_MAX - taken) / (next - least);
	const uint64_t most = (TG_MAX_SOURCES_DEFAULT - SOURCES_LEAST) / SOURCES_STEP;
	return SOURCES_LEAST + (uint32_t)MIN(steps, most) * SOURCES_STEP;
}

uint64_t tg_engine_grows(const struct tg_engine *engine, const struct tg_ruleset *ruleset)
{
	return ruleset_grows(ruleset, engine->ruleset);
}
