/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gathers all about one address, in pieces: bans and remembered offences, what each limit counts,
 * who protects it, and its flows, for which the whole table is looked through.
 */
#include "control_explain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "admins.h"
#include "base/util.h"
#include "control_list.h"
#include "daemon.h"

/* Bans, and flows, looked at in one piece: a millisecond. */
#define BANS_PIECE 4096
#define FLOWS_PIECE 16384
/* Bans of one address: more than one per policy and scope there cannot be. */
#define BANS_MAX 64
#define SAMPLES_MAX 8

enum stage { STAGE_BANS, STAGE_RECORDS, STAGE_LIMITS, STAGE_FLOWS };

struct explanation {
	struct daemon *daemon;
	struct tg_addr addr;
	enum stage stage;
	uint32_t cursor;
	struct tg_ban bans[BANS_MAX];
	size_t ban_count;
	uint64_t states[TG_TCP_STATE_COUNT];
	struct tg_flow_key samples[SAMPLES_MAX];
	size_t sample_count;
};

static const struct tg_protected_prefix *protector(const struct explanation *it)
{
	const struct tg_prefix_set *const sets[] = {it->daemon->protected, it->daemon->policy.allow,
						    admins_set(it->daemon->admins)};
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		const struct tg_protected_prefix *hit = tg_prefix_set_lookup(sets[i], &it->addr);
		if (hit)
			return hit;
	}
	return NULL;
}

/* Who is never held back at all; a session of an admin keeps from the worst only. */
static bool is_allowed(const struct tg_protected_prefix *hit)
{
	return hit && hit->kind != TG_PROTECT_ADMIN;
}

static const char *verdict(const struct explanation *it)
{
	bool observed = false;
	if (is_allowed(protector(it)))
		return "allowed";
	for (size_t i = 0; i < it->ban_count; i++) {
		if (it->bans[i].enforced)
			return "banned";
		observed = true;
	}
	return observed ? "observed" : "clear";
}

static void put_head(const struct explanation *it, struct tg_strbuf *out)
{
	const struct tg_prefix source =
		tg_addr_mask(&it->addr, tg_family_bits((enum tg_family)it->addr.family));
	const struct tg_protected_prefix *hit = protector(it);
	char text[TG_PREFIX_STRLEN];
	tg_record_begin(out, "explain");
	tg_record_put(out, "source", tg_prefix_format(&source, text));
	tg_record_put(out, "verdict", verdict(it));
	if (hit) {
		tg_record_put(out, "protected", tg_prefix_format(&hit->prefix, text));
		tg_record_put(out, "kind", tg_protect_kind_name(hit->kind));
		tg_record_put(out, "allowed", is_allowed(hit) ? "true" : "false");
	}
	tg_record_end(out);
}

/* True: there may be more. */
static bool gather_bans(struct explanation *it)
{
	struct tg_ban ban;
	for (int i = 0; i < BANS_PIECE; i++) {
		if (!tg_engine_next_ban(it->daemon->engine, &it->cursor, &ban))
			return false;
		if (!tg_prefix_is_total(&ban.source) &&
		    tg_prefix_contains(&ban.source, &it->addr) && it->ban_count < BANS_MAX)
			it->bans[it->ban_count++] = ban;
	}
	return true;
}

/* The one that holds the source back the most comes first. */
static int compare_bans(const void *a_ptr, const void *b_ptr)
{
	const struct tg_ban *a = a_ptr, *b = b_ptr;
	if (a->enforced != b->enforced)
		return a->enforced ? -1 : 1;
	if (a->action != b->action)
		return a->action > b->action ? -1 : 1;
	return a->until > b->until ? -1 : a->until < b->until;
}

static void put_bans(struct explanation *it, struct tg_strbuf *out)
{
	struct nft_counters counters[BANS_MAX] = {0};
	put_head(it, out);
	qsort(it->bans, it->ban_count, sizeof(it->bans[0]), compare_bans);
	/* Unknown counters are left out of the answer. */
	if (it->ban_count > 0 &&
	    nft_sink_counters(it->daemon->sink, it->bans, it->ban_count, counters) < 0)
		memset(counters, 0, sizeof(counters));
	for (size_t i = 0; i < it->ban_count; i++)
		control_list_put(it->daemon, &it->bans[i], &counters[i], true, out);
}

static const char *policy_name(const struct daemon *daemon, uint16_t policy)
{
	const struct tg_config *config = daemon->policy.config;
	return policy < config->policy_count ? config->policies[policy].name : "?";
}

static bool put_records(struct explanation *it, struct tg_strbuf *out)
{
	struct tg_ban record;
	char text[TG_PREFIX_STRLEN];
	const tg_time now = loop_now(it->daemon->loop);
	for (int i = 0; i < BANS_PIECE; i++) {
		if (!tg_engine_next_record(it->daemon->engine, &it->cursor, &record))
			return false;
		if (!tg_prefix_contains(&record.source, &it->addr) || record.until <= now)
			continue;
		tg_record_begin(out, "offence");
		tg_record_put(out, "source", tg_prefix_format(&record.source, text));
		tg_record_put(out, "policy", policy_name(it->daemon, record.policy));
		tg_record_put_u64(out, "offence", record.offence);
		tg_record_put_u64(out, "forgotten_in", (record.until - now) / TG_SEC);
		tg_record_end(out);
	}
	return true;
}

/* Does the packet path count it, too? Not by single addresses in the place of a prefix. */
static bool has_fuse(const struct tg_limit *limit, const struct tg_prefix *source)
{
	return tg_limit_has_fuse(limit) && source->len == limit->prefix_len[source->addr.family];
}

static void put_limits(struct explanation *it, struct tg_strbuf *out)
{
	struct nft_sink_stats sink;
	const struct tg_config *config = it->daemon->policy.config;
	struct tg_limit_count count;
	uint32_t cursor = 0;
	nft_sink_stats(it->daemon->sink, &sink);
	while (tg_engine_next_limit(it->daemon->engine, &it->addr, &cursor, &count)) {
		const struct tg_limit *limit = &config->policies[count.policy].limits[count.limit];
		char text[TG_PREFIX_STRLEN];
		tg_record_begin(out, "limit");
		tg_record_put(out, "policy", policy_name(it->daemon, count.policy));
		tg_record_put(out, "limit", limit->name);
		tg_record_put(out, "measure", tg_measure_name(limit->measure));
		tg_record_put(out, "source",
			      tg_prefix_is_total(&count.source)
				      ? "total"
				      : tg_prefix_format(&count.source, text));
		tg_record_put_u64(out, "measured", count.counted ? count.measured : 0);
		tg_record_put_u64(out, "threshold", count.threshold);
		tg_record_put(out, "mode", tg_mode_name(limit->mode));
		tg_record_put(out, "packet_path",
			      sink.fuses > 0 && has_fuse(limit, &count.source) ? "true" : "false");
		tg_record_put(out, "file", limit->file);
		tg_record_put_u64(out, "line", limit->line);
		tg_record_end(out);
	}
}

static bool gather_flows(struct explanation *it)
{
	struct tg_flow_event flow;
	for (int i = 0; i < FLOWS_PIECE; i++) {
		if (!tg_engine_next_flow(it->daemon->engine, &it->cursor, &flow))
			return false;
		if (flow.key.family != it->addr.family ||
		    memcmp(flow.key.src, it->addr.bytes, sizeof(flow.key.src)) != 0)
			continue;
		if (flow.state < TG_TCP_STATE_COUNT)
			it->states[flow.state]++;
		if (it->sample_count < SAMPLES_MAX)
			it->samples[it->sample_count++] = flow.key;
	}
	return true;
}

static void put_flows(const struct explanation *it, struct tg_strbuf *out)
{
	tg_record_begin(out, "states");
	for (int i = 0; i < TG_TCP_STATE_COUNT; i++)
		tg_record_put_u64(out, tg_tcp_state_name((enum tg_tcp_state)i), it->states[i]);
	tg_record_end(out);
	for (size_t i = 0; i < it->sample_count; i++) {
		const struct tg_flow_key *key = &it->samples[i];
		struct tg_addr to = {.family = key->family};
		char text[TG_ADDR_STRLEN];
		memcpy(to.bytes, key->dst, sizeof(to.bytes));
		tg_record_begin(out, "flow");
		tg_record_put_u64(out, "sport", key->sport);
		tg_record_put(out, "to", tg_addr_format(&to, text));
		tg_record_put_u64(out, "dport", key->dport);
		tg_record_end(out);
	}
}

static void go_on(struct explanation *it)
{
	it->stage++;
	it->cursor = 0;
}

static bool explain_more(void *data, void *state, struct tg_strbuf *out)
{
	struct explanation *it = state;
	(void)data;
	switch (it->stage) {
	case STAGE_BANS:
		if (gather_bans(it))
			break;
		put_bans(it, out);
		go_on(it);
		break;
	case STAGE_RECORDS:
		if (!put_records(it, out))
			go_on(it);
		break;
	case STAGE_LIMITS:
		put_limits(it, out);
		go_on(it);
		break;
	case STAGE_FLOWS:
		if (gather_flows(it))
			break;
		put_flows(it, out);
		return false;
	}
	return true;
}

void control_explain(void *data, struct control_client *client, const struct tg_record *request)
{
	const char *source = tg_record_get(request, "source");
	struct explanation *it = calloc(1, sizeof(*it));
	if (!it) {
		control_error(client, 1, "out of memory");
		return;
	}
	it->daemon = data;
	if (!source || !tg_addr_parse(source, &it->addr)) {
		control_error(client, 2, "source is one address");
		free(it);
		return;
	}
	control_stream(client, explain_more, it, free);
}
