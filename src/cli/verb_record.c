/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard record: writes what the daemon's engine is told, from now on, into a file. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <tcpguard/trace.h>
#include <tcpguard/units.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "live_trace.h"
#include "progress.h"
#include "trace_output.h"

enum { RECORD_FOR, RECORD_COUNT, RECORD_FORCE };

#define WRITE_AT ((size_t)64 * 1024)

struct recording {
	struct trace_output output;
	struct tg_trace_reader *reader; /* finds where records end, and counts them */
	struct tg_strbuf bytes;         /* complete ones up to whole, then a part of one */
	size_t whole;
	uint64_t events, lost, wanted;
	uint64_t for_ms; /* since progress began */
	struct progress progress;
	bool full;
};

/* Whole records only. */
static bool flush(struct recording *recording)
{
	if (!trace_output_write(&recording->output, recording->bytes.text, recording->whole))
		return false;
	tg_strbuf_consume(&recording->bytes, recording->whole);
	recording->whole = 0;
	return true;
}

/* False when the bytes are no trace, or memory runs out. */
static bool find_records(struct recording *recording)
{
	struct tg_event event;
	size_t used;
	int result = 0;
	while (!recording->full) {
		result = tg_trace_read(recording->reader,
				       (const uint8_t *)recording->bytes.text + recording->whole,
				       recording->bytes.len - recording->whole, &used, &event);
		recording->whole += used;
		if (result <= 0)
			break;
		recording->events++;
		if (event.type == TG_EVENT_GAP)
			recording->lost += event.lost;
		recording->full = recording->wanted > 0 && recording->events >= recording->wanted;
	}
	if (result >= 0)
		return true;
	cli_complain("the daemon's trace is not readable by this program");
	return false;
}

static bool take_record(struct recording *recording, const struct tg_record *record)
{
	if (!live_trace_bytes(record, &recording->bytes)) {
		cli_complain("the daemon's answer is malformed");
		return false;
	}
	return find_records(recording) && (recording->whole < WRITE_AT || flush(recording));
}

static void show_progress(struct recording *recording)
{
	if (progress_is_due(&recording->progress))
		progress_show(
			&recording->progress, "%" PRIu64 " events, %" PRIu64 " KiB, %" PRIu64 " s",
			recording->events, (recording->output.written + recording->whole) / 1024,
			progress_ms(&recording->progress) / 1000);
}

/* Until the time, the count, a signal or the daemon ends it. An exit status. */
static int follow(struct recording *recording, struct client *client, int signals)
{
	struct tg_record record;
	for (;;) {
		const uint64_t gone = progress_ms(&recording->progress);
		if (recording->full || gone >= recording->for_ms)
			return CLI_OK;
		show_progress(recording);
		enum client_result result = client_next(client, 0, &record);
		if (result == CLIENT_RECORD) {
			if (!take_record(recording, &record))
				return CLI_NO;
			continue;
		}
		if (result != CLIENT_TIMEOUT) {
			/* No end was agreed on: the daemon is going, and says so or not. */
			if (result == CLIENT_DONE)
				cli_complain("the daemon cannot record any further");
			return result == CLIENT_DONE ? CLI_NO : client_explain(result, &record);
		}
		struct pollfd fds[] = {{.fd = client->fd, .events = POLLIN},
				       {.fd = signals, .events = POLLIN}};
		const uint64_t wait = recording->for_ms - gone;
		if (poll(fds, 2, (int)MIN(wait, (uint64_t)PROGRESS_EVERY_MS)) > 0 && fds[1].revents)
			return CLI_OK;
	}
}

static int open_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set); /* these three fail for bad numbers only */
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int ask_and_follow(const struct cli *cli, struct recording *recording)
{
	struct client client;
	_cleanup_close_ int signals = open_signals();
	if (signals < 0) {
		cli_complain("cannot wait for signals: %s", strerror(errno));
		return CLI_NO;
	}
	int err = client_open(&client, cli->socket);
	if (err)
		return client_explain_open(cli->socket, err);
	int status = live_trace_ask(&client);
	if (status == CLI_OK)
		status = follow(recording, &client, signals);
	client_close(&client);
	progress_hide(&recording->progress);
	if (!flush(recording) && status == CLI_OK)
		status = CLI_NO;
	return status;
}

static bool read_options(const struct cli_args *args, struct recording *recording)
{
	const char *time = args->values[RECORD_FOR], *count = args->values[RECORD_COUNT];
	uint64_t ms = 0;
	const char *wrong = time ? tg_duration_parse(time, &ms) : NULL;
	if (!wrong && count && (!tg_text_u64(count, &recording->wanted) || recording->wanted == 0))
		wrong = "the count is a number from 1";
	if (wrong) {
		cli_complain("%s", wrong);
		return false;
	}
	progress_begin(&recording->progress);
	recording->for_ms = time ? ms : UINT64_MAX;
	return true;
}

static int run_record(const struct cli *cli, const struct cli_args *args)
{
	struct recording recording = {.full = false};
	if (!read_options(args, &recording))
		return CLI_USAGE;
	recording.reader = tg_trace_reader_create();
	if (!recording.reader) {
		cli_complain("out of memory");
		return CLI_NO;
	}
	if (!trace_output_open(&recording.output, args->operands[0],
			       args->values[RECORD_FORCE] != NULL)) {
		tg_trace_reader_destroy(recording.reader);
		return CLI_USAGE;
	}
	tg_strbuf_init(&recording.bytes);
	int status = ask_and_follow(cli, &recording);
	if (!trace_output_close(&recording.output) && status == CLI_OK)
		status = CLI_NO;
	if (recording.output.written > 0 || !recording.output.made)
		(void)printf("%" PRIu64 " events in %" PRIu64 " bytes, %" PRIu64 " lost\n",
			     recording.events, recording.output.written, recording.lost);
	tg_strbuf_finish(&recording.bytes);
	tg_trace_reader_destroy(recording.reader);
	return status;
}

const struct cli_verb verb_record = {
	.name = "record",
	.operands = "FILE",
	.summary = "Write the live events into FILE, for simulate, until Ctrl-C",
	.options = {[RECORD_FOR] = {"for", "TIME", "stop after this time: 30s, 10m"},
		    [RECORD_COUNT] = {"count", "N", "stop after so many events"},
		    [RECORD_FORCE] = {"force", NULL, "replace FILE if it exists"}},
	.operands_min = 1,
	.operands_max = 1,
	.run = run_record,
};
