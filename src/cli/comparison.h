/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_COMPARISON_H
#define CLI_COMPARISON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/decision.h>
#include <tcpguard/trace.h>

struct json;

/* A ban from its first decision to its last. */
struct comparison_ban {
	struct tg_ban ban; /* as it was last told */
	tg_time begin, end;
	const char *policy, *limit; /* "" by hand */
	uint32_t nth;               /* of this source under this policy and scope */
	size_t order;
};

/* All bans of one replay. */
struct comparison_side {
	const struct tg_config *config;
	struct comparison_ban *bans;
	size_t count, capacity;
	uint32_t *running; /* index + 1 of the ban, by the engine's number; 0: none */
	size_t running_count;
	bool failed; /* memory ran out */
};

bool comparison_init(struct comparison_side *side);
void comparison_finish(struct comparison_side *side);
void comparison_add(struct comparison_side *side, const struct tg_decision *decision);
/*
 * Prints what differs, by source: "<" only in a, ">" only in b, "!" in both, but otherwise.
 * json NULL: as lines. How many differ.
 */
size_t comparison_print(struct comparison_side *a, struct comparison_side *b,
			const struct tg_trace_header *header, struct json *json);

#endif
