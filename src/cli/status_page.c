/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how the daemon's status looks to people: first what is wrong. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>

#include "base/text.h"
#include "base/util.h"
#include "output.h"
#include "status_answer.h"

static void print_health(FILE *out, bool color, const struct status *status)
{
	bool ok = strcmp(status_get(status, "status", "health"), "ok") == 0;
	char span[OUTPUT_SPAN_STRLEN];
	(void)fprintf(out, "tcpguardd ");
	output_text(out, status_get(status, "status", "version"));
	(void)fprintf(out, ": mode %s", output_color(color, OUTPUT_BOLD));
	output_text(out, status_get(status, "status", "mode"));
	(void)fprintf(out, "%s (by ", output_color(color, OUTPUT_PLAIN));
	output_text(out, status_get(status, "status", "mode_from"));
	(void)fprintf(out, "), health %s", output_color(color, ok ? OUTPUT_GREEN : OUTPUT_RED));
	output_text(out, status_get(status, "status", "health"));
	(void)fprintf(out, "%s, running for %s\n", output_color(color, OUTPUT_PLAIN),
		      output_span(status_number(status, "status", "uptime"), span));
	for (unsigned group = 1; group <= status->groups; group++) {
		const char *reason = status_find(status, group, "degraded", "reason");
		const char *text = status_find(status, group, "degraded", "text");
		const char *since = status_find(status, group, "degraded", "since");
		char time[OUTPUT_TIME_STRLEN];
		uint64_t at = 0;
		if (!reason || !text)
			continue;
		(void)fprintf(out, "%s  ! ", output_color(color, OUTPUT_RED));
		output_text(out, reason);
		(void)fprintf(out, "%s: ", output_color(color, OUTPUT_PLAIN));
		output_text(out, text);
		(void)fprintf(out, " (since %s)\n",
			      since && tg_text_u64(since, &at) ? output_time(at, time) : "?");
	}
}

/* A service whose whole traffic is over a limit. */
static void print_services(FILE *out, bool color, const struct status *status)
{
	static const char *const keys[] = {"policy", "limit", "measure", "measured", "threshold"};
	static const char *const after[] = {"/", ": ", " ", " > ", ""};
	for (unsigned group = 1; group <= status->groups; group++) {
		char time[OUTPUT_TIME_STRLEN];
		uint64_t at = 0;
		const char *since = status_find(status, group, "service", "since");
		if (!since)
			continue;
		(void)fprintf(out, "%s  * %s", output_color(color, OUTPUT_YELLOW),
			      output_color(color, OUTPUT_PLAIN));
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			const char *text = status_find(status, group, "service", keys[i]);
			output_text(out, text ? text : "?");
			(void)fputs(after[i], out);
		}
		(void)fprintf(out, " in all (since %s)\n",
			      tg_text_u64(since, &at) ? output_time(at, time) : "?");
	}
}

static void print_policy(FILE *out, const struct status *status)
{
	char time[OUTPUT_TIME_STRLEN];
	const char *title = "policy";
	for (size_t i = 0; i < status->count; i++) {
		if (strcmp(status->values[i].record, "file") != 0)
			continue;
		(void)fprintf(out, "%-10s  ", title);
		output_text(out, status->values[i].text);
		(void)fputc('\n', out);
		title = "";
	}
	(void)fprintf(out, "%-10s  loaded %s\n", "",
		      output_time(status_number(status, "status", "loaded"), time));
	const uint64_t left = status_number(status, "status", "confirm_in");
	char span[OUTPUT_SPAN_STRLEN];
	if (left > 0)
		(void)fprintf(out,
			      "%-10s  the one before comes back in %s, unless 'tcpguard reload' "
			      "confirms it\n",
			      "", output_span(left, span));
}

static void print_events(FILE *out, bool color, const struct status *status)
{
	uint64_t lost = status_number(status, "events", "lost");
	(void)fprintf(out, "%-10s  %" PRIu64 " received, ", "events",
		      status_number(status, "events", "received"));
	if (lost == 0)
		(void)fprintf(out, "none lost");
	else
		(void)fprintf(out, "%s%" PRIu64 " lost%s in %" PRIu64 " gaps",
			      output_color(color, OUTPUT_YELLOW), lost,
			      output_color(color, OUTPUT_PLAIN),
			      status_number(status, "events", "gaps"));
	(void)fprintf(out, ", resyncs %" PRIu64 "%s\n", status_number(status, "events", "resyncs"),
		      status_number(status, "events", "stale") ? ", counts not rebuilt yet" : "");
}

static void print_figures(FILE *out, bool color, const struct status *status)
{
	(void)fprintf(out,
		      "%-10s  %" PRIu64 " in force, %" PRIu64 " only observed, %" PRIu64
		      " on their way to the kernel; %" PRIu64 " since the start\n",
		      "bans", status_number(status, "bans", "active"),
		      status_number(status, "bans", "observed"),
		      status_number(status, "bans", "pending"),
		      status_number(status, "bans", "begun"));
	(void)fprintf(out,
		      "%-10s  %" PRIu64 " asked of the sockets, %" PRIu64 " proven, %" PRIu64
		      " not; %" PRIu64 " wait as a rate-limit; %" PRIu64 " kept for insisting\n",
		      "witness", status_number(status, "engine", "witness_asked"),
		      status_number(status, "engine", "witness_proven"),
		      status_number(status, "engine", "witness_denied"),
		      status_number(status, "bans", "unproven"),
		      status_number(status, "engine", "insisting"));
	print_events(out, color, status);
	(void)fprintf(out,
		      "%-10s  %" PRIu64 " of %" PRIu64 " followed, from %" PRIu64
		      " counted sources (room for %" PRIu64 " of each family)\n",
		      "flows", status_number(status, "status", "flows"),
		      status_number(status, "status", "max_flows"),
		      status_number(status, "status", "sources"),
		      status_number(status, "status", "max_sources"));
	(void)fprintf(out, "%-10s  %.1f MiB reserved", "memory",
		      (double)status_number(status, "status", "memory") / (1 << 20));
	if (status_number(status, "status", "sources_lowered"))
		(void)fprintf(out,
			      "; room for fewer sources than %d, to stay within %d MiB with this "
			      "policy: set max-sources to have more",
			      TG_MAX_SOURCES_DEFAULT, (int)(TG_MEMORY_MAX >> 20));
	(void)fputc('\n', out);
	(void)fprintf(out, "%-10s ", "states");
	for (size_t i = 0; i < status->count; i++) {
		if (strcmp(status->values[i].record, "states") != 0)
			continue;
		(void)fputc(' ', out);
		output_text(out, status->values[i].key);
		(void)fputc(' ', out);
		output_text(out, status->values[i].text);
	}
	if (!status_number(status, "status", "closing_followed"))
		(void)fprintf(out,
			      "\n%-10s  where no limit counts `concurrent`, closing states are not "
			      "followed: established holds them, too",
			      "");
	(void)fputc('\n', out);
	if (status_number(status, "truth", "looking"))
		(void)fprintf(out,
			      "%-10s  %s%" PRIu64 " handshakes wait; a second %" PRIu64
			      " dropped by listeners, %" PRIu64 " answered by cookies\n",
			      "sockets", status_number(status, "truth", "cut") ? "more than " : "",
			      status_number(status, "truth", "requests"),
			      status_number(status, "truth", "dropped_per_second"),
			      status_number(status, "truth", "cookies_per_second"));
	uint64_t count = status_number(status, "conntrack", "count");
	uint64_t max = status_number(status, "conntrack", "max");
	if (max > 0)
		(void)fprintf(
			out, "%-10s  %s%" PRIu64 " of %" PRIu64 " entries (%" PRIu64 " %%)%s\n",
			"conntrack", output_color(color && count >= max / 10 * 8, OUTPUT_YELLOW),
			count, max, count * 100 / max,
			output_color(color && count >= max / 10 * 8, OUTPUT_PLAIN));
}

/* Whatever was dropped, evicted, lost, retried or refused; nothing when nothing was. */
static void print_losses(FILE *out, const struct status *status)
{
	static const struct {
		const char *record, *key, *words;
	} losses[] = {
		{"events", "malformed", "malformed messages"},
		{"events", "foreign", "messages not from the kernel"},
		{"events", "resyncs_failed", "resyncs failed"},
		{"events", "feed_restarts", "feed restarts"},
		{"events", "questions_failed", "questions not asked"},
		{"bans", "refused_protected", "bans of protected addresses refused"},
		{"bans", "refused_full", "bans refused for lack of room"},
		{"bans", "evicted", "bans evicted for lack of room"},
		{"bans", "refused_admin", "bans of admins held back"},
		{"bans", "braked_rate", "bans held back by max-bans-per-minute"},
		{"bans", "braked_sources", "bans held back by max-share-of-sources"},
		{"bans", "braked_flows", "bans held back by max-share-of-flows"},
		{"engine", "sources_evicted", "sources evicted"},
		{"engine", "flows_evicted", "flows evicted"},
		{"engine", "flows_refused", "flows not counted"},
		{"engine", "uncounted", "flows without packet counters"},
		{"engine", "suppressed", "offences left to their service in a flood"},
		{"witness", "walks_failed", "looks at the sockets given up"},
		{"witness", "dropped", "questions to the sockets dropped"},
		{"witness", "probes_failed", "elements without an answer"},
		{"admins", "looks_failed", "looks for sessions of admins given up"},
		{"kill", "passes_failed", "kills that may not be complete"},
		{"kill", "dropped", "kills dropped"},
		{"store", "failed", "failures to write the state file"},
		{"engine", "decisions_lost", "notes lost"},
		{"engine", "reloads_failed", "reloads failed"},
		{"table", "failed", "transactions refused"},
		{"table", "elements_failed", "elements refused"},
		{"table", "retried", "kernel errors retried"},
		{"table", "repairs", "repairs of the table"},
		{"table", "verified_refused", "verified sources without a place"},
		{"control", "denied", "clients denied"},
		{"control", "busy", "clients too many"},
		{"control", "malformed", "requests malformed"},
		{"control", "timed_out", "clients timed out"},
		{"record", "lost", "recorded events lost"},
		{"log", "suppressed", "log lines left out"},
		{"log", "dropped", "log lines dropped"},
	};
	const char *title = "losses";
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		uint64_t value = status_number(status, losses[i].record, losses[i].key);
		if (value == 0)
			continue;
		(void)fprintf(out, "%-10s  %" PRIu64 " %s\n", title, value, losses[i].words);
		title = "";
	}
}

void status_print(FILE *out, bool color, size_t width, const struct status *status)
{
	char *text = NULL;
	size_t len = 0;
	FILE *page = width > 0 ? open_memstream(&text, &len) : NULL;
	FILE *to = page ? page : out; /* without memory it is wide, but there */
	print_health(to, color, status);
	print_services(to, color, status);
	print_policy(to, status);
	print_figures(to, color, status);
	print_losses(to, status);
	if (page && fclose(page) == 0)
		output_wrap(out, text, width);
	free(text);
}
