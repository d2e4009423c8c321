/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how many decisions each limit has caused. Only counts. */
#include "limit_counts.h"

#include <stdlib.h>
#include <string.h>

#include <tcpguard/decision.h>

enum { ENTRY_HAND, ENTRY_GONE, ENTRY_LIMITS };

static void set_name(char name[static TG_NAME_MAX + 1], const char *text)
{
	strncpy(name, text, TG_NAME_MAX); /* the loader lets no longer one pass; zero before */
}

/* Nearly always where it was: most reloads change thresholds. NULL: it is new. */
static const struct limit_counts_entry *find_before(const struct limit_counts *counts, size_t hint,
						    const struct limit_counts_entry *wanted)
{
	for (size_t i = 0; i < counts->count; i++) {
		const struct limit_counts_entry *entry =
			&counts->entries[(hint + i) % counts->count];
		if (strcmp(entry->policy, wanted->policy) == 0 &&
		    strcmp(entry->limit, wanted->limit) == 0)
			return entry;
	}
	return NULL;
}

void limit_counts_follow(struct limit_counts *counts, const struct tg_config *config)
{
	struct limit_counts after = {.count = ENTRY_LIMITS, .generation = counts->generation + 1};
	for (size_t i = 0; i < config->policy_count; i++)
		after.count += config->policies[i].limit_count;
	after.entries = calloc(after.count, sizeof(*after.entries));
	if (!after.entries) {
		after.count = 0;
		limit_counts_finish(counts);
		*counts = after;
		return;
	}
	set_name(after.entries[ENTRY_HAND].policy, TG_NAME_HAND);
	set_name(after.entries[ENTRY_HAND].limit, "operator");
	set_name(after.entries[ENTRY_GONE].policy, TG_NAME_HAND);
	set_name(after.entries[ENTRY_GONE].limit, "gone");
	size_t at = ENTRY_LIMITS;
	for (size_t i = 0; i < config->policy_count; i++) {
		const struct tg_policy *policy = &config->policies[i];
		for (size_t j = 0; j < policy->limit_count; j++, at++) {
			set_name(after.entries[at].policy, policy->name);
			set_name(after.entries[at].limit, policy->limits[j].name);
		}
	}
	for (size_t i = 0; i < after.count; i++) {
		const struct limit_counts_entry *before = find_before(counts, i, &after.entries[i]);
		if (before)
			memcpy(after.entries[i].counts, before->counts, sizeof(before->counts));
	}
	limit_counts_finish(counts);
	*counts = after;
}

void limit_counts_finish(struct limit_counts *counts)
{
	free(counts->entries);
	*counts = (struct limit_counts){0};
}

size_t limit_counts_find(const struct limit_counts *counts, const struct tg_config *config,
			 const struct tg_ban *ban)
{
	if (counts->count == 0)
		return 0;
	if (ban->origin == TG_ORIGIN_OPERATOR)
		return ENTRY_HAND;
	if (ban->policy >= config->policy_count ||
	    ban->limit >= config->policies[ban->policy].limit_count)
		return ENTRY_GONE;
	size_t at = ENTRY_LIMITS + ban->limit;
	for (size_t i = 0; i < ban->policy; i++)
		at += config->policies[i].limit_count;
	return at < counts->count ? at : ENTRY_GONE;
}

/* LIMIT_COUNT_COUNT: nothing new was decided. */
static enum limit_count count_of(const struct tg_decision *decision)
{
	switch (decision->type) {
	case TG_DECISION_BAN:
		if (decision->cause == TG_CAUSE_EXTENDED || decision->cause == TG_CAUSE_INSISTS)
			return LIMIT_COUNT_EXTEND;
		if (decision->cause == TG_CAUSE_WITNESSED)
			return LIMIT_COUNT_PROVE;
		if (decision->cause != TG_CAUSE_OFFENCE && decision->cause != TG_CAUSE_OPERATOR)
			return LIMIT_COUNT_COUNT; /* the kernel's copy of it is put right */
		return decision->ban.enforced ? LIMIT_COUNT_BAN : LIMIT_COUNT_OBSERVE;
	case TG_DECISION_LIFT:
		/* A rate-limit that gave its place to the drop; a lift that is tried again. */
		if (decision->cause == TG_CAUSE_WITNESSED || decision->cause == TG_CAUSE_AGAIN)
			return LIMIT_COUNT_COUNT;
		return decision->cause == TG_CAUSE_EXPIRED ? LIMIT_COUNT_EXPIRE : LIMIT_COUNT_LIFT;
	case TG_DECISION_EXPIRE:
		return LIMIT_COUNT_EXPIRE;
	case TG_DECISION_REFUSE: /* told once a second at most; the engine counts all */
	case TG_DECISION_VERIFY:
	case TG_DECISION_WITNESS:
	case TG_DECISION_PROBE:
	case TG_DECISION_PASS:
	case TG_DECISION_KILL:
	case TG_DECISION_COUNT:
		break;
	}
	return LIMIT_COUNT_COUNT;
}

void limit_counts_add(struct limit_counts *counts, const struct tg_config *config,
		      const struct tg_decision *decision)
{
	const enum limit_count what = count_of(decision);
	if (what == LIMIT_COUNT_COUNT)
		return;
	const size_t at = limit_counts_find(counts, config, &decision->ban);
	if (at < counts->count)
		counts->entries[at].counts[what]++;
}
