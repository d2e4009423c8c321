/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what each limit says about one address, for people who ask. Changes nothing. */
#include "base/util.h"
#include "engine_state.h"

/* The limit of all, in the order of the config, that *cursor counts to; NULL behind the last. */
static const struct ruleset_limit *limit_at(const struct tg_engine *engine, uint32_t cursor,
					    uint16_t *ret_policy)
{
	const struct tg_config *config = engine_config(engine);
	for (size_t p = 0; p < config->policy_count; p++) {
		const size_t count = config->policies[p].limit_count;
		if (cursor < count) {
			*ret_policy = (uint16_t)p;
			return ruleset_limit(engine->ruleset, (uint16_t)p, (uint16_t)cursor);
		}
		cursor -= (uint32_t)count;
	}
	return NULL;
}

bool tg_engine_next_limit(const struct tg_engine *engine, const struct tg_addr *addr,
			  uint32_t *cursor, struct tg_limit_count *ret_count)
{
	uint16_t policy = 0;
	const struct ruleset_limit *limit = limit_at(engine, *cursor, &policy);
	if (!limit)
		return false;
	(*cursor)++;
	const struct ruleset_view *view = ruleset_view(engine->ruleset, limit);
	const enum tg_family family = (enum tg_family)addr->family;
	struct tg_limit_count count = {
		.policy = policy,
		.limit = limit->index,
		.source = tg_addr_mask(addr, limit->limit->prefix_len[family]),
		.threshold = bans_threshold(limit->limit),
	};
	if (view->total)
		count.source = (struct tg_prefix){.len = TG_TOTAL_LEN};
	else if (bans_cover(engine, &count.source)) /* its members are counted one by one */
		count.source = tg_addr_mask(addr, tg_family_bits(family));
	count.counted = counts_measure(engine, limit, view, &count.source, &count.measured);
	*ret_count = count;
	return true;
}
