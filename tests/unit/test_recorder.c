/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client is told that records: the picture, the live events, and what it missed. */
#include "daemon/recorder.h"

#include <stdlib.h>

#include <tcpguard/proto.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "test.h"

static const struct tg_limit limits[] = {{.name = "open",
					  .measure = TG_MEASURE_CONCURRENT,
					  .threshold = 3,
					  .prefix_len = {32, 64},
					  .steps = &(const struct tg_step){.action = TG_ACTION_DROP,
									   .scope = TG_SCOPE_PORTS,
									   .to = {5, 1000},
									   .expire_ms = 600000},
					  .step_count = 1,
					  .mode = TG_MODE_ENFORCE}};
static const struct tg_policy policies[] = {{.name = "web", .limits = limits, .limit_count = 1}};
static const struct tg_config config = {.mode = TG_MODE_ENFORCE,
					.max_sources = 1024,
					.max_flows = 65536,
					.policies = policies,
					.policy_count = 1};

/* An engine, its recorder, and the client's side of it. */
struct rig {
	struct tg_engine *engine;
	struct tg_ruleset *ruleset;
	struct tg_prefix_set *set;
	struct recorder *recorder;
	struct tg_trace_reader *reader;
	struct tg_strbuf bytes;
	tg_time now;
	uint64_t counts[TG_EVENT_POLICY + 1];
	uint64_t lost, wrong;
};

static void tell(struct rig *rig, struct tg_event event)
{
	event.at = rig->now;
	if (rig->recorder)
		recorder_event(rig->recorder, &event);
	tg_engine_step(rig->engine, &event);
}

static struct tg_event flow(enum tg_event_type type, uint32_t number, enum tg_tcp_state state)
{
	struct tg_event event = {.type = type, .flow = {.state = (uint8_t)state}};
	memcpy(event.flow.key.src, &number, sizeof(number));
	event.flow.key.src[3] = 10;
	event.flow.key.dst[0] = 192;
	event.flow.key.sport = (uint16_t)(number >> 16);
	event.flow.key.dport = 80;
	return event;
}

static void begin(struct rig *rig)
{
	const struct tg_engine_params params = {
		.max_sources = 1024, .max_flows = 65536, .max_bans = 64, .seed = "recorder"};
	*rig = (struct rig){.now = 5 * TG_SEC};
	tg_strbuf_init(&rig->bytes);
	rig->ruleset = tg_ruleset_create(&config, &params, NULL);
	rig->engine = tg_engine_create(&params);
	rig->set = tg_prefix_set_create(NULL, 0);
	rig->reader = tg_trace_reader_create();
	tell(rig, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = rig->ruleset});
	tell(rig, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = rig->set});
	tell(rig, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	tell(rig, (struct tg_event){.type = TG_EVENT_RESYNC_END});
}

static void record(struct rig *rig)
{
	rig->recorder = recorder_create(&(struct tg_trace_header){.start = rig->now});
}

static void end(struct rig *rig)
{
	recorder_destroy(rig->recorder);
	tg_engine_destroy(rig->engine);
	tg_ruleset_destroy(rig->ruleset);
	tg_prefix_set_destroy(rig->set);
	tg_trace_reader_destroy(rig->reader);
	tg_strbuf_finish(&rig->bytes);
}

static unsigned digit(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

static void take_line(struct rig *rig, char *line)
{
	struct tg_record parsed;
	const bool sound = tg_record_parse(line, &parsed) && tg_record_get(&parsed, "data");
	rig->wrong += !sound;
	for (const char *hex = sound ? tg_record_get(&parsed, "data") : ""; *hex; hex += 2)
		tg_strbuf_putc(&rig->bytes, (char)(digit(hex[0]) << 4 | digit(hex[1])));
}

/* One piece, as one turn of the loop sends. */
static bool receive(struct rig *rig)
{
	const struct recorder_view view = {.engine = rig->engine,
					   .config = &config,
					   .protected = rig->set,
					   .admins = rig->set,
					   .now = rig->now};
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	const bool more = recorder_fill(rig->recorder, &view, &out);
	for (char *line = out.text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		rig->wrong += *next != '\n' || next - line >= TG_PROTO_LINE_MAX;
		if (*next)
			*next++ = '\0';
		take_line(rig, line);
	}
	tg_strbuf_finish(&out);
	struct tg_event event;
	size_t used;
	int result;
	do {
		result = tg_trace_read(rig->reader, (const uint8_t *)rig->bytes.text,
				       rig->bytes.len, &used, &event);
		tg_strbuf_consume(&rig->bytes, used);
		if (result == 1) {
			rig->counts[event.type]++;
			rig->lost += event.type == TG_EVENT_GAP ? event.lost : 0;
		}
	} while (result == 1);
	rig->wrong += result < 0;
	return more;
}

static void receive_all(struct rig *rig)
{
	int pieces = 0;
	while (recorder_waits(rig->recorder) && pieces++ < 100000)
		receive(rig);
}

TEST(picture_then_events)
{
	struct rig rig;
	begin(&rig);
	for (uint32_t i = 0; i < 5000; i++)
		tell(&rig, flow(TG_EVENT_FLOW_NEW, i, TG_TCP_SYN_SENT));
	record(&rig);
	CHECK(recorder_waits(rig.recorder));
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_PROTECTED], 1);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_BEGIN], 1);
	CHECK_U64(rig.counts[TG_EVENT_FLOW_STATE], 5000);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_END], 1);
	CHECK(!recorder_waits(rig.recorder));
	for (uint32_t i = 0; i < 100; i++)
		tell(&rig, flow(TG_EVENT_FLOW_END, i, TG_TCP_UNKNOWN));
	tell(&rig, (struct tg_event){.type = TG_EVENT_ACK});
	CHECK(recorder_waits(rig.recorder));
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_FLOW_END], 100);
	CHECK_U64(rig.counts[TG_EVENT_GAP], 0);
	CHECK_U64(rig.wrong, 0);
	end(&rig);
}

/* A ban in force and events in the middle of the picture. */
TEST(picture_among_events)
{
	struct rig rig;
	begin(&rig);
	for (uint32_t i = 0; i < 4; i++)
		tell(&rig, flow(TG_EVENT_FLOW_STATE, i << 24, TG_TCP_ESTABLISHED));
	for (uint32_t i = 1; i < 8000; i++)
		tell(&rig, flow(TG_EVENT_FLOW_NEW, i, TG_TCP_SYN_SENT));
	struct tg_decision decision;
	CHECK(tg_engine_take(rig.engine, &decision, 1) == 1 && decision.ban.enforced);
	record(&rig);
	for (uint32_t i = 1; recorder_waits(rig.recorder) && i < 8000; i++) {
		receive(&rig);
		if (i < 1000)
			tell(&rig, flow(TG_EVENT_FLOW_END, 8000 - i, TG_TCP_UNKNOWN));
	}
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_ADOPT], 1);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_END], 1);
	CHECK(rig.counts[TG_EVENT_FLOW_STATE] <= 8003);
	CHECK(rig.counts[TG_EVENT_FLOW_STATE] >= 8003 - 1000);
	CHECK_U64(rig.wrong, 0);
	end(&rig);
}

/* Nobody reads: the buffer fills, the rest is counted exactly, and a new picture heals it. */
TEST(slow_client)
{
	const uint32_t told = 300000;
	struct rig rig;
	struct recorder_stats stats;
	begin(&rig);
	record(&rig);
	receive_all(&rig);
	for (uint32_t i = 0; i < told; i++) {
		rig.now += TG_MSEC;
		tell(&rig, flow(TG_EVENT_FLOW_NEW, i % 2000, TG_TCP_SYN_SENT));
	}
	recorder_stats(rig.recorder, &stats);
	CHECK(stats.lost > 100000);
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_GAP], 1);
	CHECK_U64(rig.lost, stats.lost);
	CHECK_U64(rig.counts[TG_EVENT_FLOW_NEW] + rig.lost, told);
	CHECK_U64(rig.counts[TG_EVENT_PROTECTED], 2);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_END], 2);
	tell(&rig, (struct tg_event){.type = TG_EVENT_TICK});
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_TICK], 1);
	CHECK_U64(rig.wrong, 0);
	end(&rig);
}

/* While the engine's own resync runs, its end is the picture's end; a gap unhealed stays one. */
TEST(resync_in_between)
{
	struct rig rig;
	begin(&rig);
	tell(&rig, (struct tg_event){.type = TG_EVENT_GAP, .lost = 7});
	tell(&rig, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	record(&rig);
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_BEGIN], 1);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_END], 0);
	tell(&rig, (struct tg_event){.type = TG_EVENT_RESYNC_END});
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_END], 1);
	end(&rig);
	begin(&rig);
	tell(&rig, (struct tg_event){.type = TG_EVENT_GAP, .lost = 7});
	record(&rig);
	receive_all(&rig);
	CHECK_U64(rig.counts[TG_EVENT_RESYNC_END], 1);
	CHECK_U64(rig.counts[TG_EVENT_GAP], 1);
	end(&rig);
}

int main(void)
{
	RUN(picture_then_events);
	RUN(picture_among_events);
	RUN(slow_client);
	RUN(resync_in_between);
	return DONE();
}
