/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_STEPS_H
#define NETFILTER_CT_STEPS_H

#include <stdbool.h>

#include <tcpguard/clock.h>
#include <tcpguard/event.h>

/*
 * How much conntrack is asked to tell. One step down when for some tenths of a second more came
 * than could be read; one up after a time of calm, which grows with each try that came too soon. A
 * single burst, or a daemon that was held up once, is no reason: a dump heals what that lost. Pure:
 * time is an argument.
 */
struct ct_steps {
	enum tg_feed_step step;
	enum ct_steps_why {
		CT_STEPS_CALM,
		CT_STEPS_LOST,  /* messages found no room */
		CT_STEPS_BEHIND /* they wait longer and longer */
	} why;                  /* of the last step down */
	tg_time since;          /* the step */
	tg_time window;         /* when this one ends */
	enum ct_steps_why seen; /* in it */
	unsigned bad;           /* windows, less the good ones since */
	tg_time troubled;       /* when the last bad one ended, or a step was taken */
	tg_time patience;       /* calm that a step up takes */
	tg_time rose;           /* the last step up; TG_NEVER */
	uint64_t downs, ups;
};

void ct_steps_init(struct ct_steps *steps, tg_time now);
/* What was found when the socket was looked at. True: another step from now on. */
bool ct_steps_look(struct ct_steps *steps, tg_time now, bool lost, bool behind);
/* When to look although nothing came; TG_NEVER. */
tg_time ct_steps_due(const struct ct_steps *steps);

#endif
