/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_PROCESSES_H
#define HOST_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#define PROCESSES_NAME_SIZE 16 /* as the kernel's comm, with its NUL */

/* Which process has which socket, as it was at one walk over /proc. */
struct processes;

struct processes_owner {
	uint32_t pid; /* of several that share a socket, the lowest: as a rule their parent */
	char name[PROCESSES_NAME_SIZE];
};

/* Looks through the descriptors of every process that this user may look into. 0 or -errno. */
int processes_create(struct processes **ret_processes);
void processes_destroy(struct processes *processes);

/* NULL: no process, or none that this user may look into. Lives as long as processes. */
const struct processes_owner *processes_find(const struct processes *processes, uint32_t inode);
/* False when there were processes that this user may not look into. */
bool processes_is_complete(const struct processes *processes);

#endif
