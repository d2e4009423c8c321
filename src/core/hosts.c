/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns how many distinct hosts a prefix has. A host with flows stands in the count of a prefix
 * exactly when the prefix was there (born) when the host's first flow came, which is when the
 * host is born anew. Both are entries of one table, where each can push out the other: a host
 * that goes is taken out of the counts it stands in, and a prefix that comes back
 * has none at first. So an eviction makes a count too low at worst, until all is counted anew.
 */
#include "engine_state.h"

struct host_move hosts_moved(struct tg_engine *engine, enum tg_family family, uint32_t slot,
			     const struct ruleset_view *view, uint32_t before)
{
	struct source *host = source_table_at(engine->sources[family], slot);
	const uint32_t after = source_flows(host);
	/* No flow stands in it that is older: its birth may move. */
	if (before == 0 && after > 0)
		host->born = ++engine->sequence;
	return (struct host_move){
		.policy = view->policy,
		.slot = slot,
		.born = host->born,
		.change = (before == 0 && after > 0) - (before > 0 && after == 0),
	};
}

static void count_less(struct source *prefix)
{
	/* What was too many to count is so until it is empty. */
	if (prefix->hosts > 0 && prefix->hosts < UINT16_MAX)
		prefix->hosts--;
}

bool hosts_count(struct tg_engine *engine, enum tg_family family, struct host_move *move,
		 struct source *prefix)
{
	if (source_flows(prefix) == 0) {
		prefix->hosts = 0;
		return false;
	}
	if (move->change < 0 && prefix->born <= move->born)
		count_less(prefix);
	if (move->change <= 0)
		return false;
	struct source *host = source_table_at(engine->sources[family], move->slot);
	if (host->born != move->born)
		return false; /* pushed out by what was made since */
	if (prefix->born > move->born) {
		/* Made since, and the host's one flow stands in it: as if the host came now. */
		host->born = ++engine->sequence;
		move->born = host->born;
	}
	if (prefix->hosts < UINT16_MAX)
		prefix->hosts++;
	return true;
}

void hosts_evicted(struct tg_engine *engine, enum tg_family family, const struct source *host)
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
		if (prefix->born <= host->born)
			count_less(prefix);
	}
}
