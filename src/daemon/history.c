/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the ring of what was decided and what happened lately. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include <tcpguard/addr.h>

#include "base/util.h"

struct line {
	struct tg_prefix source; /* or the total, which concerns nobody */
	uint16_t len;
	char text[HISTORY_LINE_MAX];
};

struct history {
	uint64_t next;
	struct line lines[HISTORY_KEPT];
};

struct history *history_create(void)
{
	struct history *history = calloc(1, sizeof(*history));
	if (history)
		history->next = 1;
	return history;
}

void history_destroy(struct history *history)
{
	free(history);
}

void history_add(struct history *history, const char *line, size_t len,
		 const struct tg_prefix *source)
{
	struct line *slot = &history->lines[history->next++ % HISTORY_KEPT];
	slot->source = source ? *source : (struct tg_prefix){.len = TG_TOTAL_LEN};
	slot->len = (uint16_t)MIN(len, sizeof(slot->text));
	memcpy(slot->text, line, slot->len);
}

static uint64_t first(const struct history *history)
{
	return history->next > HISTORY_KEPT ? history->next - HISTORY_KEPT : 1;
}

uint64_t history_next(const struct history *history)
{
	return history->next;
}

static bool concerns(const struct line *line, const struct tg_prefix *wanted)
{
	return !wanted || tg_prefix_overlaps(&line->source, wanted);
}

uint64_t history_last(const struct history *history, uint64_t count, const struct tg_prefix *wanted)
{
	uint64_t number = history->next;
	while (count > 0 && number > first(history))
		count -= concerns(&history->lines[--number % HISTORY_KEPT], wanted);
	return number;
}

uint64_t history_catch_up(const struct history *history, uint64_t *number)
{
	const uint64_t oldest = first(history);
	const uint64_t lost = oldest > *number ? oldest - *number : 0;
	*number += lost;
	return lost;
}

const char *history_read(const struct history *history, uint64_t *number,
			 const struct tg_prefix *wanted, size_t *ret_len)
{
	while (*number < history->next) {
		const struct line *line = &history->lines[(*number)++ % HISTORY_KEPT];
		if (!concerns(line, wanted))
			continue;
		*ret_len = line->len;
		return line->text;
	}
	return NULL;
}
