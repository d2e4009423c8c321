/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_CLOCK_H
#define TCPGUARD_CLOCK_H

#include <stdint.h>

/*
 * Time is an argument everywhere: nanoseconds of CLOCK_MONOTONIC, read by the
 * daemon's loop only. Wall clock time appears where people read it and in
 * what must survive a restart, as seconds since the epoch.
 */
typedef uint64_t tg_time;

#define TG_MSEC ((tg_time)1000000)
#define TG_SEC (1000 * TG_MSEC)
#define TG_NEVER UINT64_MAX

#endif
