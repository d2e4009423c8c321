/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

/* A terminal whose whole screen is ours for a while, and the signals that have to do with it. */
struct terminal {
	struct termios before;
	sigset_t mask_before;
	int signals; /* descriptor */
	bool raw;    /* the screen is ours now */
};

enum terminal_event {
	TERMINAL_TIME,   /* nothing happened for as long as was waited */
	TERMINAL_KEYS,   /* bytes were typed */
	TERMINAL_REDRAW, /* it has another size, or is ours again after a stop */
	TERMINAL_GONE,   /* nobody is there any more */
	TERMINAL_SIGNAL  /* to end by it: terminal_signal */
};

/* Both standard input and output are one, fit for this. */
bool terminal_is_there(void);

/* 0 or -errno. */
int terminal_open(struct terminal *terminal);
/* Gives it back as it was. */
void terminal_close(struct terminal *terminal);
/* Waits; a stop (^Z) gives the screen back until it goes on. *ret_signal for TERMINAL_SIGNAL,
   bytes and *ret_count for TERMINAL_KEYS. */
enum terminal_event terminal_wait(struct terminal *terminal, int timeout_ms, uint8_t *bytes,
				  size_t size, size_t *ret_count, int *ret_signal);
/* 80 by 24 if it does not say. */
void terminal_size(size_t *ret_width, size_t *ret_height);
/* All of it, or false: nobody is there. */
bool terminal_write(const char *bytes, size_t len);

#endif
