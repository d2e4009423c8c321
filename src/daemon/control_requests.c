/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests that change something or list something: each checks its fields and
   hands over. What they print of the daemon's state is in control_status.c. */
#include "control_requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"
#include "control_events.h"
#include "control_explain.h"
#include "control_kill.h"
#include "control_list.h"
#include "control_metrics.h"
#include "control_near.h"
#include "control_policy.h"
#include "control_record.h"
#include "control_status.h"
#include "daemon.h"
#include "panic.h"
#include "state.h"

/* Counts looked at in one piece of `top`. */
#define TOP_PIECE 4096
#define TOP_MAX 500
/* And in one piece of all, which are written out at once: some 64 KiB. */
#define TOP_ALL_PIECE 256
#define TOP_DEFAULT 20
#define CAP_MAX 1000
/* Of a policy that is taken back: time to log in once more, and no longer than anybody watches. */
#define CONFIRM_MIN_MS 1000
#define CONFIRM_MAX_MS (3600 * 1000)

/* By what `top` ranks: a sum of states, or the rate. */
#define TOP_BY_NEW 0u
static const struct {
	const char *word;
	uint32_t states;
} top_sorts[] = {
	{"total", (1u << TG_TCP_STATE_COUNT) - 1},
	{"half-open", 1u << TG_TCP_SYN_SENT | 1u << TG_TCP_SYN_RECV},
	{"established", 1u << TG_TCP_ESTABLISHED},
	{"closing", 1u << TG_TCP_FIN_WAIT | 1u << TG_TCP_CLOSE_WAIT | 1u << TG_TCP_LAST_ACK |
			    1u << TG_TCP_CLOSE},
	{"time-wait", 1u << TG_TCP_TIME_WAIT},
	{"new", TOP_BY_NEW},
};

/* The fullest counts, gathered in pieces: a scan of every source at once takes too long. */
struct top_state {
	uint32_t cursor;
	uint32_t sort; /* bits of enum tg_tcp_state, or TOP_BY_NEW */
	size_t count, wanted;
	struct top_entry {
		uint64_t rank, total;
		struct tg_source_count source;
	} entries[TOP_MAX];
};

static uint64_t sum_of(const struct tg_source_count *source, uint32_t states)
{
	uint64_t sum = 0;
	for (int i = 0; i < TG_TCP_STATE_COUNT; i++)
		if (states >> i & 1)
			sum += source->states[i];
	return sum;
}

static uint64_t total_of(const struct tg_source_count *source)
{
	return sum_of(source, top_sorts[0].states);
}

/* Sorted by insertion: nearly all of many sources are below the last of the list. */
static void top_offer(struct top_state *top, const struct tg_source_count *source)
{
	const uint64_t total = total_of(source);
	const uint64_t rank =
		top->sort == TOP_BY_NEW ? source->new_level : sum_of(source, top->sort);
	if (total == 0 && source->new_level == 0)
		return;
	if (top->count == top->wanted && rank <= top->entries[top->count - 1].rank)
		return;
	size_t at = top->count < top->wanted ? top->count++ : top->count - 1;
	for (; at > 0 && top->entries[at - 1].rank < rank; at--)
		top->entries[at] = top->entries[at - 1];
	top->entries[at] = (struct top_entry){.rank = rank, .total = total, .source = *source};
}

/* All of them, in no order: for programs that sort by themselves. */
static bool top_all(void *data, void *state, struct tg_strbuf *out)
{
	struct daemon *daemon = data;
	struct top_state *top = state;
	struct tg_source_count source;
	for (int i = 0; i < TOP_ALL_PIECE; i++) {
		if (!tg_engine_next_source(daemon->engine, &top->cursor, &source))
			return false;
		uint64_t total = total_of(&source);
		if (total > 0 || source.new_level > 0)
			control_status_source(daemon, &source, total, out);
	}
	return true;
}

static bool top_more(void *data, void *state, struct tg_strbuf *out)
{
	struct daemon *daemon = data;
	struct top_state *top = state;
	struct tg_source_count source;
	for (int i = 0; i < TOP_PIECE; i++) {
		if (!tg_engine_next_source(daemon->engine, &top->cursor, &source)) {
			for (size_t j = 0; j < top->count; j++)
				control_status_source(daemon, &top->entries[j].source,
						      top->entries[j].total, out);
			return false;
		}
		top_offer(top, &source);
	}
	return true;
}

static bool read_sort(const struct tg_record *request, uint32_t *ret_sort)
{
	const char *text = tg_record_get(request, "sort");
	for (size_t i = 0; i < ARRAY_SIZE(top_sorts); i++) {
		if (strcmp(text ? text : "total", top_sorts[i].word) == 0) {
			*ret_sort = top_sorts[i].states;
			return true;
		}
	}
	return false;
}

static void begin_top(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)data;
	uint64_t wanted = TOP_DEFAULT;
	uint32_t sort = 0;
	if (!read_sort(request, &sort)) {
		control_error(client, 2,
			      "sort is total, half-open, established, closing, time-wait or new");
		return;
	}
	if (tg_record_get(request, "count") &&
	    (!tg_record_get_u64(request, "count", &wanted) || wanted > TOP_MAX)) {
		control_error(client, 2, "count is from 1 to %d, or 0 for all", TOP_MAX);
		return;
	}
	struct top_state *top = malloc(sizeof(*top));
	if (!top) {
		control_error(client, 1, "out of memory");
		return;
	}
	top->cursor = 0;
	top->count = 0;
	top->wanted = wanted;
	top->sort = sort;
	control_stream(client, wanted ? top_more : top_all, top, free);
}

static void begin_status(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)request;
	control_status(data, control_out(client));
	control_done(client);
}

static const char *read_to(const char *to, struct tg_ban_request *ban)
{
	uint64_t cap;
	switch (ban->action) {
	case TG_ACTION_RATE_LIMIT:
		return to ? tg_rate_parse(to, &ban->to) : "a rate-limit needs to=COUNT/TIME";
	case TG_ACTION_CAP:
		if (!to || !tg_text_u64(to, &cap) || cap == 0 || cap > CAP_MAX)
			return "a cap needs to=COUNT, from 1 to 1000";
		ban->to.count = (uint32_t)cap;
		return NULL;
	case TG_ACTION_OBSERVE:
	case TG_ACTION_SYNPROXY:
	case TG_ACTION_REJECT:
	case TG_ACTION_DROP:
	case TG_ACTION_COUNT:
		break;
	}
	return to ? "only a rate-limit and a cap have a 'to'" : NULL;
}

/* NULL, or what is wrong with the request. */
static const char *read_action(const struct tg_record *request, struct tg_ban_request *ban)
{
	const char *action = tg_record_get(request, "action");
	const char *scope = tg_record_get(request, "scope");
	ban->action = action ? TG_ACTION_COUNT : TG_ACTION_DROP;
	for (enum tg_action a = TG_ACTION_RATE_LIMIT; action && a < TG_ACTION_COUNT; a++)
		if (strcmp(action, tg_action_name(a)) == 0)
			ban->action = a;
	if (ban->action == TG_ACTION_COUNT)
		return "action is drop, reject, cap or rate-limit";
	ban->scope = ban->action >= TG_ACTION_REJECT ? TG_SCOPE_EVERYTHING : TG_SCOPE_NEW;
	if (scope && strcmp(scope, tg_scope_name(TG_SCOPE_NEW)) == 0)
		ban->scope = TG_SCOPE_NEW;
	else if (scope && (strcmp(scope, tg_scope_name(TG_SCOPE_EVERYTHING)) != 0 ||
			   ban->scope != TG_SCOPE_EVERYTHING))
		return "scope is new, or with drop and reject everything";
	return read_to(tg_record_get(request, "to"), ban);
}

/* False when it is there and neither true nor false: a guess would lift bans. */
static bool read_flag(const struct tg_record *request, const char *key, bool *ret_flag)
{
	const char *text = tg_record_get(request, key);
	if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return false;
	*ret_flag = text && strcmp(text, "true") == 0;
	return true;
}

static const char *read_ban(const struct tg_record *request, struct tg_ban_request *ban)
{
	const char *source = tg_record_get(request, "source");
	const char *reason = tg_record_get(request, "reason");
	const char *wrong = source ? tg_prefix_parse(source, &ban->source) : "source is missing";
	if (!wrong)
		wrong = read_action(request, ban);
	if (wrong)
		return wrong;
	if (!tg_record_get_u64(request, "for", &ban->expire_ms) || ban->expire_ms == 0)
		return "for is missing: milliseconds until the ban ends";
	if (ban->expire_ms > TG_DURATION_MAX_MS)
		return "longer than 365 days";
	if (reason && strlen(reason) >= sizeof(ban->reason))
		return "the reason is longer than 95 bytes";
	if (reason)
		memcpy(ban->reason, reason, strlen(reason) + 1);
	if (!read_flag(request, "force", &ban->force))
		return "force is true or false";
	return NULL;
}

static void begin_ban(void *data, struct control_client *client, const struct tg_record *request)
{
	struct tg_event event = {.type = TG_EVENT_OPERATOR_BAN};
	const char *wrong = read_ban(request, &event.request);
	if (wrong)
		control_error(client, 2, "%s", wrong);
	else
		turn_request(data, client, &event);
}

static void begin_unban(void *data, struct control_client *client, const struct tg_record *request)
{
	struct daemon *daemon = data;
	struct tg_event event = {.type = TG_EVENT_OPERATOR_UNBAN};
	const char *source = tg_record_get(request, "source"), *wrong = NULL;
	bool all = false;
	if (!read_flag(request, "all", &all))
		wrong = "all is true or false";
	else if (all && !source)
		event.request.all = true;
	else
		wrong = source && !all ? tg_prefix_parse(source, &event.request.source)
				       : "either source or all";
	if (wrong) {
		control_error(client, 2, "%s", wrong);
		return;
	}
	turn_request(daemon, client, &event);
	state_refresh(
		daemon->state); /* offences of bans that are over are forgiven without a word */
}

/* A text of several lines as records, so that none is longer than a line may be. */
static void put_lines(struct tg_strbuf *out, const char *name, char *text)
{
	char *rest = text;
	while (*rest) {
		char *line = rest;
		rest += strcspn(rest, "\n");
		if (*rest)
			*rest++ = '\0';
		/* Encoded, a byte is three at most. */
		if (strlen(line) > TG_PROTO_LINE_MAX / 4)
			line[TG_PROTO_LINE_MAX / 4] = '\0';
		tg_record_begin(out, name);
		tg_record_put(out, "text", line);
		tg_record_end(out);
	}
}

static void begin_reload(void *data, struct control_client *client, const struct tg_record *request)
{
	uint64_t confirm_ms = 0;
	struct tg_strbuf text;
	if (tg_record_get(request, "confirm") &&
	    (!tg_record_get_u64(request, "confirm", &confirm_ms) || confirm_ms < CONFIRM_MIN_MS ||
	     confirm_ms > CONFIRM_MAX_MS)) {
		control_error(client, 2, "confirm is from 1 second to 1 hour");
		return;
	}
	tg_strbuf_init(&text);
	bool done = policy_reload(data, "operator", confirm_ms, &text);
	put_lines(control_out(client), done ? "note" : "fault", text.text);
	if (done)
		control_done(client);
	else
		control_error(client, 1, "the policy was not loaded; the running one stays");
	tg_strbuf_finish(&text);
}

static void panic_on(struct daemon *daemon, struct control_client *client)
{
	struct tg_engine_stats stats;
	tg_time now = loop_now(daemon->loop);
	/* Before lifting: a daemon that dies in between must not enforce again. */
	int marked = panic_mark(daemon->options.state_dir);
	turn_panic(daemon, true);
	tg_engine_stats(daemon->engine, &stats);
	health_set(&daemon->health, HEALTH_PANIC, now,
		   "everything was lifted by hand; only observing until 'tcpguard panic --off'");
	if (marked) {
		health_set(&daemon->health, HEALTH_STATE, now,
			   "cannot write %s/panic: %s; a restart enforces again",
			   daemon->options.state_dir, strerror(-marked));
		tg_record_begin(control_out(client), "note");
		tg_record_put(control_out(client), "text",
			      daemon->health.reasons[HEALTH_STATE].text);
		tg_record_end(control_out(client));
	}
	if (stats.bans_pending == 0) {
		control_done(client);
		return;
	}
	/* The client ends this daemon now, and takes the table out without it. */
	tg_record_begin(control_out(client), "unlifted");
	tg_record_put_u64(control_out(client), "bans", stats.bans_pending);
	tg_record_end(control_out(client));
	control_error(client, 1, "the kernel still holds %" PRIu32 " bans", stats.bans_pending);
}

static void panic_off(struct daemon *daemon, struct control_client *client)
{
	int err = panic_unmark(daemon->options.state_dir);
	if (err) {
		control_error(client, 1, "cannot remove %s/panic: %s", daemon->options.state_dir,
			      strerror(-err));
		return;
	}
	turn_panic(daemon, false);
	health_clear(&daemon->health, HEALTH_PANIC, loop_now(daemon->loop));
	health_clear(&daemon->health, HEALTH_STATE, loop_now(daemon->loop));
	control_done(client);
}

static void begin_panic(void *data, struct control_client *client, const struct tg_record *request)
{
	bool off = false;
	if (!read_flag(request, "off", &off))
		control_error(client, 2, "off is true or false");
	else if (off)
		panic_off(data, client);
	else
		panic_on(data, client);
}

const struct control_verb *control_requests(size_t *ret_count)
{
	static const struct control_verb verbs[] = {
		{"status", begin_status},     {"list", control_list},
		{"top", begin_top},           {"ban", begin_ban},
		{"unban", begin_unban},       {"reload", begin_reload},
		{"panic", begin_panic},       {"kill", control_kill},
		{"explain", control_explain}, {"record", control_record},
		{"metrics", control_metrics}, {"policy", control_policy},
		{"near", control_near},       {"events", control_events},
	};
	*ret_count = ARRAY_SIZE(verbs);
	return verbs;
}

const struct control_verb *control_requests_readable(size_t *ret_count)
{
	static const struct control_verb verbs[] = {{"metrics", control_metrics}};
	*ret_count = ARRAY_SIZE(verbs);
	return verbs;
}
