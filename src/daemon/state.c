/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the state file: when a fresh one is written, and that at each moment one of the two is
 * whole. While a fresh one is being written, every change goes into both, behind what it is about.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <tcpguard/engine.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "loop.h"
#include "state_line.h"

static const char file_name[] = "bans";
static const char fresh_name[] = "bans.new";

/* Changes before a fresh file is worth it, beside as many as there were bans in the last. */
#define CHANGES_MIN 4096
/* Bans of one piece of a fresh file: 2 ms. */
#define PIECE 512
#define PIECE_PAUSE TG_MSEC
/* Between telling the kernel to begin writing, and waiting for it. */
#define SYNC_PAUSE TG_SEC
/* At the soonest after the last fresh file; and after the disk refused something. */
#define FRESH_PAUSE (5 * TG_SEC)
#define RETRY_PAUSE (30 * TG_SEC)

enum fresh { FRESH_NONE, FRESH_BANS, FRESH_RECORDS, FRESH_SYNC };

struct state {
	struct loop *loop;
	struct loop_timer *timer;
	struct state_params params;
	char *dir;
	int dir_fd, fd;        /* -1: not open */
	struct tg_strbuf turn; /* lines of this turn */
	uint64_t appended;     /* lines since the file was begun */
	uint64_t begun_with;   /* lines that it was begun with */
	bool wanted;           /* a fresh file, whatever the size */
	enum fresh fresh;
	int fresh_fd;
	uint32_t cursor;
	uint64_t fresh_lines, fresh_appended;
	tg_time last; /* fresh file, or failure */
	struct state_stats stats;
};

static uint64_t wall_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now); /* it cannot fail */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, bytes, len);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		bytes += put;
		len -= (size_t)put;
	}
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* what matters was synced, or is written again */
	*fd = -1;
}

static int open_dir(struct state *state)
{
	if (state->dir_fd >= 0)
		return 0;
	if (mkdir(state->dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	state->dir_fd = open(state->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return state->dir_fd < 0 ? -errno : 0;
}

static void schedule(struct state *state)
{
	tg_time at = TG_NEVER;
	if (state->fresh == FRESH_SYNC)
		at = state->last + SYNC_PAUSE;
	else if (state->fresh != FRESH_NONE)
		at = loop_now(state->loop) + PIECE_PAUSE;
	else if (state->stats.error)
		at = state->last + RETRY_PAUSE;
	else if (state->wanted)
		at = state->last + FRESH_PAUSE;
	loop_timer_set(state->timer, at);
}

/* What follows is lost until a fresh file is in place. */
static void fail(struct state *state, int err)
{
	close_fd(&state->fd);
	close_fd(&state->fresh_fd);
	state->fresh = FRESH_NONE;
	state->wanted = true;
	state->last = loop_now(state->loop);
	state->stats.error = err;
	state->stats.failed++;
	schedule(state);
}

static void begin_fresh(struct state *state)
{
	struct tg_strbuf header;
	int err = open_dir(state);
	if (!err) {
		state->fresh_fd = openat(
			state->dir_fd, fresh_name,
			O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		err = state->fresh_fd < 0 ? -errno : 0;
	}
	tg_strbuf_init(&header);
	state_line_put_header(&header);
	if (!err)
		err = header.failed ? -ENOMEM : write_all(state->fresh_fd, header.text, header.len);
	tg_strbuf_finish(&header);
	if (err) {
		fail(state, err);
		return;
	}
	state->wanted = false;
	state->fresh = FRESH_BANS;
	state->cursor = 0;
	state->fresh_lines = state->fresh_appended = 0;
	schedule(state);
}

/* True: there was one. */
static bool next_of(struct state *state, struct tg_ban *ban)
{
	return state->fresh == FRESH_BANS
		       ? tg_engine_next_ban(state->params.engine, &state->cursor, ban)
		       : tg_engine_next_record(state->params.engine, &state->cursor, ban);
}

static void write_piece(struct state *state)
{
	const tg_time now = loop_now(state->loop);
	const uint64_t now_ms = wall_ms();
	struct tg_strbuf out;
	struct tg_ban ban;
	bool more = true;
	tg_strbuf_init(&out);
	for (int i = 0; i < PIECE && (more = next_of(state, &ban)); i++) {
		struct state_line line;
		if ((state->fresh == FRESH_BANS && !ban.enforced) ||
		    tg_prefix_is_total(&ban.source))
			continue;
		state_line_describe(*state->params.config, &ban, now, now_ms, &line);
		if (state->fresh == FRESH_RECORDS)
			line.kind = STATE_RECORD;
		state_line_put(&out, &line);
		state->fresh_lines++;
	}
	int err = out.failed ? -ENOMEM : write_all(state->fresh_fd, out.text, out.len);
	tg_strbuf_finish(&out);
	if (err) {
		fail(state, err);
		return;
	}
	if (!more) {
		state->fresh++;
		state->cursor = 0;
		state->last = now;
		/* So that the wait in the end is short: a slow disk must not hold up the loop. */
		if (state->fresh == FRESH_SYNC)
			(void)sync_file_range(state->fresh_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
	schedule(state);
}

static void end_fresh(struct state *state)
{
	int err = fdatasync(state->fresh_fd) < 0 ? -errno : 0;
	if (!err && renameat(state->dir_fd, fresh_name, state->dir_fd, file_name) < 0)
		err = -errno;
	if (err) {
		fail(state, err);
		return;
	}
	close_fd(&state->fd);
	state->fd = state->fresh_fd;
	state->fresh_fd = -1;
	state->fresh = FRESH_NONE;
	state->begun_with = state->fresh_lines;
	state->appended = state->fresh_appended;
	state->last = loop_now(state->loop);
	state->stats.snapshots++;
	state->stats.error = 0;
	state->stats.lost = 0;
	schedule(state);
}

static void timer_due(void *data)
{
	struct state *state = data;
	switch (state->fresh) {
	case FRESH_NONE:
		if (state->wanted || state->stats.error)
			begin_fresh(state);
		break;
	case FRESH_BANS:
	case FRESH_RECORDS:
		write_piece(state);
		break;
	case FRESH_SYNC:
		end_fresh(state);
		break;
	}
}

/* The file that is there lacks what only the fresh one has: at the end there is time for all of it.
 */
static void finish_fresh(struct state *state)
{
	if (state->fresh == FRESH_NONE && state->wanted && state->fd < 0 && !state->stats.error)
		begin_fresh(state);
	while (state->fresh == FRESH_BANS || state->fresh == FRESH_RECORDS)
		write_piece(state);
	if (state->fresh == FRESH_SYNC)
		end_fresh(state);
}

int state_create(struct loop *loop, const struct state_params *params, struct state **ret_state)
{
	struct state *state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	*state = (struct state){
		.loop = loop, .params = *params, .dir_fd = -1, .fd = -1, .fresh_fd = -1};
	tg_strbuf_init(&state->turn);
	state->dir = strdup(params->dir);
	state->timer = loop_add_timer(loop, timer_due, state);
	if (!state->dir || !state->timer) {
		loop_remove_timer(state->timer);
		free(state->dir);
		free(state);
		return -ENOMEM;
	}
	*ret_state = state;
	return 0;
}

void state_destroy(struct state *state)
{
	if (!state)
		return;
	state_flush(state);
	finish_fresh(state);
	close_fd(&state->fd);
	close_fd(&state->fresh_fd);
	close_fd(&state->dir_fd);
	loop_remove_timer(state->timer);
	tg_strbuf_finish(&state->turn);
	free(state->dir);
	free(state);
}

static int set_aside(struct state *state, char ret_aside[static STATE_ASIDE_MAX])
{
	const uint64_t now = wall_ms() / 1000;
	/* Twice within a second: the next number is as good. */
	for (uint64_t at = now; at < now + 16; at++) {
		(void)snprintf(ret_aside, STATE_ASIDE_MAX, "%s.damaged-%" PRIu64, file_name, at);
		if (faccessat(state->dir_fd, ret_aside, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return renameat(state->dir_fd, file_name, state->dir_fd, ret_aside) < 0
				       ? -errno
				       : 0;
	}
	return -EEXIST;
}

int state_restore(struct state *state, void (*found)(void *data, const struct tg_adopt *adopt),
		  void *data, struct state_loaded *ret_loaded,
		  char ret_aside[static STATE_ASIDE_MAX])
{
	*ret_loaded = (struct state_loaded){0};
	ret_aside[0] = '\0';
	state->wanted = true;
	state->last = loop_now(state->loop) - FRESH_PAUSE;
	int err = open_dir(state);
	if (!err) {
		_cleanup_close_ int fd = openat(state->dir_fd, file_name,
						O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0)
			err = state_load(fd, wall_ms(), found, data, ret_loaded);
		else if (errno != ENOENT)
			err = -errno;
		const bool damaged = fd >= 0 && (err || ret_loaded->damaged || ret_loaded->unknown);
		if (damaged && set_aside(state, ret_aside) < 0)
			ret_aside[0] = '\0'; /* the fresh file takes its place, then */
	}
	schedule(state);
	return err;
}

void state_change(struct state *state, const struct tg_decision *decision)
{
	struct state_line line;
	/* A flood of before the reboot says nothing about the service after it. */
	if (tg_prefix_is_total(&decision->ban.source))
		return;
	if (state->stats.error) {
		state->stats.lost++;
		return;
	}
	state_line_describe(*state->params.config, &decision->ban, loop_now(state->loop), wall_ms(),
			    &line);
	if (decision->type == TG_DECISION_LIFT)
		line.kind = STATE_LIFT;
	state_line_put(&state->turn, &line);
	state->appended++;
	state->fresh_appended++;
	state->stats.changes++;
}

void state_refresh(struct state *state)
{
	state->wanted = true;
	if (state->fresh == FRESH_NONE)
		schedule(state);
}

void state_flush(struct state *state)
{
	if (state->turn.len == 0 && !state->turn.failed)
		return;
	int err = state->turn.failed ? -ENOMEM : 0;
	if (!err && state->fd >= 0)
		err = write_all(state->fd, state->turn.text, state->turn.len);
	if (!err && state->fresh_fd >= 0)
		err = write_all(state->fresh_fd, state->turn.text, state->turn.len);
	/* After a large turn its memory goes back. */
	tg_strbuf_finish(&state->turn);
	tg_strbuf_init(&state->turn);
	if (err) {
		fail(state, err);
		return;
	}
	if (state->fresh == FRESH_NONE && !state->wanted &&
	    state->appended > MAX(state->begun_with, (uint64_t)CHANGES_MIN)) {
		state->wanted = true;
		schedule(state);
	}
}

void state_stats(const struct state *state, struct state_stats *ret_stats)
{
	struct stat st;
	*ret_stats = state->stats;
	if (state->fd >= 0 && fstat(state->fd, &st) == 0)
		ret_stats->size = (uint64_t)st.st_size;
}
