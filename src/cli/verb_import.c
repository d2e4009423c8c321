/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard import: makes a trace of a capture of real traffic. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <tcpguard/protect.h>
#include <tcpguard/trace.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "capture.h"
#include "cli.h"
#include "progress.h"
#include "trace_output.h"
#include "tracker.h"

enum { IMPORT_OUTPUT, IMPORT_LOCAL, IMPORT_FORCE };

#define LOCAL_MAX 64 /* a host with more prefixes of its own has a wider one for them */
/* As many as the engine follows at its defaults. */
#define FLOWS_MAX ((size_t)1024 * 1024)
#define WRITE_AT ((size_t)64 * 1024)
#define BUFFER_SIZE (WRITE_AT + TG_TRACE_RECORD_MAX)
/* Where a trace's clock begins: its zero stands for no time at all in places. */
#define CLOCK_BEGIN TG_SEC
#define CLOCK_MAX (UINT64_C(1) << 61)

struct import {
	struct trace_output output;
	struct capture *capture;
	struct tracker *tracker;
	struct tg_trace_writer *writer;
	struct tg_prefix_set *protected;
	uint8_t *buffer;
	size_t len;
	uint64_t events, packets, backwards;
	uint64_t kinds[PACKET_KIND_COUNT];
	uint64_t begun_ns; /* of the capture's clock */
	tg_time now;
	bool failed; /* to write */
	struct progress progress;
};

static void flush(struct import *import)
{
	if (!import->failed && import->len > 0 &&
	    !trace_output_write(&import->output, import->buffer, import->len))
		import->failed = true;
	import->len = 0;
}

static void write_event(void *data, const struct tg_event *event)
{
	struct import *import = data;
	if (import->failed)
		return;
	/* There is room for the longest record, and nothing else can go wrong. */
	const int size = tg_trace_write(import->writer, event, import->buffer + import->len,
					BUFFER_SIZE - import->len);
	if (size < 0) {
		cli_complain("cannot write %s: %s", import->output.path, strerror(-size));
		import->failed = true;
		return;
	}
	import->len += (size_t)size;
	import->events++;
	if (import->len >= WRITE_AT)
		flush(import);
}

static bool add_local(char *word, struct tg_protected_prefix *all, size_t *count)
{
	const char *wrong = *count >= LOCAL_MAX ? "there are too many"
						: tg_prefix_parse(word, &all[*count].prefix);
	if (wrong)
		cli_complain("--local %s: %s", word, wrong);
	else
		all[(*count)++].kind = TG_PROTECT_OWN;
	return !wrong;
}

/* What is protected everywhere, and the addresses that were said to be this host's. */
static bool read_local(struct import *import, const char *list)
{
	size_t always_count, count = 0;
	const struct tg_protected_prefix *always = tg_protect_always(&always_count);
	_cleanup_free_ struct tg_protected_prefix *all =
		calloc(LOCAL_MAX + always_count, sizeof(*all));
	_cleanup_free_ char *copy = strdup(list ? list : "");
	char *rest = copy;
	if (!copy || !all) {
		cli_complain("out of memory");
		return false;
	}
	while (list && rest)
		if (!add_local(strsep(&rest, ","), all, &count))
			return false;
	memcpy(all + count, always, always_count * sizeof(*all));
	import->protected = tg_prefix_set_create(all, count + always_count);
	if (!import->protected)
		cli_complain("out of memory");
	return import->protected != NULL;
}

/* As a recording begins: who is protected, and that nothing is known which was not told. */
static bool begin_trace(struct import *import, uint64_t ns)
{
	/* The seed of a daemon is its secret; here there is none, and the same bytes come out. */
	const struct tg_trace_header header = {.start = CLOCK_BEGIN, .wall_ms = ns / TG_MSEC};
	import->writer = tg_trace_writer_create(&header);
	import->buffer = malloc(BUFFER_SIZE);
	if (!import->writer || !import->buffer) {
		cli_complain("out of memory");
		return false;
	}
	import->begun_ns = ns;
	import->now = CLOCK_BEGIN;
	tg_trace_write_header(import->writer, import->buffer);
	import->len = TG_TRACE_HEADER_SIZE;
	struct tg_event event = {
		.type = TG_EVENT_PROTECTED, .at = import->now, .protected = import->protected};
	write_event(import, &event);
	event.type = TG_EVENT_RESYNC_BEGIN;
	write_event(import, &event);
	event.type = TG_EVENT_RESYNC_END;
	write_event(import, &event);
	return true;
}

/* The capture's clock may be set back; a trace's goes forward only. */
static tg_time time_of(struct import *import, uint64_t ns)
{
	const uint64_t since = ns > import->begun_ns ? ns - import->begun_ns : 0;
	const tg_time at = CLOCK_BEGIN + MIN(since, CLOCK_MAX);
	if (at < import->now)
		import->backwards++;
	import->now = MAX(import->now, at);
	return import->now;
}

static void show_progress(struct import *import)
{
	uint64_t size;
	if (!progress_is_due(&import->progress))
		return;
	const uint64_t read = capture_position(import->capture, &size);
	progress_show_part(&import->progress, read, size, "%" PRIu64 " packets, %" PRIu64 " events",
			   import->packets, import->events);
}

/* An exit status. A damaged capture is taken up to where it is. */
static int read_frames(struct import *import)
{
	struct capture_frame frame;
	struct packet packet;
	int result;
	while (!import->failed && (result = capture_next(import->capture, &frame)) != 0) {
		if (result < 0)
			return CLI_USAGE;
		if (!import->writer && !begin_trace(import, frame.ns))
			return CLI_NO;
		const tg_time at = time_of(import, frame.ns);
		const enum packet_kind kind =
			packet_decode(frame.link, frame.bytes, frame.len, frame.wire_len, &packet);
		import->packets++;
		import->kinds[kind]++;
		if (kind == PACKET_TCP)
			tracker_packet(import->tracker, at, &packet);
		show_progress(import);
	}
	return import->failed ? CLI_NO : CLI_OK;
}

/* Up to the last packet, so that what was due until then happens in a replay, too. */
static void end_trace(struct import *import)
{
	if (!import->writer)
		return;
	tracker_advance(import->tracker, import->now);
	write_event(import, &(struct tg_event){.type = TG_EVENT_TICK, .at = import->now});
	flush(import);
}

static void say(struct tg_strbuf *line, uint64_t count, const char *what)
{
	if (count > 0)
		tg_strbuf_printf(line, "%s %" PRIu64 " %s", line->len > 0 ? "," : "", count, what);
}

static void report(const struct import *import)
{
	struct tracker_stats stats;
	struct tg_strbuf line;
	tracker_stats(import->tracker, &stats);
	(void)printf("%" PRIu64 " events in %" PRIu64 " bytes, of %" PRIu64 " packets: %" PRIu64
		     " connections, at most %zu at once\n",
		     import->events, import->output.written, import->packets, stats.flows,
		     stats.peak);
	tg_strbuf_init(&line);
	say(&line, import->kinds[PACKET_OTHER], "not of TCP");
	say(&line, import->kinds[PACKET_FRAGMENT], "later fragments");
	say(&line, import->kinds[PACKET_CUT], "cut off");
	say(&line, import->kinds[PACKET_BROKEN], "malformed");
	say(&line, stats.strays, "of connections that began before");
	say(&line, stats.invalid, "out of place");
	if (line.len > 0)
		(void)printf("packets that tell nothing:%s\n", line.text);
	tg_strbuf_clear(&line);
	if (import->backwards > 0)
		(void)printf("packets older than the one before: %" PRIu64 "\n", import->backwards);
	if (stats.evicted > 0)
		(void)printf("connections given up because there were more than %zu: %" PRIu64 "\n",
			     FLOWS_MAX, stats.evicted);
	tg_strbuf_finish(&line);
}

static bool create_tracker(struct import *import)
{
	uint8_t seed[16];
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		cli_complain("cannot get random bytes: %s", strerror(errno));
		return false;
	}
	import->tracker = tracker_create(FLOWS_MAX, seed, write_event, import);
	if (!import->tracker)
		cli_complain("out of memory");
	return import->tracker != NULL;
}

static int convert(struct import *import, const char *path, bool force)
{
	if (!trace_output_open(&import->output, path, force))
		return CLI_USAGE;
	int status = read_frames(import);
	end_trace(import);
	progress_hide(&import->progress);
	if (!import->writer && status == CLI_OK) {
		cli_complain("there is no packet in it");
		status = CLI_USAGE;
	}
	if ((!trace_output_close(&import->output) || import->failed) && status == CLI_OK)
		status = CLI_NO;
	if (import->writer)
		report(import);
	return status;
}

/* --force must not empty what is about to be read. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat of_a, of_b;
	if (stat(a, &of_a) < 0 || stat(b, &of_b) < 0 || of_a.st_dev != of_b.st_dev ||
	    of_a.st_ino != of_b.st_ino)
		return false;
	cli_complain("%s is the capture itself", b);
	return true;
}

static int run_import(const struct cli *cli, const struct cli_args *args)
{
	(void)cli; /* no daemon is asked */
	const char *path = args->operands[0], *output = args->values[IMPORT_OUTPUT];
	struct import import = {.capture = NULL};
	progress_begin(&import.progress);
	struct tg_strbuf beside;
	tg_strbuf_init(&beside);
	tg_strbuf_printf(&beside, "%s.trace", path);
	if (!output)
		output = beside.text;
	int status = CLI_USAGE;
	if (!beside.failed && read_local(&import, args->values[IMPORT_LOCAL]) &&
	    !is_same_file(path, output))
		import.capture = capture_open(path);
	if (import.capture && create_tracker(&import))
		status = convert(&import, output, args->values[IMPORT_FORCE] != NULL);
	capture_close(import.capture);
	tracker_destroy(import.tracker);
	tg_trace_writer_destroy(import.writer);
	tg_prefix_set_destroy(import.protected);
	free(import.buffer);
	tg_strbuf_finish(&beside);
	return status;
}

const struct cli_verb verb_import = {
	.name = "import",
	.operands = "FILE",
	.summary = "Make a trace, for simulate, of a pcap or pcapng FILE",
	.options = {[IMPORT_OUTPUT] = {"output", "TRACE", "the trace to write (FILE.trace)"},
		    [IMPORT_LOCAL] = {"local", "PREFIX,...", "addresses of the guarded host"},
		    [IMPORT_FORCE] = {"force", NULL, "replace the trace if it exists"}},
	.operands_min = 1,
	.operands_max = 1,
	.run = run_import,
};
