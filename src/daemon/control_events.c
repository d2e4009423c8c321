/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request that tells what was decided, and what became of the daemon: the last of it, and what
 * comes, to several at once.
 */
#include "control_events.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "control_list.h"
#include "daemon.h"
#include "report.h"

_Static_assert(HISTORY_KEPT == 1000, "which a message below names");

/* What one piece of an answer has at most. */
#define PIECE_BYTES 16384

/* number, at, event and cause: what every line begins with. */
static struct tg_strbuf *begin_line(struct daemon *daemon, tg_time at, const char *event,
				    const char *cause)
{
	struct tg_strbuf *line = &daemon->event_line;
	tg_strbuf_clear(line);
	tg_record_begin(line, "event");
	tg_record_put_u64(line, "number", history_next(daemon->history));
	tg_record_put_u64(line, "at", (uint64_t)loop_wall_at(at));
	tg_record_put(line, "event", event);
	tg_record_put(line, "cause", cause);
	return line;
}

static void end_line(struct daemon *daemon, const struct tg_prefix *source)
{
	struct tg_strbuf *line = &daemon->event_line;
	tg_record_end(line);
	/* A line that is cut is none. */
	if (!line->failed && line->len <= HISTORY_LINE_MAX)
		history_add(daemon->history, line->text, line->len, source);
	else
		daemon->events_untold++;
}

void events_add(struct daemon *daemon, const struct tg_decision *decision)
{
	const char *event = report_event(decision);
	if (!event)
		return;
	struct tg_strbuf *line = begin_line(
		daemon, decision->at, event,
		decision->cause == TG_CAUSE_NONE ? "expired" : tg_cause_name(decision->cause));
	control_list_put_ban(daemon, &decision->ban, line);
	end_line(daemon, &decision->ban.source);
}

void events_tell(struct daemon *daemon, enum happening what, const char *cause, const char *format,
		 ...)
{
	char message[HISTORY_MESSAGE_MAX];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args); /* what is too long is cut */
	va_end(args);
	happening_log(daemon->log, what, cause, message);
	struct tg_strbuf *line =
		begin_line(daemon, loop_now(daemon->loop), happening_name(what), cause);
	tg_record_put(line, "message", message);
	end_line(daemon, NULL);
}

void events_tell_health(void *data, enum health_reason reason, bool on, const char *text)
{
	events_tell(data, happening_of(reason, on), health_reason_name(reason), "%s", text);
}

/* The first dump after the start heals no gap, and several gaps before a dump are one. */
void events_tell_gaps(struct daemon *daemon)
{
	struct tg_engine_stats stats;
	struct daemon_gap *gap = &daemon->gap;
	tg_engine_stats(daemon->engine, &stats);
	if (!gap->open && stats.gaps > gap->gaps) {
		events_tell(daemon, HAPPENING_GAP, stats.lost > gap->lost ? "overrun" : "feed",
			    "at least %" PRIu64
			    " messages of conntrack; a dump will tell what there is",
			    stats.lost - gap->lost);
		gap->open = true;
	}
	if (stats.stale)
		return;
	if (gap->open)
		events_tell(daemon, HAPPENING_RESYNC, "dump",
			    "lost were %" PRIu64 " messages; flows now: %" PRIu32,
			    stats.lost - gap->lost, stats.flows);
	*gap = (struct daemon_gap){.gaps = stats.gaps, .lost = stats.lost};
}

void events_wake(struct daemon *daemon)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->followers); i++) {
		const struct daemon_follower *follower = daemon->followers[i];
		struct control_client *client =
			follower && follower->next < history_next(daemon->history)
				? control_find(daemon->control, follower->client)
				: NULL;
		if (client)
			control_wake(client);
	}
}

static bool events_more(void *data, void *state, struct tg_strbuf *out)
{
	struct daemon *daemon = data;
	struct daemon_follower *follower = state;
	const struct tg_prefix *wanted = follower->filters ? &follower->source : NULL;
	const size_t before = out->len;
	const uint64_t missed = history_catch_up(daemon->history, &follower->next);
	if (missed > 0) {
		tg_record_begin(out, "missed");
		tg_record_put_u64(out, "events", missed);
		tg_record_end(out);
		daemon->events_missed += missed;
	}
	while (out->len - before < PIECE_BYTES) {
		size_t len;
		const char *line = history_read(daemon->history, &follower->next, wanted, &len);
		if (!line)
			break;
		tg_strbuf_append(out, line, len);
	}
	if (follower->next < history_next(daemon->history))
		return true;
	if (!follower->follows)
		return false;
	struct control_client *client = control_find(daemon->control, follower->client);
	if (client)
		control_pause(client);
	return true;
}

static void end_follower(void *state)
{
	struct daemon_follower *follower = state;
	struct daemon *daemon = follower->daemon;
	for (size_t i = 0; i < ARRAY_SIZE(daemon->followers); i++)
		if (daemon->followers[i] == follower)
			daemon->followers[i] = NULL;
	free(follower);
}

/* Who only reads what is kept is soon gone and needs no place. */
static bool take_place(struct daemon *daemon, struct daemon_follower *follower)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->followers); i++) {
		if (daemon->followers[i])
			continue;
		daemon->followers[i] = follower;
		return true;
	}
	return false;
}

/* NULL, or what is wrong with the request. */
static const char *read_request(const struct tg_record *request, struct daemon_follower *follower,
				uint64_t *ret_count)
{
	const char *follow = tg_record_get(request, "follow");
	const char *source = tg_record_get(request, "source");
	*ret_count = HISTORY_KEPT;
	if (tg_record_get(request, "count") &&
	    (!tg_record_get_u64(request, "count", ret_count) || *ret_count > HISTORY_KEPT))
		return "count is from 0 to 1000, which is as many as are kept";
	if (follow && strcmp(follow, "true") != 0 && strcmp(follow, "false") != 0)
		return "follow is true or false";
	follower->follows = follow && strcmp(follow, "true") == 0;
	follower->filters = source != NULL;
	return source ? tg_prefix_parse(source, &follower->source) : NULL;
}

void control_events(void *data, struct control_client *client, const struct tg_record *request)
{
	struct daemon *daemon = data;
	struct daemon_follower *follower = calloc(1, sizeof(*follower));
	uint64_t count;
	if (!follower) {
		control_error(client, 1, "out of memory");
		return;
	}
	const char *wrong = read_request(request, follower, &count);
	if (wrong) {
		control_error(client, 2, "%s", wrong);
		free(follower);
		return;
	}
	if (follower->follows && !take_place(daemon, follower)) {
		control_error(client, 1,
			      "%d readers follow events already, and more than that cannot: end "
			      "one of them, or read without following",
			      DAEMON_FOLLOWERS_MAX);
		free(follower);
		return;
	}
	follower->daemon = daemon;
	follower->client = control_client_id(client);
	follower->next =
		history_last(daemon->history, count, follower->filters ? &follower->source : NULL);
	if (follower->follows)
		control_keep(client);
	control_stream(client, events_more, follower, end_follower);
}
