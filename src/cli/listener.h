/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_LISTENER_H
#define CLI_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

/* True for a process that goes by the daemon's name. */
bool listener_is_daemon(pid_t pid);
/*
 * The daemon that listens at path in this network namespace, also when it cannot be connected to:
 * its backlog is full, or the file is gone. 0 when there is none, or none that this user may see.
 */
pid_t listener_find(const char *path);

#endif
