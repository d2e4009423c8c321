/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the buffer between the engine's events and a client that records them. The picture
 * is made in pieces among the live events, as a dump of the kernel is: a flow is told as
 * it is when its turn comes, so that picture and events agree at its end.
 */
#include "recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "base/strbuf.h"
#include "base/util.h"

/* A line of TG_PROTO_LINE_MAX, two digits for each byte. */
#define LINE_BYTES 4000
/* As much as a socket takes at once: a flood makes some 40 KB in a turn. */
#define LINES_PER_FILL 16
/* The picture leaves the rest of the buffer to live events. */
#define PICTURE_ROOM (RECORDER_BUFFER / 2)
/* Flows or bans of one piece. */
#define PICTURE_PIECE 1024

enum stage { STAGE_BEGIN, STAGE_BANS, STAGE_FLOWS, STAGE_LIVE };

struct recorder {
	struct tg_trace_writer *writer;
	enum stage stage;
	uint32_t cursor; /* of the stage */
	uint64_t gap;    /* events lost since the last one that was kept */
	struct recorder_stats stats;
	size_t start, end; /* of what waits in the buffer */
	uint8_t buffer[RECORDER_BUFFER];
};

struct recorder *recorder_create(const struct tg_trace_header *header)
{
	struct recorder *recorder = malloc(sizeof(*recorder));
	if (!recorder)
		return NULL;
	memset(recorder, 0, offsetof(struct recorder, buffer));
	recorder->writer = tg_trace_writer_create(header);
	if (!recorder->writer) {
		free(recorder);
		return NULL;
	}
	tg_trace_write_header(recorder->writer, recorder->buffer);
	recorder->end = TG_TRACE_HEADER_SIZE;
	return recorder;
}

void recorder_destroy(struct recorder *recorder)
{
	if (!recorder)
		return;
	tg_trace_writer_destroy(recorder->writer);
	free(recorder);
}

/* 0, or what tg_trace_write says. */
static int keep(struct recorder *recorder, const struct tg_event *event)
{
	if (recorder->start > 0 && RECORDER_BUFFER - recorder->end < RECORDER_BUFFER / 4) {
		recorder->end -= recorder->start;
		memmove(recorder->buffer, recorder->buffer + recorder->start, recorder->end);
		recorder->start = 0;
	}
	int size = tg_trace_write(recorder->writer, event, recorder->buffer + recorder->end,
				  RECORDER_BUFFER - recorder->end);
	if (size < 0)
		return size;
	recorder->end += (size_t)size;
	recorder->stats.events += size > 0;
	return 0;
}

void recorder_event(struct recorder *recorder, const struct tg_event *event)
{
	if (event->type == TG_EVENT_ACK)
		return;
	/* The picture will begin with the set as it is then. */
	if (event->type == TG_EVENT_PROTECTED && recorder->stage == STAGE_BEGIN)
		return;
	if (recorder->gap == 0 && keep(recorder, event) == 0)
		return;
	recorder->gap++;
	recorder->stats.lost++;
}

/* After a gap the picture is made anew, once half of the buffer is free. */
static void end_gap(struct recorder *recorder, tg_time now)
{
	if (recorder->gap == 0 || recorder->end - recorder->start > PICTURE_ROOM)
		return;
	const struct tg_event event = {.type = TG_EVENT_GAP, .at = now, .lost = recorder->gap};
	if (keep(recorder, &event) < 0)
		return;
	recorder->gap = 0;
	recorder->stage = STAGE_BEGIN;
}

static int begin_picture(struct recorder *recorder, const struct recorder_view *view)
{
	struct tg_engine_stats stats;
	tg_engine_stats(view->engine, &stats);
	struct tg_event event = {
		.type = TG_EVENT_PROTECTED, .at = view->now, .protected = view->protected};
	int err = keep(recorder, &event);
	if (err)
		return err;
	event = (struct tg_event){.type = TG_EVENT_ADMINS, .at = view->now, .admins = view->admins};
	err = keep(recorder, &event);
	if (err)
		return err;
	event = (struct tg_event){.type = TG_EVENT_FEED, .at = view->now, .feed = stats.feed};
	err = keep(recorder, &event);
	if (err)
		return err;
	event = (struct tg_event){.type = TG_EVENT_PANIC, .at = view->now, .panic = stats.panic};
	err = keep(recorder, &event);
	recorder->stage = STAGE_BANS;
	recorder->cursor = 0;
	return err;
}

static void adopt_of(const struct tg_ban *ban, const struct recorder_view *view,
		     struct tg_adopt *ret_adopt)
{
	const struct tg_config *config = view->config;
	*ret_adopt = (struct tg_adopt){
		.source = ban->source,
		.action = ban->action,
		.scope = ban->scope,
		.origin = ban->origin,
		.to = ban->to,
		.measured = ban->measured,
		.threshold = ban->threshold,
		.offence = ban->offence,
		.unproven = ban->unproven,
		.age_ms = view->now > ban->since ? (view->now - ban->since) / TG_MSEC : 0,
		.left_ms = ban->until > view->now ? (ban->until - view->now) / TG_MSEC : 0,
	};
	/* 0 would mean that it has no end. */
	ret_adopt->left_ms = MIN(MAX(ret_adopt->left_ms, 1), TG_DURATION_MAX_MS);
	memcpy(ret_adopt->reason, ban->reason, sizeof(ban->reason));
	if (ban->policy >= config->policy_count)
		return;
	const struct tg_policy *policy = &config->policies[ban->policy];
	memcpy(ret_adopt->policy, policy->name, strlen(policy->name));
	if (ban->limit < policy->limit_count)
		memcpy(ret_adopt->limit, policy->limits[ban->limit].name,
		       strlen(policy->limits[ban->limit].name));
}

static void picture_bans(struct recorder *recorder, const struct recorder_view *view)
{
	struct tg_event event = {.type = TG_EVENT_ADOPT, .at = view->now};
	struct tg_ban ban;
	for (int i = 0; i < PICTURE_PIECE; i++) {
		if (!tg_engine_next_ban(view->engine, &recorder->cursor, &ban)) {
			event.type = TG_EVENT_RESYNC_BEGIN;
			(void)keep(recorder, &event); /* there is room: half of the buffer */
			recorder->stage = STAGE_FLOWS;
			recorder->cursor = 0;
			return;
		}
		if (!ban.enforced)
			continue; /* only the kernel's are found at a start */
		adopt_of(&ban, view, &event.adopt);
		(void)keep(recorder, &event); /* as above */
	}
}

static void end_picture(struct recorder *recorder, const struct recorder_view *view)
{
	struct tg_engine_stats stats;
	struct tg_event event = {.type = TG_EVENT_RESYNC_END, .at = view->now};
	tg_engine_stats(view->engine, &stats);
	recorder->stage = STAGE_LIVE;
	/* A dump of the kernel that runs names what this engine does not know: its end is ours. */
	if (stats.resyncing)
		return;
	(void)keep(recorder, &event); /* there is room: half of the buffer */
	event.type = TG_EVENT_GAP;
	if (stats.stale)
		(void)keep(recorder, &event); /* as above */
}

static void picture_flows(struct recorder *recorder, const struct recorder_view *view)
{
	struct tg_event event = {.type = TG_EVENT_FLOW_STATE, .at = view->now};
	for (int i = 0; i < PICTURE_PIECE; i++) {
		if (!tg_engine_next_flow(view->engine, &recorder->cursor, &event.flow)) {
			end_picture(recorder, view);
			return;
		}
		(void)keep(recorder, &event); /* as above */
	}
}

static void put_lines(struct recorder *recorder, struct tg_strbuf *out)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * LINE_BYTES + 1];
	for (int line = 0; line < LINES_PER_FILL && recorder->start < recorder->end; line++) {
		const size_t count = MIN(recorder->end - recorder->start, LINE_BYTES);
		for (size_t i = 0; i < count; i++) {
			const uint8_t byte = recorder->buffer[recorder->start + i];
			text[2 * i] = digits[byte >> 4];
			text[2 * i + 1] = digits[byte & 15];
		}
		text[2 * count] = '\0';
		tg_record_begin(out, "trace");
		tg_strbuf_puts(out, " data="); /* digits need no encoding */
		tg_strbuf_puts(out, text);
		tg_record_end(out);
		recorder->start += count;
	}
	if (recorder->start == recorder->end)
		recorder->start = recorder->end = 0;
}

bool recorder_fill(struct recorder *recorder, const struct recorder_view *view,
		   struct tg_strbuf *out)
{
	end_gap(recorder, view->now);
	if (recorder->gap == 0 && recorder->end - recorder->start < PICTURE_ROOM) {
		switch (recorder->stage) {
		case STAGE_BEGIN:
			if (begin_picture(recorder, view) == -E2BIG)
				return false;
			break;
		case STAGE_BANS:
			picture_bans(recorder, view);
			break;
		case STAGE_FLOWS:
			picture_flows(recorder, view);
			break;
		case STAGE_LIVE:
			break;
		}
	}
	put_lines(recorder, out);
	return true;
}

bool recorder_waits(const struct recorder *recorder)
{
	return recorder->start < recorder->end || recorder->stage != STAGE_LIVE ||
	       recorder->gap > 0;
}

void recorder_stats(const struct recorder *recorder, struct recorder_stats *ret_stats)
{
	*ret_stats = recorder->stats;
}
