/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the arithmetic of when to ask for less, and for more again; neither a clock nor a socket. */
#include "netfilter/ct_steps.h"

#include "base/util.h"

#define WINDOW (100 * TG_MSEC)
#define BAD_WINDOWS 3 /* more of these than of good ones since: it will not pass by itself */
#define PATIENCE_FIRST (2 * TG_SEC)
#define PATIENCE_LAST (60 * TG_SEC)
#define FORGET (60 * TG_SEC) /* a step up that went well for so long did not come too soon */

void ct_steps_init(struct ct_steps *steps, tg_time now)
{
	*steps = (struct ct_steps){
		.since = now,
		.window = now + WINDOW,
		.patience = PATIENCE_FIRST,
		.rose = TG_NEVER,
	};
}

static void take(struct ct_steps *steps, tg_time now, enum tg_feed_step step)
{
	steps->step = step;
	steps->since = steps->troubled = now;
	steps->bad = 0;
}

static void step_down(struct ct_steps *steps, tg_time now)
{
	/* From the step that was tried last: it came too soon. */
	if (steps->rose != TG_NEVER)
		steps->patience = now - steps->rose < FORGET
					  ? MIN(steps->patience * 2, PATIENCE_LAST)
					  : PATIENCE_FIRST;
	steps->rose = TG_NEVER;
	steps->why = steps->seen;
	steps->downs++;
	take(steps, now, steps->step + 1);
}

static void step_up(struct ct_steps *steps, tg_time now)
{
	steps->rose = now;
	steps->ups++;
	take(steps, now, steps->step - 1);
}

static bool close_window(struct ct_steps *steps, tg_time now)
{
	bool changed = false;
	if (steps->seen == CT_STEPS_CALM) {
		steps->bad -= steps->bad > 0;
	} else {
		steps->bad++;
		steps->troubled = now;
		changed = steps->bad >= BAD_WINDOWS && steps->step < TG_FEED_NOTHING;
		if (changed)
			step_down(steps, now);
	}
	steps->seen = CT_STEPS_CALM;
	steps->window = now + WINDOW;
	return changed;
}

bool ct_steps_look(struct ct_steps *steps, tg_time now, bool lost, bool behind)
{
	if (lost)
		steps->seen = CT_STEPS_LOST;
	else if (behind && steps->seen == CT_STEPS_CALM)
		steps->seen = CT_STEPS_BEHIND;
	if (now >= steps->window && close_window(steps, now))
		return true;
	if (steps->step == TG_FEED_ALL || now - steps->troubled < steps->patience ||
	    steps->seen != CT_STEPS_CALM)
		return false;
	step_up(steps, now);
	return true;
}

tg_time ct_steps_due(const struct ct_steps *steps)
{
	return steps->step == TG_FEED_ALL ? TG_NEVER : steps->troubled + steps->patience;
}
