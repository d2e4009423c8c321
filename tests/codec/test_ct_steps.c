/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfilter/ct_steps.h"
#include "test.h"

#define T0 (1000 * TG_SEC)

/* Looks every 2 ms, as the loop does when it is busy; until the step changes, or the time is over.
 */
static tg_time look_for(struct ct_steps *s, tg_time from, tg_time span, bool lost, bool behind)
{
	tg_time now = from;
	for (; now < from + span; now += 2 * TG_MSEC)
		if (ct_steps_look(s, now, lost, behind))
			break;
	return now;
}

TEST(a_burst_is_no_reason)
{
	struct ct_steps s;
	ct_steps_init(&s, T0);
	tg_time now = T0;
	for (int i = 0; i < 100; i++) {
		now = look_for(&s, now, 100 * TG_MSEC, true, true);
		now = look_for(&s, now, 500 * TG_MSEC, false, false);
		CHECK_U64(s.step, TG_FEED_ALL);
	}
	CHECK_U64(s.downs, 0);
	CHECK_U64(ct_steps_due(&s), TG_NEVER);
}

TEST(a_daemon_held_up_once_is_none)
{
	struct ct_steps s;
	ct_steps_init(&s, T0);
	CHECK(!ct_steps_look(&s, T0 + 30 * TG_SEC, true, true));
	CHECK_U64(look_for(&s, T0 + 30 * TG_SEC, 50 * TG_MSEC, false, true),
		  T0 + 30 * TG_SEC + 50 * TG_MSEC);
	(void)look_for(&s, T0 + 30 * TG_SEC + 50 * TG_MSEC, TG_SEC, false, false);
	CHECK_U64(s.step, TG_FEED_ALL);
}

/* From there down to the last step. */
static tg_time all_the_way_down(struct ct_steps *s, tg_time now, bool lost, bool behind)
{
	while (s->step != TG_FEED_NOTHING) {
		const enum tg_feed_step before = s->step;
		const tg_time at = look_for(s, now, TG_SEC, lost, behind);
		CHECK_U64(s->step, before + 1);
		CHECK(at - now >= 200 * TG_MSEC && at - now <= 400 * TG_MSEC);
		now = at + 2 * TG_MSEC;
	}
	return now;
}

TEST(down_step_by_step)
{
	struct ct_steps s;
	ct_steps_init(&s, T0);
	tg_time now = all_the_way_down(&s, T0, true, false);
	CHECK_U64(s.downs, 3);
	CHECK(s.why == CT_STEPS_LOST);
	(void)look_for(&s, now, TG_SEC, true, true);
	CHECK_U64(s.step, TG_FEED_NOTHING); /* there is nothing below */
	ct_steps_init(&s, T0);
	(void)all_the_way_down(&s, T0, false, true);
	CHECK(s.why == CT_STEPS_BEHIND);
}

TEST(up_step_by_step_after_calm)
{
	struct ct_steps s;
	ct_steps_init(&s, T0);
	tg_time now = all_the_way_down(&s, T0, true, false);
	for (unsigned step = TG_FEED_NOTHING; step > TG_FEED_ALL; step--) {
		CHECK_U64(s.step, step);
		const tg_time due = ct_steps_due(&s);
		CHECK(due > now && due <= now + 2 * TG_SEC);
		CHECK(!ct_steps_look(&s, due - 1, false, false));
		CHECK(ct_steps_look(&s, due, false, false));
		CHECK_U64(s.since, due);
		now = due;
	}
	CHECK_U64(s.step, TG_FEED_ALL);
	CHECK_U64(s.ups, 3);
	CHECK_U64(ct_steps_due(&s), TG_NEVER);
}

TEST(what_came_too_soon_takes_longer_next_time)
{
	struct ct_steps s;
	ct_steps_init(&s, T0);
	tg_time now = all_the_way_down(&s, T0, true, false), waited = 0;
	for (int i = 0; i < 8; i++) {
		const tg_time due = ct_steps_due(&s);
		CHECK(due - now >= waited);
		waited = due - now;
		CHECK(ct_steps_look(&s, due, false, false));
		now = all_the_way_down(&s, due, true, false);
	}
	CHECK(waited > 55 * TG_SEC && waited <= 60 * TG_SEC);
	/* What went well for a minute did not. */
	for (unsigned step = TG_FEED_NOTHING; step > TG_FEED_ALL; step--) {
		now = ct_steps_due(&s);
		CHECK(ct_steps_look(&s, now, false, false));
	}
	now = look_for(&s, now, 61 * TG_SEC, false, false);
	now = all_the_way_down(&s, now, true, false);
	CHECK(ct_steps_due(&s) - now <= 2 * TG_SEC);
}

TEST(trouble_keeps_it_down)
{
	struct ct_steps s;
	ct_steps_init(&s, T0);
	tg_time now = look_for(&s, T0, TG_SEC, true, false);
	CHECK_U64(s.step, TG_FEED_NO_UPDATES);
	/* Now and then something is lost: too little to step down, enough not to step up. */
	for (int i = 0; i < 20; i++) {
		now = look_for(&s, now, 100 * TG_MSEC, true, false);
		now = look_for(&s, now, TG_SEC, false, false);
	}
	CHECK_U64(s.step, TG_FEED_NO_UPDATES);
	now = look_for(&s, now, 3 * TG_SEC, false, false);
	CHECK_U64(s.step, TG_FEED_ALL);
}

int main(void)
{
	RUN(a_burst_is_no_reason);
	RUN(a_daemon_held_up_once_is_none);
	RUN(down_step_by_step);
	RUN(up_step_by_step_after_calm);
	RUN(what_came_too_soon_takes_longer_next_time);
	RUN(trouble_keeps_it_down);
	return DONE();
}
