/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The feed on a real kernel: what it tells of real connections, what it does when messages are
 * lost, and that dumps, answers and events never contradict each other. Needs root. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tcpguard/event.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "netfilter/ct_feed.h"
#include "host/nlsock.h"
#include "ns.h"
#include "test.h"

#define CHUNK 256
#define LOG_MAX 400000
#define PATIENCE (10 * TG_SEC)

/* What the feed said, in order. */
static struct tg_event *events;
static size_t event_count;

static struct ct_feed *feed;
static struct ct_feed_stats stats;

static size_t receive(size_t cap, bool *ret_more)
{
	int n = ct_feed_receive(feed, ns_now(), events + event_count,
				MIN(cap, LOG_MAX - event_count), ret_more);
	CHECK(n >= 0);
	event_count += n > 0 ? (size_t)n : 0;
	return n > 0 ? (size_t)n : 0;
}

static size_t query(size_t cap, bool *ret_more)
{
	int n = ct_feed_query(feed, ns_now(), events + event_count, MIN(cap, LOG_MAX - event_count),
			      ret_more);
	CHECK(n >= 0);
	event_count += n > 0 ? (size_t)n : 0;
	return n > 0 ? (size_t)n : 0;
}

/* A turn of the daemon's loop: waits until the feed wants something, then does it. */
static void turn(void)
{
	struct pollfd fds[] = {
		{.fd = ct_feed_event_fd(feed), .events = POLLIN},
		{.fd = ct_feed_query_fd(feed), .events = POLLIN},
	};
	bool more;
	const tg_time now = ns_now(), due = ct_feed_deadline(feed);
	int wait_ms = due <= now ? 0 : (int)MIN((due - now) / TG_MSEC + 1, (tg_time)100);
	CHECK(poll(fds, ARRAY_SIZE(fds), wait_ms) >= 0);
	receive(CHUNK, &more);
	query(CHUNK, &more);
}

static size_t count_type(enum tg_event_type type)
{
	size_t count = 0;
	for (size_t i = 0; i < event_count; i++)
		count += events[i].type == type;
	return count;
}

/* Turns until so many events of that type have been told. */
static bool await(enum tg_event_type type, size_t count)
{
	const tg_time end = ns_now() + PATIENCE;
	while (count_type(type) < count && ns_now() < end)
		turn();
	return count_type(type) >= count;
}

/* All that waits now, without a resync. */
static void drain_events(void)
{
	for (bool more = true; more;)
		receive(CHUNK, &more);
}

static bool is_to_port(const struct tg_event *event, uint16_t port)
{
	return event->type <= TG_EVENT_FLOW_END && event->flow.key.dport == port;
}

/* The events of flows to a port, as text: "NEW syn-sent, STATE syn-recv". */
static const char *story(uint16_t port)
{
	static char text[1024];
	static const char *const words[] = {"NEW", "STATE", "END"};
	size_t len = 0;
	text[0] = '\0';
	for (size_t i = 0; i < event_count; i++)
		if (is_to_port(&events[i], port) && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %s",
						len ? ", " : "", words[events[i].type],
						tg_tcp_state_name(events[i].flow.state));
	return text;
}

/* Turns until the story ends so. */
static bool await_story(uint16_t port, const char *want)
{
	const tg_time end = ns_now() + PATIENCE;
	while (strcmp(story(port), want) != 0 && ns_now() < end)
		turn();
	return strcmp(story(port), want) == 0;
}

/* A namespace of its own for each test, with a feed that has done its first resync. */
static bool begin(uint32_t receive_buffer)
{
	const struct ct_feed_params params = {.receive_buffer = receive_buffer};
	event_count = 0;
	if (!feed) {
		int error = ct_feed_create(&params, &feed);
		if (error < 0) {
			printf("# ct_feed_create: %s\n", strerror(-error));
			CHECK(!"created");
			return false;
		}
	}
	return true;
}

static bool begin_synced(uint32_t receive_buffer)
{
	if (!ns_enter() || !ns_track() || !begin(receive_buffer) || !await(TG_EVENT_RESYNC_END, 1))
		return false;
	return true;
}

static void finish(void)
{
	ct_feed_destroy(feed);
	feed = NULL;
}

static void get_stats(void)
{
	ct_feed_stats(feed, &stats);
}

static void open_and_close(int family)
{
	uint16_t port = 0;
	CHECK(begin_synced(0));
	int listener = ns_listen(family, &port);
	int client = ns_connect(family, port);
	int server = accept(listener, NULL, NULL);
	CHECK(server >= 0);
	CHECK(await_story(port, "NEW syn-sent, STATE syn-recv, STATE established"));
	(void)close(server);
	/* The other end's answer is a step of its own, if it does not close at the same moment. */
	CHECK(await_story(port, "NEW syn-sent, STATE syn-recv, STATE established, "
				"STATE fin-wait, STATE close-wait"));
	(void)close(client);
	const char *closing = "NEW syn-sent, STATE syn-recv, STATE established, "
			      "STATE fin-wait, STATE close-wait, STATE last-ack, STATE time-wait";
	await_story(port, closing);
	CHECK_STR(story(port), closing);
	CHECK(ns_flush());
	CHECK(await(TG_EVENT_FLOW_END, 1));
	for (size_t i = 0; i < event_count; i++)
		if (is_to_port(&events[i], port)) {
			const struct tg_flow_key *key = &events[i].flow.key;
			CHECK_U64(key->family, family == AF_INET ? TG_IPV4 : TG_IPV6);
			CHECK(memcmp(key->src, key->dst, 16) == 0);
			CHECK(key->src[0] == (family == AF_INET ? 127 : 0));
			CHECK(key->sport != 0 && key->zone == 0);
			CHECK(!events[i].flow.dumped);
			if (events[i].flow.state == TG_TCP_SYN_RECV)
				CHECK_U64(events[i].flow.timeout_s, 60);
		}
	CHECK_U64(count_type(TG_EVENT_GAP), 0);
	(void)close(listener);
	finish();
}

TEST(ipv4_connection)
{
	open_and_close(AF_INET);
}

TEST(ipv6_connection)
{
	open_and_close(AF_INET6);
}

TEST(reset_and_refused)
{
	uint16_t port = 0;
	const struct linger reset = {.l_onoff = 1};
	CHECK(begin_synced(0));
	int listener = ns_listen(AF_INET, &port);
	int client = ns_connect(AF_INET, port);
	int server = accept(listener, NULL, NULL);
	CHECK(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
	(void)close(client);
	await_story(port, "NEW syn-sent, STATE syn-recv, STATE established, STATE close");
	CHECK_STR(story(port), "NEW syn-sent, STATE syn-recv, STATE established, STATE close");
	(void)close(server);
	(void)close(listener);
	/* Nobody listens any more. On lo the entry is made before the answer, so it is seen. */
	event_count = 0;
	client = ns_connect(AF_INET, port);
	CHECK(await(TG_EVENT_FLOW_NEW, 1));
	CHECK(ns_flush());
	CHECK(await(TG_EVENT_FLOW_END, 1));
	CHECK(strstr(story(port), "NEW syn-sent") == story(port));
	(void)close(client);
	finish();
}

TEST(half_open)
{
	uint16_t port = 0;
	CHECK(begin_synced(0));
	CHECK(ns_run("nft add rule inet t c 'tcp flags & (syn|ack) == syn|ack drop'"));
	int listener = ns_listen(AF_INET, &port);
	int client = ns_connect(AF_INET, port);
	await_story(port, "NEW syn-sent, STATE syn-recv");
	CHECK_STR(story(port), "NEW syn-sent, STATE syn-recv");
	(void)close(client);
	(void)close(listener);
	finish();
}

TEST(udp_is_ignored)
{
	const struct sockaddr_in target = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	CHECK(begin_synced(0));
	event_count = 0;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(sendto(fd, "x", 1, 0, (const struct sockaddr *)&target, sizeof(target)) == 1);
	/* A flow that follows shows that the datagram's event has been read. */
	CHECK(ns_entries_make(TG_IPV4, 0, 1, 1));
	CHECK(await(TG_EVENT_FLOW_NEW, 1));
	get_stats();
	CHECK_U64(event_count, 1);
	CHECK(stats.ignored >= 1);
	CHECK_U64(stats.received, stats.ignored + 1);
	CHECK_U64(stats.malformed, 0);
	finish();
}

TEST(zones_and_flush)
{
	CHECK(begin_synced(0));
	event_count = 0;
	CHECK(ns_entries_make(TG_IPV4, 0, 1, 100));
	CHECK(ns_entries_make(TG_IPV4, 5, 1, 100));
	CHECK(ns_entries_make(TG_IPV6, 5, 1, 100));
	CHECK(await(TG_EVENT_FLOW_NEW, 300));
	unsigned zoned = 0;
	for (size_t i = 0; i < event_count; i++)
		zoned += events[i].flow.key.zone == 5;
	CHECK_U64(zoned, 200);
	CHECK(ns_flush());
	CHECK(await(TG_EVENT_FLOW_END, 300));
	CHECK_U64(count_type(TG_EVENT_FLOW_END), 300);
	finish();
}

TEST(a_loss_is_counted_and_healed_once)
{
	enum { SENT = 5000 };
	CHECK(begin_synced(4096));
	event_count = 0;
	CHECK(ns_entries_make(TG_IPV4, 0, 1, SENT));
	drain_events();
	get_stats();
	const size_t told = count_type(TG_EVENT_FLOW_NEW);
	CHECK(told > 0 && told < SENT);
	CHECK_U64(count_type(TG_EVENT_GAP), 1);
	CHECK(events[0].type == TG_EVENT_GAP);
	CHECK_U64(events[0].lost + told, SENT);
	CHECK_U64(stats.lost + stats.received, SENT);
	CHECK_U64(count_type(TG_EVENT_RESYNC_BEGIN), 0);
	CHECK(await(TG_EVENT_RESYNC_END, 1));
	/* And no other follows. */
	CHECK_U64(ct_feed_deadline(feed), TG_NEVER);
	get_stats();
	CHECK_U64(count_type(TG_EVENT_RESYNC_BEGIN), 1);
	CHECK_U64(count_type(TG_EVENT_GAP), 1);
	CHECK_U64(count_type(TG_EVENT_FLOW_STATE), SENT);
	CHECK_U64(stats.dumped, SENT);
	CHECK_U64(stats.dumps, 2);
	finish();
}

TEST(verify)
{
	CHECK(begin_synced(0));
	CHECK(ns_entries_make(TG_IPV4, 0, 1, 1));
	CHECK(ns_entries_make(TG_IPV6, 0, 2, 1));
	CHECK(ns_entries_make(TG_IPV4, 5, 3, 1));
	drain_events();
	event_count = 0;
	struct tg_flow_key keys[5] = {
		ns_key(TG_IPV4, 1), ns_key(TG_IPV6, 2), ns_key(TG_IPV4, 3),
		ns_key(TG_IPV4, 3), ns_key(TG_IPV4, 1),
	};
	keys[2].zone = 5;
	/* 3 is not there without its zone, and the last is the reply of the first. */
	struct tg_flow_key *reply = &keys[4];
	memcpy(reply->src, keys[0].dst, 16);
	memcpy(reply->dst, keys[0].src, 16);
	reply->sport = keys[0].dport;
	reply->dport = keys[0].sport;
	CHECK_U64(ct_feed_verify(feed, keys, 5), 0);
	bool more;
	query(CHUNK, &more);
	CHECK_U64(event_count, 5);
	CHECK(!more);
	for (size_t i = 0; i < 5 && i < event_count; i++) {
		CHECK(events[i].type == (i < 3 ? TG_EVENT_FLOW_STATE : TG_EVENT_FLOW_END));
		CHECK(memcmp(&events[i].flow.key, &keys[i], sizeof(keys[i])) == 0);
		CHECK(!events[i].flow.dumped);
		if (i < 3) {
			CHECK_U64(events[i].flow.state, TG_TCP_ESTABLISHED);
			CHECK(events[i].flow.timeout_s > 3500);
		}
	}
	finish();
}

/* A zone of the original direction only stands elsewhere in the message, and is asked for alike. */
TEST(verify_in_a_zone_of_one_direction)
{
	uint16_t port = 0;
	bool more;
	CHECK(begin_synced(0));
	CHECK(ns_run("nft add chain inet t z '{ type filter hook output priority -300; }' && "
		     "nft add rule inet t z tcp flags syn / syn,ack ct original zone set 9"));
	int listener = ns_listen(AF_INET, &port);
	int client = ns_connect(AF_INET, port);
	CHECK(await(TG_EVENT_FLOW_NEW, 1));
	drain_events();
	const struct tg_flow_key key = events[event_count - 1].flow.key;
	CHECK_U64(key.zone, 9);
	event_count = 0;
	CHECK_U64(ct_feed_verify(feed, &key, 1), 0);
	query(CHUNK, &more);
	CHECK_U64(event_count, 1);
	CHECK(events[0].type == TG_EVENT_FLOW_STATE);
	CHECK(memcmp(&events[0].flow.key, &key, sizeof(key)) == 0);
	(void)close(client);
	(void)close(listener);
	finish();
}

TEST(verify_many)
{
	enum { ASKED = 3000, KEPT = 2048 };
	CHECK(begin_synced(0));
	struct tg_flow_key *keys = calloc(ASKED, sizeof(*keys));
	CHECK(ns_entries_make(TG_IPV6, 0, 0, ASKED / 2));
	drain_events();
	event_count = 0;
	for (uint32_t i = 0; i < ASKED; i++)
		keys[i] = ns_key(TG_IPV6, i);
	CHECK(ct_feed_verify(feed, keys, ASKED) == -EBUSY);
	CHECK_U64(ct_feed_deadline(feed), 0);
	for (bool more = true; more;)
		query(100, &more);
	get_stats();
	CHECK_U64(count_type(TG_EVENT_FLOW_STATE), ASKED / 2);
	CHECK_U64(count_type(TG_EVENT_FLOW_END), KEPT - ASKED / 2);
	CHECK_U64(stats.questions, KEPT);
	CHECK_U64(stats.questions_failed, ASKED - KEPT);
	CHECK_U64(ct_feed_deadline(feed), TG_NEVER);
	free(keys);
	finish();
}

/* The kernel writes a part of the dump, the flows end, and only then we read it. */
TEST(a_dump_does_not_bring_back_the_dead)
{
	bool more;
	CHECK(ns_enter() && ns_track());
	CHECK(ns_entries_make(TG_IPV4, 0, 0, 30));
	CHECK(begin(0));
	CHECK_U64(query(1, &more), 1);
	CHECK(events[0].type == TG_EVENT_RESYNC_BEGIN);
	CHECK(ns_entries_delete(TG_IPV4, 0, 0, 10));
	/* Flows that were there before anybody listened end without a word: these do not. */
	CHECK(ns_entries_make(TG_IPV4, 0, 0, 10));
	CHECK(ns_entries_delete(TG_IPV4, 0, 0, 10));
	drain_events();
	CHECK(await(TG_EVENT_RESYNC_END, 1));
	get_stats();
	bool alive[30] = {false};
	for (size_t i = 0; i < event_count; i++)
		if (events[i].type <= TG_EVENT_FLOW_END)
			alive[ns_key_number(&events[i].flow.key) % 30] =
				events[i].type != TG_EVENT_FLOW_END;
	for (size_t i = 0; i < 30; i++)
		CHECK(alive[i] == (i >= 10));
	/* The first part holds two thirds of the table; the rest is written later, without the
	 * dead. */
	CHECK(stats.stale >= 1 && stats.stale <= 10);
	CHECK_U64(stats.dumped, 20);
	finish();
}

/* Events are held back rather than forgotten, and the caller is not made to spin. */
TEST(a_caller_that_only_receives_is_held_back)
{
	enum { SENT = 6000 };
	bool more = true;
	CHECK(ns_enter() && ns_track() && begin(0));
	CHECK_U64(query(1, &more), 1);
	CHECK(ns_entries_make(TG_IPV4, 0, 0, SENT));
	drain_events();
	const size_t first = count_type(TG_EVENT_FLOW_NEW);
	CHECK(first >= 1024 && first < SENT);
	CHECK_U64(receive(CHUNK, &more), 0);
	CHECK(!more);
	CHECK(await(TG_EVENT_FLOW_NEW, SENT));
	CHECK(await(TG_EVENT_RESYNC_END, 1));
	get_stats();
	CHECK_U64(stats.lost, 0);
	CHECK_U64(count_type(TG_EVENT_FLOW_NEW), SENT);
	finish();
}

TEST(an_answer_does_not_bring_back_the_dead)
{
	bool more;
	const struct tg_flow_key key = ns_key(TG_IPV4, 1);
	CHECK(begin_synced(0));
	CHECK(ns_entries_make(TG_IPV4, 0, 1, 1));
	drain_events();
	event_count = 0;
	CHECK_U64(ct_feed_verify(feed, &key, 1), 0);
	CHECK(ns_entries_delete(TG_IPV4, 0, 1, 1));
	drain_events();
	query(CHUNK, &more);
	get_stats();
	CHECK_U64(event_count, 1);
	CHECK(events[0].type == TG_EVENT_FLOW_END);
	CHECK_U64(stats.stale, 1);
	finish();
}

TEST(foreign_messages_are_counted)
{
	struct sockaddr_nl target;
	socklen_t len = sizeof(target);
	struct nlsock sock;
	struct nlmsghdr message = {.nlmsg_len = sizeof(message)};
	CHECK(begin_synced(0));
	event_count = 0;
	CHECK(getsockname(ct_feed_event_fd(feed), (struct sockaddr *)&target, &len) == 0);
	CHECK(nlsock_open(NETLINK_NETFILTER, &sock) == 0);
	CHECK(sendto(sock.fd, &message, sizeof(message), 0, (struct sockaddr *)&target, len) > 0);
	CHECK(ns_entries_make(TG_IPV4, 0, 1, 1));
	CHECK(await(TG_EVENT_FLOW_NEW, 1));
	get_stats();
	CHECK_U64(stats.foreign, 1);
	CHECK_U64(stats.received, 1);
	CHECK_U64(event_count, 1);
	nlsock_close(&sock);
	finish();
}

TEST(a_resync_that_cannot_begin_is_tried_again)
{
	struct rlimit old, none;
	bool more;
	CHECK(ns_enter() && ns_track() && begin(0));
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	none = old;
	none.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	const tg_time before = ns_now();
	CHECK_U64(query(CHUNK, &more), 0);
	CHECK_U64(query(CHUNK, &more), 0);
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	get_stats();
	CHECK_U64(stats.dumps_failed, 1);
	CHECK(ct_feed_deadline(feed) >= before + TG_SEC);
	CHECK(await(TG_EVENT_RESYNC_END, 1));
	CHECK(ns_now() >= before + TG_SEC);
	finish();
}

/* One flow for each number; what the engine would hold. */
struct model {
	uint8_t *alive, *named;
	size_t size;
};

static void model_apply(struct model *model, const struct tg_event *event)
{
	if (event->type == TG_EVENT_RESYNC_BEGIN)
		memset(model->named, 0, model->size);
	if (event->type == TG_EVENT_RESYNC_END)
		for (size_t i = 0; i < model->size; i++)
			model->alive[i] = model->alive[i] && model->named[i];
	if (event->type > TG_EVENT_FLOW_END)
		return;
	const uint32_t n = ns_key_number(&event->flow.key);
	CHECK(n < model->size);
	if (n >= model->size)
		return;
	model->alive[n] = event->type != TG_EVENT_FLOW_END;
	model->named[n] = 1;
}

TEST(a_large_dump_in_pieces_while_flows_come_and_go)
{
	enum { STEP = 2 };
	bool more = true;
	CHECK(ns_enter() && ns_track());
	/* A small machine's kernel holds fewer. */
	const uint32_t table = MIN(150000u, (uint32_t)ns_max() / 4 * 3), size = table + 20000;
	struct model model = {calloc(size, 1), calloc(size, 1), size};
	const tg_time t0 = ns_now();
	/* Events are sent for flows that began while somebody listened: so that their ends are
	 * told too. */
	CHECK(begin(64u << 20));
	for (uint32_t n = 0; n < table; n += 10000) {
		CHECK(ns_entries_make(TG_IPV4, 0, n, MIN(10000u, table - n)));
		event_count = 0;
		drain_events();
	}
	const tg_time t1 = ns_now();
	uint32_t gone = 0, fresh = table, turns = 0;
	tg_time longest = 0;
	event_count = 0;
	while (count_type(TG_EVENT_RESYNC_END) == 0 && turns < 10000) {
		/* Old ones from all over the table end, new ones begin. */
		CHECK(ns_entries_delete(TG_IPV4, 0, gone * 37, STEP));
		CHECK(ns_entries_make(TG_IPV4, 0, fresh, STEP));
		gone += STEP;
		fresh += STEP;
		event_count = 0;
		const tg_time before = ns_now();
		query(CHUNK, &more);
		longest = MAX(longest, ns_now() - before);
		receive(CHUNK, &more);
		for (size_t i = 0; i < event_count; i++)
			model_apply(&model, &events[i]);
		turns++;
	}
	event_count = 0;
	drain_events();
	for (size_t i = 0; i < event_count; i++)
		model_apply(&model, &events[i]);
	printf("# %u entries made in %.0f ms, dumped in %u pieces in %.0f ms, longest %.2f ms\n",
	       table, (double)(t1 - t0) / TG_MSEC, turns, (double)(ns_now() - t1) / TG_MSEC,
	       (double)longest / TG_MSEC);
	get_stats();
	CHECK_U64(stats.lost, 0);
	CHECK_U64(stats.dumps, 1);
	CHECK(turns >= table / CHUNK);
	long held = 0;
	for (size_t i = 0; i < size; i++)
		held += model.alive[i];
	CHECK_U64(held, ns_count());
	for (uint32_t i = 0; i < gone; i += STEP)
		CHECK(!model.alive[i * 37] && !model.alive[i * 37 + 1]);
	free(model.alive);
	free(model.named);
	finish();
}

int main(void)
{
	if (!ns_enter())
		return ns_skip();
	events = calloc(LOG_MAX, sizeof(*events));
	if (!events)
		return 1;
	RUN(ipv4_connection);
	RUN(ipv6_connection);
	RUN(reset_and_refused);
	RUN(half_open);
	RUN(udp_is_ignored);
	RUN(zones_and_flush);
	RUN(a_loss_is_counted_and_healed_once);
	RUN(verify);
	RUN(verify_in_a_zone_of_one_direction);
	RUN(verify_many);
	RUN(a_dump_does_not_bring_back_the_dead);
	RUN(a_caller_that_only_receives_is_held_back);
	RUN(an_answer_does_not_bring_back_the_dead);
	RUN(foreign_messages_are_counted);
	RUN(a_resync_that_cannot_begin_is_tried_again);
	RUN(a_large_dump_in_pieces_while_flows_come_and_go);
	free(events);
	return DONE();
}
