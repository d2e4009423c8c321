/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What it costs to understand a stream of conntrack events and to count it under a
 * policy, against receiving it and looking at nothing. The streams are a capture's TCP flow told
 * for many clients, whole and only begun, sent through netlink sockets, so that all sides pay for
 * what the feed pays for.
 * Variants take turns, and the best round of each counts: the rest is the machine's other work.
 * Usage: bench_events CAPTURE POLICY [ROUNDS]
 */
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <tcpguard/diag.h>
#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "clocks.h"
#include "host/ct_decode.h"

#define FLOWS 16384u
#define FLOW_MESSAGES_MAX 16u
#define CAPTURE_MAX (1 << 20)
#define BATCH 256u /* as the feed has it */
#define SLOT 2048u
#define BURST 4096u /* messages between two looks at the clock */

struct message {
	uint8_t *bytes;
	size_t len;
};

struct stream {
	struct message *messages;
	size_t count;
};

/* What is done with each message, and after each batch of them; NULL: nothing. */
struct variant {
	const char *name;
	void (*each)(void *context, const void *bytes, size_t len);
	void (*batch)(void *context);
	void *context;
	double best;         /* ns of our CPU time for a message */
	double instructions; /* of the program, not of the kernel */
};

/* As the feed does it: what was decoded lies in a vector of events. */
struct decode_context {
	struct tg_event events[BATCH];
	size_t count; /* of them */
	uint64_t flows;
	tg_time now;
};

static void each_decode(void *context, const void *bytes, size_t len)
{
	static const enum tg_event_type types[] = {
		[CT_NEW] = TG_EVENT_FLOW_NEW,
		[CT_UPDATE] = TG_EVENT_FLOW_STATE,
		[CT_DESTROY] = TG_EVENT_FLOW_END,
	};
	struct decode_context *decode = context;
	struct tg_event *event = &decode->events[decode->count];
	enum ct_kind kind;
	bool dying;
	if (ct_decode_flow(bytes, len, &kind, &dying, &event->flow) != CT_FLOW)
		return;
	event->type = types[kind];
	event->at = decode->now;
	decode->count++;
	decode->flows++;
}

static void batch_decode(void *context)
{
	struct decode_context *decode = context;
	decode->now += BATCH * UINT64_C(10000); /* 100,000 events a second */
	decode->count = 0;
}

struct step_context {
	struct decode_context decode; /* first: what decodes takes it for its own */
	struct tg_config *config;
	struct tg_ruleset *ruleset;
	struct tg_engine *engine;
	struct tg_prefix_set *protected;
};

static void batch_step(void *context)
{
	struct step_context *step = context;
	struct tg_decision decisions[16];
	tg_engine_step_batch(step->engine, step->decode.events, step->decode.count);
	while (tg_engine_take(step->engine, decisions, ARRAY_SIZE(decisions)) > 0)
		; /* none is expected: every client is a good one */
	batch_decode(&step->decode);
}

static bool step_init(struct step_context *step, const char *policy)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	step->config = tg_config_load(policy, NULL, &diag);
	tg_diag_finish(&diag);
	if (!step->config)
		return false;
	const struct tg_engine_params params = {
		.max_sources = step->config->max_sources,
		.max_flows = step->config->max_flows,
		.max_bans = 1024,
		.seed = "bench",
	};
	step->engine = tg_engine_create(&params);
	step->ruleset = tg_ruleset_create(step->config, &params, NULL);
	if (!step->engine || !step->ruleset)
		return false;
	size_t count;
	const struct tg_protected_prefix *always = tg_protect_always(&count);
	step->protected = tg_prefix_set_create(always, count);
	const struct tg_event first[] = {
		{.type = TG_EVENT_POLICY, .ruleset = step->ruleset},
		{.type = TG_EVENT_PROTECTED, .protected = step->protected},
		{.type = TG_EVENT_RESYNC_BEGIN},
		{.type = TG_EVENT_RESYNC_END},
	};
	tg_engine_step_batch(step->engine, first, ARRAY_SIZE(first));
	return step->protected != NULL;
}

static void step_finish(struct step_context *step)
{
	tg_engine_destroy(step->engine);
	tg_ruleset_destroy(step->ruleset);
	tg_prefix_set_destroy(step->protected);
	tg_config_destroy(step->config);
}

/* The messages of the first IPv4 flow in the capture that was told from its beginning. */
static size_t find_flow(const void *capture, size_t len, struct message *found)
{
	struct ct_message first, decoded;
	size_t count = 0;
	int left = (int)len;
	for (const struct nlmsghdr *message = capture; mnl_nlmsg_ok(message, left);
	     message = mnl_nlmsg_next(message, &left)) {
		if (ct_decode(message, message->nlmsg_len, &decoded) != CT_FLOW)
			continue;
		if (count == 0) {
			if (decoded.kind != CT_NEW || decoded.flow.state != TG_TCP_SYN_SENT ||
			    decoded.flow.key.family != TG_IPV4 || decoded.flow.key.zone != 0)
				continue;
			first = decoded;
		} else if (memcmp(&decoded.flow.key, &first.flow.key, sizeof(first.flow.key)) !=
				   0 ||
			   message->nlmsg_flags & NLM_F_MULTI) {
			continue;
		}
		if (count < FLOW_MESSAGES_MAX) {
			found[count].bytes = (uint8_t *)(uintptr_t)message;
			found[count++].len = message->nlmsg_len;
		}
	}
	return count;
}

/* The same message from another client, to a port of the policy. The original tuple comes first. */
static bool message_copy(struct message *copy, const struct message *from, uint32_t client)
{
	static const uint8_t address[] = {8, 0, 1, 0}; /* CTA_IP_V4_SRC with its length */
	static const uint8_t port[] = {6, 0, 3, 0};    /* CTA_PROTO_DST_PORT */
	*copy = (struct message){malloc(from->len), from->len};
	if (!copy->bytes)
		return false;
	memcpy(copy->bytes, from->bytes, from->len);
	uint8_t *at = memmem(copy->bytes, copy->len, address, sizeof(address));
	if (!at || at + sizeof(address) + sizeof(client) > copy->bytes + copy->len)
		return false;
	memcpy(at + sizeof(address), &client, sizeof(client));
	at = memmem(at, (size_t)(copy->bytes + copy->len - at), port, sizeof(port));
	if (!at || at + sizeof(port) + 2 > copy->bytes + copy->len)
		return false;
	memcpy(at + sizeof(port), "\x01\xbb", 2);
	return true;
}

/* Clients overlap: of a window of them all begin, then all go on. */
static bool stream_make(struct stream *stream, const struct message *flow, size_t flow_count,
			uint32_t clients)
{
	stream->messages = calloc(FLOWS * flow_count, sizeof(*stream->messages));
	if (!stream->messages)
		return false;
	for (uint32_t window = 0; window < FLOWS; window += clients)
		for (size_t phase = 0; phase < flow_count; phase++)
			for (uint32_t i = 0; i < clients; i++)
				if (!message_copy(&stream->messages[stream->count++], &flow[phase],
						  (window + i) * 2654435761u))
					return false;
	return true;
}

/* A handshake that is begun and never finished: its first message, and its end. */
static bool flood_make(struct stream *stream, const struct message *flow)
{
	struct message flood[] = {flow[0], {malloc(flow[0].len), flow[0].len}};
	if (!flood[1].bytes)
		return false;
	memcpy(flood[1].bytes, flow[0].bytes, flow[0].len);
	struct nlmsghdr *end = (struct nlmsghdr *)(void *)flood[1].bytes; /* from malloc */
	end->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
	end->nlmsg_flags = 0;
	const bool good = stream_make(stream, flood, ARRAY_SIZE(flood), FLOWS);
	free(flood[1].bytes);
	return good;
}

static void stream_free(struct stream *stream)
{
	for (size_t i = 0; i < stream->count; i++)
		free(stream->messages[i].bytes);
	free(stream->messages);
}

static bool send_burst(int fd, const struct message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (send(fd, messages[i].bytes, messages[i].len, 0) < 0)
			return false;
	return true;
}

/* Receives count messages in batches, by the clock. */
static bool receive_burst(int fd, struct mmsghdr *headers, size_t count,
			  const struct variant *variant, struct clocks *clocks)
{
	bool good = true;
	clocks_start(clocks);
	while (good && count > 0) {
		int got = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; variant->each && i < got; i++)
			variant->each(variant->context, headers[i].msg_hdr.msg_iov->iov_base,
				      headers[i].msg_len);
		if (variant->batch && got > 0)
			variant->batch(variant->context);
		good = got > 0;
		count -= good ? (size_t)got : 0;
	}
	clocks_stop(clocks);
	return good;
}

static bool round_run(const int fds[2], struct mmsghdr *headers, const struct stream *stream,
		      struct variant *variant, struct clocks *clocks)
{
	clocks_reset(clocks);
	for (size_t done = 0; done < stream->count;) {
		const size_t part = MIN(stream->count - done, (size_t)BURST);
		if (!send_burst(fds[0], stream->messages + done, part) ||
		    !receive_burst(fds[1], headers, part, variant, clocks))
			return false;
		done += part;
	}
	const double ns = clocks->ns / (double)stream->count;
	if (variant->best == 0 || ns < variant->best)
		variant->best = ns;
	variant->instructions = clocks_instructions(clocks) / (double)stream->count;
	return true;
}

/* Netlink on both sides, so that receiving costs what it costs the feed. */
static bool sockets_open(int fds[2])
{
	const int buffer = 64 << 20;
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	socklen_t len = sizeof(address);
	for (unsigned i = 0; i < 2; i++)
		fds[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
				NETLINK_USERSOCK);
	if (fds[0] >= 0 && fds[1] >= 0 &&
	    bind(fds[1], (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    getsockname(fds[1], (struct sockaddr *)&address, &len) == 0 &&
	    connect(fds[0], (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    setsockopt(fds[1], SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) == 0)
		return true;
	for (unsigned i = 0; i < 2; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* nothing was sent */
	return false;
}

static bool bench(const struct stream *stream, struct variant *variants, size_t count,
		  unsigned rounds)
{
	static struct mmsghdr headers[BATCH];
	static struct iovec vectors[BATCH];
	static _Alignas(8) uint8_t slots[BATCH][SLOT];
	static struct sockaddr_nl senders[BATCH];
	int fds[2];
	if (!sockets_open(fds))
		return false;
	for (size_t i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){.iov_base = slots[i], .iov_len = SLOT};
		headers[i].msg_hdr = (struct msghdr){.msg_name = &senders[i],
						     .msg_namelen = sizeof(senders[i]),
						     .msg_iov = &vectors[i],
						     .msg_iovlen = 1};
	}
	struct clocks clocks;
	bool good = true;
	clocks_init(&clocks);
	for (unsigned r = 0; good && r < rounds; r++)
		for (size_t v = 0; good && v < count; v++)
			good = round_run(fds, headers, stream, &variants[v], &clocks);
	clocks_finish(&clocks);
	(void)close(fds[0]); /* nothing in it is wanted any more */
	(void)close(fds[1]);
	return good;
}

static bool bench_stream(const char *name, const struct stream *stream, const char *policy,
			 unsigned rounds)
{
	struct decode_context *decode = calloc(1, sizeof(*decode));
	struct step_context *step = calloc(1, sizeof(*step));
	struct variant variants[] = {
		{.name = "receive"},
		{"receive and decode", each_decode, batch_decode, decode, 0, 0},
		{"decode and step", each_decode, batch_step, step, 0, 0},
	};
	struct tg_engine_stats stats = {0};
	bool good = decode && step && step_init(step, policy) &&
		    bench(stream, variants, ARRAY_SIZE(variants), rounds) &&
		    decode->flows == (uint64_t)stream->count * rounds &&
		    step->decode.flows == decode->flows;
	if (good) {
		tg_engine_stats(step->engine, &stats);
		printf("%s: %zu messages; best of %u rounds\n", name, stream->count, rounds);
	}
	for (size_t v = 0; good && v < ARRAY_SIZE(variants); v++)
		printf("%-20s %8.0f events/s %6.1f ns/event %5.2f x receive %5.0f instr.\n",
		       variants[v].name, 1e9 / variants[v].best, variants[v].best,
		       variants[v].best / variants[0].best, variants[v].instructions);
	if (stats.offences > 0)
		printf("# limits were crossed %" PRIu64 " times\n", stats.offences);
	if (step)
		step_finish(step);
	free(step);
	free(decode);
	return good;
}

int main(int argc, char **argv)
{
	struct message flow[FLOW_MESSAGES_MAX];
	struct stream whole = {0}, flood = {0};
	const unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 10;
	_cleanup_fclose_ FILE *file = argc > 1 ? fopen(argv[1], "re") : NULL;
	_cleanup_free_ uint8_t *capture = malloc(CAPTURE_MAX);
	if (!file || !capture || argc < 3) {
		fprintf(stderr, "usage: bench_events CAPTURE POLICY [ROUNDS]\n");
		return 2;
	}
	const size_t flow_count = find_flow(capture, fread(capture, 1, CAPTURE_MAX, file), flow);
	const bool good = flow_count > 0 && stream_make(&whole, flow, flow_count, 64) &&
			  flood_make(&flood, flow) &&
			  bench_stream("whole connections", &whole, argv[2], rounds) &&
			  bench_stream("a flood of SYNs", &flood, argv[2], rounds);
	stream_free(&whole);
	stream_free(&flood);
	if (!good)
		fprintf(stderr, "bench_events: could not run: %s\n", strerror(errno));
	return !good;
}
