/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfilter/ct_recent.h"
#include "test.h"

static struct tg_flow_event flow(unsigned number, enum tg_tcp_state state)
{
	struct tg_flow_event event = {.state = (uint8_t)state, .timeout_s = number};
	memcpy(event.key.src, &number, sizeof(number));
	return event;
}

static const struct ct_recent_news *find(const struct ct_recent *recent, unsigned number)
{
	const struct tg_flow_event event = flow(number, TG_TCP_UNKNOWN);
	return ct_recent_find(recent, &event.key);
}

TEST(the_last_word_counts)
{
	struct ct_recent *recent = ct_recent_create();
	struct tg_flow_event event = flow(1, TG_TCP_SYN_RECV);
	CHECK(!find(recent, 1));
	ct_recent_note(recent, &event, false);
	event.state = TG_TCP_ESTABLISHED;
	ct_recent_note(recent, &event, false);
	CHECK(find(recent, 1) && find(recent, 1)->state == TG_TCP_ESTABLISHED);
	ct_recent_turn(recent);
	ct_recent_note(recent, &event, true);
	CHECK(find(recent, 1) && find(recent, 1)->ended);
	CHECK(!find(recent, 2));
	ct_recent_destroy(recent);
}

TEST(two_turns_forget)
{
	struct ct_recent *recent = ct_recent_create();
	const struct tg_flow_event event = flow(1, TG_TCP_SYN_RECV);
	ct_recent_note(recent, &event, false);
	ct_recent_turn(recent);
	CHECK(find(recent, 1));
	ct_recent_turn(recent);
	CHECK(!find(recent, 1));
	ct_recent_note(recent, &event, false);
	ct_recent_reset(recent, 7);
	CHECK(!find(recent, 1));
	ct_recent_destroy(recent);
}

TEST(full_to_the_last_room)
{
	struct ct_recent *recent = ct_recent_create();
	const unsigned room = ct_recent_room(recent);
	CHECK(room >= 1024);
	for (unsigned i = 0; i < room; i++) {
		const struct tg_flow_event event = flow(i, TG_TCP_SYN_SENT);
		ct_recent_note(recent, &event, i % 2);
	}
	CHECK_U64(ct_recent_room(recent), 0);
	for (unsigned i = 0; i < room; i++)
		CHECK(find(recent, i) && find(recent, i)->timeout_s == i &&
		      find(recent, i)->ended == i % 2);
	CHECK(!find(recent, room));
	ct_recent_turn(recent);
	CHECK_U64(ct_recent_room(recent), room);
	ct_recent_destroy(recent);
}

int main(void)
{
	RUN(the_last_word_counts);
	RUN(two_turns_forget);
	RUN(full_to_the_last_room);
	return DONE();
}
