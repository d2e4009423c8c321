/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions counted by limit: which count, under whose name, and over a reload. */
#include "daemon/limit_counts.h"

#include <tcpguard/decision.h>

#include "base/histogram.h"
#include "test.h"

static const struct tg_limit web_limits[] = {{.name = "open"}, {.name = "new"}};
static const struct tg_limit ssh_limits[] = {{.name = "open"}};
static const struct tg_policy policies[] = {
	{.name = "web", .limits = web_limits, .limit_count = 2},
	{.name = "ssh", .limits = ssh_limits, .limit_count = 1}};
static const struct tg_config config = {.policies = policies, .policy_count = 2};

static const struct tg_limit fewer_limits[] = {{.name = "new"}};
static const struct tg_policy fewer_policies[] = {
	{.name = "ssh", .limits = ssh_limits, .limit_count = 1},
	{.name = "web", .limits = fewer_limits, .limit_count = 1}};
static const struct tg_config fewer = {.policies = fewer_policies, .policy_count = 2};

static struct limit_counts counts;

static void decide(enum tg_decision_type type, enum tg_cause cause, uint16_t policy, uint16_t limit)
{
	const struct tg_decision decision = {
		.type = type,
		.cause = cause,
		.ban = {.policy = policy, .limit = limit, .enforced = true}};
	limit_counts_add(&counts, &config, &decision);
}

static uint64_t counted(const char *policy, const char *limit, enum limit_count which)
{
	for (size_t i = 0; i < counts.count; i++) {
		const struct limit_counts_entry *entry = &counts.entries[i];
		if (strcmp(entry->policy, policy) == 0 && strcmp(entry->limit, limit) == 0)
			return entry->counts[which];
	}
	return UINT64_MAX;
}

static uint64_t sum(void)
{
	uint64_t all = 0;
	for (size_t i = 0; i < counts.count; i++)
		for (int j = 0; j < LIMIT_COUNT_COUNT; j++)
			all += counts.entries[i].counts[j];
	return all;
}

TEST(before_a_policy)
{
	decide(TG_DECISION_BAN, TG_CAUSE_OFFENCE, 0, 0);
	CHECK_U64(counts.count, 0);
}

TEST(kinds)
{
	limit_counts_follow(&counts, &config);
	CHECK_U64(counts.count, 5);
	decide(TG_DECISION_BAN, TG_CAUSE_OFFENCE, 0, 1);
	decide(TG_DECISION_BAN, TG_CAUSE_EXTENDED, 0, 1);
	decide(TG_DECISION_BAN, TG_CAUSE_INSISTS, 0, 1);
	decide(TG_DECISION_BAN, TG_CAUSE_WITNESSED, 0, 1);
	decide(TG_DECISION_LIFT, TG_CAUSE_RELOAD, 0, 1);
	decide(TG_DECISION_EXPIRE, TG_CAUSE_NONE, 0, 1);
	decide(TG_DECISION_LIFT, TG_CAUSE_EXPIRED, 0, 1);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_BAN), 1);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_OBSERVE), 0);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_EXTEND), 2);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_PROVE), 1);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_LIFT), 1);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_EXPIRE), 2);
	CHECK_U64(sum(), 7);
}

TEST(nothing_new)
{
	decide(TG_DECISION_BAN, TG_CAUSE_AGAIN, 0, 0);
	decide(TG_DECISION_LIFT, TG_CAUSE_AGAIN, 0, 0);
	decide(TG_DECISION_LIFT, TG_CAUSE_WITNESSED, 0, 0);
	decide(TG_DECISION_REFUSE, TG_CAUSE_PROTECTED, 0, 0);
	decide(TG_DECISION_VERIFY, TG_CAUSE_NONE, 0, 0);
	CHECK_U64(sum(), 7);
}

TEST(whose)
{
	struct tg_decision hand = {.type = TG_DECISION_BAN,
				   .cause = TG_CAUSE_OPERATOR,
				   .ban = {.origin = TG_ORIGIN_OPERATOR,
					   .policy = TG_NO_INDEX,
					   .limit = TG_NO_INDEX,
					   .enforced = true}};
	limit_counts_add(&counts, &config, &hand);
	decide(TG_DECISION_BAN, TG_CAUSE_OFFENCE, 1, 0);
	decide(TG_DECISION_EXPIRE, TG_CAUSE_NONE, 1, TG_NO_INDEX);
	decide(TG_DECISION_EXPIRE, TG_CAUSE_NONE, TG_NO_INDEX, 0);
	decide(TG_DECISION_EXPIRE, TG_CAUSE_NONE, 0, 2);
	struct tg_decision seen = {.type = TG_DECISION_BAN, .cause = TG_CAUSE_OFFENCE};
	seen.ban.policy = 1;
	limit_counts_add(&counts, &config, &seen);
	CHECK_U64(counted("hand", "operator", LIMIT_COUNT_BAN), 1);
	CHECK_U64(counted("ssh", "open", LIMIT_COUNT_BAN), 1);
	CHECK_U64(counted("ssh", "open", LIMIT_COUNT_OBSERVE), 1);
	CHECK_U64(counted("hand", "gone", LIMIT_COUNT_EXPIRE), 3);
	CHECK_U64(sum(), 13);
}

TEST(reload)
{
	const uint64_t generation = counts.generation;
	limit_counts_follow(&counts, &fewer);
	CHECK(counts.generation > generation);
	CHECK_U64(counts.count, 4);
	CHECK_U64(counted("web", "new", LIMIT_COUNT_EXTEND), 2);
	CHECK_U64(counted("ssh", "open", LIMIT_COUNT_BAN), 1);
	CHECK_U64(counted("hand", "gone", LIMIT_COUNT_EXPIRE), 3);
	CHECK_U64(counted("web", "open", LIMIT_COUNT_BAN), UINT64_MAX);
	limit_counts_finish(&counts);
}

TEST(histogram)
{
	struct tg_histogram histogram = {0};
	for (size_t i = 0; i < TG_HISTOGRAM_BOUNDS; i++) {
		CHECK(i == 0 || tg_histogram_bound_us(i) > tg_histogram_bound_us(i - 1));
		tg_histogram_add(&histogram, tg_histogram_bound_us(i) * 1000);
		CHECK_U64(histogram.counts[i], 1);
	}
	tg_histogram_add(&histogram, 0);
	tg_histogram_add(&histogram, tg_histogram_bound_us(0) * 1000 + 1);
	tg_histogram_add(&histogram, UINT64_C(2000000000));
	CHECK_U64(histogram.counts[0], 2);
	CHECK_U64(histogram.counts[1], 2);
	CHECK_U64(histogram.counts[TG_HISTOGRAM_BOUNDS], 1);
}

int main(void)
{
	RUN(before_a_policy);
	RUN(kinds);
	RUN(nothing_new);
	RUN(whose);
	RUN(reload);
	RUN(histogram);
	return DONE();
}
