/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/clock.h>

/* The values are those of syslog(3), which the journal reads. */
enum log_level { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTE = 5, LOG_INFORM = 6, LOG_DEBUGGING = 7 };

/* How many lines a second, and how many at once: a flood of bans is not a flood of lines. */
#define LOG_RATE 50
#define LOG_BURST 200

struct log_bucket {
	double tokens;
	tg_time at;
	uint64_t suppressed; /* since the last line that said so */
};

/*
 * Lines to stderr. Never blocks: a line that a stopped reader has no room for is
 * dropped and counted. Warnings have a bucket of their own, so that no number
 * of bans hides one.
 */
struct log {
	int fd;
	bool reopened; /* fd is ours: a terminal, opened again not to wait for it */
	enum log_level level;
	bool journal;   /* lines carry their priority as <N> */
	int journal_fd; /* where lines with fields go; -1: with the others, without */
	tg_time now;    /* set by the owner every turn: this file reads no clock */
	struct log_bucket buckets[2];
	uint64_t lines, suppressed, dropped;
};

/* journal_stream is $JOURNAL_STREAM or NULL. */
void log_init(struct log *log, int fd, enum log_level level, const char *journal_stream);
void log_finish(struct log *log);
/* Where the journal of this stderr takes fields, if it is one. Not there: lines go on as they are.
 */
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"
void log_open_journal(struct log *log, const char *path);
/* False if there is no such level. */
bool log_level_parse(const char *name, enum log_level *ret_level);
void log_set_time(struct log *log, tg_time now);
/* Control characters in the result are escaped, whatever the arguments hold. */
void log_write(struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * The same with fields for the journal, each "NAME=value" and a newline, which no value holds:
 * others do not see them.
 */
void log_write_fields(struct log *log, enum log_level level, const char *fields, const char *format,
		      ...) __attribute__((format(printf, 4, 5)));

#endif
