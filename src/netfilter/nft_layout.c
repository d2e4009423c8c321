/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what the table looks like: which sets a config needs, what they are called,
 * and which rules read them in which order. The allow and the protected addresses
 * stand ahead of every drop.
 */
#include "netfilter/nft_layout.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_encode.h"

#define TABLE NFT_LAYOUT_TABLE
#define PRIORITY_PRE (-300)   /* before conntrack (-200): what is dropped costs nothing there */
#define PRIORITY_TRACK (-150) /* after it */
#define CHAIN_PREFIX "policy-"

/* Bits of enum ip_conntrack_events, which the kernel's headers keep to the kernel. */
#define EVENT_NEW (1u << 0)
#define EVENT_DESTROY (1u << 2)
#define EVENT_REPLY (1u << 3)
#define EVENT_ASSURED (1u << 4)
#define EVENT_PROTOINFO (1u << 5)

static const char *const own_names[] = {[TG_IPV4] = "own4", [TG_IPV6] = "own6"};
static const char *const allow_names[] = {[TG_IPV4] = "allow4", [TG_IPV6] = "allow6"};
static const char *const base_chains[] = {"pre", "track"};

static const char *owner_name(const struct nft_layout *layout, uint16_t policy)
{
	return policy == TG_NO_INDEX ? TG_NAME_HAND : layout->config->policies[policy].name;
}

static void chain_name(const struct nft_layout *layout, uint16_t policy,
		       char name[static NFT_LAYOUT_NAME_MAX])
{
	(void)snprintf(name, NFT_LAYOUT_NAME_MAX, "%s%s", policy == TG_NO_INDEX ? "" : CHAIN_PREFIX,
		       owner_name(layout, policy));
}

/* 0 also when it is there already. */
static int layout_add(struct nft_layout *layout, uint16_t policy, enum tg_scope scope,
		      enum tg_family family, uint8_t prefix_len, size_t from, size_t *ret_index)
{
	for (size_t i = from; i < layout->count; i++) {
		const struct nft_ban_set *set = &layout->sets[i];
		if (set->policy == policy && set->scope == scope && set->family == family &&
		    set->prefix_len == prefix_len) {
			*ret_index = i;
			return 0;
		}
	}
	if (layout->count == layout->capacity) {
		size_t capacity = layout->capacity ? 2 * layout->capacity : 16;
		struct nft_ban_set *sets = reallocarray(layout->sets, capacity, sizeof(*sets));
		if (!sets)
			return -ENOMEM;
		layout->sets = sets;
		layout->capacity = capacity;
	}
	struct nft_ban_set *set = &layout->sets[layout->count];
	*set = (struct nft_ban_set){.policy = policy,
				    .scope = (uint8_t)scope,
				    .family = (uint8_t)family,
				    .prefix_len = prefix_len};
	(void)snprintf(set->name, sizeof(set->name), "%s-%s-ip%c-%u", owner_name(layout, policy),
		       tg_scope_name(scope), family == TG_IPV4 ? '4' : '6', prefix_len);
	*ret_index = layout->count++;
	return 0;
}

static int layout_add_limit(struct nft_layout *layout, uint16_t policy,
			    const struct tg_limit *limit, size_t from)
{
	for (enum tg_scope scope = 0; scope < TG_SCOPE_COUNT; scope++) {
		if (limit->total || !tg_limit_uses_scope(limit, scope))
			continue;
		for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
			size_t ignored;
			int err = layout_add(layout, policy, scope, family,
					     limit->prefix_len[family], from, &ignored);
			if (err < 0)
				return err;
		}
	}
	return 0;
}

static int layout_add_policy(struct nft_layout *layout, uint16_t index)
{
	const struct tg_policy *policy = &layout->config->policies[index];
	const size_t from = layout->count;
	if (strcmp(policy->name, TG_NAME_HAND) == 0 || strlen(policy->name) > TG_NAME_MAX)
		return -EINVAL;
	/* Also for limits that only observe: a change of mode then changes no rule. */
	for (size_t i = 0; i < policy->limit_count; i++) {
		int err = layout_add_limit(layout, index, &policy->limits[i], from);
		if (err < 0)
			return err;
	}
	return 0;
}

int nft_layout_init(struct nft_layout *layout, const struct tg_config *config,
		    const struct tg_prefix_set *protected_set, const struct tg_prefix_set *allow,
		    uint32_t set_size)
{
	struct nft_layout fresh = {.config = config,
				   .protected_set = protected_set,
				   .allow = allow,
				   .set_size = set_size ? set_size : NFT_LAYOUT_SET_SIZE};
	for (size_t i = 0; i < config->policy_count; i++) {
		int err = layout_add_policy(&fresh, (uint16_t)i);
		if (err < 0) {
			nft_layout_finish(&fresh);
			return err;
		}
	}
	*layout = fresh;
	return 0;
}

void nft_layout_finish(struct nft_layout *layout)
{
	free(layout->sets);
	*layout = (struct nft_layout){0};
}

/*
 * Can there be such bans? By hand all but those of ports, of which the hand knows none. Of a
 * policy those of its limits, and single addresses out of a wider prefix: a network that holds a
 * protected address is not held responsible as a whole.
 */
static bool layout_admits(const struct nft_layout *layout, uint16_t policy, enum tg_scope scope,
			  enum tg_family family, uint8_t prefix_len)
{
	if (policy == TG_NO_INDEX)
		return scope != TG_SCOPE_PORTS;
	const struct tg_policy *p = &layout->config->policies[policy];
	for (size_t i = 0; i < p->limit_count; i++)
		if (!p->limits[i].total && tg_limit_uses_scope(&p->limits[i], scope) &&
		    (p->limits[i].prefix_len[family] == prefix_len ||
		     prefix_len == tg_family_bits(family)))
			return true;
	return false;
}

int nft_layout_find(struct nft_layout *layout, const struct tg_ban *ban, size_t *ret_index)
{
	const enum tg_family family = (enum tg_family)ban->source.addr.family;
	if (!layout_admits(layout, ban->policy, ban->scope, family, ban->source.len))
		return -ENOENT;
	return layout_add(layout, ban->policy, ban->scope, family, ban->source.len, 0, ret_index);
}

/* Cuts "-WORD" from the end of name and says where WORD begins; NULL if there is none. */
static const char *cut_last(char *name)
{
	char *dash = strrchr(name, '-');
	if (!dash || dash == name)
		return NULL;
	*dash = '\0';
	return dash + 1;
}

bool nft_layout_parse_name(const char *name, char ret_policy[static TG_NAME_MAX + 1],
			   struct nft_ban_set *ret_set)
{
	struct nft_ban_set set = {.policy = TG_NO_INDEX, .scope = TG_SCOPE_COUNT};
	char rest[NFT_LAYOUT_NAME_MAX], canonical[NFT_LAYOUT_NAME_MAX + 32];
	if (strlen(name) >= sizeof(rest))
		return false;
	(void)snprintf(rest, sizeof(rest), "%s", name);
	const char *len = cut_last(rest), *family = len ? cut_last(rest) : NULL;
	const char *scope = family ? cut_last(rest) : NULL;
	if (!scope || strlen(rest) > TG_NAME_MAX)
		return false;
	for (enum tg_scope s = 0; s < TG_SCOPE_COUNT; s++) {
		if (strcmp(scope, tg_scope_name(s)) == 0)
			set.scope = (uint8_t)s;
	}
	set.family = strcmp(family, "ip6") == 0 ? TG_IPV6 : TG_IPV4;
	const unsigned long prefix_len = strtoul(len, NULL, 10);
	if (set.scope == TG_SCOPE_COUNT || prefix_len > tg_family_bits(set.family))
		return false;
	set.prefix_len = (uint8_t)prefix_len;
	/* Whatever was read too generously above does not come out the same again. */
	(void)snprintf(canonical, sizeof(canonical), "%s-%s-ip%c-%u", rest,
		       tg_scope_name(set.scope), set.family == TG_IPV4 ? '4' : '6', set.prefix_len);
	if (strcmp(canonical, name) != 0)
		return false;
	memcpy(set.name, canonical, sizeof(set.name));
	(void)snprintf(ret_policy, TG_NAME_MAX + 1, "%s",
		       strcmp(rest, TG_NAME_HAND) == 0 ? "" : rest);
	*ret_set = set;
	return true;
}

int nft_layout_find_name(struct nft_layout *layout, const char *name, size_t *ret_index)
{
	char policy[TG_NAME_MAX + 1];
	struct nft_ban_set set;
	if (!nft_layout_parse_name(name, policy, &set))
		return -ENOENT;
	for (uint16_t i = 0; policy[0] && i < layout->config->policy_count; i++)
		if (strcmp(layout->config->policies[i].name, policy) == 0)
			set.policy = i;
	if ((policy[0] && set.policy == TG_NO_INDEX) ||
	    !layout_admits(layout, set.policy, set.scope, set.family, set.prefix_len))
		return -ENOENT;
	return layout_add(layout, set.policy, set.scope, set.family, set.prefix_len, 0, ret_index);
}

bool nft_layout_is_base_chain(const char *name)
{
	return strcmp(name, base_chains[0]) == 0 || strcmp(name, base_chains[1]) == 0;
}

bool nft_layout_has_chain(const struct nft_layout *layout, const char *name)
{
	if (nft_layout_is_base_chain(name) || strcmp(name, TG_NAME_HAND) == 0)
		return true;
	for (size_t i = 0; i < layout->config->policy_count; i++) {
		char chain[NFT_LAYOUT_NAME_MAX];
		chain_name(layout, (uint16_t)i, chain);
		if (strcmp(chain, name) == 0)
			return true;
	}
	return false;
}

bool nft_layout_is_address_set(const char *name, enum tg_family *ret_family)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		if (strcmp(name, own_names[family]) == 0 ||
		    strcmp(name, allow_names[family]) == 0) {
			*ret_family = family;
			return true;
		}
	}
	return false;
}

void nft_layout_encode_chains(const struct nft_layout *layout, struct nft_batch *batch)
{
	char name[NFT_LAYOUT_NAME_MAX];
	nft_encode_chain(batch, TABLE, TG_NAME_HAND, false, 0);
	for (size_t i = 0; i < layout->config->policy_count; i++) {
		chain_name(layout, (uint16_t)i, name);
		nft_encode_chain(batch, TABLE, name, false, 0);
	}
	nft_encode_chain(batch, TABLE, base_chains[0], true, PRIORITY_PRE);
	nft_encode_chain(batch, TABLE, base_chains[1], true, PRIORITY_TRACK);
}

static uint32_t family_type(enum tg_family family)
{
	return family == TG_IPV4 ? NFT_ENCODE_TYPE_IPV4 : NFT_ENCODE_TYPE_IPV6;
}

void nft_layout_encode_address_sets(const struct nft_layout *layout, struct nft_batch *batch)
{
	(void)layout; /* the same in every table */
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		struct nft_set_spec spec = {.name = own_names[family],
					    .key_type = family_type(family),
					    .key_len = tg_family_bits(family) / 8u,
					    .flags = NFT_SET_INTERVAL};
		nft_encode_set(batch, TABLE, &spec);
		spec.name = allow_names[family];
		nft_encode_set(batch, TABLE, &spec);
	}
}

void nft_layout_encode_ban_set(const struct nft_layout *layout, struct nft_batch *batch,
			       size_t index)
{
	const struct nft_ban_set *set = &layout->sets[index];
	const struct nft_set_spec spec = {.name = set->name,
					  .key_type = family_type(set->family),
					  .key_len = tg_family_bits(set->family) / 8u,
					  .flags = NFT_SET_TIMEOUT,
					  .size = layout->set_size,
					  .timeout_ms = NFT_LAYOUT_TIMEOUT_MS};
	nft_encode_set(batch, TABLE, &spec);
}

void nft_layout_encode_ban_rule(const struct nft_layout *layout, struct nft_batch *batch,
				size_t index)
{
	const struct nft_ban_set *set = &layout->sets[index];
	struct nft_rule rule;
	char chain[NFT_LAYOUT_NAME_MAX];
	chain_name(layout, set->policy, chain);
	nft_rule_begin(&rule, batch, TABLE, chain);
	if (set->scope == TG_SCOPE_NEW) {
		nft_rule_match_tcp(&rule);
		nft_rule_match_syn(&rule);
	}
	nft_rule_match_source(&rule, set->family, set->prefix_len, set->name);
	nft_rule_verdict(&rule, NF_DROP, NULL);
	nft_rule_end(&rule);
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

void nft_layout_encode_protected(const struct nft_layout *layout, struct nft_batch *batch)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		nft_encode_flush_set(batch, TABLE, own_names[family]);
		encode_members(batch, own_names[family], 0, layout->protected_set, family);
	}
}

void nft_layout_encode_allow(const struct nft_layout *layout, struct nft_batch *batch)
{
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		nft_encode_flush_set(batch, TABLE, allow_names[family]);
		encode_members(batch, allow_names[family], 0, layout->allow, family);
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

/* The policy's own addresses as a set; NULL when memory runs out. */
static struct tg_prefix_set *destinations_create(const struct tg_policy *policy)
{
	struct tg_protected_prefix *list = calloc(policy->address_count + 1, sizeof(*list));
	if (!list)
		return NULL;
	for (size_t i = 0; i < policy->address_count; i++)
		list[i].prefix = policy->addresses[i];
	struct tg_prefix_set *set = tg_prefix_set_create(list, policy->address_count);
	free(list);
	return set;
}

/* The way from pre into a policy's chain; family: of the destinations, or COUNT for all. */
static void encode_jump(const struct nft_layout *layout, struct nft_batch *batch, uint16_t index,
			const struct tg_prefix_set *destinations, enum tg_family family,
			uint32_t *set_id)
{
	const struct tg_policy *policy = &layout->config->policies[index];
	const bool one_port =
		policy->port_count == 1 && policy->ports[0].first == policy->ports[0].last;
	uint32_t port_id = 0, address_id = 0;
	char chain[NFT_LAYOUT_NAME_MAX];
	struct nft_rule rule;

	if (policy->port_count > 0 && !one_port)
		encode_port_set(batch, policy, port_id = ++*set_id);
	if (family != TG_FAMILY_COUNT) {
		address_id = ++*set_id;
		encode_anonymous(batch, family_type(family), tg_family_bits(family) / 8u,
				 address_id);
		encode_members(batch, ANONYMOUS, address_id, destinations, family);
	}
	chain_name(layout, index, chain);
	nft_rule_begin(&rule, batch, TABLE, base_chains[0]);
	nft_rule_match_tcp(&rule);
	if (one_port)
		nft_rule_match_port(&rule, policy->ports[0].first);
	else if (port_id)
		nft_rule_match_port_set(&rule, ANONYMOUS, port_id);
	if (address_id)
		nft_rule_match_destination(&rule, family, ANONYMOUS, address_id);
	/* Not goto: the packet may concern the next policy, too. */
	nft_rule_verdict(&rule, NFT_JUMP, chain);
	nft_rule_end(&rule);
}

static void encode_jumps(const struct nft_layout *layout, struct nft_batch *batch, uint16_t index,
			 uint32_t *set_id)
{
	const struct tg_policy *policy = &layout->config->policies[index];
	if (policy->address_count == 0) {
		encode_jump(layout, batch, index, NULL, TG_FAMILY_COUNT, set_id);
		return;
	}
	struct tg_prefix_set *destinations = destinations_create(policy);
	if (!destinations) {
		batch->failed = true;
		return;
	}
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		size_t count;
		(void)tg_prefix_set_members(destinations, family, &count);
		if (count > 0)
			encode_jump(layout, batch, index, destinations, family, set_id);
	}
	tg_prefix_set_destroy(destinations);
}

static void encode_accepts(struct nft_batch *batch)
{
	struct nft_rule rule;
	nft_rule_begin(&rule, batch, TABLE, base_chains[0]);
	nft_rule_match_loopback(&rule);
	nft_rule_verdict(&rule, NF_ACCEPT, NULL);
	nft_rule_end(&rule);
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		const char *const names[] = {own_names[family], allow_names[family]};
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			nft_rule_begin(&rule, batch, TABLE, base_chains[0]);
			nft_rule_match_source(&rule, family, tg_family_bits(family), names[i]);
			nft_rule_verdict(&rule, NF_ACCEPT, NULL);
			nft_rule_end(&rule);
		}
	}
}

/*
 * Without a ct expression somewhere, conntrack is idle and there are no events at all. The mask
 * keeps to what the limits need, because every event costs: NEW, SYN_RECV (with REPLY), ESTABLISHED
 * (with ASSURED) and DESTROY; how a connection closes only when a limit needs it.
 */
static void encode_track(const struct nft_layout *layout, struct nft_batch *batch)
{
	uint32_t mask = EVENT_NEW | EVENT_REPLY | EVENT_ASSURED | EVENT_DESTROY;
	if (tg_config_follows_closing(layout->config))
		mask |= EVENT_PROTOINFO;
	struct nft_rule rule;
	nft_rule_begin(&rule, batch, TABLE, base_chains[1]);
	nft_rule_match_tcp(&rule);
	nft_rule_match_ct_new(&rule);
	nft_rule_ct_events(&rule, mask);
	nft_rule_end(&rule);
}

void nft_layout_encode_rules(const struct nft_layout *layout, struct nft_batch *batch)
{
	uint32_t set_id = 0;
	struct nft_rule rule;
	encode_accepts(batch);
	nft_rule_begin(&rule, batch, TABLE, base_chains[0]);
	nft_rule_verdict(&rule, NFT_JUMP, TG_NAME_HAND);
	nft_rule_end(&rule);
	for (size_t i = 0; i < layout->config->policy_count; i++)
		encode_jumps(layout, batch, (uint16_t)i, &set_id);
	for (size_t i = 0; i < layout->count; i++)
		nft_layout_encode_ban_rule(layout, batch, i);
	encode_track(layout, batch);
}
