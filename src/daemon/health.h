/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_HEALTH_H
#define DAEMON_HEALTH_H

#include <stdbool.h>

#include <tcpguard/clock.h>

/* What is promised and does not hold now. */
enum health_reason {
	HEALTH_PANIC,      /* the operator switched enforcing off */
	HEALTH_TABLE,      /* the kernel does not hold our table */
	HEALTH_BANS,       /* bans that the kernel has not taken */
	HEALTH_INGRESS,    /* drops stand in prerouting only */
	HEALTH_BRAKE,      /* bans that the policy asks for are held back */
	HEALTH_FEED,       /* no events come in */
	HEALTH_LOAD,       /* more events than can be read: conntrack is asked for less */
	HEALTH_GAP,        /* events were lost and no dump has healed it yet */
	HEALTH_PROTECTED,  /* own addresses, gateways or resolvers may be out of date */
	HEALTH_ROOM,       /* a table was full: sources, flows or bans went uncounted */
	HEALTH_EVENTS,     /* conntrack is not set to tell what a limit needs */
	HEALTH_ACCOUNTING, /* idle connections cannot be told from others */
	HEALTH_ADOPTION,   /* bans of an earlier daemon may be in force without being listed */
	HEALTH_STATE,      /* the mark of panic cannot be written */
	HEALTH_POLICY,     /* not what the files say */
	HEALTH_STORE,      /* bans are not kept for the time after a reboot */
	HEALTH_CONTROL,    /* nobody can ask: there is no control socket */
	HEALTH_WITNESS,    /* the sockets do not answer: what needs their proof is not dropped */
	HEALTH_FUSE,       /* limits of new stand behind conntrack only, or nobody hears them */
	HEALTH_METER,      /* a fuse's meter has no room for more sources */
	HEALTH_SYNPROXY,   /* it only observes: sysctls that it needs are not set */
	HEALTH_COUNT
};

struct health {
	struct {
		bool on;
		tg_time since; /* not of the wall clock, which can be set */
		char text[192];
	} reasons[HEALTH_COUNT];
	void (*told)(void *data, enum health_reason reason, bool on, const char *text);
	void *data;
};

/* told is called when a reason begins and when it ends; both borrowed. */
void health_init(struct health *health,
		 void (*told)(void *data, enum health_reason reason, bool on, const char *text),
		 void *data);
/* Told when it begins; a new text for a running reason is only kept. */
void health_set(struct health *health, enum health_reason reason, tg_time now, const char *format,
		...) __attribute__((format(printf, 4, 5)));
/* Told when it ends. */
void health_clear(struct health *health, enum health_reason reason, tg_time now);
bool health_is_ok(const struct health *health);
const char *health_reason_name(enum health_reason reason);

#endif
