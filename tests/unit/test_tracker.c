/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage: test_tracker [SEED]
 * Connections packet by packet, and what is told of them. Each script is held against the events
 * that the kernel is known to send for it; then random packets, of which every flow must make a
 * legal life.
 */
#include <stdlib.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "cli/tracker.h"
#include "random.h"
#include "test.h"

enum { CLIENT, SERVER };
enum {
	S = PACKET_SYN,
	SA = PACKET_SYN | PACKET_ACK,
	A = PACKET_ACK,
	FA = PACKET_FIN | PACKET_ACK,
	R = PACKET_RST,
	RA = PACKET_RST | PACKET_ACK
};

static const uint8_t seed[16] = {1};

struct script {
	struct tracker *tracker;
	struct tg_strbuf said; /* of flows, without answers */
	struct tg_strbuf answers;
	uint32_t next[2]; /* sequence numbers */
	uint16_t port;
	tg_time now;
};

static void told(void *data, const struct tg_event *event)
{
	struct script *script = data;
	struct tg_strbuf *out = event->flow.answered ? &script->answers : &script->said;
	const char *word = event->type == TG_EVENT_FLOW_NEW   ? "new "
			   : event->type == TG_EVENT_FLOW_END ? "end "
							      : "";
	tg_strbuf_printf(out, "%s%s%s", out->len > 0 ? ", " : "", word,
			 tg_tcp_state_name((enum tg_tcp_state)event->flow.state));
	if (event->flow.answered)
		tg_strbuf_printf(out, " %" PRIu64 "/%" PRIu64, event->flow.packets,
				 event->flow.bytes);
	script->now = event->at;
}

static void begin(struct script *script, size_t max)
{
	*script = (struct script){.next = {1000, 2000}, .port = 40000};
	tg_strbuf_init(&script->said);
	tg_strbuf_init(&script->answers);
	script->tracker = tracker_create(max, seed, told, script);
}

static void finish(struct script *script)
{
	tracker_destroy(script->tracker);
	tg_strbuf_finish(&script->said);
	tg_strbuf_finish(&script->answers);
}

static struct packet packet_of(uint16_t port, int side, uint8_t flags, uint32_t payload)
{
	struct packet packet = {.flags = flags, .payload = payload, .bytes = 40 + payload};
	uint8_t *client = side == CLIENT ? packet.key.src : packet.key.dst;
	uint8_t *server = side == CLIENT ? packet.key.dst : packet.key.src;
	memcpy(client, (uint8_t[]){192, 0, 2, 1}, 4);
	memcpy(server, (uint8_t[]){198, 51, 100, 1}, 4);
	packet.key.sport = side == CLIENT ? port : 80;
	packet.key.dport = side == CLIENT ? 80 : port;
	return packet;
}

/* The next packet of a side, with the numbers that it would have. */
static void send_data(struct script *script, double at, int side, uint8_t flags, uint32_t payload)
{
	struct packet packet = packet_of(script->port, side, flags, payload);
	packet.seq = script->next[side];
	packet.ack = flags & A ? script->next[!side] : 0;
	script->next[side] += payload + ((flags & S) != 0) + ((flags & PACKET_FIN) != 0);
	tracker_packet(script->tracker, (tg_time)(at * 1000) * TG_MSEC, &packet);
}

static void send_flags(struct script *script, double at, int side, uint8_t flags)
{
	send_data(script, at, side, flags, 0);
}

/* A packet with these numbers, which moves the sender's no further. */
static void send_odd(struct script *script, double at, int side, uint8_t flags, uint32_t seq,
		     uint32_t ack)
{
	struct packet packet = packet_of(script->port, side, flags, 0);
	packet.seq = seq;
	packet.ack = ack;
	tracker_packet(script->tracker, (tg_time)(at * 1000) * TG_MSEC, &packet);
}

static void open_flow(struct script *script, double at)
{
	send_flags(script, at, CLIENT, S);
	send_flags(script, at, SERVER, SA);
	send_flags(script, at, CLIENT, A);
}

static void close_flow(struct script *script, double at)
{
	send_flags(script, at, SERVER, FA);
	send_flags(script, at, CLIENT, A);
	send_flags(script, at, CLIENT, FA);
	send_flags(script, at, SERVER, A);
}

static void wait_for(struct script *script, double until)
{
	tracker_advance(script->tracker, (tg_time)(until * 1000) * TG_MSEC);
}

#define OPENED "new syn-sent, syn-recv, established"

TEST(normal_life)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 1);
	send_data(&s, 2, CLIENT, A | PACKET_PSH, 100);
	send_data(&s, 2, SERVER, A, 1000);
	send_flags(&s, 2, CLIENT, A);
	close_flow(&s, 3);
	wait_for(&s, 122.9);
	CHECK_STR(s.said.text, OPENED ", fin-wait, close-wait, last-ack, time-wait");
	wait_for(&s, 124);
	CHECK_STR(s.said.text, OPENED ", fin-wait, close-wait, last-ack, time-wait, end time-wait");
	CHECK_U64(s.now, 123 * TG_SEC);
	finish(&s);
}

TEST(both_close_at_once)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 1);
	send_flags(&s, 2, SERVER, FA);
	send_odd(&s, 2, CLIENT, FA, s.next[CLIENT], s.next[SERVER] - 1);
	send_odd(&s, 2, SERVER, A, s.next[SERVER], s.next[CLIENT] + 1);
	CHECK_STR(s.said.text, OPENED ", fin-wait, last-ack, time-wait");
	finish(&s);
}

TEST(a_reset_ends_at_once_only_what_was_never_answered)
{
	struct script s;
	begin(&s, 4);
	send_flags(&s, 1, CLIENT, S);
	send_odd(&s, 1, SERVER, RA, 0, s.next[CLIENT]);
	CHECK_STR(s.said.text, "new syn-sent, end close");
	tg_strbuf_clear(&s.said);
	send_flags(&s, 2, CLIENT, S);
	send_flags(&s, 2, SERVER, SA);
	send_flags(&s, 2, CLIENT, R);
	CHECK_STR(s.said.text, "new syn-sent, syn-recv, close");
	wait_for(&s, 12.1);
	CHECK_STR(s.said.text, "new syn-sent, syn-recv, close, end close");
	finish(&s);
}

TEST(half_open_for_a_minute_whatever_is_sent_again)
{
	struct script s;
	begin(&s, 4);
	send_flags(&s, 1, CLIENT, S);
	send_flags(&s, 2, SERVER, SA);
	for (int i = 3; i < 60; i += 7)
		send_odd(&s, i, SERVER, SA, 2000, s.next[CLIENT]);
	wait_for(&s, 62);
	CHECK_STR(s.said.text, "new syn-sent, syn-recv, end syn-recv");
	CHECK_STR(s.answers.text, "");
	finish(&s);
}

TEST(a_syn_that_is_sent_again_lives_longer_and_that_is_told)
{
	struct script s;
	begin(&s, 4);
	send_flags(&s, 0, CLIENT, S);
	send_odd(&s, 30, CLIENT, S, 1000, 0);
	wait_for(&s, 149);
	CHECK_STR(s.said.text, "new syn-sent");
	CHECK_STR(s.answers.text, "syn-sent 2/80");
	wait_for(&s, 150);
	CHECK_STR(s.said.text, "new syn-sent, end syn-sent");
	finish(&s);
}

TEST(what_was_not_seen_to_begin_is_nothing)
{
	static const uint8_t flags[] = {SA,
					A,
					FA,
					R,
					RA,
					0,
					S | PACKET_FIN,
					S | PACKET_RST,
					PACKET_FIN,
					PACKET_FIN | PACKET_PSH | PACKET_URG};
	struct tracker_stats stats;
	struct script s;
	begin(&s, 4);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		send_flags(&s, 1, i % 2, flags[i]);
	tracker_stats(s.tracker, &stats);
	CHECK_STR(s.said.text, "");
	CHECK_U64(stats.strays, ARRAY_SIZE(flags));
	CHECK_U64(stats.live, 0);
	finish(&s);
}

TEST(a_tuple_is_used_again)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 1);
	close_flow(&s, 2);
	tg_strbuf_clear(&s.said);
	s.next[CLIENT] += 90000;
	open_flow(&s, 3);
	CHECK_STR(s.said.text, "end time-wait, " OPENED);
	/* After the client's own reset, too. */
	send_flags(&s, 4, CLIENT, R);
	tg_strbuf_clear(&s.said);
	send_flags(&s, 5, CLIENT, S);
	CHECK_STR(s.said.text, "end close, new syn-sent");
	finish(&s);
}

TEST(a_tuple_is_used_again_while_it_is_thought_open)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 1);
	tg_strbuf_clear(&s.said);
	s.next[CLIENT] = 5000000;
	s.next[SERVER] = 6000000;
	send_flags(&s, 2, CLIENT, S);
	CHECK_STR(s.said.text, "");
	send_flags(&s, 2, SERVER, SA);
	CHECK_STR(s.said.text, "syn-recv");
	send_flags(&s, 2, CLIENT, A);
	CHECK_STR(s.said.text, "syn-recv, established");
	/* A SYN that is answered with what belongs to the connection was forged. */
	send_odd(&s, 3, CLIENT, S, 77, 0);
	send_flags(&s, 3, SERVER, A);
	CHECK_STR(s.said.text, "syn-recv, established");
	finish(&s);
}

TEST(blind_guesses)
{
	struct tracker_stats stats;
	struct script s;
	begin(&s, 4);
	send_flags(&s, 1, CLIENT, S);
	send_odd(&s, 1, CLIENT, A, 1001, 12345); /* before any answer */
	send_odd(&s, 1, SERVER, SA, 2000, 99);   /* answers something else */
	send_flags(&s, 1, SERVER, SA);
	send_odd(&s, 1, CLIENT, A, 1001, 2001 - 66000);
	send_odd(&s, 1, CLIENT, A, 1001, 2002);
	CHECK_STR(s.said.text, "new syn-sent, syn-recv");
	send_flags(&s, 1, CLIENT, A);
	send_data(&s, 2, CLIENT, A, 100);
	send_flags(&s, 2, SERVER, A);
	send_odd(&s, 3, CLIENT, R, 1050, 0);
	CHECK_STR(s.said.text, OPENED);
	tracker_stats(s.tracker, &stats);
	CHECK_U64(stats.invalid, 4);
	send_flags(&s, 3, CLIENT, R);
	CHECK_STR(s.said.text, OPENED ", close");
	finish(&s);
}

TEST(a_reset_must_be_what_is_expected)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 0);
	send_data(&s, 1, CLIENT, A, 100);
	send_flags(&s, 1, SERVER, A);
	/* Neither what was acknowledged, nor behind what was just sent: it is asked back. */
	send_odd(&s, 2, CLIENT, R, s.next[CLIENT] + 50, 0);
	CHECK_STR(s.said.text, OPENED);
	/* Behind data that nobody has acknowledged. */
	send_data(&s, 2, CLIENT, A, 100);
	send_flags(&s, 2, CLIENT, RA);
	CHECK_STR(s.said.text, OPENED ", close");
	/* While it closes, any. */
	tg_strbuf_clear(&s.said);
	s.port++;
	open_flow(&s, 3);
	send_flags(&s, 3, SERVER, FA);
	send_odd(&s, 4, CLIENT, R, 5, 0);
	CHECK_STR(s.said.text, OPENED ", fin-wait, close");
	finish(&s);
}

TEST(a_reset_before_the_handshake)
{
	struct script s;
	begin(&s, 4);
	send_flags(&s, 1, CLIENT, S);
	send_odd(&s, 1, SERVER, RA, 0, s.next[CLIENT] + 1); /* refuses something else */
	CHECK_STR(s.said.text, "new syn-sent");
	/* The server still has an old connection; the client resets that. */
	send_odd(&s, 2, SERVER, A, 777, s.next[CLIENT]);
	send_odd(&s, 2, CLIENT, R, s.next[CLIENT], 0);
	CHECK_STR(s.said.text, "new syn-sent, close");
	/* An answer to the reset takes the client's right to begin again at once. */
	send_odd(&s, 3, SERVER, SA, 778, 1);
	send_odd(&s, 3, CLIENT, S, 90000, 0);
	CHECK_STR(s.said.text, "new syn-sent, close");
	finish(&s);
}

TEST(answers_count_both_directions)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 0);
	send_data(&s, 25, CLIENT, A, 100);
	send_flags(&s, 26, SERVER, A);
	wait_for(&s, 59);
	CHECK_STR(s.answers.text, "established 3/120, established 5/300");
	/* Told often for a quarter of an hour, then seldom, then for ever no more. */
	tg_strbuf_clear(&s.answers);
	wait_for(&s, 26 + 432000 - 1);
	CHECK_STR(s.said.text, OPENED);
	size_t count = 0;
	for (const char *c = s.answers.text; *c; c++)
		count += *c == '/';
	CHECK(count > 400 && count < 600);
	wait_for(&s, 26 + 432000);
	CHECK_STR(s.said.text, OPENED ", end established");
	finish(&s);
}

TEST(unacknowledged_data_lives_five_minutes)
{
	struct script s;
	begin(&s, 4);
	open_flow(&s, 0);
	send_data(&s, 1, CLIENT, A, 100);
	wait_for(&s, 300.9);
	CHECK_STR(s.said.text, OPENED);
	wait_for(&s, 301);
	CHECK_STR(s.said.text, OPENED ", end established");
	finish(&s);
}

TEST(too_many_flows)
{
	struct tracker_stats stats;
	struct script s;
	begin(&s, 3);
	open_flow(&s, 1);
	for (uint16_t port = 1; port <= 4; port++) {
		s.port = port;
		send_flags(&s, 1 + port, CLIENT, S);
	}
	tracker_stats(s.tracker, &stats);
	CHECK_STR(s.said.text, OPENED ", new syn-sent, new syn-sent"
				      ", end syn-sent, new syn-sent, end syn-sent, new syn-sent");
	CHECK_U64(stats.evicted, 2);
	CHECK_U64(stats.live, 3);
	CHECK_U64(stats.peak, 3);
	CHECK_U64(stats.flows, 5);
	finish(&s);
}

TEST(time_does_not_go_back)
{
	struct script s;
	begin(&s, 4);
	send_flags(&s, 10, CLIENT, S);
	send_flags(&s, 5, SERVER, SA);
	CHECK_U64(s.now, 10 * TG_SEC);
	CHECK_STR(s.said.text, "new syn-sent, syn-recv");
	finish(&s);
}

#define PORTS 12

struct lives {
	int state[PORTS]; /* -1: there is none */
	tg_time at;
	uint64_t events, wrong;
};

static bool may_follow(int from, int to)
{
	/* SYN_RECV from everywhere: a tuple that is used again while it is thought open. */
	static const unsigned next[TG_TCP_STATE_COUNT] = {
		[TG_TCP_SYN_SENT] = 1U << TG_TCP_SYN_RECV | 1U << TG_TCP_CLOSE,
		[TG_TCP_SYN_RECV] =
			1U << TG_TCP_ESTABLISHED | 1U << TG_TCP_FIN_WAIT | 1U << TG_TCP_CLOSE,
		[TG_TCP_ESTABLISHED] = 1U << TG_TCP_FIN_WAIT | 1U << TG_TCP_CLOSE,
		[TG_TCP_FIN_WAIT] =
			1U << TG_TCP_CLOSE_WAIT | 1U << TG_TCP_LAST_ACK | 1U << TG_TCP_CLOSE,
		[TG_TCP_CLOSE_WAIT] = 1U << TG_TCP_LAST_ACK | 1U << TG_TCP_CLOSE,
		[TG_TCP_LAST_ACK] = 1U << TG_TCP_TIME_WAIT | 1U << TG_TCP_CLOSE,
		[TG_TCP_TIME_WAIT] = 1U << TG_TCP_CLOSE,
	};
	return to == TG_TCP_SYN_RECV || (next[from] & 1U << to);
}

static void follow(void *data, const struct tg_event *event)
{
	struct lives *lives = data;
	/* A flow that the server opens to the client's port is the other one of two. */
	const bool back = event->flow.key.sport >= PORTS;
	int *state = &lives->state[back ? event->flow.key.dport : event->flow.key.sport];
	const int to = event->flow.state;
	lives->events++;
	bool good = event->at >= lives->at;
	if (event->type == TG_EVENT_FLOW_NEW)
		good &= *state < 0 && to == TG_TCP_SYN_SENT;
	else if (event->type == TG_EVENT_FLOW_END)
		good &= *state >= 0 && (to == *state || to == TG_TCP_CLOSE);
	else if (event->flow.answered)
		good &= *state == to;
	else
		good &= *state >= 0 && may_follow(*state, to);
	lives->wrong += !good;
	*state = event->type == TG_EVENT_FLOW_END ? -1 : to;
	lives->at = event->at;
}

TEST(random_packets)
{
	static const uint8_t flags[] = {S, S, SA, SA, A, A, A, A, FA, FA, R, RA, 0, S | PACKET_FIN};
	static const uint32_t steps_ms[] = {0, 1, 10, 100, 100, 1000, 1000, 5000, 40000};
	for (size_t max = 3; max <= PORTS; max += 9) {
		struct lives lives = {.wrong = 0};
		struct tracker_stats stats;
		tg_time at = 0;
		for (int i = 0; i < PORTS; i++)
			lives.state[i] = -1;
		struct tracker *tracker = tracker_create(max, seed, follow, &lives);
		for (int i = 0; i < 200000; i++) {
			const int side = (int)random_below(2);
			struct packet packet = packet_of((uint16_t)random_below(PORTS), side,
							 flags[random_below(ARRAY_SIZE(flags))],
							 random_below(3) * 50);
			/* Near enough to fit together, now and then. */
			packet.seq = random_below(4);
			packet.ack = random_below(4);
			at += steps_ms[random_below(ARRAY_SIZE(steps_ms))] * TG_MSEC;
			tracker_packet(tracker, at, &packet);
		}
		tracker_stats(tracker, &stats);
		CHECK(stats.peak <= max && stats.peak > max / 2);
		CHECK(stats.flows > 1000 && lives.events > 10000);
		CHECK((stats.evicted > 0) == (max < PORTS));
		size_t live = 0;
		for (int i = 0; i < PORTS; i++)
			live += lives.state[i] >= 0;
		CHECK_U64(live, stats.live);
		tracker_advance(tracker, at + 432001 * TG_SEC);
		tracker_stats(tracker, &stats);
		CHECK_U64(stats.live, 0);
		CHECK_U64(lives.wrong, 0);
		tracker_destroy(tracker);
	}
}

int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	printf("# seed %" PRIu64 "\n", random_state);
	RUN(normal_life);
	RUN(both_close_at_once);
	RUN(a_reset_ends_at_once_only_what_was_never_answered);
	RUN(half_open_for_a_minute_whatever_is_sent_again);
	RUN(a_syn_that_is_sent_again_lives_longer_and_that_is_told);
	RUN(what_was_not_seen_to_begin_is_nothing);
	RUN(a_tuple_is_used_again);
	RUN(a_tuple_is_used_again_while_it_is_thought_open);
	RUN(blind_guesses);
	RUN(a_reset_must_be_what_is_expected);
	RUN(a_reset_before_the_handshake);
	RUN(answers_count_both_directions);
	RUN(unacknowledged_data_lives_five_minutes);
	RUN(too_many_flows);
	RUN(time_does_not_go_back);
	RUN(random_packets);
	return DONE();
}
