/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what keys mean to top. Terminals send arrows as sequences, in two dialects. */
#include "top_keys.h"

const char top_keys_help[] = "q quit  space now  arrows or t h e c w n: the column that sorts";

static void sort_by(struct top_keys *keys, enum top_column column)
{
	keys->sort = column;
	keys->again = true;
}

static void move(struct top_keys *keys, int by)
{
	sort_by(keys,
		(enum top_column)(((int)keys->sort + by + TOP_COLUMN_COUNT) % TOP_COLUMN_COUNT));
}

static void take_plain(struct top_keys *keys, uint8_t byte)
{
	static const char letters[TOP_COLUMN_COUNT] = {'t', 'h', 'e', 'c', 'w', 'n'};
	if (byte == 'q' || byte == 'Q' || byte == 0x03 || byte == 0x04)
		keys->quit = true;
	if (byte == ' ' || byte == '\r' || byte == '\n' || byte == 0x0c)
		keys->again = true;
	for (unsigned i = 0; i < TOP_COLUMN_COUNT; i++)
		if (byte == letters[i])
			sort_by(keys, (enum top_column)i);
}

/* A sequence ends with a byte from @ to ~; what is before it are its parameters. */
static void take_sequence(struct top_keys *keys, uint8_t byte)
{
	if (byte < 0x40 || byte > 0x7e)
		return;
	keys->state = TOP_KEYS_PLAIN;
	if (byte == 'C' || byte == 'B')
		move(keys, 1);
	if (byte == 'D' || byte == 'A')
		move(keys, -1);
}

void top_keys_take(struct top_keys *keys, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		switch (keys->state) {
		case TOP_KEYS_PLAIN:
			if (bytes[i] == 0x1b)
				keys->state = TOP_KEYS_ESCAPE;
			else
				take_plain(keys, bytes[i]);
			break;
		case TOP_KEYS_ESCAPE:
			if (bytes[i] == '[' || bytes[i] == 'O')
				keys->state = TOP_KEYS_SEQUENCE;
			else if (bytes[i] != 0x1b) /* a letter with Alt: not the letter */
				keys->state = TOP_KEYS_PLAIN;
			break;
		case TOP_KEYS_SEQUENCE:
			take_sequence(keys, bytes[i]);
			break;
		}
	}
}

void top_keys_pause(struct top_keys *keys)
{
	keys->state = TOP_KEYS_PLAIN;
}
