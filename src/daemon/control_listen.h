/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_LISTEN_H
#define DAEMON_CONTROL_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

/* Making the socket, and judging who is at its other end. */

/* The listening socket, or -errno as control_create. gid is (gid_t)-1 if no group may connect. */
int control_listen(const char *path, gid_t gid);
/* True if uid 0, the daemon's own uid or a member of gid is at the other end. */
bool control_peer_allowed(int fd, gid_t gid, uid_t *ret_uid);

#endif
