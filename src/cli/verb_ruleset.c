/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard ruleset: what a policy would install, as nft reads and prints it. Touches nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "cli.h"
#include "layout/layout.h"

enum { RULESET_POLICY };

/* What the daemon makes of max-bans: room for twice as many, and no less than this. */
#define SET_SIZE_LEAST 262144u

static const char *const families[] = {[TG_IPV4] = "ip", [TG_IPV6] = "ip6"};
static const char *const types[] = {
	[TG_IPV4] = "ipv4_addr", [TG_IPV6] = "ipv6_addr", [LAYOUT_NO_FAMILY] = "inet_proto"};

static void print_elements(const struct tg_prefix_set *set, enum tg_family family)
{
	size_t count;
	const struct tg_protected_prefix *members = tg_prefix_set_members(set, family, &count);
	char text[TG_PREFIX_STRLEN];
	if (count == 0)
		return;
	(void)printf("\t\telements = { ");
	for (size_t i = 0; i < count; i++) {
		tg_prefix_format(&members[i].prefix, text);
		/* nft takes /0 for nothing. */
		if (members[i].prefix.len == 0)
			(void)snprintf(text, sizeof(text), "%s",
				       family == TG_IPV4
					       ? "0.0.0.0-255.255.255.255"
					       : "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
		else if (members[i].prefix.len == tg_family_bits(family))
			*strchr(text, '/') = '\0';
		(void)printf("%s%s", i ? ",\n\t\t\t     " : "", text);
	}
	(void)printf(" }\n");
}

static void print_address_set(const char *name, enum tg_family family,
			      const struct tg_prefix_set *set)
{
	/* Neighbours are one interval, as the daemon has them. */
	(void)printf("\tset %s {\n\t\ttype %s\n\t\tflags interval\n\t\tauto-merge\n", name,
		     types[family]);
	print_elements(set, family);
	(void)printf("\t}\n\n");
}

static void print_set(const struct layout *layout, const struct layout_set *set)
{
	(void)printf("\tset %s {\n\t\ttype %s\n\t\tsize %" PRIu32
		     "\n\t\tflags timeout\n\t\ttimeout %dm\n\t}\n\n",
		     set->name, types[set->family], layout->set_size, LAYOUT_TIMEOUT_MS / 60000);
	if (!set->counts[0])
		return;
	(void)printf("\tset %s {\n\t\ttype %s\n\t\tsize %" PRIu32 "\n\t\tflags dynamic",
		     set->counts, types[set->family], layout->set_size);
	if (layout_counts_expire(set))
		(void)printf(",timeout\n\t\ttimeout %ds", LAYOUT_PROXIED_MS / 1000);
	(void)printf("\n\t}\n\n");
}

static bool print_near_sets(const struct layout *layout)
{
	struct layout_near near;
	size_t at = 0;
	while (layout_next_near(layout, &at, &near)) {
		struct tg_prefix_set *set = layout_near_create(layout, &near);
		if (!set)
			return false;
		print_address_set(near.name, near.family, set);
		tg_prefix_set_destroy(set);
	}
	return true;
}

static void print_dynamic_set(const char *name, const char *type, uint32_t size, unsigned ms)
{
	(void)printf("\tset %s {\n\t\ttype %s\n\t\tsize %" PRIu32
		     "\n\t\tflags dynamic,timeout\n\t\ttimeout %us\n\t}\n\n",
		     name, type, size, ms / 1000);
}

static void print_retry_sets(const struct layout *layout)
{
	char name[LAYOUT_NAME_MAX], type[64];
	for (uint16_t i = 0; i < layout->config->policy_count; i++) {
		for (enum tg_family f = 0; f < TG_FAMILY_COUNT && layout_has_fuses(layout, i);
		     f++) {
			layout_retry_name(layout, i, f, name);
			(void)snprintf(type, sizeof(type), "%s . inet_service . %s . inet_service",
				       types[f], types[f]);
			print_dynamic_set(name, type, LAYOUT_RETRY_SIZE, LAYOUT_RETRY_MS);
		}
	}
}

static void print_fuse_sets(const struct layout_fuse *fuse)
{
	print_dynamic_set(fuse->meter, types[fuse->family], LAYOUT_METER_SIZE, LAYOUT_METER_MS);
	print_dynamic_set(fuse->fused, types[fuse->family], LAYOUT_METER_SIZE, LAYOUT_FUSED_MS);
	print_dynamic_set(fuse->spill, "mark", LAYOUT_SPILL_BUCKETS, LAYOUT_METER_MS);
}

/* Neighbours are one range, as the daemon has them. */
static void print_ports(const struct tg_policy *policy)
{
	const bool one = policy->port_count == 1 && policy->ports[0].first == policy->ports[0].last;
	(void)printf("tcp dport %s", one ? "" : "{ ");
	for (size_t i = 0, next; i < policy->port_count; i = next) {
		const uint16_t first = policy->ports[i].first;
		for (next = i + 1; next < policy->port_count &&
				   policy->ports[next].first == policy->ports[next - 1].last + 1;)
			next++;
		(void)printf("%s%u", i ? ", " : "", first);
		if (policy->ports[next - 1].last != first)
			(void)printf("-%u", policy->ports[next - 1].last);
	}
	(void)printf("%s ", one ? "" : " }");
}

/* Does b begin right behind the end of a? */
static bool is_next(const struct tg_prefix *a, const struct tg_prefix *b)
{
	struct tg_addr end = tg_prefix_last(a);
	for (unsigned byte = tg_family_bits(end.family) / 8u; byte-- > 0;)
		if (++end.bytes[byte] != 0)
			return tg_addr_equal(&end, &b->addr);
	return false;
}

/* All of first up to the end of last as one prefix, if it is one. */
static bool joins(const struct tg_prefix *first, const struct tg_prefix *last,
		  struct tg_prefix *ret_all)
{
	const struct tg_addr end = tg_prefix_last(last);
	for (unsigned len = first->len + 1u; len-- > 0;) {
		const struct tg_prefix all = tg_addr_mask(&first->addr, (uint8_t)len);
		const struct tg_addr its_end = tg_prefix_last(&all);
		if (!tg_addr_equal(&all.addr, &first->addr))
			return false;
		if (!tg_addr_equal(&its_end, &end))
			continue;
		*ret_all = all;
		return true;
	}
	return false;
}

static void print_range(const struct tg_prefix *first, const struct tg_prefix *last)
{
	const struct tg_addr end = tg_prefix_last(last);
	struct tg_prefix all;
	char text[TG_PREFIX_STRLEN];
	if (joins(first, last, &all)) {
		tg_prefix_format(&all, text);
		if (all.len == tg_family_bits(all.addr.family))
			*strchr(text, '/') = '\0';
		(void)printf("%s", text);
		return;
	}
	tg_addr_format(&first->addr, text);
	(void)printf("%s-", text);
	tg_addr_format(&end, text);
	(void)printf("%s", text);
}

static void print_destinations(const struct tg_prefix_set *set, enum tg_family family)
{
	size_t count;
	const struct tg_protected_prefix *members = tg_prefix_set_members(set, family, &count);
	(void)printf("%s daddr { ", families[family]);
	for (size_t i = 0, next; i < count; i = next) {
		for (next = i + 1;
		     next < count && is_next(&members[next - 1].prefix, &members[next].prefix);)
			next++;
		(void)printf("%s", i ? ", " : "");
		print_range(&members[i].prefix, &members[next - 1].prefix);
	}
	(void)printf(" } ");
}

/* The key: the source, masked if the set has prefixes. */
static void print_key(enum tg_family family, uint8_t prefix_len)
{
	struct tg_addr ones = {.family = (uint8_t)family};
	char text[TG_PREFIX_STRLEN];
	(void)printf("%s saddr ", families[family]);
	if (prefix_len == tg_family_bits(family))
		return;
	memset(ones.bytes, 0xff, tg_family_bits(family) / 8u);
	const struct tg_prefix mask = tg_addr_mask(&ones, prefix_len);
	tg_prefix_format(&mask, text);
	*strchr(text, '/') = '\0';
	(void)printf("& %s ", text);
}

static void print_events(uint32_t mask)
{
	static const char *const names[] = {"new",   "related", "destroy",
					    "reply", "assured", "protoinfo"};
	bool any = false;
	(void)printf("ct event set ");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(mask & 1u << i))
			continue;
		(void)printf("%s%s", any ? "," : "", names[i]);
		any = true;
	}
	(void)putchar(' ');
}

static void print_verdict(const struct layout_rule *rule)
{
	switch (rule->verdict) {
	case LAYOUT_CONTINUE:
		break;
	case LAYOUT_ACCEPT:
		(void)printf("accept");
		break;
	case LAYOUT_RETURN:
		(void)printf("return");
		break;
	case LAYOUT_VERDICT_DROP:
		(void)printf("drop");
		break;
	case LAYOUT_RESET:
		(void)printf("reject with tcp reset");
		break;
	case LAYOUT_JUMP:
		(void)printf("jump %s", rule->jump);
		break;
	case LAYOUT_NOTRACK:
		(void)printf("notrack");
		break;
	case LAYOUT_ANSWER:
		(void)printf("synproxy mss %u wscale %u%s%s", rule->answer->mss[rule->family],
			     rule->answer->window_scale,
			     rule->answer->timestamps ? " timestamp" : "",
			     rule->answer->sack ? " sack-perm" : "");
		break;
	}
}

static void print_pace(const char *word, const struct layout_pace *pace)
{
	uint64_t count, unit_s;
	layout_pace_units(&pace->rate, &count, &unit_s);
	(void)printf("limit rate %s%" PRIu64 "/%s burst %" PRIu32 " packets ", word, count,
		     unit_s == 1       ? "second"
		     : unit_s == 60    ? "minute"
		     : unit_s == 3600  ? "hour"
		     : unit_s == 86400 ? "day"
				       : "week",
		     pace->burst);
}

static void print_flow(enum tg_family family)
{
	(void)printf("%s saddr . tcp sport . %s daddr . tcp dport ", families[family],
		     families[family]);
}

/* What a fuse's rules match. */
static void print_counting(const struct layout_rule *rule)
{
	if (rule->known) {
		print_flow(rule->family);
		(void)printf("@%s ", rule->known);
	}
	if (rule->not_source) {
		print_key(rule->family, rule->prefix_len);
		(void)printf("!= @%s ", rule->not_source);
	}
	if (rule->pace)
		print_pace("", rule->pace);
	if (rule->meter) {
		(void)printf("update @%s { %s", rule->meter, rule->buckets ? "jhash " : "");
		print_key(rule->family, rule->prefix_len);
		if (rule->buckets)
			(void)printf("mod %" PRIu32 " ", rule->buckets);
		print_pace("over ", rule->meter_over);
		(void)printf("} ");
	}
	if (rule->not_near)
		(void)printf("%s saddr != @%s ", families[rule->family], rule->not_near);
}

/* And whom they tell. */
static void print_notice(const struct layout_rule *rule)
{
	if (rule->log)
		(void)printf("log prefix \"%s\" group %d ", rule->log, LAYOUT_LOG_GROUP);
	if (rule->adds) {
		(void)printf("add @%s { ", rule->adds);
		print_key(rule->family, rule->prefix_len);
		print_pace("over ", rule->adds_over);
		(void)printf("} ");
	}
	if (rule->knows) {
		(void)printf("add @%s { ", rule->knows);
		print_flow(rule->family);
		print_pace("", &layout_retry_pace);
		(void)printf("} ");
	}
}

/* The rules of one chain stand together in the text. */
static void print_rule(void *data, const struct layout_rule *rule)
{
	if (strcmp(rule->chain, data) != 0)
		return;
	(void)printf("\t\t");
	if (rule->outside)
		(void)printf("iif != lo ");
	if (rule->tcp)
		(void)printf("meta l4proto tcp ");
	if (rule->ct_new && !rule->counts)
		(void)printf("ct state new ");
	if (rule->syn)
		(void)printf("tcp flags & (fin | syn | rst | ack) == syn ");
	if (rule->ack)
		(void)printf("tcp flags & (syn | rst | ack) == ack ");
	if (rule->ports && rule->ports->port_count > 0)
		print_ports(rule->ports);
	if (rule->destinations)
		print_destinations(rule->destinations, rule->family);
	if (rule->ct_original)
		(void)printf("ct direction original ");
	if (rule->ct_stray)
		(void)printf("ct state invalid,untracked ");
	if (rule->ct_looks)
		(void)printf("ct state ! untracked ");
	if (rule->ct_untracked)
		(void)printf("ct state untracked ");
	if (rule->source && rule->prefix_len == TG_TOTAL_LEN) {
		(void)printf("meta nfproto %s meta l4proto @%s ",
			     rule->family == TG_IPV4 ? "ipv4" : "ipv6", rule->source);
	} else if (rule->source) {
		print_key(rule->family, rule->prefix_len);
		(void)printf("@%s ", rule->source);
	}
	print_counting(rule);
	if (rule->spared)
		(void)printf("%s saddr != @%s %s saddr != @%s ", families[rule->family],
			     layout_own_set(rule->family), families[rule->family],
			     layout_allow_set(rule->family));
	if (rule->counts) {
		(void)printf("add @%s { ", rule->counts);
		print_key(rule->family, rule->prefix_len);
		(void)printf("ct count over %u } ", rule->over);
	}
	if (rule->notes)
		(void)printf("update @%s { meta l4proto } ", rule->notes);
	if (rule->ct_new && rule->counts)
		(void)printf("ct state new ");
	if (rule->ct_events)
		print_events(rule->ct_events);
	print_notice(rule);
	print_verdict(rule);
	(void)putchar('\n');
}

struct printing {
	const struct layout *layout;
	bool complete;
};

static void print_chain(void *data, const struct layout_chain *chain)
{
	struct printing *printing = data;
	const struct tg_config *config = printing->layout->config;
	(void)printf("\tchain %s {\n", chain->name);
	static const char *const hooks[] = {[LAYOUT_PREROUTING] = "prerouting",
					    [LAYOUT_INPUT] = "input",
					    [LAYOUT_FORWARD] = "forward"};
	if (chain->hook == LAYOUT_INGRESS) {
		(void)printf("\t\ttype filter hook ingress devices = { ");
		for (size_t i = 0; i < config->ingress_count; i++)
			(void)printf("%s%s", i ? ", " : "", config->ingress[i]);
		(void)printf(" } priority %d; policy accept;\n", chain->priority);
	} else if (chain->hook != LAYOUT_NO_HOOK) {
		(void)printf("\t\ttype filter hook %s priority %d; policy accept;\n",
			     hooks[chain->hook], chain->priority);
	}
	if (!layout_each_rule(printing->layout, print_rule, (void *)chain->name))
		printing->complete = false;
	(void)printf("\t}\n\n");
}

static struct tg_prefix_set *allowed(const struct tg_config *config)
{
	struct tg_protected_prefix *list = calloc(config->allow_count + 1, sizeof(*list));
	for (size_t i = 0; list && i < config->allow_count; i++)
		list[i] = (struct tg_protected_prefix){.prefix = config->allow[i],
						       .kind = TG_PROTECT_ALLOWED};
	struct tg_prefix_set *set = list ? tg_prefix_set_create(list, config->allow_count) : NULL;
	free(list);
	return set;
}

static bool print_table(const struct tg_config *config, const struct tg_prefix_set *allow)
{
	size_t count;
	struct layout layout;
	const struct tg_protected_prefix *always = tg_protect_always(&count);
	struct tg_prefix_set *protected = tg_prefix_set_create(always, count);
	if (!protected || layout_init(&layout, config, protected, allow,
				      MAX(SET_SIZE_LEAST, 2 * config->max_bans)) < 0) {
		tg_prefix_set_destroy(protected);
		return false;
	}
	struct printing printing = {.layout = &layout, .complete = true};
	(void)printf(
		"# The daemon adds the addresses, gateways and resolvers of its host to own4 and "
		"own6.\ntable inet " LAYOUT_TABLE " {\n");
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		print_address_set(layout_own_set(family), family, protected);
		print_address_set(layout_allow_set(family), family, allow);
	}
	if (!print_near_sets(&layout))
		printing.complete = false;
	for (size_t i = 0; i < layout.count; i++)
		print_set(&layout, &layout.sets[i]);
	print_retry_sets(&layout);
	for (size_t i = 0; i < layout.fuse_count; i++)
		print_fuse_sets(&layout.fuses[i]);
	layout_each_chain(&layout, print_chain, &printing);
	(void)printf("}\n");
	layout_finish(&layout);
	tg_prefix_set_destroy(protected);
	return printing.complete;
}

static int run_ruleset(const struct cli *cli, const struct cli_args *args)
{
	struct tg_diag diag;
	const char *path =
		args->values[RULESET_POLICY] ? args->values[RULESET_POLICY] : cli->config;
	tg_diag_init(&diag);
	struct tg_config *config = tg_config_load(path, NULL, &diag);
	int status = CLI_OK;
	if (!config) {
		cli_print_errors(&diag);
		status = CLI_USAGE;
	} else {
		struct tg_prefix_set *allow = allowed(config);
		if (!allow || !print_table(config, allow)) {
			cli_complain("out of memory");
			status = CLI_USAGE;
		}
		tg_prefix_set_destroy(allow);
	}
	tg_config_destroy(config);
	tg_diag_finish(&diag);
	return status;
}

const struct cli_verb verb_ruleset = {
	.name = "ruleset",
	.operands = "",
	.summary = "Print what a policy would install, as nft text; changes nothing",
	.options = {[RULESET_POLICY] = {"policy", "FILE",
					"the policy, in the place of the installed one"}},
	.run = run_ruleset,
};
