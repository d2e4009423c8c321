/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_STATE_H
#define DAEMON_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/decision.h>

#include "state_load.h"

struct loop;
struct tg_config;
struct tg_engine;

/*
 * Bans and remembered offences in the state directory, for the time after a reboot. One file,
 * `bans`: what there was when it was begun, then a line for each change. When the changes are more
 * than what they are about, a fresh file is written beside it, in pieces between other work, and
 * takes its name. A change is in the kernel's hands when the turn of the loop ends, and on the
 * disk when the kernel writes it, within half a minute: a power cut loses the last of them, and
 * with them nothing but bans.
 */
struct state;

struct state_params {
	const char *dir;
	const struct tg_engine *engine;        /* borrowed; asked when a fresh file is written */
	const struct tg_config *const *config; /* where the one in force is found; borrowed */
};

struct state_stats {
	uint64_t changes, snapshots; /* lines appended; fresh files in place */
	uint64_t failed;             /* times that the disk took something not */
	uint64_t lost;               /* changes that wait for a fresh file since then */
	uint64_t size;               /* of the file, in bytes */
	int error;                   /* 0, or -errno: the file is not up to date */
};

/* Makes the directory if it is not there. 0 or -ENOMEM: what the disk refuses is tried again. */
int state_create(struct loop *loop, const struct state_params *params, struct state **ret_state);
/* Writes what waits. */
void state_destroy(struct state *state);

/*
 * Tells of what the file remembers, before anything is written. 0, or -errno: it cannot be read. A
 * file with damaged lines, or one that cannot be read as a whole, is given another name, which is
 * in ret_aside (else empty); what was good in it has been told.
 */
#define STATE_ASIDE_MAX 64
int state_restore(struct state *state, void (*found)(void *data, const struct tg_adopt *adopt),
		  void *data, struct state_loaded *ret_loaded,
		  char ret_aside[static STATE_ASIDE_MAX]);

/* A BAN or LIFT that is in force. */
void state_change(struct state *state, const struct tg_decision *decision);
/* Something was forgotten that no decision told of: a fresh file, soon. */
void state_refresh(struct state *state);
/* At the end of a turn. */
void state_flush(struct state *state);

void state_stats(const struct state *state, struct state_stats *ret_stats);

#endif
