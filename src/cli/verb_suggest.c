/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcpguard suggest: thresholds for the limits of a policy, out of what is seen: in a trace, in what
 * a running daemon is told, or, without one, in the kernel's table at this moment.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <tcpguard/diag.h>
#include <tcpguard/protect.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "host/ct_states.h"
#include "json.h"
#include "live_trace.h"
#include "progress.h"
#include "sample.h"
#include "suggestion.h"
#include "trace_file.h"

enum { SUGGEST_JSON, SUGGEST_FOR };

#define FOR_DEFAULT_MS (60 * 1000)
#define BATCH 64
/* Of the host's addresses; with more, those beyond count as clients. */
#define LOCAL_MAX 4096

struct suggesting {
	const struct cli *cli;
	struct tg_config *config;
	struct sample *sample;
	struct suggestion_sample about;
};

static bool begin_sample(struct suggesting *it, const struct tg_trace_header *header)
{
	it->sample = sample_create(it->config, header);
	if (!it->sample)
		cli_complain("out of memory");
	return it->sample != NULL;
}

static int from_trace(struct suggesting *it, const char *path)
{
	struct tg_event events[BATCH];
	struct trace_file file;
	int count;
	if (!trace_file_open(&file, path))
		return CLI_USAGE;
	it->about.from = "trace";
	if (!begin_sample(it, trace_file_header(&file))) {
		trace_file_close(&file);
		return CLI_USAGE;
	}
	while ((count = trace_file_next(&file, events, BATCH)) > 0)
		sample_feed(it->sample, events, count);
	/* What the last events point to goes with the file; nothing is fed after it. */
	trace_file_close(&file);
	return count < 0 ? CLI_USAGE : CLI_OK;
}

/* All whole events that there are. False: after a complaint. */
static bool take_events(struct suggesting *it, struct tg_trace_reader *reader,
			struct tg_strbuf *bytes)
{
	struct tg_event event;
	size_t used;
	int result;
	do {
		result = tg_trace_read(reader, (const uint8_t *)bytes->text, bytes->len, &used,
				       &event);
		tg_strbuf_consume(bytes, used);
		if (!it->sample && tg_trace_reader_header(reader) &&
		    !begin_sample(it, tg_trace_reader_header(reader)))
			return false;
		if (result > 0)
			sample_feed(it->sample, &event, 1);
	} while (result > 0);
	if (result < 0)
		cli_complain("the daemon's trace is not readable by this program");
	return result >= 0;
}

/* Until the time is over. An exit status. */
static int follow(struct suggesting *it, struct client *client, struct tg_trace_reader *reader,
		  uint64_t for_ms)
{
	struct tg_record record;
	struct tg_strbuf bytes;
	struct progress progress;
	int status = CLI_OK;
	progress_begin(&progress);
	tg_strbuf_init(&bytes);
	for (uint64_t gone = 0; status == CLI_OK && gone < for_ms; gone = progress_ms(&progress)) {
		if (progress_is_due(&progress))
			progress_show(&progress, "looking: %" PRIu64 " of %" PRIu64 " s",
				      gone / 1000, for_ms / 1000);
		const enum client_result result = client_next(client, 0, &record);
		if (result == CLIENT_RECORD) {
			if (!live_trace_bytes(&record, &bytes) || !take_events(it, reader, &bytes))
				status = CLI_NO;
		} else if (result != CLIENT_TIMEOUT) {
			status = result == CLIENT_DONE ? CLI_NO : client_explain(result, &record);
		} else {
			struct pollfd fd = {.fd = client->fd, .events = POLLIN};
			/* asked again */
			(void)poll(&fd, 1, (int)MIN(for_ms - gone, (uint64_t)PROGRESS_EVERY_MS));
		}
	}
	progress_hide(&progress);
	tg_strbuf_finish(&bytes);
	if (status == CLI_OK && !it->sample) {
		cli_complain("the daemon told nothing");
		status = CLI_NO;
	}
	return status;
}

static int from_daemon(struct suggesting *it, struct client *client, uint64_t for_ms)
{
	struct tg_trace_reader *reader = tg_trace_reader_create();
	int status = reader ? live_trace_ask(client) : CLI_USAGE;
	if (!reader)
		cli_complain("out of memory");
	it->about.from = "daemon";
	if (status == CLI_OK)
		status = follow(it, client, reader, for_ms);
	tg_trace_reader_destroy(reader);
	/* Quiet time is time, too: the last event may be long ago. */
	if (status == CLI_OK && sample_describe(it->sample, &it->about))
		it->about.ms = for_ms;
	return status;
}

static void feed_flow(void *data, const struct tg_flow_event *flow)
{
	struct tg_event event = {.type = TG_EVENT_FLOW_STATE, .flow = *flow};
	event.flow.dumped = true;
	sample_feed(data, &event, 1);
}

/* The host's own addresses: what they open is counted against nobody. NULL: no memory. */
static struct tg_prefix_set *read_own(void)
{
	size_t count = 0;
	struct ifaddrs *list = NULL;
	struct tg_protected_prefix *own = calloc(LOCAL_MAX, sizeof(*own));
	if (!own || getifaddrs(&list) < 0) {
		free(own);
		return NULL;
	}
	for (const struct ifaddrs *entry = list; entry && count < LOCAL_MAX;
	     entry = entry->ifa_next) {
		struct tg_addr addr = {.family = TG_IPV4};
		if (!entry->ifa_addr)
			continue;
		if (entry->ifa_addr->sa_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)entry->ifa_addr;
			memcpy(addr.bytes, &in->sin_addr, sizeof(in->sin_addr));
		} else if (entry->ifa_addr->sa_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const void *)entry->ifa_addr;
			addr.family = TG_IPV6;
			memcpy(addr.bytes, &in6->sin6_addr, sizeof(in6->sin6_addr));
		} else {
			continue;
		}
		own[count++] = (struct tg_protected_prefix){
			.prefix = tg_addr_mask(&addr, tg_family_bits((enum tg_family)addr.family)),
			.kind = TG_PROTECT_OWN};
	}
	freeifaddrs(list);
	struct tg_prefix_set *set = tg_prefix_set_create(own, count);
	free(own);
	return set;
}

static int from_kernel(struct suggesting *it)
{
	struct tg_trace_header header = {.start = 0};
	struct tg_prefix_set *own = read_own();
	it->about.from = "conntrack";
	it->about.moment = true;
	/* Of hashes, whose collisions clients must not be able to choose. */
	if (getrandom(header.seed, sizeof(header.seed), 0) < 0)
		memcpy(header.seed, &own, sizeof(own));
	if (!own || !begin_sample(it, &header)) {
		if (!own)
			cli_complain("cannot list the host's addresses: %s", strerror(errno));
		tg_prefix_set_destroy(own);
		return CLI_USAGE;
	}
	sample_feed(it->sample, &(struct tg_event){.type = TG_EVENT_PROTECTED, .protected = own},
		    1);
	const int err = ct_flows_walk(feed_flow, it->sample);
	if (err)
		cli_complain("no daemon answers, and conntrack cannot be read: %s; a trace of "
			     "'tcpguard record' or 'import' needs neither",
			     strerror(-err));
	tg_prefix_set_destroy(own);
	return err ? CLI_NO_DAEMON : CLI_OK;
}

static int from_live(struct suggesting *it, uint64_t for_ms)
{
	struct client client;
	if (client_open(&client, it->cli->socket) < 0)
		return from_kernel(it);
	const int status = from_daemon(it, &client, for_ms);
	client_close(&client);
	return status;
}

static void show(const struct suggesting *it, const struct suggestion *suggestions, size_t count,
		 bool as_json)
{
	struct json json;
	if (!as_json) {
		suggestion_print(suggestions, count, &it->about, stdout);
		return;
	}
	json_begin(&json, stdout);
	suggestion_json(suggestions, count, &it->about, &json);
	json_finish(&json);
}

static int conclude(struct suggesting *it, bool as_json)
{
	const struct tg_config *config = it->config;
	size_t count = 0, limits = 0;
	const uint64_t ms = it->about.ms;
	bool good = sample_describe(it->sample, &it->about);
	it->about.ms = MAX(it->about.ms, ms);
	for (size_t p = 0; p < config->policy_count; p++)
		limits += config->policies[p].limit_count;
	struct suggestion *suggestions = calloc(limits + 1, sizeof(*suggestions));
	good = good && suggestions;
	for (size_t p = 0; good && p < config->policy_count; p++) {
		const struct tg_policy *policy = &config->policies[p];
		for (size_t i = 0; good && i < policy->limit_count; i++) {
			_cleanup_free_ uint32_t *values = NULL;
			size_t seen = 0;
			good = sample_values(it->sample, p, i, &values, &seen);
			if (good)
				suggestion_make(policy, &policy->limits[i], values, seen,
						&it->about, &suggestions[count++]);
		}
	}
	if (good)
		show(it, suggestions, count, as_json);
	else
		cli_complain("out of memory");
	free(suggestions);
	return good ? CLI_OK : CLI_USAGE;
}

static int run_suggest(const struct cli *cli, const struct cli_args *args)
{
	const char *trace = args->operand_count > 0 ? args->operands[0] : NULL;
	const char *time = args->values[SUGGEST_FOR];
	uint64_t for_ms = FOR_DEFAULT_MS;
	struct suggesting it = {.cli = cli};
	struct tg_diag diag;
	const char *wrong = time ? tg_duration_parse(time, &for_ms) : NULL;
	if (!wrong && time && trace)
		wrong = "a trace has its own time";
	if (wrong) {
		cli_complain("--for %s: %s", time, wrong);
		return CLI_USAGE;
	}
	tg_diag_init(&diag);
	int status = cli_load_policy(cli, NULL, NULL, &diag, &it.config);
	if (status == CLI_NO) {
		cli_print_errors(&diag);
		status = CLI_USAGE;
	}
	tg_diag_finish(&diag);
	if (status == CLI_OK)
		status = trace ? from_trace(&it, trace) : from_live(&it, for_ms);
	if (status == CLI_OK)
		status = conclude(&it, args->values[SUGGEST_JSON] != NULL);
	sample_destroy(it.sample);
	tg_config_destroy(it.config);
	return status;
}

const struct cli_verb verb_suggest = {
	.name = "suggest",
	.operands = "[TRACE]",
	.summary = "Propose thresholds, from live traffic or a recorded trace",
	.options = {[SUGGEST_JSON] = {"json", NULL, "as one JSON object"},
		    [SUGGEST_FOR] = {"for", "TIME", "look at live traffic for so long (1m)"}},
	.operands_max = 1,
	.run = run_suggest,
};
