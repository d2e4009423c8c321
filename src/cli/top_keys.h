/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TOP_KEYS_H
#define CLI_TOP_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "top_page.h"

/* What was typed, byte by byte, and what follows from it. */
struct top_keys {
	enum { TOP_KEYS_PLAIN, TOP_KEYS_ESCAPE, TOP_KEYS_SEQUENCE } state;
	enum top_column sort;
	bool quit;  /* the user wants to leave */
	bool again; /* and to see something now */
};

/* For people, at the foot of the screen. */
extern const char top_keys_help[];

void top_keys_take(struct top_keys *keys, const uint8_t *bytes, size_t count);
/* Nothing came after an escape for a while: it was the key, and means nothing. */
void top_keys_pause(struct top_keys *keys);

#endif
