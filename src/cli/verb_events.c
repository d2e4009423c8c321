/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcpguard events: what the daemon has decided lately and what became of itself, and, followed,
 * what comes from now on.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tcpguard/addr.h>
#include <tcpguard/proto.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "ban_record.h"
#include "cli.h"
#include "client.h"
#include "json.h"
#include "output.h"

enum { EVENTS_JSON, EVENTS_COUNT, EVENTS_FOLLOW, EVENTS_SOURCE };

struct events {
	bool as_json;
	size_t width; /* of the terminal; 0: none */
	uint64_t shown;
};

static void put_json(const struct tg_record *record)
{
	struct json json;
	uint64_t at = 0, number = 0;
	(void)tg_record_get_u64(record, "at", &at); /* both are always there */
	(void)tg_record_get_u64(record, "number", &number);
	json_begin_line(&json, stdout);
	json_number(&json, "number", number);
	json_time(&json, "at", at);
	json_string(&json, "event", tg_record_get(record, "event"));
	json_string(&json, "cause", tg_record_get(record, "cause"));
	if (tg_record_get(record, "message"))
		json_string(&json, "message", tg_record_get(record, "message"));
	else
		ban_record_json(&json, record);
	json_finish(&json);
}

/* Behind head or, on a terminal that is too narrow for it, on lines of its own. */
static void put_line(const struct events *events, const char *head, const char *rest)
{
	struct tg_strbuf text;
	const bool fits = events->width == 0 || strlen(head) + 2 + strlen(rest) < events->width;
	tg_strbuf_init(&text);
	tg_text_escape(&text, head);
	tg_strbuf_puts(&text, fits ? "  " : "\n    ");
	tg_text_escape(&text, rest);
	tg_strbuf_putc(&text, '\n');
	output_wrap(stdout, text.text, fits ? 0 : events->width);
	tg_strbuf_finish(&text);
}

static void put_text(const struct events *events, const struct tg_record *record)
{
	char action[64], why[256], when[OUTPUT_TIME_STRLEN], head[256], rest[512];
	const char *event = tg_record_get(record, "event"), *cause = tg_record_get(record, "cause");
	const char *source = tg_record_get(record, "source");
	const char *message = tg_record_get(record, "message");
	uint64_t at = 0;
	(void)tg_record_get_u64(record, "at", &at);
	event = event ? event : "?";
	cause = cause ? cause : "?";
	if (message) {
		(void)snprintf(head, sizeof(head), "%s  %-6s  %s", output_time(at, when), event,
			       cause);
		put_line(events, head, message);
		return;
	}
	ban_record_action(record, action, sizeof(action));
	ban_record_why(record, why, sizeof(why));
	(void)snprintf(head, sizeof(head), "%s  %-6s  %s  %s%s", output_time(at, when), event,
		       source ? source : "?", action,
		       ban_record_is(record, "enforced") ? "" : " (observed)");
	/* An offence is what the limit says already. */
	const bool says = strcmp(cause, "offence") != 0;
	(void)snprintf(rest, sizeof(rest), "%s%s%s", why, says ? "; " : "", says ? cause : "");
	put_line(events, head, rest);
}

static void show(struct events *events, const struct tg_record *record)
{
	if (strcmp(record->name, "missed") == 0) {
		cli_complain("%s events were missed: they came faster than they were read",
			     tg_record_get(record, "events"));
		return;
	}
	if (strcmp(record->name, "event") != 0)
		return;
	events->shown++;
	if (events->as_json)
		put_json(record);
	else
		put_text(events, record);
}

/* Until there is more to read, or nobody reads what is written: then false. */
static bool await_more(const struct client *client)
{
	/* Errors are told unasked, the closing of a pipe's other end among them. */
	struct pollfd fds[] = {{.fd = client->fd, .events = POLLIN}, {.fd = STDOUT_FILENO}};
	while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		if (errno != EINTR)
			return false;
	return fds[1].revents == 0;
}

static int follow(const struct cli *cli, struct events *events, const struct tg_strbuf *request)
{
	struct client client;
	struct tg_record record;
	int err = client_open(&client, cli->socket);
	if (err)
		return client_explain_open(cli->socket, err);
	enum client_result result =
		client_send(&client, request) ? CLIENT_RECORD : client_next(&client, 0, &record);
	bool heard = true;
	while (heard && (result == CLIENT_RECORD || result == CLIENT_TIMEOUT)) {
		/* What has come is shown before the wait for more. */
		result = client_next(&client, 0, &record);
		if (result == CLIENT_TIMEOUT)
			heard = fflush(stdout) == 0 && await_more(&client);
		else if (result == CLIENT_RECORD)
			show(events, &record);
	}
	client_close(&client);
	if (!heard)
		return CLI_NO;
	if (result == CLIENT_BROKEN)
		cli_complain("the daemon has ended" CLIENT_START_HINT);
	return result == CLIENT_BROKEN ? CLI_NO_DAEMON : client_explain(result, &record);
}

static void show_record(void *data, const struct tg_record *record)
{
	show(data, record);
}

static int run_events(const struct cli *cli, const struct cli_args *args)
{
	struct events events = {.as_json = args->values[EVENTS_JSON] != NULL,
				.width = output_width()};
	uint64_t count = 0;
	if (args->values[EVENTS_COUNT] &&
	    (!tg_text_u64(args->values[EVENTS_COUNT], &count) || count > 1000)) {
		cli_complain("the count is a number from 0 to 1000, which is as many as are kept");
		return CLI_USAGE;
	}
	struct tg_prefix source;
	if (args->values[EVENTS_SOURCE] && !cli_read_source(args->values[EVENTS_SOURCE], &source))
		return CLI_USAGE;
	const bool follows = args->values[EVENTS_FOLLOW] != NULL;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "events");
	if (args->values[EVENTS_COUNT])
		tg_record_put_u64(&request, "count", count);
	char about[TG_PREFIX_STRLEN] = "";
	if (args->values[EVENTS_SOURCE])
		tg_record_put(&request, "source", tg_prefix_format(&source, about));
	tg_record_put(&request, "follow", follows ? "true" : "false");
	tg_record_end(&request);
	int status = follows ? follow(cli, &events, &request)
			     : client_ask(cli, &request, show_record, &events);
	tg_strbuf_finish(&request);
	if (status == CLI_OK && events.shown == 0 && !events.as_json && !follows)
		(void)printf("nothing %s%s since the daemon began\n",
			     about[0] ? "is known of " : "happened", about);
	return status;
}

const struct cli_verb verb_events = {
	.name = "events",
	.operands = "",
	.summary = "Show what was decided and what happened lately, and follow it",
	.options = {[EVENTS_JSON] = {"json", NULL, "one JSON object on each line"},
		    [EVENTS_COUNT] = {"count", "N",
				      "so many of the last ones (all that are kept: "
				      "1000)"},
		    [EVENTS_FOLLOW] = {"follow", NULL, "and those to come, until Ctrl-C"},
		    [EVENTS_SOURCE] = {"source", "PREFIX", "only those of this address or prefix"}},
	.run = run_events,
};
