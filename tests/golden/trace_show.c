/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage: trace_show TRACE
 * Prints the events of a trace, a line each, for tests that compare them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <tcpguard/protect.h>
#include <tcpguard/trace.h>

#define BUFFER_SIZE ((size_t)16 * 1024 * 1024) /* traces of tests are smaller */

static struct tg_addr addr_of(const struct tg_flow_key *key, const uint8_t bytes[16])
{
	return key->family == TG_IPV4 ? tg_addr_from_ipv4(bytes) : tg_addr_from_ipv6(bytes);
}

static void show_flow(const char *word, const struct tg_flow_event *flow)
{
	char src[TG_ADDR_STRLEN], dst[TG_ADDR_STRLEN];
	const struct tg_addr from = addr_of(&flow->key, flow->key.src),
			     to = addr_of(&flow->key, flow->key.dst);
	printf("%s %s %u %s %u %s %u", word, tg_addr_format(&from, src), flow->key.sport,
	       tg_addr_format(&to, dst), flow->key.dport,
	       flow->state == TG_TCP_UNKNOWN ? "-" : tg_tcp_state_name(flow->state),
	       flow->timeout_s);
	if (flow->counted)
		printf(" packets %" PRIu64 " bytes %" PRIu64, flow->packets, flow->bytes);
}

static void show_protected(const struct tg_prefix_set *set)
{
	char text[TG_PREFIX_STRLEN];
	printf("protected");
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		size_t count;
		const struct tg_protected_prefix *members =
			tg_prefix_set_members(set, (enum tg_family)f, &count);
		for (size_t i = 0; i < count; i++)
			if (members[i].kind == TG_PROTECT_OWN)
				printf(" %s", tg_prefix_format(&members[i].prefix, text));
	}
}

static void show(const struct tg_event *event, tg_time start)
{
	printf("%.3f ", (double)(event->at - start) / (double)TG_SEC);
	if (event->type == TG_EVENT_FLOW_NEW)
		show_flow("new", &event->flow);
	else if (event->type == TG_EVENT_FLOW_STATE)
		show_flow(event->flow.answered ? "answer"
			  : event->flow.dumped ? "dumped"
					       : "state",
			  &event->flow);
	else if (event->type == TG_EVENT_FLOW_END)
		show_flow("end", &event->flow);
	else if (event->type == TG_EVENT_PROTECTED)
		show_protected(event->protected);
	else if (event->type == TG_EVENT_RESYNC_BEGIN)
		printf("resync-begin");
	else if (event->type == TG_EVENT_RESYNC_END)
		printf("resync-end");
	else if (event->type == TG_EVENT_TICK)
		printf("tick");
	else
		printf("type %d", (int)event->type);
	printf("\n");
}

int main(int argc, char **argv)
{
	FILE *file = argc == 2 ? fopen(argv[1], "re") : NULL;
	uint8_t *bytes = malloc(BUFFER_SIZE);
	struct tg_trace_reader *reader = tg_trace_reader_create();
	struct tg_event event;
	size_t used, at = 0;
	int result = -1;
	if (file && bytes && reader) {
		const size_t len = fread(bytes, 1, BUFFER_SIZE, file);
		while ((result = tg_trace_read(reader, bytes + at, len - at, &used, &event)) > 0) {
			at += used;
			show(&event, tg_trace_reader_header(reader)->start);
		}
		if (result == 0 && (at + used != len || len == BUFFER_SIZE))
			result = -1;
	}
	if (result < 0)
		(void)fprintf(stderr, "trace_show: cannot read it\n");
	if (file)
		(void)fclose(file); /* only read from */
	free(bytes);
	tg_trace_reader_destroy(reader);
	return result < 0;
}
