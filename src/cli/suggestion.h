/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_SUGGESTION_H
#define CLI_SUGGESTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tcpguard/config.h>

struct json;

/*
 * A threshold out of what sources had at most. Twice what all but one in a thousand had; with fewer
 * than a thousand sources one in a hundred, and with fewer than a hundred all; rounded up to two
 * digits, and no less than a floor for the measure.
 */
#define SUGGESTION_THOUSAND 1000
/* With fewer, one attacker makes the percentile. */
#define SUGGESTION_SOURCES_LEAST 100
/* Shorter than that is a moment, and no picture of a day. */
#define SUGGESTION_SECONDS_LEAST 60

enum suggestion_state {
	SUGGESTION_MADE,
	SUGGESTION_NONE_SEEN,  /* no source had any */
	SUGGESTION_UNMEASURED, /* a rate, and nothing was seen of time */
};

struct suggestion {
	const struct tg_policy *policy;
	const struct tg_limit *limit;
	enum suggestion_state state;
	bool few;       /* sources, or time: not to be trusted, so that nothing is lowered */
	size_t sources; /* that had any */
	uint32_t median, p99, p999, most;
	unsigned percentile; /* in thousandths, that it was made of; 1000: of all */
	uint32_t proposed;
	size_t over_now, over_proposed;
};

/* Where the sample is from, and how good it is. */
struct suggestion_sample {
	const char *from;    /* "trace", "daemon", "conntrack" */
	bool moment;         /* a dump: nothing is known of rates */
	uint64_t ms;         /* that it covers */
	size_t sources;      /* addresses, of any policy */
	uint64_t lost;       /* events */
	size_t unremembered; /* sources beyond what is remembered */
};

/* values: what each source had at most, ascending, none of them 0. */
void suggestion_make(const struct tg_policy *policy, const struct tg_limit *limit,
		     const uint32_t *values, size_t count, const struct suggestion_sample *sample,
		     struct suggestion *ret_suggestion);

/* As a drop-in that `check` accepts, with the reasons as comments. */
void suggestion_print(const struct suggestion *suggestions, size_t count,
		      const struct suggestion_sample *sample, FILE *out);
/* Members of an object that has been begun. */
void suggestion_json(const struct suggestion *suggestions, size_t count,
		     const struct suggestion_sample *sample, struct json *json);

#endif
