/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_SYSCTL_H
#define DAEMON_SYSCTL_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel's own figure, or false: a kernel without conntrack loaded has none of its. */
bool sysctl_read(const char *path, uint64_t *ret_value);

#endif
