/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traces: what is written is read, what is cut waits, what is damaged is refused.
 *
 *   test_trace [SEED [FILE]]   with FILE: writes a trace of every record there
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <tcpguard/trace.h>

#include "base/util.h"
#include "connection.h"
#include "test.h"
#include "trace_events.h"

#define EVENTS 3000
#define SETS 4

static uint64_t seed;

/* splitmix64: the same numbers for the same seed anywhere. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t n)
{
	return draw(state) % n;
}

static struct tg_prefix random_prefix(uint64_t *state)
{
	struct tg_addr addr = {.family = (uint8_t)below(state, 2)};
	const unsigned bits = tg_family_bits((enum tg_family)addr.family);
	for (unsigned i = 0; i < bits / 8; i++)
		addr.bytes[i] = (uint8_t)draw(state);
	return tg_addr_mask(&addr, (uint8_t)below(state, bits + 1));
}

static enum tg_action random_action(uint64_t *state)
{
	return TG_ACTION_SYNPROXY + below(state, TG_ACTION_DROP);
}

static void random_text(uint64_t *state, char *text, size_t size)
{
	const size_t len = below(state, size);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(1 + below(state, 255));
	text[len] = '\0';
}

/* Few enough that flows come back, and enough that they fight for slots. */
static void random_flow(uint64_t *state, struct tg_flow_event *flow)
{
	uint64_t which = below(state, 700);
	flow->key.family = which % 3 == 0;
	const unsigned size = flow->key.family ? 16 : 4;
	for (unsigned i = 0; i < size; i++) {
		flow->key.src[i] = (uint8_t)(which * 31 + i);
		flow->key.dst[i] = (uint8_t)(which % 5 + i);
	}
	flow->key.sport = (uint16_t)(which * 77);
	flow->key.dport = which % 2 ? 80 : 443;
	flow->key.zone = (uint16_t)(which % 7 == 0 ? which : 0);
	flow->state = (uint8_t)below(state, TG_TCP_STATE_COUNT + 1);
	flow->dumped = below(state, 4) == 0;
	flow->answered = below(state, 4) == 0;
	flow->timeout_s = below(state, 3) == 0 ? (uint32_t)draw(state) : 0;
	flow->counted = below(state, 5) == 0;
	if (flow->counted) {
		flow->packets = draw(state) >> below(state, 64);
		flow->bytes = draw(state) >> below(state, 64);
	}
}

static struct tg_event random_event(uint64_t *state, tg_time *now, struct tg_prefix_set **sets)
{
	static const enum tg_event_type types[] = {
		TG_EVENT_FLOW_NEW,       TG_EVENT_FLOW_STATE,    TG_EVENT_FLOW_END,
		TG_EVENT_FLOW_STATE,     TG_EVENT_GAP,           TG_EVENT_RESYNC_BEGIN,
		TG_EVENT_RESYNC_END,     TG_EVENT_RESYNC_FAILED, TG_EVENT_TICK,
		TG_EVENT_ADOPT,          TG_EVENT_SINK_LOST,     TG_EVENT_OPERATOR_BAN,
		TG_EVENT_OPERATOR_UNBAN, TG_EVENT_PANIC,         TG_EVENT_PROTECTED,
		TG_EVENT_POLICY,         TG_EVENT_FLOW_NEW,      TG_EVENT_FLOW_END,
		TG_EVENT_WITNESS,        TG_EVENT_TRAFFIC,       TG_EVENT_ADMINS,
		TG_EVENT_FEED,           TG_EVENT_REQUESTS,      TG_EVENT_FUSE};
	struct tg_event event = {.type = types[below(state, ARRAY_SIZE(types))]};
	if (below(state, 2))
		*now += draw(state) >> (24 + below(state, 40));
	event.at = *now;
	switch (event.type) {
	case TG_EVENT_FLOW_NEW:
	case TG_EVENT_FLOW_STATE:
	case TG_EVENT_FLOW_END:
		random_flow(state, &event.flow);
		break;
	case TG_EVENT_GAP:
		event.lost = draw(state) >> below(state, 64);
		break;
	case TG_EVENT_ADOPT:
		event.adopt.source = random_prefix(state);
		event.adopt.stored = below(state, 2);
		event.adopt.record = below(state, 2);
		event.adopt.unproven = below(state, 2);
		event.adopt.action = random_action(state);
		event.adopt.scope = (enum tg_scope)below(state, TG_SCOPE_COUNT);
		event.adopt.origin = (enum tg_origin)below(state, TG_ORIGIN_COUNT);
		random_text(state, event.adopt.policy, sizeof(event.adopt.policy));
		random_text(state, event.adopt.limit, sizeof(event.adopt.limit));
		random_text(state, event.adopt.reason, sizeof(event.adopt.reason));
		event.adopt.to = (struct tg_rate){(uint32_t)draw(state) | 1, 1000};
		event.adopt.measured = (uint32_t)draw(state);
		event.adopt.threshold = (uint32_t)draw(state);
		event.adopt.offence = (uint32_t)draw(state);
		event.adopt.age_ms = below(state, 1000000);
		event.adopt.left_ms = below(state, 1000000);
		break;
	case TG_EVENT_WITNESS:
		event.witness.source = random_prefix(state);
		random_text(state, event.witness.policy, sizeof(event.witness.policy));
		random_text(state, event.witness.limit, sizeof(event.witness.limit));
		event.witness.proven = (uint32_t)draw(state);
		break;
	case TG_EVENT_TRAFFIC:
		event.traffic.source = random_prefix(state);
		event.traffic.scope = (enum tg_scope)below(state, TG_SCOPE_COUNT);
		random_text(state, event.traffic.policy, sizeof(event.traffic.policy));
		event.traffic.packets = draw(state) >> below(state, 64);
		event.traffic.proxied = below(state, 2);
		if (event.traffic.proxied)
			event.traffic.finished = (uint32_t)draw(state);
		break;
	case TG_EVENT_FUSE:
		event.fuse.source = random_prefix(state).addr;
		random_text(state, event.fuse.policy, sizeof(event.fuse.policy));
		random_text(state, event.fuse.limit, sizeof(event.fuse.limit));
		event.fuse.threshold = (uint32_t)draw(state);
		event.fuse.window_ms = (uint32_t)draw(state);
		event.fuse.burst = (uint32_t)draw(state);
		break;
	case TG_EVENT_OPERATOR_BAN:
	case TG_EVENT_OPERATOR_UNBAN:
		event.request.request = (uint32_t)draw(state);
		event.request.source = random_prefix(state);
		event.request.all = below(state, 2);
		do /* nobody's hand has it */
			event.request.action = random_action(state);
		while (event.request.action == TG_ACTION_SYNPROXY);
		event.request.scope = (enum tg_scope)below(state, TG_SCOPE_COUNT);
		event.request.force = below(state, 2);
		event.request.to = (struct tg_rate){1, (uint32_t)draw(state) | 1};
		event.request.expire_ms = 1 + below(state, TG_DURATION_MAX_MS);
		random_text(state, event.request.reason, sizeof(event.request.reason));
		break;
	case TG_EVENT_FEED:
		event.feed = (enum tg_feed_step)below(state, TG_FEED_STEP_COUNT);
		break;
	case TG_EVENT_REQUESTS:
		random_text(state, event.requests.policy, sizeof(event.requests.policy));
		event.requests.count = (uint32_t)draw(state);
		break;
	case TG_EVENT_PANIC:
		event.panic = below(state, 2);
		break;
	case TG_EVENT_PROTECTED:
		event.protected = sets[below(state, SETS)];
		break;
	case TG_EVENT_ADMINS:
		event.admins = sets[below(state, SETS)];
		break;
	case TG_EVENT_RESYNC_BEGIN:
	case TG_EVENT_RESYNC_END:
	case TG_EVENT_RESYNC_FAILED:
	case TG_EVENT_TICK:
	case TG_EVENT_ACK:
	case TG_EVENT_SINK_LOST:
	case TG_EVENT_POLICY:
		break;
	}
	return event;
}

struct written {
	struct tg_trace_header header;
	struct tg_prefix_set *sets[SETS];
	struct tg_event *events;
	size_t count;
	uint8_t *bytes;
	size_t len;
};

static void write_random(struct written *w, uint64_t from, size_t count)
{
	uint64_t state = from;
	const size_t cap = TG_TRACE_HEADER_SIZE + count * 2048;
	*w = (struct written){.count = count,
			      .events = calloc(count, sizeof(*w->events)),
			      .bytes = malloc(cap),
			      .header = {.start = draw(&state) >> 8, .wall_ms = 1795226708123}};
	memset(w->header.seed, 0x5a, sizeof(w->header.seed));
	for (size_t i = 0; i < SETS; i++) {
		struct tg_protected_prefix prefixes[32] = {0};
		for (size_t j = 0; j < i * 10; j++)
			prefixes[j] = (struct tg_protected_prefix){
				random_prefix(&state),
				(enum tg_protect_kind)below(&state, TG_PROTECT_KIND_COUNT)};
		w->sets[i] = tg_prefix_set_create(prefixes, i * 10);
	}
	struct tg_trace_writer *writer = tg_trace_writer_create(&w->header);
	tg_trace_write_header(writer, w->bytes);
	w->len = TG_TRACE_HEADER_SIZE;
	tg_time now = w->header.start;
	for (size_t i = 0; i < count; i++) {
		w->events[i] = random_event(&state, &now, w->sets);
		int size = tg_trace_write(writer, &w->events[i], w->bytes + w->len, cap - w->len);
		CHECK(size > 0 && size <= 1024);
		w->len += size > 0 ? (size_t)size : 0;
	}
	tg_trace_writer_destroy(writer);
}

static void drop(struct written *w)
{
	for (size_t i = 0; i < SETS; i++)
		tg_prefix_set_destroy(w->sets[i]);
	free(w->events);
	free(w->bytes);
}

TEST(round_trip)
{
	struct written w;
	struct tg_event event;
	size_t at = 0, used, wrong = 0;
	write_random(&w, seed, EVENTS);
	struct tg_trace_reader *reader = tg_trace_reader_create();
	for (size_t i = 0; i < w.count; i++) {
		int result = tg_trace_read(reader, w.bytes + at, w.len - at, &used, &event);
		at += used;
		wrong += result != 1 || !same_event(&event, &w.events[i]);
	}
	CHECK_U64(wrong, 0);
	CHECK_U64(at, w.len);
	CHECK(tg_trace_read(reader, w.bytes + at, 0, &used, &event) == 0 && used == 0);
	CHECK(memcmp(tg_trace_reader_header(reader)->seed, w.header.seed, 16) == 0);
	CHECK_U64(tg_trace_reader_header(reader)->start, w.header.start);
	CHECK_U64(tg_trace_reader_header(reader)->wall_ms, w.header.wall_ms);
	tg_trace_reader_destroy(reader);
	drop(&w);
}

/* Offered byte by byte, as a slow pipe does, each event comes with its last byte and not before. */
TEST(every_truncation)
{
	struct written w;
	struct tg_event event;
	size_t from = 0, count = 0, wrong = 0;
	write_random(&w, seed + 1, 600);
	struct tg_trace_reader *reader = tg_trace_reader_create();
	for (size_t end = 1; end <= w.len; end++) {
		/* A copy of its own, so that a sanitizer sees a byte read beyond it. */
		uint8_t *part = malloc(end - from);
		size_t used;
		memcpy(part, w.bytes + from, end - from);
		int result = tg_trace_read(reader, part, end - from, &used, &event);
		free(part);
		from += used;
		wrong += result < 0 || (result == 1 && from != end);
		wrong += result == 1 && !same_event(&event, &w.events[count]);
		count += result == 1;
	}
	CHECK_U64(wrong, 0);
	CHECK_U64(count, w.count);
	tg_trace_reader_destroy(reader);
	drop(&w);
}

/* A flipped bit is another trace or none; it is never read past, and a fault has its place. */
TEST(bit_flips)
{
	struct written w;
	uint64_t state = seed;
	write_random(&w, seed + 2, 200);
	size_t refused = 0, wrong = 0;
	struct tg_trace_reader *reader = NULL;
	for (int round = 0; round < 2000; round++) {
		uint8_t *copy = malloc(w.len);
		const uint64_t bit = below(&state, w.len * 8);
		struct tg_event event;
		size_t at = 0, used;
		int result;
		memcpy(copy, w.bytes, w.len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		reader = tg_trace_reader_create();
		do {
			result = tg_trace_read(reader, copy + at, w.len - at, &used, &event);
			at += used;
		} while (result == 1);
		uint64_t offset;
		const char *what = tg_trace_reader_error(reader, &offset);
		refused += result < 0;
		wrong += (result < 0) != (what != NULL) || offset > w.len ||
			 (result < 0 && offset < at);
		tg_trace_reader_destroy(reader);
		free(copy);
	}
	printf("# %zu of 2000 flips refused\n", refused);
	CHECK(refused > 200);
	CHECK_U64(wrong, 0);
	drop(&w);
}

static const char *refusal(const uint8_t *bytes, size_t len, uint64_t *ret_offset)
{
	struct tg_trace_reader *reader = tg_trace_reader_create();
	struct tg_event event;
	size_t at = 0, used;
	int result;
	do {
		result = tg_trace_read(reader, bytes + at, len - at, &used, &event);
		at += used;
	} while (result == 1);
	const char *what = tg_trace_reader_error(reader, ret_offset);
	tg_trace_reader_destroy(reader);
	return what;
}

TEST(refusals)
{
	static const struct {
		const char *name;
		uint8_t bytes[24];
		size_t len;
		uint64_t offset;
		const char *what;
	} cases[] = {
		{"type 0", {0}, 1, 44, "unknown record"},
		{"type 23", {23}, 1, 44, "unknown record"},
		{"type 31", {31}, 1, 44, "unknown record"},
		{"high bit", {0x88}, 1, 44, "unknown bits of a record"},
		{"key of a tick", {0x48}, 1, 44, "unknown bits of a record"},
		{"no such flow", {1, 0, 3, 0}, 4, 46, "a flow that was not named before"},
		{"no endpoint",
		 {0x41, 0, 3, 0, 0, 1, 2, 3, 4, 5, 6, 9},
		 12,
		 48,
		 "a flow names an endpoint that is not known"},
		{"state 9", {1, 9, 0, 0}, 4, 45, "unknown state of a flow"},
		{"counters that end",
		 {1, 0x80, 1, 2, 3, 0},
		 6,
		 48,
		 "a flow that was not named before"},
		{"a long counter", {1, 0x80, 0x81, 0, 2, 3, 0}, 7, 46, "a number is malformed"},
		{"time of zero", {0x28, 0}, 2, 45, "a time that does not go on"},
		{"long number", {4, 0x80, 0}, 3, 45, "a number is malformed"},
		{"endless number",
		 {4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
		 11,
		 45,
		 "a number is malformed"},
		{"late",
		 {0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		 11,
		 45,
		 "a number is too large"},
		{"half panic", {13, 2}, 2, 45, "neither on nor off"},
		{"too many prefixes", {14, 0x81, 0x80, 1}, 4, 45, "a number is too large"},
		{"prefix of 33",
		 {14, 1, 0, 33, 1, 2, 3, 4, 0},
		 9,
		 47,
		 "a prefix is longer than an address"},
		{"host bits",
		 {14, 1, 0, 8, 1, 2, 3, 4, 0},
		 9,
		 46,
		 "a prefix has bits beyond its length"},
		{"mapped",
		 {14, 1, 1, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0},
		 21,
		 46,
		 "an IPv4 address written as IPv6"},
		{"scope 3", {17, 0, 8, 1, 0, 0, 0, 3}, 8, 51, "no such scope"},
		{"proven too many",
		 {16, 0, 8, 1, 0, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10},
		 14,
		 53,
		 "a number is too large"},
		{"a policy's name too long",
		 {16, 0, 8, 1, 0, 0, 0, 33},
		 8,
		 51,
		 "a text is too long"},
		{"adopted how", {9, 8}, 2, 45, "unknown bits in an adopted ban"},
		{"scope of a request", {11, 1, 0, 0, 8, 1, 0, 0, 0, 1, 3}, 11, 54, "no such scope"},
		{"family 2", {14, 1, 2, 8, 1, 2, 3, 4, 0}, 9, 46, "no such address family"},
	};
	struct written w;
	uint8_t bytes[TG_TRACE_HEADER_SIZE + 24];
	uint64_t offset;
	write_random(&w, seed, 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(bytes, w.bytes, TG_TRACE_HEADER_SIZE);
		memcpy(bytes + TG_TRACE_HEADER_SIZE, cases[i].bytes, cases[i].len);
		printf("# %s\n", cases[i].name);
		CHECK_STR(refusal(bytes, TG_TRACE_HEADER_SIZE + cases[i].len, &offset),
			  cases[i].what);
		CHECK_U64(offset, cases[i].offset);
	}
	memcpy(bytes, w.bytes, TG_TRACE_HEADER_SIZE);
	bytes[8] = TG_TRACE_VERSION + 1;
	CHECK_STR(refusal(bytes, TG_TRACE_HEADER_SIZE, &offset),
		  "a version of the format that this program does not know");
	CHECK_U64(offset, 8);
	CHECK_STR(refusal((const uint8_t *)"GET / ", 6, &offset), "this is no trace");
	CHECK_U64(offset, 0);
	drop(&w);
}

/* As a damaged capture or a clock that was never set has it: what is written can be read. */
TEST(times_beyond_all_bounds)
{
	static uint8_t out[TG_TRACE_HEADER_SIZE + TG_TRACE_EVENT_MAX];
	const struct tg_trace_header header = {.start = TG_NEVER, .wall_ms = UINT64_MAX};
	struct tg_event tick = {.type = TG_EVENT_TICK, .at = TG_NEVER}, event;
	size_t used;
	struct tg_trace_writer *writer = tg_trace_writer_create(&header);
	struct tg_trace_reader *reader = tg_trace_reader_create();
	tg_trace_write_header(writer, out);
	int size = tg_trace_write(writer, &tick, out + TG_TRACE_HEADER_SIZE, TG_TRACE_EVENT_MAX);
	CHECK(size > 0);
	CHECK(tg_trace_read(reader, out, TG_TRACE_HEADER_SIZE + (size_t)size, &used, &event) == 1);
	CHECK(event.type == TG_EVENT_TICK);
	CHECK_U64(tg_trace_reader_header(reader)->wall_ms, UINT64_C(1000) * UINT32_MAX);
	tg_trace_reader_destroy(reader);
	tg_trace_writer_destroy(writer);
}

TEST(bounds_of_the_writer)
{
	static uint8_t out[TG_TRACE_RECORD_MAX];
	struct tg_trace_writer *writer = tg_trace_writer_create(&(struct tg_trace_header){0});
	struct tg_event ack = {.type = TG_EVENT_ACK}, tick = {.type = TG_EVENT_TICK, .at = 5};
	CHECK(tg_trace_write(writer, &ack, out, 0) == 0);
	CHECK(tg_trace_write(writer, &tick, out, TG_TRACE_EVENT_MAX - 1) == -ENOBUFS);
	/* Not written: the time of it is not spent. */
	CHECK(tg_trace_write(writer, &tick, out, TG_TRACE_EVENT_MAX) == 2);
	tick.at = 3;
	CHECK(tg_trace_write(writer, &tick, out, TG_TRACE_EVENT_MAX) == 1);
	struct tg_protected_prefix *many = calloc(TG_TRACE_PROTECTED_MAX + 1, sizeof(*many));
	for (uint32_t i = 0; i <= TG_TRACE_PROTECTED_MAX; i++)
		many[i] = (struct tg_protected_prefix){
			{{{0x20, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)(i >> 16)},
			  TG_IPV6},
			 128},
			TG_PROTECT_OWN};
	struct tg_prefix_set *most = tg_prefix_set_create(many, TG_TRACE_PROTECTED_MAX);
	struct tg_prefix_set *over = tg_prefix_set_create(many, TG_TRACE_PROTECTED_MAX + 1);
	struct tg_event event = {.type = TG_EVENT_PROTECTED, .protected = over};
	CHECK(tg_trace_write(writer, &event, out, sizeof(out)) == -E2BIG);
	event.protected = most;
	int size = tg_trace_write(writer, &event, out, sizeof(out));
	CHECK(size > 19 * TG_TRACE_PROTECTED_MAX && size <= TG_TRACE_RECORD_MAX);
	CHECK(tg_trace_write(writer, &event, out, 4096) == -ENOBUFS);
	tg_prefix_set_destroy(most);
	tg_prefix_set_destroy(over);
	free(many);
	tg_trace_writer_destroy(writer);
}

/* Connections as conntrack tells them, many open at once: at most 32 bytes for an event. */
static double bytes_per_event(unsigned family, uint32_t open)
{
	uint8_t out[TG_TRACE_EVENT_MAX];
	struct tg_trace_writer *writer = tg_trace_writer_create(&(struct tg_trace_header){0});
	uint64_t bytes = TG_TRACE_HEADER_SIZE, events = 0;
	uint64_t state = seed;
	struct tg_event event = {0};
	for (uint32_t base = 0; events < 1000000; base += open) {
		for (size_t s = 0; s < ARRAY_SIZE(life); s++) {
			for (uint32_t i = 0; i < open && events < 1000000; i++, events++) {
				const uint64_t name = (base + i) * UINT64_C(2654435761);
				event.type = life[s].type;
				event.at += 10000 + below(&state, 50000);
				event.flow = (struct tg_flow_event){.state = (uint8_t)life[s].state,
								    .timeout_s = life[s].timeout_s};
				event.flow.key.family = (uint8_t)family;
				event.flow.key.sport = (uint16_t)(name >> 5);
				event.flow.key.dport = 443;
				memcpy(event.flow.key.src, &name, family ? 8 : 4);
				event.flow.key.dst[0] = 10;
				int size = tg_trace_write(writer, &event, out, sizeof(out));
				bytes += size > 0 ? (uint64_t)size : 1000;
			}
		}
	}
	tg_trace_writer_destroy(writer);
	return (double)bytes / (double)events;
}

TEST(a_million_events)
{
	const double few = bytes_per_event(0, 2000), many = bytes_per_event(0, 100000);
	const double ipv6 = bytes_per_event(1, 20000);
	printf("# bytes per event: IPv4 %.1f with 2,000 flows at once, %.1f with 100,000; IPv6 "
	       "%.1f with 20,000\n",
	       few, many, ipv6);
	CHECK(few < 12);
	CHECK(many < 32);
	CHECK(ipv6 < 32);
}

/* For the fuzzer's corpus. */
static int write_file(const char *path)
{
	struct written w;
	write_random(&w, seed, 40);
	FILE *file = fopen(path, "we");
	const bool whole = file && fwrite(w.bytes, 1, w.len, file) == w.len && fclose(file) == 0;
	drop(&w);
	return whole ? 0 : 1;
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
	if (argc > 2)
		return write_file(argv[2]);
	printf("# seed %" PRIu64 "\n", seed);
	RUN(round_trip);
	RUN(every_truncation);
	RUN(bit_flips);
	RUN(refusals);
	RUN(times_beyond_all_bounds);
	RUN(bounds_of_the_writer);
	RUN(a_million_events);
	return DONE();
}
