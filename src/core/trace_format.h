/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_TRACE_FORMAT_H
#define CORE_TRACE_FORMAT_H

#include <tcpguard/trace.h>

/* Numbers of the format, which stay when those of the program change: docs/trace.md. */

#define TRACE_MAGIC "\x89tgtrc\r\n"
#define TRACE_MAGIC_SIZE 8

enum trace_type {
	TRACE_FLOW_NEW = 1,
	TRACE_FLOW_STATE = 2,
	TRACE_FLOW_END = 3,
	TRACE_GAP = 4,
	TRACE_RESYNC_BEGIN = 5,
	TRACE_RESYNC_END = 6,
	TRACE_RESYNC_FAILED = 7,
	TRACE_TICK = 8,
	TRACE_ADOPT = 9,
	TRACE_SINK_LOST = 10,
	TRACE_OPERATOR_BAN = 11,
	TRACE_OPERATOR_UNBAN = 12,
	TRACE_PANIC = 13,
	TRACE_PROTECTED = 14,
	TRACE_POLICY = 15,
	TRACE_WITNESS = 16,
	TRACE_TRAFFIC = 17,
	TRACE_ADMINS = 18,
	TRACE_FUSE = 19,
	TRACE_FEED = 20,
	TRACE_REQUESTS = 21,
	TRACE_TRAFFIC_PROXIED = 22
};

/* First byte of a record, beside the type in its low five bits. */
#define TRACE_TYPE_MASK 0x1f
#define TRACE_HAS_TIME 0x20
#define TRACE_HAS_KEY 0x40

/* Second byte of a flow record, beside the state in its low four bits. */
#define TRACE_STATE_MASK 0x0f
#define TRACE_DUMPED 0x10
#define TRACE_ANSWERED 0x20
#define TRACE_HAS_TIMEOUT 0x40
#define TRACE_HAS_COUNTERS 0x80

/* First byte of an ADOPT. */
#define TRACE_STORED 0x01
#define TRACE_RECORD 0x02
#define TRACE_UNPROVEN 0x04

/* First byte of a key. */
#define TRACE_KEY_IPV6 0x01
#define TRACE_KEY_HAS_ENDPOINT 0x02

#define TRACE_FLOWS 65536   /* slots for keys, named by two bytes */
#define TRACE_ENDPOINTS 256 /* and for addresses of this side, by one */

/* An event's time at most: what is added to it by policies fits, too. */
#define TRACE_TIME_MAX (UINT64_MAX / 4)
/* And the wall clock's, in milliseconds: the year 2106. */
#define TRACE_WALL_MAX (UINT64_C(1000) * UINT32_MAX)

/* States are written as they are numbered here. */
_Static_assert(TG_TCP_SYN_SENT == 0 && TG_TCP_CLOSE == 7 && TG_TCP_UNKNOWN == 8,
	       "the numbers of states are part of the trace format");
_Static_assert(TG_IPV4 == 0 && TG_IPV6 == 1, "and so are those of families");
/* An action that only observes is no ban of the kernel's: its number stands in no record. */
static inline uint8_t trace_action(enum tg_action action)
{
	return action == TG_ACTION_DROP       ? 1
	       : action == TG_ACTION_CAP      ? 2
	       : action == TG_ACTION_REJECT   ? 3
	       : action == TG_ACTION_SYNPROXY ? 4
					      : 0;
}
static const enum tg_action trace_actions[] = {TG_ACTION_RATE_LIMIT, TG_ACTION_DROP, TG_ACTION_CAP,
					       TG_ACTION_REJECT, TG_ACTION_SYNPROXY};
_Static_assert(TG_FEED_ALL == 0 && TG_FEED_NO_UPDATES == 1 && TG_FEED_NEW == 2 &&
		       TG_FEED_NOTHING == 3,
	       "and of steps of the feed");
_Static_assert(TG_SCOPE_NEW == 0 && TG_SCOPE_PORTS == 1 && TG_SCOPE_EVERYTHING == 2, "of scopes");
_Static_assert(TG_PROTECT_OWN == 0 && TG_PROTECT_ALLOWED == 6 && TG_PROTECT_ADMIN == 7,
	       "and of protected kinds");

#endif
