/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfilter/ct_schedule.h"
#include "test.h"

#define T0 (1000 * TG_SEC)

/* A schedule whose first dump took the given time and ended at T0. */
static struct ct_schedule settled(tg_time took)
{
	struct ct_schedule s;
	ct_schedule_init(&s);
	ct_schedule_begin(&s, T0 - took);
	ct_schedule_end(&s, T0);
	return s;
}

TEST(first_is_due_at_once)
{
	struct ct_schedule s;
	ct_schedule_init(&s);
	CHECK_U64(ct_schedule_due(&s), 0);
	ct_schedule_begin(&s, T0);
	CHECK_U64(ct_schedule_due(&s), TG_NEVER);
	ct_schedule_end(&s, T0);
	CHECK_U64(ct_schedule_due(&s), TG_NEVER);
}

TEST(a_loss_is_healed_after_a_pause)
{
	struct ct_schedule s = settled(0);
	const tg_time loss = T0 + 10 * TG_SEC;
	ct_schedule_loss(&s, loss);
	CHECK_U64(ct_schedule_due(&s), loss + 200 * TG_MSEC);
	ct_schedule_loss(&s, loss + 100 * TG_MSEC);
	CHECK_U64(ct_schedule_due(&s), loss + 300 * TG_MSEC);
}

TEST(losses_without_a_pause_wait_two_seconds)
{
	struct ct_schedule s = settled(0);
	const tg_time loss = T0 + 10 * TG_SEC;
	for (unsigned i = 0; i < 100; i++)
		ct_schedule_loss(&s, loss + i * 100 * TG_MSEC);
	CHECK_U64(ct_schedule_due(&s), loss + 2 * TG_SEC);
}

TEST(dumps_keep_their_distance)
{
	struct ct_schedule s = settled(10 * TG_MSEC);
	ct_schedule_loss(&s, T0);
	CHECK_U64(ct_schedule_due(&s), T0 + TG_SEC);
	s = settled(3 * TG_SEC);
	ct_schedule_loss(&s, T0);
	CHECK_U64(ct_schedule_due(&s), T0 + 12 * TG_SEC);
}

TEST(a_loss_during_a_dump_wants_another)
{
	struct ct_schedule s = settled(0);
	ct_schedule_loss(&s, T0 + 5 * TG_SEC);
	ct_schedule_begin(&s, T0 + 6 * TG_SEC);
	CHECK_U64(ct_schedule_due(&s), TG_NEVER);
	ct_schedule_loss(&s, T0 + 6 * TG_SEC + 1);
	ct_schedule_end(&s, T0 + 7 * TG_SEC);
	CHECK_U64(ct_schedule_due(&s), T0 + 11 * TG_SEC);
}

TEST(a_failure_is_tried_again_ever_later)
{
	static const unsigned seconds[] = {1, 2, 4, 8, 16, 32, 32, 32};
	struct ct_schedule s = settled(0);
	for (unsigned i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
		ct_schedule_begin(&s, T0);
		ct_schedule_fail(&s, T0);
		CHECK_U64(ct_schedule_due(&s), T0 + seconds[i] * TG_SEC);
	}
	ct_schedule_begin(&s, T0);
	ct_schedule_end(&s, T0);
	ct_schedule_begin(&s, T0);
	ct_schedule_fail(&s, T0);
	CHECK_U64(ct_schedule_due(&s), T0 + TG_SEC);
}

/* Losses all the time and dumps of a second: not more than one in five seconds. */
TEST(no_storm)
{
	struct ct_schedule s = settled(TG_SEC);
	unsigned dumps = 0;
	for (tg_time now = T0; now < T0 + 100 * TG_SEC; now += 10 * TG_MSEC) {
		ct_schedule_loss(&s, now);
		if (now < ct_schedule_due(&s))
			continue;
		ct_schedule_begin(&s, now);
		now += TG_SEC;
		ct_schedule_end(&s, now);
		dumps++;
	}
	CHECK(dumps >= 19 && dumps <= 20);
}

int main(void)
{
	RUN(first_is_due_at_once);
	RUN(a_loss_is_healed_after_a_pause);
	RUN(losses_without_a_pause_wait_two_seconds);
	RUN(dumps_keep_their_distance);
	RUN(a_loss_during_a_dump_wants_another);
	RUN(a_failure_is_tried_again_ever_later);
	RUN(no_storm);
	return DONE();
}
