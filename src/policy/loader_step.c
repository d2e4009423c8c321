/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns one step: an action, what it lets through, and how long it lasts. Keeps what nft cannot
 * say out of the config.
 */
#include "loader.h"

#include <string.h>

#include "base/util.h"
#include "schema.h"

/* A shorter ban is over before its packets have stopped coming. */
#define EXPIRE_MIN_MS 1000
/* More SYNs a second than one machine can answer. */
#define TO_PER_SECOND_MAX 1000000

/* As the actions are numbered, and the scopes. */
static const char *const action_words[] = {"observe", "synproxy", "rate-limit",
					   "cap",     "reject",   "drop"};
static const char *const scope_words[] = {"new", "ports", "everything"};
_Static_assert(ARRAY_SIZE(action_words) == TG_ACTION_COUNT &&
		       ARRAY_SIZE(scope_words) == TG_SCOPE_COUNT,
	       "a word for each");

/* The kernel walks the source's connections at each of its SYNs: a longer list costs more than the
 * SYN. */
#define CAP_MAX 1000

/* The units that a limit of nft can be per. */
static const uint64_t nft_units_ms[] = {
	1000, 60 * 1000, 3600 * 1000, 24 * 3600 * 1000, (uint64_t)7 * 24 * 3600 * 1000,
};

/* The nearest rate that nft can say, for the error: within one in a hundred, or the week's. */
static struct tg_rate nearest_rate(const struct tg_rate *rate)
{
	struct tg_rate near = {.count = 1, .per_ms = (uint32_t)nft_units_ms[4]};
	for (size_t i = 0; i < ARRAY_SIZE(nft_units_ms); i++) {
		const uint64_t exact = rate->count * nft_units_ms[i]; /* under 2^32 * 2^30 */
		const uint64_t count = (exact + rate->per_ms / 2) / rate->per_ms;
		const uint64_t back = count * rate->per_ms;
		const uint64_t off = back > exact ? back - exact : exact - back;
		if (count == 0 || count > UINT32_MAX)
			continue;
		near = (struct tg_rate){.count = (uint32_t)count,
					.per_ms = (uint32_t)nft_units_ms[i]};
		if (off <= exact / 100)
			break;
	}
	return near;
}

/* Over a unit of nft, without a remainder. */
static bool read_to(const struct yaml_tree_node *node, struct tg_rate *ret_rate)
{
	struct tg_rate rate;
	char text[TG_RATE_STRLEN];
	if (!schema_rate(node, "to", &rate))
		return false;
	if ((uint64_t)rate.count * 1000 > (uint64_t)TO_PER_SECOND_MAX * rate.per_ms) {
		schema_error(node, "'to' is out of range: it is over %d/1s", TO_PER_SECOND_MAX);
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(nft_units_ms); i++) {
		const uint64_t exact = rate.count * nft_units_ms[i];
		if (exact % rate.per_ms != 0 || exact / rate.per_ms > UINT32_MAX)
			continue;
		*ret_rate = (struct tg_rate){.count = (uint32_t)(exact / rate.per_ms),
					     .per_ms = (uint32_t)nft_units_ms[i]};
		return true;
	}
	const struct tg_rate near = nearest_rate(&rate);
	schema_error(node,
		     "'to: %s' is no whole number in a second, minute, hour, day or week, "
		     "which nft needs; the nearest is %s",
		     node->text, tg_rate_format(&near, text));
	return false;
}

static bool read_scope(const struct yaml_tree_node *node, struct tg_step *step)
{
	size_t word;
	if (!schema_word(node, "scope", scope_words, ARRAY_SIZE(scope_words), &word))
		return false;
	if (word != TG_SCOPE_NEW && step->action < TG_ACTION_REJECT) {
		schema_error(node,
			     "'action: %s' is about new connections; 'scope: %s' goes with drop "
			     "and reject",
			     tg_action_name(step->action), scope_words[word]);
		return false;
	}
	step->scope = (enum tg_scope)word;
	return true;
}

/* What `to` says is the action's: a rate, or a number of connections. */
static bool read_action_to(const struct loader_step_nodes *nodes, bool keys_good,
			   struct tg_step *step)
{
	switch (step->action) {
	case TG_ACTION_RATE_LIMIT:
		if (nodes->to)
			return read_to(nodes->to, &step->to);
		if (keys_good)
			schema_error(nodes->action, "'action: rate-limit' wants 'to', such as "
						    "'to: 5/1s': what still passes");
		return false;
	case TG_ACTION_CAP:
		if (nodes->to)
			return schema_number(nodes->to, "to", 1, CAP_MAX, &step->cap);
		if (keys_good)
			schema_error(nodes->action, "'action: cap' wants 'to', such as 'to: 20': "
						    "how many connections at once");
		return false;
	case TG_ACTION_OBSERVE:
	case TG_ACTION_SYNPROXY:
	case TG_ACTION_REJECT:
	case TG_ACTION_DROP:
	case TG_ACTION_COUNT:
		break;
	}
	if (nodes->to)
		schema_error(nodes->to,
			     "'to' goes with 'action: rate-limit' and 'action: cap' only");
	return !nodes->to;
}

static bool read_kill(const struct yaml_tree_node *node, struct tg_step *step)
{
	if (!schema_bool(node, "kill", &step->kill))
		return false;
	if (step->kill && step->action < TG_ACTION_REJECT) {
		schema_error(
			node,
			"'kill' ends what a drop or a reject would leave hanging; 'action: %s' "
			"leaves open connections alone",
			tg_action_name(step->action));
		return false;
	}
	return true;
}

static bool read_action(const struct loader_step_nodes *nodes, bool keys_good, struct tg_step *step)
{
	size_t word;
	if (!schema_word(nodes->action, "action", action_words, ARRAY_SIZE(action_words), &word)) {
		if (nodes->to && strchr(nodes->to->text ? nodes->to->text : "", '/'))
			(void)read_to(nodes->to, &step->to); /* for its errors */
		return false;
	}
	step->action = (enum tg_action)word;
	/* A drop of everything would also cut the replies to our own connections. */
	step->scope = step->action >= TG_ACTION_REJECT ? TG_SCOPE_PORTS : TG_SCOPE_NEW;
	bool good = read_action_to(nodes, keys_good, step);
	if (nodes->scope)
		good &= read_scope(nodes->scope, step);
	if (nodes->kill)
		good &= read_kill(nodes->kill, step);
	if (step->action > TG_ACTION_RATE_LIMIT)
		step->to = TG_UNPROVEN_RATE;
	return good;
}

bool loader_step(const struct yaml_tree_node *at, const char *what,
		 const struct loader_step_nodes *nodes, bool keys_good, struct tg_step *ret_step)
{
	struct tg_step step = {.action = TG_ACTION_OBSERVE};
	bool good = keys_good;
	if (nodes->action) {
		good &= read_action(nodes, keys_good, &step);
	} else if (keys_good) {
		schema_error(at,
			     "%s has no action: observe, synproxy, rate-limit, cap, reject or drop",
			     what);
		good = false;
	}
	if (nodes->expire) {
		good &= schema_duration(nodes->expire, "expire", EXPIRE_MIN_MS, TG_DURATION_MAX_MS,
					&step.expire_ms);
	} else if (keys_good) {
		schema_error(at, "%s has no expire: how long a ban lasts, such as 10m", what);
		good = false;
	}
	if (good && nodes->action)
		*ret_step = step;
	return good && nodes->action;
}
