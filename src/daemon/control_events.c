/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request that tells what was decided: the last of it, and what comes, to several at once. */
#include "control_events.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "control_list.h"
#include "daemon.h"

/* What one piece of an answer has at most. */
#define PIECE_BYTES 16384

static const char *kind_of(const struct tg_decision *decision)
{
	switch (decision->type) {
	case TG_DECISION_BAN:
		if (decision->cause == TG_CAUSE_AGAIN)
			return NULL;
		return decision->cause == TG_CAUSE_EXTENDED || decision->cause == TG_CAUSE_INSISTS
			       ? "extend"
			       : "ban";
	case TG_DECISION_LIFT:
		return decision->cause == TG_CAUSE_AGAIN ? NULL : "lift";
	case TG_DECISION_EXPIRE:
		return "expire";
	case TG_DECISION_REFUSE:
		return decision->cause == TG_CAUSE_NOT_FOUND ? NULL : "refuse";
	case TG_DECISION_VERIFY:
	case TG_DECISION_WITNESS:
	case TG_DECISION_PROBE:
	case TG_DECISION_PASS:
	case TG_DECISION_KILL:
	case TG_DECISION_COUNT:
		break;
	}
	return NULL;
}

void events_add(struct daemon *daemon, const struct tg_decision *decision)
{
	const char *kind = kind_of(decision);
	struct tg_strbuf *line = &daemon->event_line;
	if (!kind)
		return;
	tg_strbuf_clear(line);
	tg_record_begin(line, "event");
	tg_record_put_u64(line, "number", history_next(daemon->history));
	tg_record_put_u64(line, "at", (uint64_t)loop_wall_at(decision->at));
	tg_record_put(line, "event", kind);
	tg_record_put(line, "cause",
		      decision->cause == TG_CAUSE_NONE ? "expired"
						       : tg_cause_name(decision->cause));
	control_list_put_ban(daemon, &decision->ban, line);
	tg_record_end(line);
	/* A line that is cut is none. */
	if (!line->failed && line->len <= HISTORY_LINE_MAX)
		history_add(daemon->history, line->text, line->len);
	else
		daemon->events_untold++;
}

void events_wake(struct daemon *daemon)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->followers); i++) {
		const struct daemon_follower *follower = &daemon->followers[i];
		struct control_client *client =
			follower->daemon && follower->next < history_next(daemon->history)
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
	const uint64_t first = history_first(daemon->history), next = history_next(daemon->history);
	const size_t before = out->len;
	if (follower->next < first) {
		tg_record_begin(out, "missed");
		tg_record_put_u64(out, "events", first - follower->next);
		tg_record_end(out);
		daemon->events_missed += first - follower->next;
		follower->next = first;
	}
	while (follower->next < next && out->len - before < PIECE_BYTES) {
		size_t len;
		const char *line = history_line(daemon->history, follower->next++, &len);
		tg_strbuf_append(out, line, len);
	}
	if (follower->next < next)
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
	follower->daemon = NULL;
}

void control_events(void *data, struct control_client *client, const struct tg_record *request)
{
	struct daemon *daemon = data;
	struct daemon_follower *follower = NULL;
	const char *follow = tg_record_get(request, "follow");
	uint64_t count = HISTORY_KEPT;
	if (tg_record_get(request, "count") &&
	    (!tg_record_get_u64(request, "count", &count) || count > HISTORY_KEPT)) {
		control_error(client, 2, "count is from 0 to %d", HISTORY_KEPT);
		return;
	}
	if (follow && strcmp(follow, "true") != 0 && strcmp(follow, "false") != 0) {
		control_error(client, 2, "follow is true or false");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(daemon->followers) && !follower; i++)
		if (!daemon->followers[i].daemon)
			follower = &daemon->followers[i];
	if (!follower) {
		control_error(client, 1, "%d clients read events already", DAEMON_FOLLOWERS_MAX);
		return;
	}
	const uint64_t next = history_next(daemon->history);
	*follower = (struct daemon_follower){
		.daemon = daemon,
		.client = control_client_id(client),
		.next = next - MIN(count, next - history_first(daemon->history)),
		.follows = follow && strcmp(follow, "true") == 0,
	};
	control_stream(client, events_more, follower, end_follower);
}
