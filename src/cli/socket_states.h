/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_SOCKET_STATES_H
#define CLI_SOCKET_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

/* The states of TCP sockets by the kernel's numbers, 1 to 11; 0 is none. */
#define SOCKET_STATE_COUNT 12

struct socket_state {
	uint8_t number;
	enum tg_tcp_state conntrack; /* the state of conntrack's beside it; TG_TCP_UNKNOWN: none */
	const char *name;            /* for scripts and options: "time-wait" */
	const char *title;           /* for tables: "TIME-WAIT" */
	const char *brief;           /* for wide tables: "TIME-W" */
	const char *meaning;         /* what it is, and whose a pile of it is */
};

/* In the order of a connection's life. */
extern const struct socket_state socket_states[SOCKET_STATE_COUNT - 1];

/*
 * Names between commas, as ss, netstat and tcpguard write them, to bits by number; "fin-wait" is
 * both. NULL, or the name that is none, for people: it ends at its comma.
 */
const char *socket_states_parse(const char *text, uint32_t *ret_mask);

/* So many of one state, of so many sockets that do not listen, that somebody should look. */
bool socket_state_is_pile(unsigned number, uint64_t count, uint64_t total);

#endif
