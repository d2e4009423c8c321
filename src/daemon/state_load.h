/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_STATE_LOAD_H
#define DAEMON_STATE_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>

/* What a state file said. */
struct state_loaded {
	uint64_t bans, records; /* that still mean something */
	uint64_t damaged;       /* lines that are not what was written; a torn last one is none */
	uint64_t unknown;       /* of another version */
};

/*
 * Reads the state file of fd, whose size is bounded, and tells of each ban and each record that
 * still counts at wall_ms, the moment now in milliseconds since the epoch. A ban that is over
 * becomes a record as long as its offence counts. 0 or -errno: nothing has been told.
 */
int state_load(int fd, uint64_t wall_ms, void (*found)(void *data, const struct tg_adopt *adopt),
	       void *data, struct state_loaded *ret_loaded);

#endif
