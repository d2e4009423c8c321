/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What two policies make of one trace: their bans side by side. */
#include "comparison.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "decisions.h"
#include "json.h"
#include "output.h"
#include "simulation.h"

bool comparison_init(struct comparison_side *side)
{
	*side = (struct comparison_side){.running_count = 256};
	side->running = calloc(side->running_count, sizeof(*side->running));
	return side->running != NULL;
}

void comparison_finish(struct comparison_side *side)
{
	free(side->bans);
	free(side->running);
}

static struct comparison_ban *append(struct comparison_side *side)
{
	if (side->count == side->capacity) {
		const size_t capacity = side->capacity ? side->capacity * 2 : 256;
		struct comparison_ban *bans =
			capacity < UINT32_MAX ? reallocarray(side->bans, capacity, sizeof(*bans))
					      : NULL;
		if (!bans) {
			side->failed = true;
			return NULL;
		}
		side->bans = bans;
		side->capacity = capacity;
	}
	return &side->bans[side->count++];
}

/* The number of the engine has its place. */
static bool make_place(struct comparison_side *side, uint32_t id)
{
	size_t count = side->running_count;
	while (count <= id)
		count *= 2;
	if (count == side->running_count)
		return true;
	uint32_t *running = reallocarray(side->running, count, sizeof(*running));
	side->failed = !running;
	if (!running)
		return false;
	memset(running + side->running_count, 0, (count - side->running_count) * sizeof(*running));
	side->running = running;
	side->running_count = count;
	return true;
}

void comparison_add(struct comparison_side *side, const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	if (ban->id == TG_BAN_NONE || !make_place(side, ban->id))
		return;
	uint32_t *running = &side->running[ban->id];
	struct comparison_ban *entry = *running ? &side->bans[*running - 1] : NULL;
	if (!entry) {
		const struct tg_policy *policy = simulation_policy(side->config, ban);
		const struct tg_limit *limit = simulation_limit(side->config, ban);
		entry = append(side);
		if (!entry)
			return;
		*entry = (struct comparison_ban){.begin = ban->since,
						 .policy = policy ? policy->name : "",
						 .limit = limit ? limit->name : "",
						 .order = side->count};
		*running = (uint32_t)side->count;
	}
	entry->ban = *ban;
	entry->end = decision->type == TG_DECISION_BAN ? ban->until : decision->at;
	if (decision->type != TG_DECISION_BAN)
		*running = 0;
}

/* By source, policy and scope: bans that compare equal here are told apart by their turn. */
static int compare_names(const struct comparison_ban *x, const struct comparison_ban *y)
{
	const struct tg_prefix *a = &x->ban.source, *b = &y->ban.source;
	int order = (int)a->addr.family - (int)b->addr.family;
	if (order == 0)
		order = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
	if (order == 0)
		order = (int)a->len - (int)b->len;
	if (order == 0)
		order = strcmp(x->policy, y->policy);
	return order ? order : (int)x->ban.scope - (int)y->ban.scope;
}

static int compare_order(const void *a, const void *b)
{
	const struct comparison_ban *x = a, *y = b;
	int order = compare_names(x, y);
	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void sort(struct comparison_side *side)
{
	if (side->count > 0)
		qsort(side->bans, side->count, sizeof(*side->bans), compare_order);
	for (size_t i = 1; i < side->count; i++)
		if (compare_names(&side->bans[i - 1], &side->bans[i]) == 0)
			side->bans[i].nth = side->bans[i - 1].nth + 1;
}

static bool is_same(const struct comparison_ban *a, const struct comparison_ban *b)
{
	return a->begin == b->begin && a->end == b->end && a->ban.action == b->ban.action &&
	       a->ban.enforced == b->ban.enforced && strcmp(a->limit, b->limit) == 0 &&
	       ((a->ban.action != TG_ACTION_RATE_LIMIT && a->ban.action != TG_ACTION_CAP) ||
		(a->ban.to.count == b->ban.to.count && a->ban.to.per_ms == b->ban.to.per_ms));
}

static void print_ban(const struct comparison_ban *entry, const struct tg_trace_header *header)
{
	const struct tg_ban *ban = &entry->ban;
	char rate[TG_RATE_STRLEN], from[OUTPUT_TIME_STRLEN], until[OUTPUT_TIME_STRLEN];
	if (entry->policy[0])
		(void)printf("%s/%s %" PRIu32 " > %" PRIu32, entry->policy, entry->limit,
			     ban->measured, ban->threshold);
	else
		(void)printf("by hand");
	(void)printf(" %s", tg_action_name(ban->action));
	const char *to = tg_ban_to_format(ban, rate);
	if (to)
		(void)printf(" to %s", to);
	/* One that was adopted began before the trace. */
	const bool before = entry->begin < header->start;
	const tg_time apart = before ? header->start - entry->begin : entry->begin - header->start;
	(void)printf(" from %s (%c%" PRIu64 ".%03u s) until %s, %s",
		     output_time(decisions_wall(header, entry->begin), from), before ? '-' : '+',
		     apart / TG_SEC, (unsigned)(apart % TG_SEC / TG_MSEC),
		     output_time(decisions_wall(header, entry->end), until),
		     ban->enforced ? "enforced" : "only observed");
}

static void json_ban(struct json *json, const char *key, const struct comparison_ban *entry,
		     const struct tg_trace_header *header)
{
	char rate[TG_RATE_STRLEN];
	if (!entry) {
		json_string(json, key, NULL);
		return;
	}
	const struct tg_ban *ban = &entry->ban;
	json_object(json, key);
	json_string(json, "limit", entry->limit[0] ? entry->limit : NULL);
	json_string(json, "action", tg_action_name(ban->action));
	json_string(json, "to", tg_ban_to_format(ban, rate));
	json_number(json, "measured", ban->measured);
	json_number(json, "threshold", ban->threshold);
	json_bool(json, "enforced", ban->enforced);
	json_time(json, "at", decisions_wall(header, entry->begin));
	json_time(json, "end", decisions_wall(header, entry->end));
	json_end(json);
}

static void show(const struct comparison_ban *a, const struct comparison_ban *b,
		 const struct tg_trace_header *header, struct json *json)
{
	const struct comparison_ban *any = a ? a : b;
	char source[TG_PREFIX_STRLEN];
	tg_prefix_format(&any->ban.source, source);
	if (json) {
		json_object(json, NULL);
		json_string(json, "source", source);
		json_string(json, "policy", any->policy[0] ? any->policy : NULL);
		json_ban(json, "a", a, header);
		json_ban(json, "b", b, header);
		json_end(json);
		return;
	}
	(void)printf("%c %s: ", a && b ? '!' : a ? '<' : '>', source);
	print_ban(any, header);
	if (a && b) {
		(void)printf("; instead ");
		print_ban(b, header);
	}
	(void)fputc('\n', stdout);
}

size_t comparison_print(struct comparison_side *a, struct comparison_side *b,
			const struct tg_trace_header *header, struct json *json)
{
	size_t i = 0, j = 0, differences = 0;
	sort(a);
	sort(b);
	while (i < a->count || j < b->count) {
		const struct comparison_ban *x = i < a->count ? &a->bans[i] : NULL;
		const struct comparison_ban *y = j < b->count ? &b->bans[j] : NULL;
		int order = !x ? 1 : !y ? -1 : compare_names(x, y);
		if (order == 0)
			order = (x->nth > y->nth) - (x->nth < y->nth);
		i += order <= 0;
		j += order >= 0;
		if (order == 0 && is_same(x, y))
			continue;
		show(order <= 0 ? x : NULL, order >= 0 ? y : NULL, header, json);
		differences++;
	}
	return differences;
}
