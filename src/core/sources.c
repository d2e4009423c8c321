/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns a source's entry as the engine uses it: when it is made and what its making pushes out, the
 * flows in it, its buckets and its name. What flows do to it is decided in counts.c.
 */
#include <string.h>

#include "base/util.h"
#include "engine_state.h"

uint64_t *sources_buckets(const struct tg_engine *engine, enum tg_family family, uint32_t slot)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	return ruleset->buckets[family] + (size_t)slot * ruleset->bucket_count;
}

/* Who counted the victim as one must not go on doing so. */
static void source_evicted(struct tg_engine *engine, enum tg_family family,
			   const struct source *victim)
{
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(victim->view)];
	engine->stats.sources[family]--;
	if (view->total)
		view->total->destinations--;
	else if (view->of_hosts && !SOURCE_VIEW_ALONE(victim->view))
		hosts_evicted(engine, family, victim);
}

uint32_t sources_make(struct tg_engine *engine, const struct tg_addr *masked, uint16_t source_view)
{
	const enum tg_family family = (enum tg_family)masked->family;
	struct source_table *table = engine->sources[family];
	const uint64_t evicted = source_table_evicted(table);
	bool made;
	uint32_t slot = source_table_get(table, masked->bytes, source_view, engine->tick, &made);
	if (!made)
		return slot;
	source_table_at(table, slot)->born = ++engine->sequence;
	if (engine->ruleset->bucket_count > 0)
		memset(sources_buckets(engine, family, slot), 0,
		       engine->ruleset->bucket_count * sizeof(uint64_t));
	if (source_table_evicted(table) != evicted)
		source_evicted(engine, family, source_table_last_evicted(table));
	return slot;
}

struct tg_prefix sources_prefix(const struct tg_engine *engine, enum tg_family family,
				uint32_t slot)
{
	const struct source *source = source_table_at(engine->sources[family], slot);
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(source->view)];
	struct tg_prefix prefix = {.addr.family = (uint8_t)family, .len = view->len[family]};
	memcpy(prefix.addr.bytes, source->addr, 16);
	if (SOURCE_VIEW_ALONE(source->view))
		prefix.len = tg_family_bits(family);
	return prefix;
}

/* A full bucket stays full, so that it drains in one window. */
bool sources_pour(uint64_t *bucket, tg_time now, const struct ruleset_limit *limit)
{
	const uint64_t level = *bucket > now ? *bucket - now : 0;
	if (level + limit->cost > limit->room) {
		*bucket = now + limit->room;
		return true;
	}
	*bucket = now + level + limit->cost;
	return false;
}

uint32_t sources_level(uint64_t bucket, tg_time now, const struct ruleset_limit *limit)
{
	const uint64_t level = bucket > now ? bucket - now : 0;
	return (uint32_t)((level + limit->cost - 1) / limit->cost);
}
