/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the peaks of every source under every limit, and the engine that counts them. */
#include "sample.h"

#include <stdlib.h>
#include <string.h>

#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#include "base/siphash.h"
#include "base/util.h"
#include "simulation.h"
#include "suggestion.h"

/* A bucket that hardly drains is a counter, whose growth in a window is what is to be known. */
#define COUNTER_WINDOW_MS (3600 * 1000)
#define COUNTER_ROOM 1000000
#define NO_THRESHOLD 16777216
/* Some 300 MB; a source takes one for each limit. */
#define PEAKS_MAX (1u << 22)
#define PEAKS_FIRST (1u << 12)

struct peak {
	struct tg_prefix source;
	uint16_t limit; /* among all of the config */
	bool used;
	uint32_t most;
	/* Of a rate: the counter, and what came in this half of a window and the one before. */
	uint32_t last, here, before;
	tg_time since;
};

struct sample {
	const struct tg_config *config;
	struct tg_config counting; /* shares all but thresholds with config */
	struct simulation simulation;
	struct tg_prefix_set *allow;
	const struct tg_prefix_set *protected; /* the trace's; NULL: none told yet */
	uint8_t seed[16];
	struct peak *peaks;
	size_t capacity, count;
	size_t sources; /* addresses, as far as the first limit sees them */
	tg_time first, last;
	uint64_t lost;
	size_t unremembered;
	bool failed;
};

static void decided(void *data, const struct tg_decision *decision)
{
	(void)data;
	(void)decision;
}

/* No limit is ever crossed, and rates are counted up. */
static bool make_counting(struct sample *sample)
{
	const struct tg_config *config = sample->config;
	struct tg_policy *policies = calloc(MAX(config->policy_count, 1), sizeof(*policies));
	sample->counting = *config;
	sample->counting.policies = policies;
	if (!policies)
		return false;
	for (size_t p = 0; p < config->policy_count; p++) {
		policies[p] = config->policies[p];
		struct tg_limit *limits = calloc(policies[p].limit_count, sizeof(*limits));
		policies[p].limits = limits;
		if (!limits)
			return false;
		for (size_t i = 0; i < policies[p].limit_count; i++) {
			limits[i] = config->policies[p].limits[i];
			limits[i].mode = TG_MODE_OBSERVE;
			limits[i].threshold = NO_THRESHOLD;
			if (!tg_measure_is_rate(limits[i].measure))
				continue;
			limits[i].threshold = 1;
			limits[i].window_ms = COUNTER_WINDOW_MS;
			limits[i].burst = COUNTER_ROOM;
		}
	}
	return true;
}

static void free_counting(struct sample *sample)
{
	const struct tg_policy *policies = sample->counting.policies;
	for (size_t p = 0; policies && p < sample->counting.policy_count; p++)
		free((void *)policies[p].limits);
	free((void *)policies);
}

static struct tg_prefix_set *make_allow(const struct tg_config *config)
{
	struct tg_protected_prefix *all = calloc(config->allow_count + 1, sizeof(*all));
	for (size_t i = 0; all && i < config->allow_count; i++)
		all[i] = (struct tg_protected_prefix){config->allow[i], TG_PROTECT_ALLOWED};
	struct tg_prefix_set *set = all ? tg_prefix_set_create(all, config->allow_count) : NULL;
	free(all);
	return set;
}

struct sample *sample_create(const struct tg_config *config, const struct tg_trace_header *header)
{
	struct sample *sample = calloc(1, sizeof(*sample));
	if (!sample)
		return NULL;
	sample->config = config;
	sample->first = sample->last = header->start;
	sample->capacity = PEAKS_FIRST;
	memcpy(sample->seed, header->seed, sizeof(sample->seed));
	sample->peaks = calloc(sample->capacity, sizeof(*sample->peaks));
	sample->allow = make_allow(config);
	if (sample->peaks && sample->allow && make_counting(sample) &&
	    simulation_begin(&sample->simulation, &sample->counting, header, decided, NULL))
		return sample;
	sample_destroy(sample);
	return NULL;
}

void sample_destroy(struct sample *sample)
{
	if (!sample)
		return;
	simulation_finish(&sample->simulation);
	free_counting(sample);
	tg_prefix_set_destroy(sample->allow);
	free(sample->peaks);
	free(sample);
}

static uint64_t hash_of(const struct sample *sample, const struct tg_prefix *source, uint16_t limit)
{
	uint8_t key[20];
	memcpy(key, source->addr.bytes, 16);
	key[16] = source->addr.family;
	key[17] = source->len;
	memcpy(key + 18, &limit, sizeof(limit));
	return tg_siphash13(sample->seed, key, sizeof(key));
}

/* Its own, or the free one where it would stand; half of them are free. */
static struct peak *look_up(const struct sample *sample, const struct tg_prefix *source,
			    uint16_t limit)
{
	size_t at = hash_of(sample, source, limit) & (sample->capacity - 1);
	while (sample->peaks[at].used && (sample->peaks[at].limit != limit ||
					  !tg_prefix_equal(&sample->peaks[at].source, source)))
		at = (at + 1) & (sample->capacity - 1);
	return &sample->peaks[at];
}

static bool grow(struct sample *sample)
{
	struct peak *old = sample->peaks;
	const size_t count = sample->capacity;
	struct peak *peaks = calloc(count * 2, sizeof(*peaks));
	if (!peaks)
		return false;
	sample->peaks = peaks;
	sample->capacity = count * 2;
	for (size_t i = 0; i < count; i++)
		if (old[i].used)
			*look_up(sample, &old[i].source, old[i].limit) = old[i];
	free(old);
	return true;
}

static struct peak *find_peak(struct sample *sample, const struct tg_prefix *source, uint16_t limit,
			      tg_time now)
{
	struct peak *peak = look_up(sample, source, limit);
	if (peak->used)
		return peak;
	if (sample->count * 2 >= sample->capacity) {
		if (sample->capacity >= PEAKS_MAX) {
			sample->unremembered += limit == 0;
			return NULL;
		}
		if (!grow(sample)) {
			sample->failed = true;
			return NULL;
		}
		peak = look_up(sample, source, limit);
	}
	*peak = (struct peak){.source = *source, .limit = limit, .used = true, .since = now};
	sample->count++;
	return peak;
}

/* Flows of the last window, as a counter tells them: what falls in two halves of it. */
static uint32_t in_window(struct peak *peak, uint32_t counter, uint64_t window_ms, tg_time now)
{
	const tg_time half = MAX(window_ms * TG_MSEC / 2, 1);
	const tg_time gone = now - peak->since;
	if (gone >= half) {
		peak->before = gone < 2 * half ? peak->here : 0;
		peak->here = 0;
		peak->since = now - gone % half;
	}
	/* Smaller: it has drained by one, or the engine gave the source up and counts anew. */
	if (counter != peak->last)
		peak->here += counter > peak->last        ? counter - peak->last
			      : peak->last - counter == 1 ? 0
							  : counter;
	peak->last = counter;
	return peak->before + peak->here;
}

static bool is_spared(const struct sample *sample, const struct tg_addr *addr)
{
	return tg_prefix_set_lookup(sample->allow, addr) ||
	       tg_prefix_set_lookup(sample->protected, addr);
}

static void note_source(struct sample *sample, const struct tg_addr *addr)
{
	/* Behind the limits: every address once. */
	const struct tg_prefix host =
		tg_addr_mask(addr, tg_family_bits((enum tg_family)addr->family));
	struct peak *peak = find_peak(sample, &host, UINT16_MAX, sample->last);
	if (peak && peak->most == 0) {
		peak->most = 1;
		sample->sources++;
	}
}

/* What the engine counts of the source of an event, after it. */
static void look(struct sample *sample, const struct tg_flow_key *key)
{
	struct tg_addr addr = {.family = key->family};
	struct tg_limit_count count;
	uint32_t cursor = 0;
	uint16_t index = 0;
	memcpy(addr.bytes, key->src, sizeof(addr.bytes));
	const bool spared = is_spared(sample, &addr);
	if (!spared)
		note_source(sample, &addr);
	while (tg_engine_next_limit(sample->simulation.engine, &addr, &cursor, &count)) {
		const uint16_t limit = index++;
		if (!count.counted || count.measured == 0 ||
		    (spared && !tg_prefix_is_total(&count.source)))
			continue;
		struct peak *peak = find_peak(sample, &count.source, limit, sample->last);
		if (!peak)
			continue;
		const struct tg_limit *of =
			&sample->config->policies[count.policy].limits[count.limit];
		const uint32_t now =
			tg_measure_is_rate(of->measure)
				? in_window(peak, count.measured, of->window_ms, sample->last)
				: count.measured;
		peak->most = MAX(peak->most, now);
	}
}

static bool has_flow(const struct tg_event *event)
{
	return event->type == TG_EVENT_FLOW_NEW || event->type == TG_EVENT_FLOW_STATE ||
	       event->type == TG_EVENT_FLOW_END;
}

void sample_feed(struct sample *sample, const struct tg_event *events, int count)
{
	/* One by one: a peak may last no longer than between two events. */
	for (int i = 0; i < count; i++) {
		const struct tg_event *event = &events[i];
		simulation_step(&sample->simulation, event, 1);
		sample->last = MAX(event->at, sample->last);
		if (event->type == TG_EVENT_PROTECTED)
			sample->protected = event->protected;
		if (event->type == TG_EVENT_GAP)
			sample->lost += event->lost;
		if (has_flow(event))
			look(sample, &event->flow.key);
	}
}

bool sample_describe(const struct sample *sample, struct suggestion_sample *ret_sample)
{
	ret_sample->ms = (sample->last - sample->first) / TG_MSEC;
	ret_sample->sources = sample->sources;
	ret_sample->lost = sample->lost;
	ret_sample->unremembered = sample->unremembered;
	return !sample->failed;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

bool sample_values(const struct sample *sample, size_t policy, size_t limit, uint32_t **ret_values,
		   size_t *ret_count)
{
	size_t index = limit, count = 0;
	for (size_t p = 0; p < policy; p++)
		index += sample->config->policies[p].limit_count;
	uint32_t *values = calloc(sample->count + 1, sizeof(*values));
	if (!values)
		return false;
	for (size_t i = 0; i < sample->capacity; i++)
		if (sample->peaks[i].used && sample->peaks[i].limit == index &&
		    sample->peaks[i].most > 0)
			values[count++] = sample->peaks[i].most;
	qsort(values, count, sizeof(*values), compare);
	*ret_values = values;
	*ret_count = count;
	return true;
}
