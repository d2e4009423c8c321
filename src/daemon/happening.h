/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_HAPPENING_H
#define DAEMON_HAPPENING_H

#include <stdbool.h>

#include "health.h"

struct log;

/* What becomes of the daemon itself, beside its decisions, and is told as they are. */
enum happening {
	HAPPENING_DEGRADED, /* something promised does not hold; the cause is the reason's name */
	HAPPENING_RECOVERED,
	HAPPENING_PANIC, /* these four are reasons to be degraded, too, with a name of their own */
	HAPPENING_RESUME,
	HAPPENING_BRAKE_ON,
	HAPPENING_BRAKE_OFF,
	HAPPENING_RELOAD,
	HAPPENING_RELOAD_FAILED,
	HAPPENING_CONFIRM,   /* the policy that would have been taken back stays */
	HAPPENING_ROLLBACK,  /* nobody confirmed it: the one before is in force again */
	HAPPENING_GAP,       /* messages of conntrack were lost */
	HAPPENING_RESYNC,    /* and the counts are right again */
	HAPPENING_STEP_DOWN, /* conntrack is asked to tell less, because it tells too much */
	HAPPENING_STEP_UP,
	HAPPENING_COUNT
};

/* What the begin or the end of a reason to be degraded is told as. */
enum happening happening_of(enum health_reason reason, bool on);
/* As `tcpguard events` names it. */
const char *happening_name(enum happening what);
/* Of systemd/tcpguard.catalog, which says what it means. */
const char *happening_message_id(enum happening what);
/* A line in the log, with its fields for the journal. */
void happening_log(struct log *log, enum happening what, const char *cause, const char *message);

#endif
