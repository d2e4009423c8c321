/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a trace of a busy server, for `tcpguard simulate` to be timed with: connections
 * from many clients that overlap, each told from SYN_SENT to its end.
 *
 *   bench_trace FILE [EVENTS [OPEN [CLIENTS]]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/trace.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "connection.h"

struct open_flow {
	uint32_t connection; /* names source and port */
	uint32_t stage;
};

static bool put(FILE *file, struct tg_trace_writer *writer, const struct tg_event *event)
{
	uint8_t out[TG_TRACE_EVENT_MAX];
	int size = tg_trace_write(writer, event, out, sizeof(out));
	return size > 0 && fwrite(out, (size_t)size, 1, file) == 1;
}

static bool write_events(FILE *file, struct tg_trace_writer *writer, uint64_t events,
			 struct open_flow *flows, uint32_t open, uint32_t clients)
{
	struct tg_event event = {.type = TG_EVENT_RESYNC_BEGIN, .at = TG_SEC};
	uint64_t random = 1;
	uint32_t connections = 0;
	bool sound = put(file, writer, &event);
	event.type = TG_EVENT_RESYNC_END;
	sound = sound && put(file, writer, &event);
	for (uint32_t i = 0; i < open; i++)
		flows[i] = (struct open_flow){.connection = connections++};
	for (uint64_t i = 0; i < events && sound; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		struct open_flow *flow = &flows[(random >> 33) % open];
		const uint32_t client = flow->connection % clients;
		event.type = life[flow->stage].type;
		/* Events come in turns of the daemon's loop: some at one time. */
		if (i % 16 == 0)
			event.at += 160000;
		event.flow = (struct tg_flow_event){.state = (uint8_t)life[flow->stage].state,
						    .timeout_s = life[flow->stage].timeout_s};
		event.flow.key.src[0] = 10;
		event.flow.key.src[1] = (uint8_t)(client >> 16);
		event.flow.key.src[2] = (uint8_t)(client >> 8);
		event.flow.key.src[3] = (uint8_t)client;
		memcpy(event.flow.key.dst, "\xc0\x00\x02\x01", 4);
		event.flow.key.sport = (uint16_t)(1024 + flow->connection / clients % 60000);
		event.flow.key.dport = 443;
		sound = put(file, writer, &event);
		if (++flow->stage == ARRAY_SIZE(life))
			*flow = (struct open_flow){.connection = connections++};
	}
	return sound;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: bench_trace FILE [EVENTS [OPEN [CLIENTS]]]\n");
		return 2;
	}
	const uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	const uint32_t open = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 20000;
	const uint32_t clients = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 16384;
	struct tg_trace_header header = {.start = TG_SEC, .wall_ms = 1795226708000};
	struct tg_trace_writer *writer = tg_trace_writer_create(&header);
	struct open_flow *flows = calloc(MAX(open, 1), sizeof(*flows));
	uint8_t bytes[TG_TRACE_HEADER_SIZE];
	FILE *file = fopen(argv[1], "we");
	bool sound = writer && flows && file && open > 0 && clients > 0;
	if (sound) {
		tg_trace_write_header(writer, bytes);
		sound = fwrite(bytes, sizeof(bytes), 1, file) == 1 &&
			write_events(file, writer, events, flows, open, clients);
	}
	if (file && fclose(file) != 0)
		sound = false;
	tg_trace_writer_destroy(writer);
	free(flows);
	if (!sound)
		(void)fprintf(stderr, "bench_trace: cannot write %s\n", argv[1]);
	return sound ? 0 : 1;
}
