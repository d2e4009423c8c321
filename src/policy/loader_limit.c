/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns one limit: a measure, a threshold, who is one source, and what to do beyond it. Keeps what a
 * forger could use out of the config.
 */
#include "loader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "schema.h"

/* No count grows beyond the largest flow table. */
#define THRESHOLD_MAX (16 * 1024 * 1024)
/* A conntrack event is up to a few milliseconds late: a shorter window would measure that. */
#define WINDOW_MIN_MS 100
/* An hour's or a day's quota is meant for logins; beyond a week nobody remembers. */
#define WINDOW_MAX_MS ((uint64_t)7 * 24 * 3600 * 1000)
enum limit_key {
	LIMIT_CONCURRENT, /* the measures first, in the order of enum tg_measure */
	LIMIT_HALF_OPEN,
	LIMIT_NEW,
	LIMIT_TIME_WAIT,
	LIMIT_CLOSE_WAIT,
	LIMIT_FIN_WAIT,
	LIMIT_LAST_ACK,
	LIMIT_IDLE,
	LIMIT_FAILED,
	LIMIT_FAN_OUT,
	LIMIT_BURST,
	LIMIT_SOURCE,
	LIMIT_MIN_HOSTS,
	LIMIT_LADDER,
	LIMIT_ACTION,
	LIMIT_SCOPE,
	LIMIT_TO,
	LIMIT_EXPIRE,
	LIMIT_KILL,
	LIMIT_MODE,
	LIMIT_KEY_COUNT
};
static const char *const limit_keys[LIMIT_KEY_COUNT] = {
	"concurrent", "half-open", "new",     "time-wait", "close-wait", "fin-wait",  "last-ack",
	"idle",       "failed",    "fan-out", "burst",     "source",     "min-hosts", "ladder",
	"action",     "scope",     "to",      "expire",    "kill",       "mode",
};
/* Room for the words of all measures. */
#define MEASURES_STRLEN 128

static const char *measures(char buf[static MEASURES_STRLEN])
{
	size_t len = 0;
	for (unsigned i = 0; i < TG_MEASURE_COUNT; i++)
		len += (size_t)snprintf(buf + len, MEASURES_STRLEN - len, "%s%s", i ? ", " : "",
					limit_keys[i]);
	return buf;
}

/* The measure that the limit has; an error unless there is exactly one. */
static bool pick_measure(const struct named *named, const struct yaml_tree_node **found,
			 bool keys_good, enum tg_measure *ret_measure)
{
	char list[MEASURES_STRLEN];
	unsigned count = 0;
	for (unsigned i = 0; i < TG_MEASURE_COUNT; i++) {
		if (found[i]) {
			*ret_measure = (enum tg_measure)i;
			count++;
		}
	}
	if (count > 1)
		schema_error(named->key, "the limit '%s' has %u measures; it wants one of %s",
			     named->key->text, count, measures(list));
	else if (count == 0 && keys_good) /* a misspelt one has been reported */
		schema_error(named->key, "the limit '%s' measures nothing; it wants one of %s",
			     named->key->text, measures(list));
	return count == 1;
}

static bool read_rate(const struct yaml_tree_node *node, const char *what, struct tg_limit *limit)
{
	struct tg_rate rate;
	char least[TG_DURATION_STRLEN], most[TG_DURATION_STRLEN];
	if (!schema_rate(node, what, &rate))
		return false;
	if (rate.count > THRESHOLD_MAX) {
		schema_error(node, "'%s' is out of range: its count is over %d", what,
			     THRESHOLD_MAX);
		return false;
	}
	if (rate.per_ms < WINDOW_MIN_MS || rate.per_ms > WINDOW_MAX_MS) {
		schema_error(node, "'%s' is out of range: its time is not from %s to %s", what,
			     tg_duration_format(WINDOW_MIN_MS, least),
			     tg_duration_format(WINDOW_MAX_MS, most));
		return false;
	}
	limit->threshold = rate.count;
	limit->window_ms = rate.per_ms;
	return true;
}

static bool read_burst(const struct yaml_tree_node *node, struct tg_limit *limit)
{
	if (!schema_number(node, "burst", 0, THRESHOLD_MAX, &limit->burst))
		return false;
	if (limit->threshold == 0)
		return true; /* the rate is wrong, and reported */
	const uint64_t full_ms =
		((uint64_t)limit->threshold + limit->burst) * limit->window_ms / limit->threshold;
	if (full_ms > TG_DURATION_MAX_MS) {
		schema_error(node, "'burst' is too large: a full bucket would drain for more than "
				   "365d");
		return false;
	}
	return true;
}

static bool read_measure(const struct yaml_tree_node **found, struct tg_limit *limit)
{
	bool good = true;
	if (tg_measure_is_rate(limit->measure))
		good = read_rate(found[limit->measure], limit_keys[limit->measure], limit);
	else
		good = schema_number(found[limit->measure], limit_keys[limit->measure], 1,
				     THRESHOLD_MAX, &limit->threshold);
	if (!found[LIMIT_BURST])
		return good;
	if (tg_measure_is_rate(limit->measure))
		return read_burst(found[LIMIT_BURST], limit) && good;
	schema_error(found[LIMIT_BURST], "'burst' goes with 'new' and 'failed' only");
	return false;
}

/* Who is one source. */
static bool read_source(const struct yaml_tree_node *node, const struct yaml_tree_node *min_hosts,
			struct tg_limit *limit)
{
	const bool fan_out = limit->measure == TG_MEASURE_FAN_OUT;
	uint32_t hosts = 0;
	limit->total = fan_out ||
		       (node && node->kind == YAML_TREE_SCALAR && strcmp(node->text, "total") == 0);
	if (node && fan_out &&
	    (node->kind != YAML_TREE_SCALAR || strcmp(node->text, "total") != 0)) {
		schema_error(node, "'fan-out' counts what this host does as a whole: "
				   "'source: total', or nothing");
		return false;
	}
	if (node && !limit->total && !loader_source(node, limit->prefix_len))
		return false;
	if (!min_hosts)
		return true;
	if (!schema_number(min_hosts, "min-hosts", 2, TG_MIN_HOSTS_MAX, &hosts))
		return false;
	if (limit->total) {
		schema_error(min_hosts, "'min-hosts' goes with networks, not with a total");
		return false;
	}
	if (limit->prefix_len[TG_IPV4] >= 32 || limit->prefix_len[TG_IPV6] >= 64) {
		schema_error(min_hosts, "'min-hosts' wants a source that holds more than one host "
					"(an IPv4 address, a /64 of IPv6) in both families, such "
					"as 'source: {ipv4: 24, ipv6: 48}'");
		return false;
	}
	limit->min_hosts = (uint16_t)hosts;
	return true;
}

/* What becomes of everybody's traffic at once is a question whether a SYN is real, or a budget at
 * most; of our own, nothing. */
static bool check_total(const struct yaml_tree_node *node, const struct tg_limit *limit)
{
	for (size_t i = 0; i < limit->step_count; i++) {
		const bool fan_out = limit->measure == TG_MEASURE_FAN_OUT;
		if (limit->steps[i].action == TG_ACTION_OBSERVE ||
		    (limit->steps[i].action <= TG_ACTION_RATE_LIMIT && !fan_out))
			continue;
		if (fan_out)
			schema_error(node, "'fan-out' is about this host itself, which is not held "
					   "back; use 'action: observe'");
		else
			schema_error(node,
				     "'source: total' with a %s would concern everybody; use "
				     "'action: synproxy', or 'action: rate-limit' with 'to', a "
				     "budget of SYNs: sources that have shown themselves pass by",
				     tg_action_name(limit->steps[i].action));
		return false;
	}
	return true;
}

/*
 * A SYN carries whatever source its sender wrote into it. If SYNs could cause a drop,
 * anybody could have anybody dropped; a rate-limit of new SYNs costs the true owner
 * of the address little. On a ladder such a limit stays below the drop.
 */
static bool check_evidence(const struct yaml_tree_node *node, const struct tg_limit *limit)
{
	if (limit->total)
		return check_total(node, limit);
	if (tg_limit_has(limit, TG_ACTION_SYNPROXY)) {
		schema_error(node,
			     "'action: synproxy' is about everybody who comes to the policy's "
			     "ports: it wants 'source: total'");
		return false;
	}
	if (tg_measure_evidence(limit->measure) != TG_EVIDENCE_FORGEABLE ||
	    limit->steps[0].action <= TG_ACTION_RATE_LIMIT)
		return true;
	if (limit->ladder)
		schema_error(node,
			     "'%s' on the ladder '%s', which begins with a %s: SYNs can be "
			     "forged in anybody's name, and their owner would be shut out; let a "
			     "rate-limit be its first step",
			     limit_keys[limit->measure], limit->ladder,
			     tg_action_name(limit->steps[0].action));
	else
		schema_error(node,
			     "'%s' with 'action: %s': SYNs can be forged in anybody's name, and "
			     "their owner would be shut out; use 'action: rate-limit' with 'to'",
			     limit_keys[limit->measure], tg_action_name(limit->steps[0].action));
	return false;
}

/* An action of its own. */
static bool read_own_step(struct loader *loader, const struct named *named,
			  const struct yaml_tree_node **found, bool keys_good,
			  struct tg_limit *limit)
{
	const struct loader_step_nodes nodes = {found[LIMIT_ACTION], found[LIMIT_SCOPE],
						found[LIMIT_TO], found[LIMIT_EXPIRE],
						found[LIMIT_KILL]};
	char what[TG_NAME_MAX + 16];
	struct tg_step *step = tg_arena_alloc(loader->arena, 1, sizeof(*step));
	if (!step) {
		loader_memory(loader);
		return false;
	}
	(void)snprintf(what, sizeof(what), "the limit '%s'", limit->name);
	if (!loader_step(named->key, what, &nodes, keys_good, step))
		return false;
	limit->steps = step;
	limit->step_count = 1;
	return true;
}

static bool use_ladder(const struct ladder *ladder, struct tg_limit *limit)
{
	if (!ladder || ladder->step_count == 0)
		return false;
	limit->ladder = ladder->name;
	limit->steps = ladder->steps;
	limit->step_count = ladder->step_count;
	limit->forget_ms = ladder->forget_ms;
	return true;
}

static bool read_steps(struct loader *loader, const struct named *named,
		       const struct yaml_tree_node **found, bool keys_good, struct tg_limit *limit)
{
	const bool own = found[LIMIT_ACTION] || found[LIMIT_SCOPE] || found[LIMIT_TO] ||
			 found[LIMIT_EXPIRE] || found[LIMIT_KILL];
	if (found[LIMIT_LADDER] && own) {
		schema_error(found[LIMIT_LADDER],
			     "'ladder' stands in the place of 'action', 'scope', "
			     "'to', 'expire' and 'kill'; use the one or the others");
		return false;
	}
	if (found[LIMIT_LADDER])
		return use_ladder(loader_find_ladder(loader, found[LIMIT_LADDER]), limit);
	if (!own && loader->defaults[DEFAULT_LADDER])
		return use_ladder(loader->ladder, limit);
	if (!own && keys_good) {
		schema_error(named->key,
			     "the limit '%s' has neither an action (observe, synproxy, "
			     "rate-limit, cap, reject or drop) "
			     "nor a ladder, and 'defaults' names no ladder",
			     named->key->text);
		return false;
	}
	return read_own_step(loader, named, found, keys_good, limit);
}

bool loader_limit(struct loader *loader, const struct named *named, enum tg_mode mode,
		  struct tg_limit *ret_limit)
{
	const struct yaml_tree_node *found[LIMIT_KEY_COUNT];
	const char *name = named->key->text;
	struct tg_limit limit = {
		.name = tg_arena_strndup(loader->arena, name, strlen(name)),
		.prefix_len = {loader->prefix_len[TG_IPV4], loader->prefix_len[TG_IPV6]},
		.mode = mode,
		.file = named->key->source->name,
		.line = named->key->line,
	};
	if (!limit.name) {
		loader_memory(loader);
		return false;
	}
	if (named->value->kind != YAML_TREE_MAPPING) {
		schema_error(named->value,
			     "the limit '%s' wants a mapping such as {concurrent: "
			     "200, action: drop, expire: 10m}",
			     name);
		return false;
	}
	const bool keys = schema_keys(named->value, "a limit", limit_keys, LIMIT_KEY_COUNT, found);
	const bool measure = pick_measure(named, found, keys, &limit.measure);
	bool good = keys && measure;
	if (measure) {
		good &= read_measure(found, &limit);
		good &= read_source(found[LIMIT_SOURCE], found[LIMIT_MIN_HOSTS], &limit);
	}
	const bool steps = read_steps(loader, named, found, keys, &limit);
	const struct yaml_tree_node *at = found[LIMIT_ACTION]   ? found[LIMIT_ACTION]
					  : found[LIMIT_LADDER] ? found[LIMIT_LADDER]
								: named->key;
	good &= steps;
	if (measure && steps)
		good &= check_evidence(at, &limit);
	if (found[LIMIT_MODE])
		good &= loader_mode(found[LIMIT_MODE], &limit.mode);
	if (good)
		*ret_limit = limit;
	return good;
}
