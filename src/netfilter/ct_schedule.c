/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the arithmetic of when to resync; neither a clock nor a socket. */
#include "netfilter/ct_schedule.h"

#include "base/util.h"

#define QUIET (200 * TG_MSEC) /* without a loss: the burst is over */
#define PATIENCE (2 * TG_SEC) /* longest wait for that */
#define PAUSE TG_SEC          /* least time between two dumps */
#define SHARE 4               /* times the last dump's duration: dumping at most 1/5 of the time */
#define BACKOFF_MAX_SHIFT 5   /* after failures: 1 s, 2, 4 … 32 s */

void ct_schedule_init(struct ct_schedule *schedule)
{
	*schedule = (struct ct_schedule){
		.wanted = true,
		.first_loss = TG_NEVER,
		.last_loss = TG_NEVER,
	};
}

void ct_schedule_want(struct ct_schedule *schedule)
{
	schedule->wanted = true;
}

void ct_schedule_loss(struct ct_schedule *schedule, tg_time now)
{
	if (schedule->first_loss == TG_NEVER)
		schedule->first_loss = now;
	schedule->last_loss = now;
}

tg_time ct_schedule_due(const struct ct_schedule *schedule)
{
	/* A dump that is owed already does not wait for the losses to pause. */
	if (schedule->wanted)
		return schedule->not_before;
	if (schedule->first_loss == TG_NEVER)
		return TG_NEVER;
	tg_time settled = MIN(schedule->last_loss + QUIET, schedule->first_loss + PATIENCE);
	return MAX(settled, schedule->not_before);
}

void ct_schedule_begin(struct ct_schedule *schedule, tg_time now)
{
	schedule->wanted = false;
	schedule->first_loss = schedule->last_loss = TG_NEVER;
	schedule->began = now;
}

static void pause_until(struct ct_schedule *schedule, tg_time now, tg_time least)
{
	tg_time took = now > schedule->began ? now - schedule->began : 0;
	schedule->not_before = now + MAX(least, SHARE * took);
}

void ct_schedule_end(struct ct_schedule *schedule, tg_time now)
{
	schedule->failures = 0;
	pause_until(schedule, now, PAUSE);
}

void ct_schedule_fail(struct ct_schedule *schedule, tg_time now)
{
	pause_until(schedule, now, PAUSE << MIN(schedule->failures, (unsigned)BACKOFF_MAX_SHIFT));
	schedule->failures++;
	schedule->wanted = true;
}
