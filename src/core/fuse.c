/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what follows when the packet path says that a source has sent more SYNs than a limit allows.
 * That count is of packets, and this one's of flows: a flood that repeats one connection, or is
 * held back before conntrack, shows up only there. The offence is the limit's own from here on,
 * with the same evidence, and everything that may spare its source.
 */
#include "base/util.h"
#include "engine_state.h"

/* Would what was too much for the limit that was be too much for this one, too? */
static bool tells(const struct tg_fuse *fuse, const struct tg_limit *limit)
{
	return (uint64_t)limit->threshold * fuse->window_ms <=
		       (uint64_t)fuse->threshold * limit->window_ms &&
	       bans_threshold(limit) <= (uint64_t)fuse->threshold + fuse->burst;
}

void fuse_blown(struct tg_engine *engine, const struct tg_fuse *fuse)
{
	const uint16_t policy = ruleset_find_policy(engine->ruleset, fuse->policy);
	const uint16_t index = ruleset_find_limit(engine->ruleset, policy, fuse->limit);
	const struct ruleset_limit *limit = ruleset_limit(engine->ruleset, policy, index);
	if (!limit || !tg_limit_has_fuse(limit->limit) || !tells(fuse, limit->limit) ||
	    counts_is_own(engine, &fuse->source)) {
		engine->stats.fuses_unknown++;
		return;
	}
	engine->stats.fuses++;
	const struct ruleset_view *view = ruleset_view(engine->ruleset, limit);
	const uint16_t v = (uint16_t)(view - engine->ruleset->views);
	const enum tg_family family = (enum tg_family)fuse->source.family;
	const struct tg_prefix source = tg_addr_mask(&fuse->source, view->len[family]);
	const uint32_t threshold = bans_threshold(limit->limit);
	if (!bans_cover(engine, &source)) {
		/* As full as the flows would have made it: it goes on from there. */
		const uint32_t slot = sources_make(engine, &source.addr, SOURCE_VIEW(v, false));
		sources_buckets(engine, family, slot)[limit->bucket] = engine->now + limit->room;
	}
	if (!flood_suppresses(engine, view, limit, &source, threshold + 1, threshold))
		offences_ban(engine, view, limit, &source, threshold + 1, threshold);
}
