/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns how many distinct hosts a prefix has. A host with flows stands in the count of a prefix
 * exactly when the prefix was there (born) when the host's first flow came, which is when the
 * host is born anew. Both are entries of one table, where each can push out the other: a host
 * that goes is taken out of the counts it stands in, and a prefix that comes back
 * has none at first. So an eviction makes a count too low at worst, until all is counted anew.
 */
#include <assert.h>

#include "engine_state.h"

/* A host came to, or went from, the prefixes of its policy that it stands in. */
static void prefixes_count(struct tg_engine *engine, enum tg_family family,
			   const struct source *host, int change)
{
	const struct tg_ruleset *ruleset = engine->ruleset;
	const uint16_t own = SOURCE_VIEW_INDEX(host->view);
	struct tg_addr addr = {.family = (uint8_t)family};
	memcpy(addr.bytes, host->addr, 16);
	for (uint16_t v = own + 1; v < ruleset->view_count; v++) {
		const struct ruleset_view *view = &ruleset->views[v];
		if (view->policy != ruleset->views[own].policy)
			break;
		if (view->total || !ruleset_has_hosts(view, family))
			continue;
		const struct tg_prefix masked = tg_addr_mask(&addr, view->len[family]);
		const uint32_t slot = source_table_find(engine->sources[family], masked.addr.bytes,
							SOURCE_VIEW(v, false));
		if (slot == SOURCE_NONE)
			continue;
		struct source *prefix = source_table_at(engine->sources[family], slot);
		/* What was too many to count is so until the prefix is empty. */
		if (prefix->born > host->born || prefix->hosts == UINT16_MAX)
			continue;
		assert(change > 0 || prefix->hosts > 0);
		prefix->hosts = (uint16_t)(prefix->hosts + change);
	}
}

struct host_move hosts_moved(struct tg_engine *engine, enum tg_family family, uint32_t slot,
			     uint32_t before)
{
	struct source *host = source_table_at(engine->sources[family], slot);
	const bool was = before > 0, is = source_flows(host) > 0;
	const struct ruleset_view *view = &engine->ruleset->views[SOURCE_VIEW_INDEX(host->view)];
	/* No flow stands in it that is older: its birth may move. */
	if (is && !was)
		host->born = ++engine->sequence;
	if (is != was && !SOURCE_VIEW_ALONE(host->view))
		prefixes_count(engine, family, host, is - was);
	return (struct host_move){view->policy, is && !was, slot, host->born};
}

bool hosts_count(struct tg_engine *engine, enum tg_family family, struct host_move *move,
		 struct source *prefix)
{
	if (source_flows(prefix) == 0)
		prefix->hosts = 0;
	struct source *host = source_table_at(engine->sources[family], move->slot);
	/* Pushed out by what was made since? */
	if (!move->came || host->born != move->born)
		return false;
	if (prefix->born > move->born) {
		/* Made since, and the host's one flow stands in it: as if the host came now. */
		host->born = ++engine->sequence;
		move->born = host->born;
		prefix->hosts++;
	}
	return true;
}

void hosts_evicted(struct tg_engine *engine, enum tg_family family, const struct source *host)
{
	prefixes_count(engine, family, host, -1);
}
