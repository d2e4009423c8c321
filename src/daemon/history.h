/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_HISTORY_H
#define DAEMON_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tg_prefix;

/*
 * What was decided and what happened lately, as lines of the control socket: the last HISTORY_KEPT,
 * in memory that is reserved at start. Each has a number, from 1, which is not given again while
 * the daemon runs. wanted below is a prefix that a line may concern: its source lies in it, or
 * covers it; NULL is any line.
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
/* A line with its end, about source, or NULL: about nobody in particular. The oldest gives way. */
void history_add(struct history *history, const char *line, size_t len,
		 const struct tg_prefix *source);
/* The number of the next that will come. */
uint64_t history_next(const struct history *history);
/* From which number on there are the last count that are wanted. */
uint64_t history_last(const struct history *history, uint64_t count,
		      const struct tg_prefix *wanted);
/* Moves a reader's number to the oldest that is kept; so many went by unread. */
uint64_t history_catch_up(const struct history *history, uint64_t *number);
/*
 * The next that is wanted from *number on, which a catch-up has moved, and *number behind it; NULL
 * if there is none. Valid until the next add.
 */
const char *history_read(const struct history *history, uint64_t *number,
			 const struct tg_prefix *wanted, size_t *ret_len);

#endif
