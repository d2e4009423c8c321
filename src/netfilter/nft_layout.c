/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how the table's description becomes messages: each set, chain and rule of it. */
#include "netfilter/nft_layout.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "layout/layout.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_encode.h"

#define TABLE LAYOUT_TABLE

struct chains {
	const struct layout *layout;
	struct nft_batch *batch;
};

static void encode_chain(void *data, const struct layout_chain *chain)
{
	const struct chains *chains = data;
	static const uint32_t hooks[] = {[LAYOUT_PREROUTING] = NF_INET_PRE_ROUTING,
					 [LAYOUT_INGRESS] = NF_INET_INGRESS,
					 [LAYOUT_INPUT] = NF_INET_LOCAL_IN,
					 [LAYOUT_FORWARD] = NF_INET_FORWARD};
	struct nft_chain_spec spec = {.name = chain->name,
				      .base = chain->hook != LAYOUT_NO_HOOK,
				      .hook = hooks[chain->hook],
				      .priority = chain->priority};
	if (chain->hook == LAYOUT_INGRESS) {
		spec.devices = chains->layout->config->ingress;
		spec.device_count = chains->layout->config->ingress_count;
	}
	nft_encode_chain(chains->batch, TABLE, &spec);
}

void nft_layout_encode_chains(const struct layout *layout, struct nft_batch *batch)
{
	layout_each_chain(layout, encode_chain, &(struct chains){layout, batch});
}

static uint32_t family_type(unsigned family)
{
	if (family == LAYOUT_NO_FAMILY)
		return NFT_ENCODE_TYPE_PROTOCOL;
	return family == TG_IPV4 ? NFT_ENCODE_TYPE_IPV4 : NFT_ENCODE_TYPE_IPV6;
}

void nft_layout_encode_address_sets(struct nft_batch *batch)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		struct nft_set_spec spec = {.name = layout_own_set(family),
					    .key_type = family_type(family),
					    .key_len = tg_family_bits(family) / 8u,
					    .flags = NFT_SET_INTERVAL};
		nft_encode_set(batch, TABLE, &spec);
		spec.name = layout_allow_set(family);
		nft_encode_set(batch, TABLE, &spec);
	}
}

uint32_t nft_layout_counts_flags(const struct layout_set *set)
{
	return layout_counts_expire(set) ? NFT_SET_EVAL | NFT_SET_TIMEOUT : NFT_SET_EVAL;
}

void nft_layout_encode_ban_set(const struct layout *layout, struct nft_batch *batch, size_t index)
{
	const struct layout_set *set = &layout->sets[index];
	struct nft_set_spec spec = {.name = set->name,
				    .key_type = family_type(set->family),
				    .key_len = layout_key_len(set),
				    .flags = NFT_SET_TIMEOUT,
				    .size = layout->set_size,
				    .timeout_ms = LAYOUT_TIMEOUT_MS};
	nft_encode_set(batch, TABLE, &spec);
	if (!set->counts[0])
		return;
	spec.name = set->counts;
	spec.flags = nft_layout_counts_flags(set);
	spec.timeout_ms = layout_counts_expire(set) ? LAYOUT_PROXIED_MS : 0;
	nft_encode_set(batch, TABLE, &spec);
}

void nft_layout_encode_fuse_sets(const struct layout *layout, struct nft_batch *batch, size_t index)
{
	const struct layout_fuse *fuse = &layout->fuses[index];
	struct nft_set_spec spec = {.name = fuse->meter,
				    .key_type = family_type(fuse->family),
				    .key_len = tg_family_bits((enum tg_family)fuse->family) / 8u,
				    .flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
				    .size = LAYOUT_METER_SIZE,
				    .timeout_ms = LAYOUT_METER_MS};
	nft_encode_set(batch, TABLE, &spec);
	spec.name = fuse->fused;
	spec.timeout_ms = LAYOUT_FUSED_MS;
	nft_encode_set(batch, TABLE, &spec);
	spec.name = fuse->spill;
	spec.key_type = NFT_ENCODE_TYPE_MARK;
	spec.key_len = 4;
	spec.size = LAYOUT_SPILL_BUCKETS;
	spec.timeout_ms = LAYOUT_METER_MS;
	nft_encode_set(batch, TABLE, &spec);
}

void nft_layout_encode_retry_sets(const struct layout *layout, struct nft_batch *batch)
{
	char name[LAYOUT_NAME_MAX];
	for (uint16_t i = 0; i < layout->config->policy_count; i++) {
		for (enum tg_family f = 0; f < TG_FAMILY_COUNT && layout_has_fuses(layout, i);
		     f++) {
			const uint32_t side =
				NFT_ENCODE_TYPE_AND(family_type(f), NFT_ENCODE_TYPE_SERVICE);
			const struct nft_set_spec spec = {
				.name = name,
				.key_type = NFT_ENCODE_TYPE_AND(
					NFT_ENCODE_TYPE_AND(side, family_type(f)),
					NFT_ENCODE_TYPE_SERVICE),
				.key_len = layout_retry_key_len(f),
				.flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
				.size = LAYOUT_RETRY_SIZE,
				.timeout_ms = LAYOUT_RETRY_MS};
			layout_retry_name(layout, i, f, name);
			nft_encode_set(batch, TABLE, &spec);
		}
	}
}

void nft_layout_encode_near_sets(const struct layout *layout, struct nft_batch *batch)
{
	struct layout_near near;
	size_t at = 0;
	while (layout_next_near(layout, &at, &near)) {
		const struct nft_set_spec spec = {.name = near.name,
						  .key_type = family_type(near.family),
						  .key_len = tg_family_bits(near.family) / 8u,
						  .flags = NFT_SET_INTERVAL};
		nft_encode_set(batch, TABLE, &spec);
	}
}

/* The value behind the interval's end so far; open when there is none. */
static void interval_close(struct nft_interval *interval, unsigned key_len)
{
	interval->open = true;
	for (unsigned byte = key_len; byte-- > 0;) {
		if (++interval->end[byte] != 0) {
			interval->open = false;
			return;
		}
	}
}

/* Appends to count intervals, or makes the last one longer when the two touch. */
static size_t interval_append(struct nft_interval *intervals, size_t count,
			      const struct nft_interval *next)
{
	struct nft_interval *before = count > 0 ? &intervals[count - 1] : NULL;
	if (before && !before->open && memcmp(before->end, next->first, sizeof(next->first)) == 0) {
		memcpy(before->end, next->end, sizeof(next->end));
		before->open = next->open;
		return count;
	}
	intervals[count] = *next;
	return count + 1;
}

static void encode_members(struct nft_batch *batch, const char *name, uint32_t set_id,
			   const struct tg_prefix_set *set, enum tg_family family)
{
	size_t members, count = 0;
	const unsigned key_len = tg_family_bits(family) / 8u;
	const struct tg_protected_prefix *list = tg_prefix_set_members(set, family, &members);
	struct nft_interval *intervals = calloc(members + 1, sizeof(*intervals));
	if (!intervals) {
		batch->failed = true;
		return;
	}
	for (size_t i = 0; i < members; i++) {
		const struct tg_addr last = tg_prefix_last(&list[i].prefix);
		struct nft_interval next = {0};
		memcpy(next.first, list[i].prefix.addr.bytes, key_len);
		memcpy(next.end, last.bytes, key_len);
		interval_close(&next, key_len);
		count = interval_append(intervals, count, &next);
	}
	nft_elem_encode_intervals(batch, TABLE, name, set_id, key_len, intervals, count);
	free(intervals);
}

void nft_layout_encode_near(const struct layout *layout, struct nft_batch *batch)
{
	struct layout_near near;
	size_t at = 0;
	while (layout_next_near(layout, &at, &near)) {
		struct tg_prefix_set *set = layout_near_create(layout, &near);
		if (!set) {
			batch->failed = true;
			return;
		}
		nft_encode_flush_set(batch, TABLE, near.name);
		encode_members(batch, near.name, 0, set, near.family);
		tg_prefix_set_destroy(set);
	}
}

void nft_layout_encode_protected(const struct layout *layout, struct nft_batch *batch)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		nft_encode_flush_set(batch, TABLE, layout_own_set(family));
		encode_members(batch, layout_own_set(family), 0, layout->protected_set, family);
	}
}

void nft_layout_encode_allow(const struct layout *layout, struct nft_batch *batch)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		nft_encode_flush_set(batch, TABLE, layout_allow_set(family));
		encode_members(batch, layout_allow_set(family), 0, layout->allow, family);
	}
}

/* Anonymous sets live and die with their rule, so that a new policy leaves none behind. */
#define ANONYMOUS "__set%d"

static void encode_anonymous(struct nft_batch *batch, uint32_t type, uint32_t key_len, uint32_t id)
{
	const struct nft_set_spec spec = {.name = ANONYMOUS,
					  .key_type = type,
					  .key_len = key_len,
					  .flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT |
						   NFT_SET_INTERVAL,
					  .id = id};
	nft_encode_set(batch, TABLE, &spec);
}

static void encode_port_set(struct nft_batch *batch, const struct tg_policy *policy, uint32_t id)
{
	struct nft_interval intervals[TG_PORTS_MAX];
	size_t count = 0;
	encode_anonymous(batch, NFT_ENCODE_TYPE_SERVICE, 2, id);
	for (size_t i = 0; i < policy->port_count && i < TG_PORTS_MAX; i++) {
		const uint16_t first = htons(policy->ports[i].first);
		const uint16_t last = htons(policy->ports[i].last);
		struct nft_interval next = {0};
		memcpy(next.first, &first, 2);
		memcpy(next.end, &last, 2);
		interval_close(&next, 2);
		count = interval_append(intervals, count, &next);
	}
	nft_elem_encode_intervals(batch, TABLE, ANONYMOUS, id, 2, intervals, count);
}

struct rules {
	struct nft_batch *batch;
	uint32_t set_id; /* of the last anonymous set */
};

static void encode_verdict(struct nft_rule *rule, const struct layout_rule *it)
{
	switch (it->verdict) {
	case LAYOUT_CONTINUE:
		break;
	case LAYOUT_ACCEPT:
		nft_rule_verdict(rule, NF_ACCEPT, NULL);
		break;
	case LAYOUT_RETURN:
		nft_rule_verdict(rule, NFT_RETURN, NULL);
		break;
	case LAYOUT_VERDICT_DROP:
		nft_rule_verdict(rule, NF_DROP, NULL);
		break;
	case LAYOUT_RESET:
		nft_rule_reset(rule);
		break;
	case LAYOUT_JUMP:
		nft_rule_verdict(rule, NFT_JUMP, it->jump);
		break;
	case LAYOUT_NOTRACK:
		nft_rule_notrack(rule);
		break;
	case LAYOUT_ANSWER:
		nft_rule_answer(rule, it->answer, it->family);
		break;
	}
}

static struct nft_limit_spec limit_of(const struct layout_pace *pace)
{
	struct nft_limit_spec spec = {.burst = pace->burst};
	layout_pace_units(&pace->rate, &spec.count, &spec.unit_s);
	return spec;
}

/* What a fuse's rules match. */
static void encode_counting(struct nft_rule *rule, const struct layout_rule *it)
{
	if (it->known)
		nft_rule_match_flow(rule, it->family, it->known);
	if (it->not_source) {
		nft_rule_match_family(rule, it->family);
		nft_rule_match_not_source(rule, it->family, it->prefix_len, it->not_source);
	}
	if (it->pace) {
		const struct nft_limit_spec pace = limit_of(it->pace);
		nft_rule_match_pace(rule, &pace);
	}
	if (it->meter) {
		const struct nft_meter_spec meter = {.set = it->meter,
						     .over = limit_of(it->meter_over),
						     .buckets = it->buckets,
						     .stays = true};
		nft_rule_match_meter(rule, it->family, it->prefix_len, &meter);
	}
	if (it->not_near)
		nft_rule_match_not_source(rule, it->family, tg_family_bits(it->family),
					  it->not_near);
}

/* And whom they tell. */
static void encode_notice(struct nft_rule *rule, const struct layout_rule *it)
{
	if (it->log)
		nft_rule_log(rule, LAYOUT_LOG_GROUP, it->log);
	if (it->adds) {
		const struct nft_meter_spec noted = {.set = it->adds,
						     .over = limit_of(it->adds_over)};
		nft_rule_match_meter(rule, it->family, it->prefix_len, &noted);
	}
}

static void encode_memory(struct nft_rule *rule, const struct layout_rule *it)
{
	const struct nft_limit_spec pace = limit_of(&layout_retry_pace);
	if (it->knows)
		nft_rule_add_flow(rule, it->family, it->knows, &pace);
}

/* In the order of struct layout_rule, which is that of the text, too. */
static void encode_rule(void *data, const struct layout_rule *it)
{
	struct rules *rules = data;
	const struct tg_policy *ports = it->ports && it->ports->port_count > 0 ? it->ports : NULL;
	const bool one_port =
		ports && ports->port_count == 1 && ports->ports[0].first == ports->ports[0].last;
	uint32_t port_id = 0, address_id = 0;
	struct nft_rule rule;
	/* Anonymous sets come ahead of the rule that has them. */
	if (ports && !one_port)
		encode_port_set(rules->batch, ports, port_id = ++rules->set_id);
	if (it->destinations) {
		address_id = ++rules->set_id;
		encode_anonymous(rules->batch, family_type(it->family),
				 tg_family_bits(it->family) / 8u, address_id);
		encode_members(rules->batch, ANONYMOUS, address_id, it->destinations, it->family);
	}
	nft_rule_begin(&rule, rules->batch, TABLE, it->chain);
	rule.first = it->first;
	if (it->outside)
		nft_rule_match_outside(&rule);
	if (it->tcp)
		nft_rule_match_tcp(&rule);
	if (it->ct_new && !it->counts)
		nft_rule_match_ct_new(&rule);
	if (it->syn)
		nft_rule_match_syn(&rule);
	if (it->ack)
		nft_rule_match_ack(&rule);
	if (one_port)
		nft_rule_match_port(&rule, ports->ports[0].first);
	else if (port_id)
		nft_rule_match_port_set(&rule, ANONYMOUS, port_id);
	if (address_id)
		nft_rule_match_destination(&rule, it->family, ANONYMOUS, address_id);
	if (it->ct_original)
		nft_rule_match_ct_original(&rule);
	if (it->ct_stray)
		nft_rule_match_ct_stray(&rule);
	if (it->ct_looks)
		nft_rule_match_ct_looks(&rule);
	if (it->ct_untracked)
		nft_rule_match_ct_untracked(&rule);
	if (it->source)
		nft_rule_match_source(&rule, it->family, it->prefix_len, it->source);
	encode_counting(&rule, it);
	if (it->spared) {
		const uint8_t bits = tg_family_bits(it->family);
		nft_rule_match_not_source(&rule, it->family, bits, layout_own_set(it->family));
		nft_rule_match_not_source(&rule, it->family, bits, layout_allow_set(it->family));
	}
	if (it->counts)
		nft_rule_match_over(&rule, it->family, it->prefix_len, it->counts, it->over);
	if (it->notes)
		nft_rule_note_protocol(&rule, it->notes);
	if (it->ct_new && it->counts)
		nft_rule_match_ct_new(&rule);
	if (it->ct_events)
		nft_rule_ct_events(&rule, it->ct_events);
	encode_notice(&rule, it);
	encode_memory(&rule, it);
	encode_verdict(&rule, it);
	nft_rule_end(&rule);
}

void nft_layout_encode_set_rules(const struct layout *layout, struct nft_batch *batch, size_t index)
{
	layout_each_set_rule(layout, index, encode_rule, &(struct rules){.batch = batch});
}

void nft_layout_encode_rules(const struct layout *layout, struct nft_batch *batch)
{
	struct rules rules = {.batch = batch};
	if (!layout_each_rule(layout, encode_rule, &rules))
		batch->failed = true;
}
