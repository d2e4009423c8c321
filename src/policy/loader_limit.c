/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns one limit: a measure, a threshold and what to do beyond it. Keeps what nft
 * cannot say, and what a forger could use, out of the config.
 */
#include "loader.h"

#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "schema.h"

/* No count grows beyond the largest flow table. */
#define THRESHOLD_MAX (16 * 1024 * 1024)
/* A conntrack event is up to a few milliseconds late: a shorter window would measure that. */
#define WINDOW_MIN_MS 100
/* An hour's or a day's quota is meant for logins; beyond a week nobody remembers. */
#define WINDOW_MAX_MS ((uint64_t)7 * 24 * 3600 * 1000)
/* A shorter ban is over before its packets have stopped coming. */
#define EXPIRE_MIN_MS 1000
/* More SYNs a second than one machine can answer. */
#define TO_PER_SECOND_MAX 1000000

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
	LIMIT_ACTION,
	LIMIT_TO,
	LIMIT_EXPIRE,
	LIMIT_MODE,
	LIMIT_KEY_COUNT
};
static const char *const limit_keys[LIMIT_KEY_COUNT] = {
	"concurrent", "half-open", "new",    "time-wait", "close-wait", "fin-wait",
	"last-ack",   "idle",      "failed", "fan-out",   "burst",      "source",
	"action",     "to",        "expire", "mode",
};
static const char *const action_words[] = {"rate-limit", "drop"};

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

/* The measure that the limit has; an error unless there is exactly one. */
static bool pick_measure(const struct named *named, const struct yaml_tree_node **found,
			 bool keys_good, enum tg_measure *ret_measure)
{
	unsigned count = 0;
	for (unsigned i = 0; i < TG_MEASURE_COUNT; i++) {
		if (found[i]) {
			*ret_measure = (enum tg_measure)i;
			count++;
		}
	}
	if (count > 1)
		schema_error(named->key,
			     "the limit '%s' has %u measures; it wants one of "
			     "concurrent, half-open, new",
			     named->key->text, count);
	else if (count == 0 && keys_good) /* a misspelt one has been reported */
		schema_error(named->key,
			     "the limit '%s' measures nothing; it wants one of "
			     "concurrent, half-open, new",
			     named->key->text);
	return count == 1;
}

static bool read_new(const struct yaml_tree_node *node, struct tg_limit *limit)
{
	struct tg_rate rate;
	char least[TG_DURATION_STRLEN], most[TG_DURATION_STRLEN];
	if (!schema_rate(node, "new", &rate))
		return false;
	if (rate.count > THRESHOLD_MAX) {
		schema_error(node, "'new' is out of range: its count is over %d", THRESHOLD_MAX);
		return false;
	}
	if (rate.per_ms < WINDOW_MIN_MS || rate.per_ms > WINDOW_MAX_MS) {
		schema_error(node, "'new' is out of range: its time is not from %s to %s",
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
		return true; /* `new` is wrong, and reported */
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
	if (limit->measure == TG_MEASURE_NEW)
		good = read_new(found[LIMIT_NEW], limit);
	else
		good = schema_number(found[limit->measure], limit_keys[limit->measure], 1,
				     THRESHOLD_MAX, &limit->threshold);
	if (!found[LIMIT_BURST])
		return good;
	if (limit->measure == TG_MEASURE_NEW)
		return read_burst(found[LIMIT_BURST], limit) && good;
	schema_error(found[LIMIT_BURST], "'burst' goes with 'new' only");
	return false;
}

/*
 * A SYN carries whatever source its sender wrote into it. If SYNs could cause a drop,
 * anybody could have anybody dropped; a rate-limit of new SYNs costs the true owner
 * of the address little.
 */
static bool check_forgeable(const struct yaml_tree_node *node, const struct tg_limit *limit,
			    const struct tg_step *step)
{
	if (step->action != TG_ACTION_DROP || limit->measure == TG_MEASURE_CONCURRENT)
		return true;
	schema_error(node,
		     "'%s' with 'action: drop': SYNs can be forged in anybody's name, and "
		     "their owner would be dropped; use 'action: rate-limit' with 'to'",
		     limit_keys[limit->measure]);
	return false;
}

static bool read_action(const struct named *named, const struct yaml_tree_node **found,
			bool keys_good, bool measure_good, struct tg_limit *limit,
			struct tg_step *step)
{
	size_t word;
	if (!found[LIMIT_ACTION]) {
		if (keys_good)
			schema_error(named->key, "the limit '%s' has no action: drop or rate-limit",
				     named->key->text);
		return false;
	}
	if (!schema_word(found[LIMIT_ACTION], "action", action_words, ARRAY_SIZE(action_words),
			 &word)) {
		if (found[LIMIT_TO])
			(void)read_to(found[LIMIT_TO], &step->to); /* for its errors */
		return false;
	}
	step->action = word == 0 ? TG_ACTION_RATE_LIMIT : TG_ACTION_DROP;
	/* A drop of everything would also cut the replies to our own connections. */
	step->scope = step->action == TG_ACTION_DROP ? TG_SCOPE_PORTS : TG_SCOPE_NEW;
	bool good = !measure_good || check_forgeable(found[LIMIT_ACTION], limit, step);
	if (step->action == TG_ACTION_DROP)
		step->to = TG_UNPROVEN_RATE;
	if (found[LIMIT_TO])
		good &= read_to(found[LIMIT_TO], &step->to);
	if (found[LIMIT_TO] && step->action != TG_ACTION_RATE_LIMIT) {
		schema_error(found[LIMIT_TO], "'to' goes with 'action: rate-limit' only");
		good = false;
	}
	if (!found[LIMIT_TO] && step->action == TG_ACTION_RATE_LIMIT && keys_good) {
		schema_error(found[LIMIT_ACTION], "'action: rate-limit' wants 'to', such as "
						  "'to: 5/1s': what still passes");
		good = false;
	}
	return good;
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
	if (measure)
		good &= read_measure(found, &limit);
	struct tg_step *step = tg_arena_alloc(loader->arena, 1, sizeof(*step));
	if (!step) {
		loader_memory(loader);
		return false;
	}
	*step = (struct tg_step){0};
	limit.steps = step;
	limit.step_count = 1;
	good &= read_action(named, found, keys, measure, &limit, step);
	if (found[LIMIT_SOURCE])
		good &= loader_source(found[LIMIT_SOURCE], limit.prefix_len);
	if (found[LIMIT_MODE])
		good &= loader_mode(found[LIMIT_MODE], &limit.mode);
	if (found[LIMIT_EXPIRE])
		good &= schema_duration(found[LIMIT_EXPIRE], "expire", EXPIRE_MIN_MS,
					TG_DURATION_MAX_MS, &step->expire_ms);
	else if (keys)
		schema_error(named->key,
			     "the limit '%s' has no expire: how long a ban lasts, such "
			     "as 10m",
			     name);
	if (good)
		*ret_limit = limit;
	return good;
}
