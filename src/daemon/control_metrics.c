/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The numbers for those who watch many hosts: what `status` counts, and by limit what was decided
 * and what is in force. How many records there are hangs on the policy alone. Only reads.
 */
#include "control_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "control_status.h"
#include "daemon.h"

/* Bans looked at and limits told in one piece. */
#define BAN_PIECE 4096
#define LIMIT_PIECE 128

enum held { HELD_ENFORCED, HELD_UNPROVEN, HELD_OBSERVED, HELD_OVER, HELD_COUNT };

struct metrics_state {
	uint64_t generation; /* of the limits that held is about; 0: nothing was looked at yet */
	uint64_t (*held)[HELD_COUNT]; /* by the index of the limit's counts */
	uint64_t actions[TG_ACTION_COUNT];
	uint32_t cursor;
	bool told;   /* all but the limits */
	size_t next; /* limit to tell */
};

static void state_free(void *data)
{
	struct metrics_state *state = data;
	free(state->held);
	free(state);
}

static void put_reasons(const struct daemon *daemon, struct tg_strbuf *out)
{
	tg_record_begin(out, "reasons");
	for (int i = 0; i < HEALTH_COUNT; i++)
		tg_record_put_u64(out, health_reason_name((enum health_reason)i),
				  daemon->health.reasons[i].on);
	tg_record_end(out);
}

static void put_transactions(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct nft_sink_stats sink;
	uint64_t count = 0;
	nft_sink_stats(daemon->sink, &sink);
	tg_record_begin(out, "transaction");
	for (size_t i = 0; i < TG_HISTOGRAM_BOUNDS; i++) {
		char key[32];
		count += sink.took.counts[i];
		(void)snprintf(key, sizeof(key), "le_%llu",
			       (unsigned long long)tg_histogram_bound_us(i));
		tg_record_put_u64(out, key, count);
	}
	tg_record_put_u64(out, "count", count + sink.took.counts[TG_HISTOGRAM_BOUNDS]);
	tg_record_put_u64(out, "sum_us", sink.took.sum_ns / 1000);
	tg_record_end(out);
}

static enum held held_as(const struct tg_ban *ban)
{
	if (tg_prefix_is_total(&ban->source))
		return HELD_OVER;
	if (!ban->enforced)
		return HELD_OBSERVED;
	return ban->unproven ? HELD_UNPROVEN : HELD_ENFORCED;
}

/* True when all bans have been looked at. A policy that came in between begins it anew. */
static bool look(const struct daemon *daemon, struct metrics_state *state)
{
	const struct limit_counts *counts = &daemon->limit_counts;
	if (state->generation != counts->generation) {
		free(state->held);
		*state = (struct metrics_state){.generation = counts->generation};
		state->held = calloc(counts->count + 1, sizeof(*state->held));
	}
	struct tg_ban ban;
	for (int i = 0; i < BAN_PIECE; i++) {
		if (!tg_engine_next_ban(daemon->engine, &state->cursor, &ban))
			return true;
		const enum held held = held_as(&ban);
		if (state->held)
			state->held[limit_counts_find(counts, daemon->policy.config, &ban)][held]++;
		if (ban.enforced)
			state->actions[ban.action]++;
	}
	return false;
}

static void put_limit(const struct limit_counts_entry *entry, const uint64_t held[HELD_COUNT],
		      struct tg_strbuf *out)
{
	static const char *const counted[LIMIT_COUNT_COUNT] = {
		[LIMIT_COUNT_BAN] = "ban",       [LIMIT_COUNT_OBSERVE] = "observe",
		[LIMIT_COUNT_EXTEND] = "extend", [LIMIT_COUNT_PROVE] = "prove",
		[LIMIT_COUNT_LIFT] = "lift",     [LIMIT_COUNT_EXPIRE] = "expire",
	};
	static const char *const holds[HELD_COUNT] = {
		[HELD_ENFORCED] = "enforced",
		[HELD_UNPROVEN] = "unproven",
		[HELD_OBSERVED] = "observed",
		[HELD_OVER] = "over",
	};
	tg_record_begin(out, "limit");
	tg_record_put(out, "policy", entry->policy);
	tg_record_put(out, "limit", entry->limit);
	for (int i = 0; i < LIMIT_COUNT_COUNT; i++)
		tg_record_put_u64(out, counted[i], entry->counts[i]);
	for (int i = 0; i < HELD_COUNT; i++)
		tg_record_put_u64(out, holds[i], held[i]);
	tg_record_end(out);
}

static void put_numbers(const struct daemon *daemon, const struct metrics_state *state,
			struct tg_strbuf *out)
{
	control_status_numbers(daemon, out);
	put_reasons(daemon, out);
	put_transactions(daemon, out);
	tg_record_begin(out, "actions");
	for (int i = 0; i < TG_ACTION_COUNT; i++)
		if (i != TG_ACTION_OBSERVE)
			tg_record_put_u64(out, tg_action_name((enum tg_action)i),
					  state->actions[i]);
	tg_record_end(out);
}

static bool metrics_more(void *data, void *stream_state, struct tg_strbuf *out)
{
	const struct daemon *daemon = data;
	const struct limit_counts *counts = &daemon->limit_counts;
	struct metrics_state *state = stream_state;
	if (!state->told) {
		if (!look(daemon, state))
			return true;
		put_numbers(daemon, state, out);
		state->told = true;
		return state->held;
	}
	/* Another policy is in force: its limits, and the rest of these, are told the next time. */
	if (state->generation != counts->generation)
		return false;
	for (int i = 0; i < LIMIT_PIECE && state->next < counts->count; i++, state->next++)
		put_limit(&counts->entries[state->next], state->held[state->next], out);
	return state->next < counts->count;
}

void control_metrics(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)data;
	(void)request;
	struct metrics_state *state = calloc(1, sizeof(*state));
	if (state)
		control_stream(client, metrics_more, state, state_free);
	else
		control_error(client, 1, "out of memory");
}
