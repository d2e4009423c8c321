/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the rule that makes a threshold of percentiles, and how it is shown. */
#include "suggestion.h"

#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "json.h"

#define THRESHOLD_MAX 16777216
#define HEADROOM 2

/* What a browser, a pool of connections or a bad moment takes: below it no threshold makes sense.
 */
static uint32_t floor_of(const struct tg_limit *limit)
{
	static const uint32_t floors[TG_MEASURE_COUNT] = {
		[TG_MEASURE_CONCURRENT] = 20, [TG_MEASURE_HALF_OPEN] = 10,
		[TG_MEASURE_NEW] = 20,        [TG_MEASURE_TIME_WAIT] = 50,
		[TG_MEASURE_CLOSE_WAIT] = 20, [TG_MEASURE_FIN_WAIT] = 20,
		[TG_MEASURE_LAST_ACK] = 20,   [TG_MEASURE_IDLE] = 20,
		[TG_MEASURE_FAILED] = 20,     [TG_MEASURE_FAN_OUT] = 50,
	};
	return limit->total ? MAX(floors[limit->measure], 100) : floors[limit->measure];
}

static uint32_t round_up(uint64_t value)
{
	uint64_t step = 1;
	while (value / step >= 100)
		step *= 10;
	value = (value + step - 1) / step * step;
	return (uint32_t)MIN(value, (uint64_t)THRESHOLD_MAX);
}

/* The least that so many thousandths of the values are not above. */
static uint32_t percentile(const uint32_t *values, size_t count, unsigned thousandths)
{
	const size_t rank = (count * thousandths + 999) / 1000;
	return values[MAX(rank, 1) - 1];
}

static size_t over(const uint32_t *values, size_t count, uint64_t threshold)
{
	size_t more = 0;
	while (more < count && values[count - 1 - more] > threshold)
		more++;
	return more;
}

static bool is_short(const struct suggestion_sample *sample)
{
	return sample->moment || sample->ms < (uint64_t)SUGGESTION_SECONDS_LEAST * 1000;
}

void suggestion_make(const struct tg_policy *policy, const struct tg_limit *limit,
		     const uint32_t *values, size_t count, const struct suggestion_sample *sample,
		     struct suggestion *ret_suggestion)
{
	struct suggestion it = {.policy = policy, .limit = limit, .sources = count};
	const bool rate = tg_measure_is_rate(limit->measure);
	if (rate && sample->moment)
		it.state = SUGGESTION_UNMEASURED;
	else if (count == 0)
		it.state = SUGGESTION_NONE_SEEN;
	*ret_suggestion = it;
	if (it.state != SUGGESTION_MADE)
		return;
	it.median = percentile(values, count, 500);
	it.p99 = percentile(values, count, 990);
	it.p999 = percentile(values, count, 999);
	it.most = values[count - 1];
	it.percentile = count >= SUGGESTION_THOUSAND        ? 999
			: count >= SUGGESTION_SOURCES_LEAST ? 990
							    : 1000;
	const uint64_t basis = percentile(values, count, it.percentile);
	it.proposed = MAX(round_up(basis * HEADROOM), floor_of(limit));
	it.over_now = over(values, count, (uint64_t)limit->threshold + limit->burst);
	/* A total is one source by its nature. */
	it.few = is_short(sample) || (count < SUGGESTION_SOURCES_LEAST && !limit->total) ||
		 (rate && sample->ms < limit->window_ms);
	/* Not to have seen more is no reason to allow less. */
	if (it.few)
		it.proposed = MAX(it.proposed, limit->threshold);
	it.over_proposed = over(values, count, (uint64_t)it.proposed + limit->burst);
	*ret_suggestion = it;
}

static const char *threshold(const struct tg_limit *limit, uint32_t count,
			     char buf[static TG_RATE_STRLEN])
{
	const struct tg_rate rate = {.count = count, .per_ms = limit->window_ms};
	if (tg_measure_is_rate(limit->measure))
		return tg_rate_format(&rate, buf);
	(void)snprintf(buf, TG_RATE_STRLEN, "%" PRIu32, count);
	return buf;
}

static void print_doubts(const struct suggestion_sample *sample, FILE *out)
{
	if (sample->moment)
		(void)fprintf(out, "# NOT TO BE TRUSTED: one moment of connection tracking.\n");
	else if (is_short(sample))
		(void)fprintf(out,
			      "# NOT TO BE TRUSTED: only %" PRIu64 " s. Record an hour of a busy "
			      "day instead.\n",
			      sample->ms / 1000);
	if (sample->sources < SUGGESTION_SOURCES_LEAST)
		(void)fprintf(out, "# NOT TO BE TRUSTED: only %zu sources, of at least %d.\n",
			      sample->sources, SUGGESTION_SOURCES_LEAST);
	if (sample->lost > 0)
		(void)fprintf(out, "# %" PRIu64 " events were lost: there may have been more.\n",
			      sample->lost);
	if (sample->unremembered > 0)
		(void)fprintf(out, "# %zu sources beyond what is remembered were left out.\n",
			      sample->unremembered);
}

static void print_head(const struct suggestion_sample *sample, FILE *out)
{
	(void)fprintf(out, "# tcpguard suggest, from %s", sample->from);
	if (!sample->moment)
		(void)fprintf(out, ": %" PRIu64 ".%03u s", sample->ms / 1000,
			      (unsigned)(sample->ms % 1000));
	(void)fprintf(
		out,
		", %zu sources\n"
		"# Twice what all but one in a thousand sources had (with fewer than %d of\n"
		"# them, one in a hundred; than %d, all), rounded up, and not below a floor.\n",
		sample->sources, SUGGESTION_THOUSAND, SUGGESTION_SOURCES_LEAST);
	print_doubts(sample, out);
	if (is_short(sample) || sample->sources < SUGGESTION_SOURCES_LEAST)
		(void)fprintf(out, "# So thresholds are only raised.\n");
}

static void print_made(const struct suggestion *it, FILE *out)
{
	char now[TG_RATE_STRLEN], then[TG_RATE_STRLEN];
	const struct tg_limit *limit = it->limit;
	threshold(limit, limit->threshold, now);
	threshold(limit, it->proposed, then);
	if (limit->total)
		(void)fprintf(out, "      # in all at most %" PRIu32, it->most);
	else
		(void)fprintf(out,
			      "      # %zu sources: 50%% had at most %" PRIu32 ", 99%% %" PRIu32
			      ", 99.9%% %" PRIu32 ", all %" PRIu32,
			      it->sources, it->median, it->p99, it->p999, it->most);
	(void)fprintf(out, "\n      # over %s, as it is: %zu; over %s: %zu%s\n", now, it->over_now,
		      then, it->over_proposed, it->few ? "; too few to lower" : "");
	(void)fprintf(out, "      %s: {%s: %s}\n", limit->name, tg_measure_name(limit->measure),
		      then);
}

static void print_limit(const struct suggestion *it, FILE *out)
{
	char now[TG_RATE_STRLEN];
	switch (it->state) {
	case SUGGESTION_MADE:
		print_made(it, out);
		return;
	case SUGGESTION_NONE_SEEN:
	case SUGGESTION_UNMEASURED:
		break;
	}
	(void)fprintf(out, "      # %s: %s %s stays: %s\n", it->limit->name,
		      tg_measure_name(it->limit->measure),
		      threshold(it->limit, it->limit->threshold, now),
		      it->state == SUGGESTION_NONE_SEEN ? "no source had any"
							: "a moment says nothing of rates");
}

static size_t made_of(const struct suggestion *suggestions, size_t count)
{
	size_t made = 0;
	for (size_t i = 0; i < count; i++)
		made += suggestions[i].state == SUGGESTION_MADE;
	return made;
}

void suggestion_print(const struct suggestion *suggestions, size_t count,
		      const struct suggestion_sample *sample, FILE *out)
{
	print_head(sample, out);
	if (made_of(suggestions, count) == 0) {
		(void)fprintf(out, "# Nothing was seen that a limit of this policy measures.\n");
		return;
	}
	(void)fprintf(out, "policies:\n");
	for (size_t i = 0, end; i < count; i = end) {
		const struct tg_policy *policy = suggestions[i].policy;
		for (end = i; end < count && suggestions[end].policy == policy; end++)
			;
		if (made_of(suggestions + i, end - i) == 0) {
			(void)fprintf(out, "  # %s: nothing was seen\n", policy->name);
			continue;
		}
		(void)fprintf(out, "  %s:\n    override: true\n    limits:\n", policy->name);
		for (size_t j = i; j < end; j++)
			print_limit(&suggestions[j], out);
	}
}

static void json_limit(struct json *json, const struct suggestion *it)
{
	const bool made = it->state == SUGGESTION_MADE;
	json_object(json, NULL);
	json_string(json, "policy", it->policy->name);
	json_string(json, "limit", it->limit->name);
	json_string(json, "measure", tg_measure_name(it->limit->measure));
	json_number(json, "window_ms", it->limit->window_ms);
	json_number(json, "current", it->limit->threshold);
	if (made)
		json_number(json, "proposed", it->proposed);
	else
		json_string(json, "proposed", NULL);
	json_number(json, "sources", it->sources);
	if (made) {
		json_number(json, "median", it->median);
		json_number(json, "p99", it->p99);
		json_number(json, "p999", it->p999);
		json_number(json, "most", it->most);
		json_number(json, "over_current", it->over_now);
		json_number(json, "over_proposed", it->over_proposed);
		json_bool(json, "trusted", !it->few);
	}
	json_end(json);
}

void suggestion_json(const struct suggestion *suggestions, size_t count,
		     const struct suggestion_sample *sample, struct json *json)
{
	json_string(json, "from", sample->from);
	json_number(json, "seconds", sample->ms / 1000);
	json_number(json, "sources", sample->sources);
	json_number(json, "lost", sample->lost);
	json_number(json, "unremembered", sample->unremembered);
	json_bool(json, "trusted",
		  !is_short(sample) && sample->sources >= SUGGESTION_SOURCES_LEAST);
	json_array(json, "limits");
	for (size_t i = 0; i < count; i++)
		json_limit(json, &suggestions[i]);
	json_end(json);
}
