/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_TALLY_H
#define HOST_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>

/* This host's TCP sockets, summed up as doctor asks: by listener, by process, by own port and by
   destination. */

/* "nginx (pid 812)". */
#define TALLY_PROCESS_STRLEN 40

struct tally_listener {
	struct tg_addr address;
	uint16_t port;
	uint32_t queued, backlog; /* that wait for accept(); how many may, as the kernel cut it */
	uint32_t half_open;       /* request sockets of its port */
	char process[TALLY_PROCESS_STRLEN];
};

struct tally_process {
	char process[TALLY_PROCESS_STRLEN];
	uint32_t close_wait;
	uint64_t close_wait_ms; /* the oldest has had it for at least so long */
	/* Established, silent for the time asked about, and no keepalive would find the peer dead.
	 */
	uint32_t mute;
	uint64_t mute_ms;   /* the longest silence */
	uint16_t mute_port; /* the listener's that accepted one of them; 0: none of a listener */
};

/* Connections of this host to others. Each takes a port of the range for itself. */
struct tally_destination {
	struct tg_addr local, remote;
	uint16_t port;
	uint32_t used, time_wait;
};

struct tally_port {
	uint32_t time_wait, established;
};

struct tally {
	bool known; /* or the kernel told nothing of its sockets */
	int error;  /* a negative errno, if not */
	bool processes_known;
	uint32_t time_wait, time_wait_out, fin_wait2, established;
	uint32_t keepalive; /* established ones with it on */
	struct tally_listener *listeners;
	size_t listener_count;
	struct tally_process *processes;
	size_t process_count;
	struct tally_destination *destinations; /* the fullest first */
	size_t destination_count;
	struct tally_port *ports; /* 65536, by this host's port; those of listeners only */
};

struct tally_params {
	uint64_t idle_ms;               /* how long a connection is silent that counts as idle */
	uint16_t first_port, last_port; /* ip_local_port_range: others leave it as it is */
	/* Called now and then with how many sockets were seen; may be NULL. */
	void (*walking)(void *data, uint64_t sockets);
	void *data;
};

/* 0 or -ENOMEM; a kernel that does not tell is in known. */
int tally_read(const struct tally_params *params, struct tally *ret_tally);
void tally_finish(struct tally *tally);

#endif
