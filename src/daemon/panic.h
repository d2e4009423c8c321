/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_PANIC_H
#define DAEMON_PANIC_H

#include <stdbool.h>

/* The marker file STATE_DIR/panic: while it is there, a daemon observes only, after a restart too.
 */
bool panic_is_marked(const char *state_dir);
/* 0 or -errno. Both make the wished state sure: there already, gone already is 0. */
int panic_mark(const char *state_dir);
int panic_unmark(const char *state_dir);

/* Without a daemon: marks and takes the table out of the kernel. Returns the exit status. */
int panic_offline(const char *state_dir);

#endif
