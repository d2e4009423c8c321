/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_HISTORY_H
#define DAEMON_HISTORY_H

#include <stddef.h>
#include <stdint.h>

/*
 * What was decided lately, as lines of the control socket: the last HISTORY_KEPT, in memory that is
 * reserved at start. Each has a number, from 1, which is not given again while the daemon runs.
 */
struct history;

#define HISTORY_KEPT 1000
/* The longest line: a ban by hand with a reason in which every byte is escaped. */
#define HISTORY_LINE_MAX 1024
/* The longest message that fits a line, if every byte of it is escaped to three. */
#define HISTORY_MESSAGE_MAX 288

/* NULL when memory runs out. */
struct history *history_create(void);
void history_destroy(struct history *history);
/* A line with its end. The oldest gives way. */
void history_add(struct history *history, const char *line, size_t len);
/* Numbers of the oldest that is kept, and of the next that will come. */
uint64_t history_first(const struct history *history);
uint64_t history_next(const struct history *history);
/* Of a number from first on and before next; valid until the next add. */
const char *history_line(const struct history *history, uint64_t number, size_t *ret_len);

#endif
