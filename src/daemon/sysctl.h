/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_SYSCTL_H
#define DAEMON_SYSCTL_H

#include <stdbool.h>
#include <stdint.h>

/* A number of /proc/sys; name is relative to it. False when there is none: a kernel without
   conntrack loaded has none of its settings. */
bool sysctl_read(const char *name, uint64_t *ret_value);

#endif
