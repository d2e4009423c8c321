/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_SOCKET_TALLY_H
#define CLI_SOCKET_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/sock_diag.h"
#include "socket_states.h"

struct processes;

/* Counts sockets by state, and by one thing more. */
enum tally_by { TALLY_BY_NOTHING, TALLY_BY_PORT, TALLY_BY_PROCESS, TALLY_BY_SOURCE, TALLY_BY_USER };

enum tally_kind {
	TALLY_IN,        /* number is the port of this host */
	TALLY_OUT,       /* number is the port of the peer, whom this host called */
	TALLY_PROCESS,   /* number is the pid */
	TALLY_HIDDEN,    /* of processes that this user may not look into */
	TALLY_KERNEL,    /* TIME_WAIT, half-open, and what its process has closed: nobody has it */
	TALLY_SOURCE,    /* addr and number, the prefix length, of the peer */
	TALLY_LISTENING, /* has no peer */
	TALLY_USER       /* number is the uid */
};

/* Compared and hashed as bytes: no padding. */
struct tally_key {
	struct tg_addr addr;
	uint8_t kind;
	uint8_t zero[2];
	uint32_t number;
};

struct tally_group {
	struct tally_key key;
	uint32_t inode; /* of one of them, to find the process's name by */
	uint32_t total;
	uint32_t fresh; /* for the caller: of them, how many were not there before */
	uint32_t states[SOCKET_STATE_COUNT];
};

struct socket_tally {
	/* What is counted; set by the caller. */
	enum tally_by by;
	uint16_t port;                       /* of either side; 0: any */
	uint32_t states_wanted;              /* bits by number */
	const struct processes *processes;   /* for TALLY_BY_PROCESS; borrowed */
	uint8_t source_len[TG_FAMILY_COUNT]; /* of TALLY_BY_SOURCE; 0: that of a policy */
	uint32_t groups_max;                 /* so many at most; 0: as many as there are */
	uint8_t hash_key[16];

	uint64_t states[SOCKET_STATE_COUNT], total;
	uint64_t groups_in_all,
		others[SOCKET_STATE_COUNT]; /* groups left out by top, and their sum */
	struct tally_group *groups;
	uint32_t group_count, group_room;
	uint32_t *slots; /* index + 1 of a group */
	uint32_t slot_count;
	uint64_t crowded; /* sockets whose group would have been one too many */
	bool failed;      /* no memory: the groups are not complete */
	uint8_t listening[65536 / 8];
};

/* *tally has its settings, and the rest is zero. */
void socket_tally_finish(struct socket_tally *tally);
/* Listeners first: they decide which way a connection goes. The group that it was counted in, which
   lives until the next call, or NULL. */
struct tally_group *socket_tally_add(struct socket_tally *tally,
				     const struct sock_diag_socket *socket);
/* Sorts the groups, the fullest first, and keeps at most count; what is left out is in others. */
void socket_tally_top(struct socket_tally *tally, uint32_t count);

#endif
