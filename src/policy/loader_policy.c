/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the policies, down to their limits. */
#include "loader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "schema.h"

/* Wider than /8, or than a /16 of IPv6, one source would be a part of the internet. */
#define SOURCE_IPV4_MIN 8
#define SOURCE_IPV6_MIN 16

bool loader_source(const struct yaml_tree_node *node, uint8_t prefix_len[static TG_FAMILY_COUNT])
{
	static const char *const keys[] = {"ipv4", "ipv6"};
	static const uint32_t least[] = {SOURCE_IPV4_MIN, SOURCE_IPV6_MIN};
	const struct yaml_tree_node *found[TG_FAMILY_COUNT];
	if (node->kind == YAML_TREE_SCALAR && strcmp(node->text, "total") == 0) {
		schema_error(node, "'source: total' is for single limits");
		return false;
	}
	if (node->kind != YAML_TREE_MAPPING) {
		schema_error(node, "'source' wants prefix lengths such as {ipv4: 32, ipv6: 64}");
		return false;
	}
	bool good = schema_keys(node, "source", keys, ARRAY_SIZE(keys), found);
	for (size_t i = 0; i < TG_FAMILY_COUNT; i++) {
		uint32_t len = 0;
		if (!found[i])
			continue;
		if (schema_number(found[i], keys[i], least[i], tg_family_bits((enum tg_family)i),
				  &len))
			prefix_len[i] = (uint8_t)len;
		else
			good = false;
	}
	return good;
}

/* Digits up to a stop; 0 is no port and so means a fault. */
static uint32_t port_parse(const char *text, char stop, const char **ret_end)
{
	uint32_t port = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9' && port <= UINT16_MAX; p++)
		port = port * 10 + (uint32_t)(*p - '0');
	*ret_end = p;
	return *p == stop && text[0] != '0' && port <= UINT16_MAX ? port : 0;
}

static bool read_ports_item(const struct yaml_tree_node *node, struct tg_port_range *ret_range)
{
	char quoted[SOURCE_QUOTED];
	if (node->kind != YAML_TREE_SCALAR || yaml_tree_is_null(node)) {
		schema_error(node,
			     "a port such as 443, or ports such as 8000-8010, are wanted here");
		return false;
	}
	const char *dash = strchr(node->text, '-'), *end;
	uint32_t first = port_parse(node->text, dash ? '-' : '\0', &end);
	uint32_t last = dash ? port_parse(dash + 1, '\0', &end) : first;
	source_quote(node->text, quoted);
	if (strspn(node->text, "0123456789:") == strlen(node->text) && strchr(node->text, ':'))
		schema_error(node, "'%s' is not a port; a range is written with '-'", quoted);
	else if (first == 0 || last == 0)
		schema_error(node, "'%s' is not a port from 1 to 65535, or a range of them",
			     quoted);
	else if (first > last)
		schema_error(node, "the range '%s' runs backwards", quoted);
	else
		*ret_range =
			(struct tg_port_range){.first = (uint16_t)first, .last = (uint16_t)last};
	return first > 0 && last >= first;
}

static int range_compare(const void *a, const void *b)
{
	const struct tg_port_range *x = a, *y = b;
	return (int)x->first - (int)y->first;
}

/* Sorted; what overlaps or touches becomes one. */
static size_t join_ranges(struct tg_port_range *ranges, size_t count)
{
	size_t kept = 0;
	qsort(ranges, count, sizeof(*ranges), range_compare);
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && ranges[i].first <= (uint32_t)ranges[kept - 1].last + 1)
			ranges[kept - 1].last = MAX(ranges[kept - 1].last, ranges[i].last);
		else
			ranges[kept++] = ranges[i];
	}
	return kept;
}

/* A list with one to most members; NULL, and an error, otherwise. */
static void *match_array(struct loader *loader, const struct yaml_tree_node *node, const char *what,
			 const char *example, uint32_t most, size_t size)
{
	if (!schema_sequence(node, what, example))
		return NULL;
	if (node->count == 0) {
		schema_error(node, "'%s' is empty; leave it out to match all", what);
		return NULL;
	}
	if (node->count > most) {
		schema_error(node, "'%s' has more than %" PRIu32 " members", what, most);
		return NULL;
	}
	void *array = tg_arena_alloc(loader->arena, node->count, size);
	if (!array)
		loader_memory(loader);
	return array;
}

static void resolve_match(struct loader *loader, const struct yaml_tree_node *node,
			  struct tg_policy *policy)
{
	enum { PORTS, ADDRESSES };
	static const char *const keys[] = {"ports", "addresses"};
	const struct yaml_tree_node *found[ARRAY_SIZE(keys)];
	struct tg_port_range *ports = NULL;
	struct tg_prefix *addresses = NULL;
	(void)schema_keys(node, "match", keys, ARRAY_SIZE(keys), found); /* reported */
	if (found[PORTS])
		ports = match_array(loader, found[PORTS], "ports", "[80, 443, 8000-8010]",
				    TG_PORTS_MAX, sizeof(*ports));
	for (uint32_t i = 0; ports && i < found[PORTS]->count; i++)
		(void)read_ports_item(found[PORTS]->items[i], &ports[i]); /* reported */
	if (ports) {
		policy->ports = ports;
		policy->port_count = join_ranges(ports, found[PORTS]->count);
	}
	if (found[ADDRESSES])
		addresses = match_array(loader, found[ADDRESSES], "addresses", "[192.0.2.0/24]",
					TG_ADDRESSES_MAX, sizeof(*addresses));
	for (uint32_t i = 0; addresses && i < found[ADDRESSES]->count; i++)
		(void)schema_prefix(found[ADDRESSES]->items[i], &addresses[i]); /* reported */
	if (addresses) {
		policy->addresses = addresses;
		policy->address_count = found[ADDRESSES]->count;
	}
}

/* An IPv6 header is 20 octets longer than that of IPv4. */
#define HEADER_MORE 20

/* All four: what is left out would be a guess, and a wrong window scale stalls every client. */
static void resolve_syn_options(struct loader *loader, const struct yaml_tree_node *node,
				struct tg_policy *policy)
{
	enum { MSS, WINDOW_SCALE, TIMESTAMPS, SACK };
	static const char *const keys[] = {"mss", "window-scale", "timestamps", "sack"};
	const struct yaml_tree_node *found[ARRAY_SIZE(keys)];
	uint32_t mss = 0, scale = 0;
	struct tg_syn_options *options = tg_arena_alloc(loader->arena, 1, sizeof(*options));
	if (!options) {
		loader_memory(loader);
		return;
	}
	bool good = schema_keys(node, "synproxy", keys, ARRAY_SIZE(keys), found);
	for (size_t i = 0; i < ARRAY_SIZE(keys) && good; i++) {
		if (found[i])
			continue;
		schema_error(node,
			     "'synproxy' has no '%s': it wants what the service answers a SYN "
			     "with, such as {mss: 1460, window-scale: 7, timestamps: true, sack: "
			     "true}",
			     keys[i]);
		good = false;
	}
	good = good && schema_number(found[MSS], keys[MSS], TG_MSS_MIN, UINT16_MAX, &mss) &&
	       schema_number(found[WINDOW_SCALE], keys[WINDOW_SCALE], 0, TG_WINDOW_SCALE_MAX,
			     &scale) &&
	       schema_bool(found[TIMESTAMPS], keys[TIMESTAMPS], &options->timestamps) &&
	       schema_bool(found[SACK], keys[SACK], &options->sack);
	if (!good)
		return;
	options->mss[TG_IPV4] = (uint16_t)mss;
	options->mss[TG_IPV6] = (uint16_t)(mss - HEADER_MORE);
	options->window_scale = (uint8_t)scale;
	policy->syn_options = options;
}

static void resolve_limits(struct loader *loader, const struct yaml_tree_node *node,
			   enum tg_mode mode, struct tg_policy *policy)
{
	if (node->kind != YAML_TREE_MAPPING || node->count == 0) {
		schema_error(node, "'limits' wants a mapping of names to limits");
		return;
	}
	if (node->count > TG_LIMITS_MAX) {
		schema_error(node, "'limits' has more than %d limits", TG_LIMITS_MAX);
		return;
	}
	struct tg_limit *limits = tg_arena_alloc(loader->arena, node->count, sizeof(*limits));
	if (!limits) {
		loader_memory(loader);
		return;
	}
	for (uint32_t i = 0; i < node->count; i++) {
		const struct named named = {.key = yaml_tree_key(node, i),
					    .value = yaml_tree_value(node, i)};
		if (schema_name(named.key, "a limit"))
			(void)loader_limit(loader, &named, mode, &limits[i]); /* reported */
	}
	policy->limits = limits;
	policy->limit_count = node->count;
}

static void resolve_policy(struct loader *loader, const struct named *named,
			   struct tg_policy *policy)
{
	enum { MODE, MATCH, LIMITS, OVERRIDE, SYNPROXY };
	static const char *const keys[] = {"mode", "match", "limits", "override", "synproxy"};
	const struct yaml_tree_node *found[ARRAY_SIZE(keys)];
	enum tg_mode mode = loader->config->mode;
	const char *name = named->key->text;
	policy->name = tg_arena_strndup(loader->arena, name, strlen(name));
	if (!policy->name)
		loader_memory(loader);
	if (strcmp(name, TG_NAME_HAND) == 0)
		schema_error(named->key,
			     "a policy cannot be called '" TG_NAME_HAND "': the bans by hand are");
	bool good = schema_keys(named->value, "a policy", keys, ARRAY_SIZE(keys), found);
	if (found[MODE])
		(void)loader_mode(found[MODE], &mode); /* reported */
	if (found[MATCH])
		resolve_match(loader, found[MATCH], policy);
	if (found[SYNPROXY])
		resolve_syn_options(loader, found[SYNPROXY], policy);
	if (found[LIMITS])
		resolve_limits(loader, found[LIMITS], mode, policy);
	else if (good)
		schema_error(named->key, "the policy '%s' has no limits", name);
}

void loader_resolve_policies(struct loader *loader)
{
	struct tg_policy *policies =
		tg_arena_alloc(loader->arena, loader->policy_count, sizeof(*policies));
	if (!policies) {
		loader_memory(loader);
		return;
	}
	for (size_t i = 0; i < loader->policy_count; i++)
		resolve_policy(loader, &loader->policies[i], &policies[i]);
	loader->config->policies = policies;
	loader->config->policy_count = loader->policy_count;
}
