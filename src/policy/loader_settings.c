/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what is said once for the whole host: sizes, brakes, where drops stand, who is an admin. */
#include "loader.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/engine.h>

#include "base/util.h"
#include "schema.h"

#define SOURCE_IPV4_DEFAULT 32
#define SOURCE_IPV6_DEFAULT 64 /* what one customer has at least */

/* Below it a handful of sources push each other out; above it the table takes hundreds of MiB. */
#define MAX_SOURCES_MIN 1024
#define MAX_SOURCES_MAX (4 * 1024 * 1024)
/* The kernel's own table has no more entries on any host that we know of. */
#define MAX_FLOWS_MIN 1024
#define MAX_FLOWS_MAX (16 * 1024 * 1024)

/* Conntrack is asked so often about each flow; and a day is no attack. */
#define IDLE_AFTER_MIN_MS 1000
#define IDLE_AFTER_MAX_MS ((uint64_t)24 * 3600 * 1000)

/* A table that a handful of attackers fill is none. */
#define MAX_BANS_MIN 1024

#define BANS_PER_MINUTE_MAX 1000000

bool loader_mode(const struct yaml_tree_node *node, enum tg_mode *ret_mode)
{
	static const char *const words[] = {"observe", "enforce"};
	size_t word;
	if (!schema_word(node, "mode", words, ARRAY_SIZE(words), &word))
		return false;
	*ret_mode = word == 0 ? TG_MODE_OBSERVE : TG_MODE_ENFORCE;
	return true;
}

/* Zero for the word that takes a brake out. */
static bool is_none(const struct yaml_tree_node *node)
{
	return node->kind == YAML_TREE_SCALAR && strcmp(node->text, "none") == 0;
}

static void resolve_brakes(const struct loader *loader, struct tg_brakes *brakes)
{
	const struct yaml_tree_node *const *found = loader->brakes;
	*brakes = TG_BRAKES_DEFAULT;
	if (found[BRAKE_BANS_PER_MINUTE]) {
		brakes->bans_per_minute = 0;
		if (!is_none(found[BRAKE_BANS_PER_MINUTE]))
			(void)schema_number(found[BRAKE_BANS_PER_MINUTE], "max-bans-per-minute", 1,
					    BANS_PER_MINUTE_MAX, &brakes->bans_per_minute);
	}
	if (found[BRAKE_SHARE_OF_SOURCES]) {
		brakes->share_of_sources = 0;
		if (!is_none(found[BRAKE_SHARE_OF_SOURCES]))
			(void)schema_share(found[BRAKE_SHARE_OF_SOURCES], "max-share-of-sources",
					   &brakes->share_of_sources);
	}
	if (found[BRAKE_SHARE_OF_FLOWS]) {
		brakes->share_of_flows = 0;
		if (!is_none(found[BRAKE_SHARE_OF_FLOWS]))
			(void)schema_share(found[BRAKE_SHARE_OF_FLOWS], "max-share-of-flows",
					   &brakes->share_of_flows);
	}
}

/* NULL: reported. */
static const char *read_interface(struct loader *loader, const struct yaml_tree_node *node)
{
	char quoted[SOURCE_QUOTED];
	if (node->kind != YAML_TREE_SCALAR || yaml_tree_is_null(node)) {
		schema_error(node, "the name of an interface such as eth0 is wanted here");
		return NULL;
	}
	const size_t len = strlen(node->text);
	if (strcmp(node->text, "lo") == 0) {
		schema_error(node,
			     "loopback is never held back; an interface such as eth0 is wanted");
		return NULL;
	}
	if (len == 0 || len >= IF_NAMESIZE || strpbrk(node->text, "/: \t\n\"") ||
	    node->text[0] == '.') {
		schema_error(node, "'%s' is not the name of a network interface",
			     source_quote(node->text, quoted));
		return NULL;
	}
	const char *name = tg_arena_strndup(loader->arena, node->text, len);
	if (!name)
		loader_memory(loader);
	return name;
}

static void resolve_interfaces(struct loader *loader)
{
	const struct yaml_tree_node *node = loader->interfaces;
	char quoted[SOURCE_QUOTED];
	if (!schema_sequence(node, "interfaces", "[eth0]"))
		return;
	if (node->count == 0 || node->count > TG_INTERFACES_MAX) {
		schema_error(node, "'interfaces' wants from 1 to %d of them", TG_INTERFACES_MAX);
		return;
	}
	const char **names = tg_arena_alloc(loader->arena, node->count, sizeof(*names));
	if (!names) {
		loader_memory(loader);
		return;
	}
	size_t count = 0;
	for (uint32_t i = 0; i < node->count; i++) {
		const char *name = read_interface(loader, node->items[i]);
		if (!name)
			continue;
		for (size_t k = 0; k < count; k++) {
			if (strcmp(names[k], name) == 0)
				schema_error(node->items[i], "the interface '%s' is given twice",
					     source_quote(name, quoted));
		}
		names[count++] = name;
	}
	loader->config->ingress = names;
	loader->config->ingress_count = count;
}

static void resolve_hook(struct loader *loader)
{
	static const char *const words[] = {"prerouting", "ingress"};
	size_t word = 0;
	if (loader->hook && !schema_word(loader->hook, "hook", words, ARRAY_SIZE(words), &word))
		return;
	if (word == 1 && !loader->interfaces)
		schema_error(loader->hook, "'hook: ingress' wants 'interfaces', such as "
					   "'interfaces: [eth0]'");
	else if (word == 0 && loader->interfaces)
		schema_error(loader->interfaces, "'interfaces' goes with 'hook: ingress'");
	else if (word == 1)
		resolve_interfaces(loader);
}

static int port_compare(const void *a, const void *b)
{
	const uint16_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void resolve_admin_ports(struct loader *loader)
{
	static const uint16_t usual[] = {TG_ADMIN_PORT_DEFAULT};
	const struct yaml_tree_node *node = loader->admin_ports;
	loader->config->admin_ports = usual;
	loader->config->admin_port_count = ARRAY_SIZE(usual);
	if (!node || !schema_sequence(node, "admin-ports", "[22]"))
		return;
	if (node->count > TG_ADMIN_PORTS_MAX) {
		schema_error(node, "'admin-ports' has more than %d ports", TG_ADMIN_PORTS_MAX);
		return;
	}
	uint16_t *ports = tg_arena_alloc(loader->arena, node->count + 1, sizeof(*ports));
	if (!ports) {
		loader_memory(loader);
		return;
	}
	size_t count = 0;
	for (uint32_t i = 0; i < node->count; i++) {
		uint32_t port;
		if (schema_number(node->items[i], "admin-ports", 1, UINT16_MAX, &port))
			ports[count++] = (uint16_t)port;
	}
	qsort(ports, count, sizeof(*ports), port_compare);
	loader->config->admin_ports = ports;
	loader->config->admin_port_count = count;
}

static void resolve_event_mask(struct loader *loader)
{
	static const char *const words[] = {"limits", "none"};
	size_t word = 0;
	if (loader->event_mask)
		(void)schema_word(loader->event_mask, "event-mask", words, ARRAY_SIZE(words),
				  &word);
	loader->config->all_events = word == 1;
}

void loader_resolve_settings(struct loader *loader)
{
	struct tg_config *config = loader->config;
	const struct yaml_tree_node *const *found = loader->defaults;
	config->mode = TG_MODE_OBSERVE;
	config->max_sources = TG_MAX_SOURCES_DEFAULT;
	config->max_flows = TG_MAX_FLOWS_DEFAULT;
	config->max_bans = TG_MAX_BANS_DEFAULT;
	loader->prefix_len[TG_IPV4] = SOURCE_IPV4_DEFAULT;
	loader->prefix_len[TG_IPV6] = SOURCE_IPV6_DEFAULT;
	/* What is wrong is reported, and a config with an error is thrown away. */
	if (loader->mode)
		(void)loader_mode(loader->mode, &config->mode);
	if (found[DEFAULT_SOURCE])
		(void)loader_source(found[DEFAULT_SOURCE], loader->prefix_len);
	config->idle_after_ms = TG_IDLE_AFTER_MS_DEFAULT;
	if (found[DEFAULT_IDLE_AFTER])
		(void)schema_duration(found[DEFAULT_IDLE_AFTER], "idle-after", IDLE_AFTER_MIN_MS,
				      IDLE_AFTER_MAX_MS, &config->idle_after_ms);
	config->sources_given = found[DEFAULT_MAX_SOURCES];
	if (found[DEFAULT_MAX_SOURCES])
		(void)schema_number(found[DEFAULT_MAX_SOURCES], "max-sources", MAX_SOURCES_MIN,
				    MAX_SOURCES_MAX, &config->max_sources);
	if (found[DEFAULT_MAX_FLOWS])
		(void)schema_number(found[DEFAULT_MAX_FLOWS], "max-flows", MAX_FLOWS_MIN,
				    MAX_FLOWS_MAX, &config->max_flows);
	if (found[DEFAULT_MAX_BANS])
		(void)schema_number(found[DEFAULT_MAX_BANS], "max-bans", MAX_BANS_MIN,
				    TG_MAX_BANS_MAX, &config->max_bans);
	resolve_brakes(loader, &config->brakes);
	resolve_hook(loader);
	resolve_admin_ports(loader);
	resolve_event_mask(loader);
}

void loader_resolve_sources(struct loader *loader)
{
	struct tg_config *config = loader->config;
	if (config->sources_given)
		return;
	const uint32_t fitting = tg_engine_fitting_sources(config);
	if (fitting == 0)
		loader_memory(loader);
	else
		config->max_sources = fitting;
}
