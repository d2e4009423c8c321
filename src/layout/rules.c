/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns chains and rules: which packets meet which sets, in which order. Every rule that holds
 * somebody back spares the protected and the allowed addresses itself: they are looked up for who
 * is in a set of bans, and cost the traffic of all others nothing. Drops stand before conntrack;
 * behind it only what needs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "layout/layout.h"

#define CHAIN_PREFIX "policy-"
#define LATE_PREFIX "late-"
#define BUDGET_PREFIX "budget-"
#define FUSE_PREFIX "fuse-"
#define ANSWER_PREFIX "answer-"

static const char pre[] = "pre", track[] = "track", ingress[] = "ingress";

/* SYNPROXY's: where SYNs are answered, and where the answers to that come back. */
static const struct {
	const char *name;
	enum layout_hook hook;
	int priority;
} proxy_chains[] = {
	{"proof_in", LAYOUT_INPUT, LAYOUT_PROOF},
	{"proof_forward", LAYOUT_FORWARD, LAYOUT_PROOF},
	{"answer_in", LAYOUT_INPUT, LAYOUT_ANSWERS},
	{"answer_forward", LAYOUT_FORWARD, LAYOUT_ANSWERS},
};

/* Bits of enum ip_conntrack_events, which the kernel's headers keep to the kernel. */
#define EVENT_NEW (1u << 0)
#define EVENT_DESTROY (1u << 2)
#define EVENT_REPLY (1u << 3)
#define EVENT_ASSURED (1u << 4)
#define EVENT_PROTOINFO (1u << 5)

/* Below it no kernel takes the port of a connection of its own, whatever ip_local_port_range says.
 */
#define EPHEMERAL_FIRST 1024

static void chain_name(const struct layout *layout, uint16_t policy, const char *prefix,
		       char name[static LAYOUT_NAME_MAX])
{
	(void)snprintf(name, LAYOUT_NAME_MAX, "%s%s", prefix,
		       layout->config->policies[policy].name);
}

/*
 * Replies to this host's own connections come to ports that the policy may be about: every port,
 * or a range of them. A single port is a service's, and no connection of our own has it.
 */
static bool may_hold_replies(const struct tg_policy *policy)
{
	for (size_t i = 0; i < policy->port_count; i++)
		if (policy->ports[i].last != policy->ports[i].first &&
		    policy->ports[i].last >= EPHEMERAL_FIRST)
			return true;
	return policy->port_count == 0;
}

/* Must what the set holds back be told from replies to our own connections, by conntrack? */
static bool spares_replies(const struct layout *layout, const struct layout_set *set)
{
	return set->scope == TG_SCOPE_PORTS && set->policy != TG_NO_INDEX &&
	       may_hold_replies(&layout->config->policies[set->policy]);
}

/* What is no ban of a source: the policy's chain leads to it. */
static bool is_of_state(const struct layout_set *set)
{
	return set->form == LAYOUT_BUDGET || set->form == LAYOUT_SYNPROXY ||
	       set->form == LAYOUT_VERIFIED;
}

static bool is_late(const struct layout *layout, const struct layout_set *set)
{
	if (is_of_state(set))
		return false;
	return set->form == LAYOUT_CAP || spares_replies(layout, set);
}

static bool has_late(const struct layout *layout, uint16_t policy)
{
	for (size_t i = 0; i < layout->count; i++)
		if (layout->sets[i].policy == policy && is_late(layout, &layout->sets[i]))
			return true;
	return false;
}

/* Chains of policies are there before they have rules: a set that comes later finds them. */
static bool wants_late(const struct layout *layout, uint16_t policy)
{
	return has_late(layout, policy) || may_hold_replies(&layout->config->policies[policy]);
}

static bool wants_budget(const struct layout *layout, uint16_t policy)
{
	for (size_t i = 0; i < layout->count; i++)
		if (layout->sets[i].policy == policy && is_of_state(&layout->sets[i]))
			return true;
	return false;
}

static bool wants_proxy(const struct layout *layout, uint16_t policy)
{
	return !layout->no_synproxy && tg_policy_has_synproxy(&layout->config->policies[policy]);
}

static bool has_ingress(const struct layout *layout)
{
	return layout->config->ingress_count > 0 && !layout->no_ingress;
}

bool layout_is_base_chain(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(proxy_chains); i++)
		if (strcmp(name, proxy_chains[i].name) == 0)
			return true;
	return strcmp(name, pre) == 0 || strcmp(name, track) == 0 || strcmp(name, ingress) == 0;
}

bool layout_is_ingress_chain(const char *name)
{
	return strcmp(name, ingress) == 0;
}

struct search {
	const char *name;
	bool found;
};

static void compare_chain(void *data, const struct layout_chain *chain)
{
	struct search *search = data;
	search->found = search->found || strcmp(search->name, chain->name) == 0;
}

bool layout_has_chain(const struct layout *layout, const char *name)
{
	struct search search = {.name = name};
	layout_each_chain(layout, compare_chain, &search);
	return search.found;
}

void layout_each_chain(const struct layout *layout,
		       void (*chain)(void *data, const struct layout_chain *chain), void *data)
{
	char name[LAYOUT_NAME_MAX];
	struct layout_chain it = {.name = name};
	bool proxies = false;
	for (uint16_t i = 0; i < layout->config->policy_count; i++) {
		chain_name(layout, i, CHAIN_PREFIX, name);
		chain(data, &it);
		if (wants_budget(layout, i)) {
			chain_name(layout, i, BUDGET_PREFIX, name);
			chain(data, &it);
		}
		if (layout_has_fuses(layout, i)) {
			chain_name(layout, i, FUSE_PREFIX, name);
			chain(data, &it);
		}
		if (wants_proxy(layout, i)) {
			proxies = true;
			chain_name(layout, i, ANSWER_PREFIX, name);
			chain(data, &it);
		}
		if (!wants_late(layout, i))
			continue;
		chain_name(layout, i, LATE_PREFIX, name);
		chain(data, &it);
	}
	it = (struct layout_chain){.name = pre, .hook = LAYOUT_PREROUTING, .priority = LAYOUT_PRE};
	chain(data, &it);
	it.name = track;
	it.priority = LAYOUT_TRACK;
	chain(data, &it);
	it = (struct layout_chain){.name = ingress, .hook = LAYOUT_INGRESS, .priority = LAYOUT_PRE};
	if (has_ingress(layout))
		chain(data, &it);
	it = (struct layout_chain){.name = LAYOUT_KEEPER};
	if (proxies || layout->keeps_synproxy)
		chain(data, &it);
	for (size_t i = 0; proxies && i < ARRAY_SIZE(proxy_chains); i++) {
		it = (struct layout_chain){.name = proxy_chains[i].name,
					   .hook = proxy_chains[i].hook,
					   .priority = proxy_chains[i].priority};
		chain(data, &it);
	}
}

/* The rule with its source, and its verdict twice if a reset is no answer to all of it. */
static void tell(struct layout_rule it, const struct layout_set *set, layout_rule_fn *rule,
		 void *data)
{
	it.family = (enum tg_family)set->family;
	it.source = set->name;
	it.prefix_len = set->prefix_len;
	it.spared = true;
	it.verdict = LAYOUT_VERDICT_DROP;
	if (set->form != LAYOUT_REJECT) {
		rule(data, &it);
		return;
	}
	struct layout_rule reset = it;
	reset.tcp = true;
	reset.verdict = LAYOUT_RESET;
	/* What is not TCP comes behind; a policy is about TCP alone. */
	const bool both = set->scope == TG_SCOPE_EVERYTHING;
	if (both && it.first)
		rule(data, &it); /* each goes ahead of what was told before */
	rule(data, &reset);
	if (both && !it.first)
		rule(data, &it);
}

/* Whatever it is sent to: not where only the policy's ports come by. */
static bool is_for_all(const struct layout_set *set)
{
	return set->form != LAYOUT_CAP &&
	       (set->policy == TG_NO_INDEX || set->scope == TG_SCOPE_EVERYTHING);
}

/* first: ahead of the rules that are there. */
static void all_rules(const struct layout *layout, const struct layout_set *set, bool first,
		      layout_rule_fn *rule, void *data)
{
	struct layout_rule it = {.chain = pre, .first = first};
	it.tcp = it.syn = set->scope == TG_SCOPE_NEW;
	tell(it, set, rule, data);
	it.chain = ingress;
	if (has_ingress(layout))
		tell(it, set, rule, data);
}

static void early_rules(const struct layout *layout, const struct layout_set *set,
			layout_rule_fn *rule, void *data)
{
	char chain[LAYOUT_NAME_MAX];
	struct layout_rule it = {.chain = chain};
	if (set->form == LAYOUT_CAP || is_of_state(set) || is_for_all(set))
		return;
	it.tcp = it.syn = set->scope == TG_SCOPE_NEW || spares_replies(layout, set);
	chain_name(layout, set->policy, CHAIN_PREFIX, chain);
	tell(it, set, rule, data);
}

static void late_rules(const struct layout *layout, const struct layout_set *set,
		       layout_rule_fn *rule, void *data)
{
	char chain[LAYOUT_NAME_MAX];
	struct layout_rule it = {.chain = chain};
	if (!is_late(layout, set))
		return;
	if (set->policy == TG_NO_INDEX)
		it.chain = track;
	else
		chain_name(layout, set->policy, LATE_PREFIX, chain);
	it.tcp = true;
	if (set->form == LAYOUT_CAP) {
		it.counts = set->counts;
		it.over = set->cap;
		it.ct_new = true;
		tell(it, set, rule, data);
		return;
	}
	/* All but replies: what belongs to no connection has no direction. */
	it.ct_original = true;
	tell(it, set, rule, data);
	it.ct_original = false;
	it.ct_stray = true;
	tell(it, set, rule, data);
}

void layout_each_set_rule(const struct layout *layout, size_t index, layout_rule_fn *rule,
			  void *data)
{
	const struct layout_set *set = &layout->sets[index];
	if (is_for_all(set))
		all_rules(layout, set, true, rule, data);
	early_rules(layout, set, rule, data);
	late_rules(layout, set, rule, data);
}

/* Those of one form. */
static void state_rules(const struct layout *layout, uint16_t policy, enum layout_form form,
			const char *chain, layout_rule_fn *rule, void *data)
{
	const bool drops = form == LAYOUT_BUDGET;
	for (size_t i = 0; i < layout->count; i++) {
		const struct layout_set *set = &layout->sets[i];
		if (set->policy != policy || set->form != form)
			continue;
		struct layout_rule it = {.chain = chain,
					 .source = set->name,
					 .prefix_len = set->prefix_len,
					 .spared = drops, /* who is answered is served */
					 .notes = drops ? NULL : set->counts,
					 .verdict = drops ? LAYOUT_VERDICT_DROP : LAYOUT_NOTRACK};
		for (it.family = 0; it.family < TG_FAMILY_COUNT; it.family++)
			rule(data, &it);
	}
}

/*
 * A budget of SYNs for all who are not known to be real, ahead of conntrack: those who are pass by
 * it, as far as their own rate goes. In a chain of its own, which the policy's rules do not end
 * with: bans of sources that come later stand behind the way here, and count for all.
 */
static void budget_rules(const struct layout *layout, uint16_t policy, layout_rule_fn *rule,
			 void *data)
{
	char chain[LAYOUT_NAME_MAX], budget[LAYOUT_NAME_MAX];
	chain_name(layout, policy, CHAIN_PREFIX, chain);
	chain_name(layout, policy, BUDGET_PREFIX, budget);
	/* SYNPROXY's own SYN to a socket of this host comes by loopback, in the client's name. */
	struct layout_rule it = {.chain = chain,
				 .outside = true,
				 .tcp = true,
				 .syn = true,
				 .verdict = LAYOUT_JUMP,
				 .jump = budget};
	rule(data, &it);
	for (size_t i = 0; i < layout->count; i++) {
		const struct layout_set *set = &layout->sets[i];
		if (set->policy != policy || set->form != LAYOUT_VERIFIED)
			continue;
		it = (struct layout_rule){.chain = budget,
					  .family = (enum tg_family)set->family,
					  .source = set->name,
					  .prefix_len = set->prefix_len,
					  .verdict = LAYOUT_RETURN};
		rule(data, &it);
	}
	/* What the budget drops needs no answer. */
	state_rules(layout, policy, LAYOUT_BUDGET, budget, rule, data);
	if (wants_proxy(layout, policy))
		state_rules(layout, policy, LAYOUT_SYNPROXY, budget, rule, data);
}

/*
 * What SYNPROXY answers, and takes as an answer: only while the state is up, and a moment longer,
 * for those who were answered in the state's last moment.
 */
static void answer_rules(const struct layout *layout, uint16_t policy, layout_rule_fn *rule,
			 void *data)
{
	char chain[LAYOUT_NAME_MAX];
	const struct tg_syn_options options = layout_syn_options(layout, policy);
	chain_name(layout, policy, ANSWER_PREFIX, chain);
	for (size_t i = 0; i < layout->count; i++) {
		const struct layout_set *set = &layout->sets[i];
		if (set->policy != policy || set->form != LAYOUT_SYNPROXY)
			continue;
		struct layout_rule it = {.chain = chain,
					 .source = set->counts,
					 .prefix_len = set->prefix_len,
					 .answer = &options,
					 .verdict = LAYOUT_ANSWER};
		for (it.family = 0; it.family < TG_FAMILY_COUNT; it.family++)
			rule(data, &it);
	}
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

/* The rule for what goes to a policy's ports and addresses. False: out of memory. */
static bool guarded(const struct tg_policy *policy, struct layout_rule it, layout_rule_fn *rule,
		    void *data)
{
	it.tcp = true;
	it.ports = policy;
	if (policy->address_count == 0) {
		rule(data, &it);
		return true;
	}
	struct tg_prefix_set *destinations = destinations_create(policy);
	if (!destinations)
		return false;
	it.destinations = destinations;
	for (it.family = 0; it.family < TG_FAMILY_COUNT; it.family++) {
		size_t count;
		(void)tg_prefix_set_members(destinations, it.family, &count);
		if (count > 0)
			rule(data, &it);
	}
	tg_prefix_set_destroy(destinations);
	return true;
}

/* The way from a base chain into a policy's, for what `it` names already. False: out of memory. */
static bool jumps(const struct layout *layout, struct layout_rule it, uint16_t index,
		  const char *prefix, layout_rule_fn *rule, void *data)
{
	char chain[LAYOUT_NAME_MAX];
	chain_name(layout, index, prefix, chain);
	/* Not goto: the packet may concern the next policy, too. */
	it.verdict = LAYOUT_JUMP;
	it.jump = chain;
	return guarded(&layout->config->policies[index], it, rule, data);
}

static bool entry(const struct layout *layout, const char *chain, layout_rule_fn *rule, void *data)
{
	const struct layout_rule any = {.chain = chain};
	for (size_t i = 0; i < layout->config->policy_count; i++)
		if (!jumps(layout, any, (uint16_t)i, CHAIN_PREFIX, rule, data))
			return false;
	return true;
}

uint32_t layout_events(const struct tg_config *config, size_t policy)
{
	const struct tg_follows follows = tg_config_follows(config, policy);
	/* Every change of state is in the last, the kernel's answer to a SYN, too. */
	return EVENT_NEW | EVENT_DESTROY | EVENT_ASSURED | (follows.answers ? EVENT_REPLY : 0) |
	       (follows.closing ? EVENT_PROTOINFO : 0);
}

/* The ways to SYNPROXY: for SYNs that conntrack was not to look at, and for what comes back. */
static bool proxying(const struct layout *layout, layout_rule_fn *rule, void *data)
{
	static const struct tg_syn_options any = {.mss = {TG_MSS_MIN, TG_MSS_MIN}};
	const struct layout_rule keeper = {
		.chain = LAYOUT_KEEPER, .answer = &any, .verdict = LAYOUT_ANSWER};
	bool proxies = layout->keeps_synproxy;
	for (size_t i = 0; i < layout->config->policy_count; i++) {
		if (!wants_proxy(layout, (uint16_t)i))
			continue;
		proxies = true;
		for (size_t k = 0; k < ARRAY_SIZE(proxy_chains); k++) {
			const bool answers = proxy_chains[k].priority == LAYOUT_ANSWERS;
			const struct layout_rule it = {.chain = proxy_chains[k].name,
						       .syn = answers,
						       .ct_untracked = answers,
						       .ack = !answers,
						       .ct_stray = !answers};
			if (!jumps(layout, it, (uint16_t)i, ANSWER_PREFIX, rule, data))
				return false;
		}
		answer_rules(layout, (uint16_t)i, rule, data);
	}
	if (proxies)
		rule(data, &keeper);
	return true;
}

/*
 * Behind all that may hold a source back, so that only what passes is counted; and from prerouting
 * alone, which every packet comes by once.
 */
static bool fuses(const struct layout *layout, layout_rule_fn *rule, void *data)
{
	char chain[LAYOUT_NAME_MAX];
	/* Not what SYNPROXY answers: it costs as little, and each forged source would be noted. Its
	 * own SYN comes by loopback, for who has shown that it is real. */
	struct layout_rule syns = {.chain = pre, .outside = true, .syn = true};
	for (uint16_t i = 0; i < layout->config->policy_count; i++)
		syns.ct_looks = syns.ct_looks || wants_proxy(layout, i);
	for (uint16_t i = 0; i < layout->config->policy_count; i++) {
		if (!layout_has_fuses(layout, i))
			continue;
		if (!jumps(layout, syns, i, FUSE_PREFIX, rule, data))
			return false;
		chain_name(layout, i, FUSE_PREFIX, chain);
		layout_fuse_rules(layout, i, chain, rule, data);
	}
	return true;
}

/*
 * Without a ct expression somewhere, conntrack is idle and there are no events at all. The masks
 * keep to what the limits need, because every event costs, and leave flows alone that no policy is
 * about: others may listen to them.
 */
static bool tracking(const struct layout *layout, layout_rule_fn *rule, void *data)
{
	const struct tg_config *config = layout->config;
	struct layout_rule events = {.chain = track, .ct_new = true};
	const struct layout_rule late = {.chain = track};
	const bool masks = !config->all_events && config->policy_count > 0;
	for (size_t i = 0; masks && i < config->policy_count; i++) {
		events.ct_events = layout_events(config, i);
		if (!guarded(&config->policies[i], events, rule, data))
			return false;
	}
	events.tcp = true;
	if (!masks)
		rule(data, &events);
	for (size_t i = 0; i < config->policy_count; i++)
		if (wants_late(layout, (uint16_t)i) &&
		    !jumps(layout, late, (uint16_t)i, LATE_PREFIX, rule, data))
			return false;
	return true;
}

bool layout_each_rule(const struct layout *layout, layout_rule_fn *rule, void *data)
{
	for (size_t i = 0; i < layout->count; i++)
		if (is_for_all(&layout->sets[i]))
			all_rules(layout, &layout->sets[i], false, rule, data);
	if (!entry(layout, pre, rule, data))
		return false;
	if (has_ingress(layout) && !entry(layout, ingress, rule, data))
		return false;
	for (size_t i = 0; i < layout->count; i++) {
		early_rules(layout, &layout->sets[i], rule, data);
		late_rules(layout, &layout->sets[i], rule, data);
	}
	for (size_t i = 0; i < layout->config->policy_count; i++)
		if (wants_budget(layout, (uint16_t)i))
			budget_rules(layout, (uint16_t)i, rule, data);
	return fuses(layout, rule, data) && proxying(layout, rule, data) &&
	       tracking(layout, rule, data);
}
