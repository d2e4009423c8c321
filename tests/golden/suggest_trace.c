/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage: suggest_trace busy|quiet|silent
 * Writes a trace to stdout whose counts are known. Of 192.0.2.1, port 443:
 * busy: in 120 s, 1200 sources (10.0.x.y) with 1 to 5 connections each, one (10.9.9.9) with 400 in
 * 4 s, one (10.8.8.8) whose 30 handshakes fail, one (198.51.100.1) that is allowed with 500, and
 * the host itself with 100.
 * quiet: in 20 s, 10 sources with 1 to 5. silent: nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/protect.h>
#include <tcpguard/trace.h>

struct writing {
	struct tg_trace_writer *writer;
	tg_time now;
};

static void put(struct writing *w, struct tg_event event)
{
	static uint8_t bytes[TG_TRACE_RECORD_MAX];
	event.at = w->now;
	const int size = tg_trace_write(w->writer, &event, bytes, sizeof(bytes));
	if (size < 0 || fwrite(bytes, 1, (size_t)size, stdout) != (size_t)size)
		exit(1);
}

static void put_flow(struct writing *w, enum tg_event_type type, const uint8_t src[4],
		     uint16_t sport, uint8_t state)
{
	struct tg_event event = {.type = type};
	event.flow.key = (struct tg_flow_key){
		.dst = {192, 0, 2, 1}, .sport = sport, .dport = 443, .family = TG_IPV4};
	memcpy(event.flow.key.src, src, 4);
	event.flow.state = state;
	put(w, event);
}

static void establish(struct writing *w, const uint8_t src[4], uint16_t sport)
{
	put_flow(w, TG_EVENT_FLOW_NEW, src, sport, TG_TCP_SYN_SENT);
	put_flow(w, TG_EVENT_FLOW_STATE, src, sport, TG_TCP_ESTABLISHED);
}

/* Connections of many, spread over the time. */
static void crowd(struct writing *w, unsigned sources, tg_time span)
{
	const tg_time begin = w->now;
	for (unsigned i = 0; i < sources; i++) {
		const uint8_t src[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
		w->now = begin + span * i / sources;
		for (unsigned n = 0; n < 1 + i % 5; n++)
			establish(w, src, (uint16_t)(1024 + n));
	}
	w->now = begin + span;
}

static void burst(struct writing *w, const uint8_t src[4], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		w->now += 10 * TG_MSEC;
		establish(w, src, (uint16_t)(2000 + i));
	}
}

static void fail(struct writing *w, const uint8_t src[4], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		w->now += 100 * TG_MSEC;
		put_flow(w, TG_EVENT_FLOW_NEW, src, (uint16_t)(3000 + i), TG_TCP_SYN_SENT);
		put_flow(w, TG_EVENT_FLOW_END, src, (uint16_t)(3000 + i), TG_TCP_UNKNOWN);
	}
}

int main(int argc, char **argv)
{
	static const uint8_t own[4] = {192, 0, 2, 1}, greedy[4] = {10, 9, 9, 9},
			     failing[4] = {10, 8, 8, 8}, allowed[4] = {198, 51, 100, 1};
	const struct tg_trace_header header = {.start = TG_SEC, .wall_ms = 1795000000000};
	uint8_t bytes[TG_TRACE_HEADER_SIZE];
	struct tg_protected_prefix self = {.kind = TG_PROTECT_OWN};
	struct writing w = {.writer = tg_trace_writer_create(&header), .now = header.start};
	const char *what = argc == 2 ? argv[1] : "";
	const struct tg_addr addr = tg_addr_from_ipv4(own);
	self.prefix = tg_addr_mask(&addr, 32);
	struct tg_prefix_set *set = tg_prefix_set_create(&self, 1);
	if (!w.writer || !set)
		return 1;
	tg_trace_write_header(w.writer, bytes);
	if (fwrite(bytes, 1, sizeof(bytes), stdout) != sizeof(bytes))
		return 1;
	put(&w, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = set});
	/* Without a dump nobody knows what went on before, and no handshake is known to fail. */
	put(&w, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	put(&w, (struct tg_event){.type = TG_EVENT_RESYNC_END});
	if (strcmp(what, "busy") == 0) {
		burst(&w, greedy, 400);
		burst(&w, allowed, 500);
		burst(&w, own, 100);
		fail(&w, failing, 30);
		crowd(&w, 1200, 120 * TG_SEC);
	} else if (strcmp(what, "quiet") == 0) {
		crowd(&w, 10, 20 * TG_SEC);
	} else if (strcmp(what, "silent") != 0) {
		(void)fprintf(stderr, "usage: suggest_trace busy|quiet|silent\n");
		return 2;
	}
	put(&w, (struct tg_event){.type = TG_EVENT_TICK});
	tg_trace_writer_destroy(w.writer);
	tg_prefix_set_destroy(set);
	return fflush(stdout) == 0 ? 0 : 1;
}
