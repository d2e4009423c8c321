/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the ring of what was decided lately. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct line {
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

void history_add(struct history *history, const char *line, size_t len)
{
	struct line *slot = &history->lines[history->next++ % HISTORY_KEPT];
	slot->len = (uint16_t)MIN(len, sizeof(slot->text));
	memcpy(slot->text, line, slot->len);
}

uint64_t history_first(const struct history *history)
{
	return history->next > HISTORY_KEPT ? history->next - HISTORY_KEPT : 1;
}

uint64_t history_next(const struct history *history)
{
	return history->next;
}

const char *history_line(const struct history *history, uint64_t number, size_t *ret_len)
{
	const struct line *slot = &history->lines[number % HISTORY_KEPT];
	*ret_len = slot->len;
	return slot->text;
}
