/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_SCHEDULE_H
#define NETFILTER_CT_SCHEDULE_H

#include <stdbool.h>

#include <tcpguard/clock.h>

/*
 * When a resync is due. Losses come in bursts, so it waits for a pause in them, but not
 * for ever; and a dump costs what the table is large, so it never takes more than a
 * fifth of the time, however often messages are lost. Pure: time is an argument.
 */
struct ct_schedule {
	bool wanted;
	tg_time first_loss, last_loss; /* since the last dump began; TG_NEVER: none */
	tg_time not_before;
	tg_time began;
	unsigned failures; /* in a row */
};

/* A first one is due at once. */
void ct_schedule_init(struct ct_schedule *schedule);
/* One is owed, whatever was lost. */
void ct_schedule_want(struct ct_schedule *schedule);
void ct_schedule_loss(struct ct_schedule *schedule, tg_time now);
/* TG_NEVER if none is wanted. */
tg_time ct_schedule_due(const struct ct_schedule *schedule);
/* A dump begins; losses from now on want another. */
void ct_schedule_begin(struct ct_schedule *schedule, tg_time now);
void ct_schedule_end(struct ct_schedule *schedule, tg_time now);
/* Another try is wanted, later with each failure in a row. */
void ct_schedule_fail(struct ct_schedule *schedule, tg_time now);

#endif
