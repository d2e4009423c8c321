/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_TALLY_PROCESSES_H
#define HOST_TALLY_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which process has a socket, by the links in /proc/PID/fd; one that several share, as workers do,
   is that of the lowest PID. */

#define TALLY_PROCESS_STRLEN 40

struct tally_process_map {
	struct tally_owner {
		uint32_t inode;
		uint32_t pid;
	} * owners; /* by inode */
	size_t count;
	bool complete; /* every process let itself be read */
};

/* 0 or -ENOMEM. */
int tally_processes_read(struct tally_process_map *ret_map);
void tally_processes_finish(struct tally_process_map *map);
/* 0: nobody's, or of one that did not let itself be read. */
uint32_t tally_processes_find(const struct tally_process_map *map, uint32_t inode);
/* "nginx (pid 812)". */
const char *tally_processes_format(uint32_t pid, char buf[static TALLY_PROCESS_STRLEN]);

#endif
