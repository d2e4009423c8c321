/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one golden trace: a policy and a script of events go in, every decision
 * comes out as a line, and the lines must be those of the file beside it. The
 * script's verbs are those of run_words(). Run twice, so that equal input is
 * seen to give equal output.
 *
 *   golden DIR/NAME            compares with DIR/NAME.out
 *   golden --write DIR/NAME    writes it
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/diag.h>
#include <tcpguard/engine.h>
#include <tcpguard/units.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"

#define WORDS_MAX 16
#define PROTECTED_MAX 32

struct golden {
	const char *base; /* DIR/NAME */
	struct tg_strbuf out;
	struct tg_engine *engine;
	struct tg_engine_params params;
	struct tg_config *configs[8];
	struct tg_ruleset *rulesets[8];
	size_t policies;
	struct tg_protected_prefix protected[PROTECTED_MAX];
	size_t protected_count;
	struct tg_prefix_set *set, *admins;
	uint32_t max_bans;
	tg_time now;
	int ack_error;
	bool no_ack;
	bool silent_witness; /* a script answers; else what is measured is proven at once */
	bool show_probes;
	uint32_t request;
	unsigned line;
	bool failed;
};

static void fail(struct golden *g, const char *what)
{
	printf("# %s.events:%u: %s\n", g->base, g->line, what);
	g->failed = true;
}

static void print_decision(struct golden *g, const struct tg_decision *d)
{
	static const char *const types[] = {"ban",     "lift",  "expire", "refuse", "verify",
					    "witness", "probe", "pass",   "kill"};
	char text[TG_PREFIX_STRLEN], rate[TG_RATE_STRLEN];
	tg_strbuf_printf(&g->out, "%.3f %s", (double)d->at / (double)TG_SEC, types[d->type]);
	if (d->type == TG_DECISION_VERIFY) {
		struct tg_addr src = {.family = d->flow.family};
		memcpy(src.bytes, d->flow.src, 16);
		tg_strbuf_printf(&g->out, " %s:%u\n", tg_addr_format(&src, text), d->flow.sport);
		return;
	}
	const struct tg_config *config = g->configs[g->policies - 1];
	if (d->type == TG_DECISION_PASS) {
		tg_strbuf_printf(&g->out, " %s by %s\n", tg_addr_format(&d->pass.source, text),
				 config->policies[d->pass.policy].name);
		return;
	}
	const struct tg_ban *ban = &d->ban;
	tg_strbuf_printf(&g->out, " %s %s", tg_prefix_format(&ban->source, text),
			 tg_action_name(ban->action));
	if (ban->action == TG_ACTION_RATE_LIMIT)
		tg_strbuf_printf(&g->out, " to %s", tg_rate_format(&ban->to, rate));
	if (ban->action == TG_ACTION_CAP)
		tg_strbuf_printf(&g->out, " at %u", ban->to.count);
	if (ban->kill)
		tg_strbuf_puts(&g->out, " kill");
	tg_strbuf_printf(&g->out, " %s %s", tg_scope_name(ban->scope), tg_origin_name(ban->origin));
	if (ban->policy != TG_NO_INDEX)
		tg_strbuf_printf(&g->out, " %s", config->policies[ban->policy].name);
	if (ban->limit != TG_NO_INDEX) {
		const struct tg_limit *limit = &config->policies[ban->policy].limits[ban->limit];
		tg_strbuf_printf(&g->out, "/%s %s %u>%u", limit->name,
				 tg_measure_name(limit->measure), ban->measured, ban->threshold);
	}
	if (ban->unproven)
		tg_strbuf_puts(&g->out, " unproven");
	tg_strbuf_printf(&g->out, " #%u %s since %.3f until %.3f", ban->offence,
			 ban->enforced ? "enforced" : "observed",
			 (double)ban->since / (double)TG_SEC, (double)ban->until / (double)TG_SEC);
	if (d->cause != TG_CAUSE_NONE)
		tg_strbuf_printf(&g->out, " (%s)", tg_cause_name(d->cause));
	if (d->renewed)
		tg_strbuf_puts(&g->out, " renewed");
	if (d->cause == TG_CAUSE_PROTECTED)
		tg_strbuf_printf(&g->out, " covers %s, %s", tg_prefix_format(&d->covers, text),
				 tg_protect_kind_name(d->covers_kind));
	if (ban->reason[0] != '\0')
		tg_strbuf_printf(&g->out, " \"%s\"", ban->reason);
	tg_strbuf_putc(&g->out, '\n');
}

static void prove(struct golden *g, const struct tg_ban *ban)
{
	const struct tg_policy *policy = &g->configs[g->policies - 1]->policies[ban->policy];
	struct tg_event event = {.type = TG_EVENT_WITNESS, .at = g->now};
	event.witness.source = ban->source;
	event.witness.proven = ban->measured;
	snprintf(event.witness.policy, sizeof(event.witness.policy), "%s", policy->name);
	snprintf(event.witness.limit, sizeof(event.witness.limit), "%s",
		 policy->limits[ban->limit].name);
	tg_engine_step(g->engine, &event);
}

static void drain(struct golden *g)
{
	struct tg_decision decisions[16];
	size_t count;
	do {
		count = tg_engine_take(g->engine, decisions, ARRAY_SIZE(decisions));
		for (size_t i = 0; i < count; i++) {
			if (decisions[i].type == TG_DECISION_WITNESS && !g->silent_witness) {
				prove(g, &decisions[i].ban);
				continue;
			}
			if (decisions[i].type == TG_DECISION_PROBE && !g->show_probes)
				continue;
			print_decision(g, &decisions[i]);
			const bool sink = (decisions[i].type == TG_DECISION_BAN ||
					   decisions[i].type == TG_DECISION_LIFT) &&
					  decisions[i].ban.enforced;
			if (!sink || g->no_ack)
				continue;
			tg_engine_step(g->engine,
				       &(struct tg_event){
					       .type = TG_EVENT_ACK,
					       .at = g->now,
					       .ack = {decisions[i].ban.id,
						       decisions[i].ban.version, g->ack_error},
				       });
		}
	} while (count > 0);
}

static void step(struct golden *g, struct tg_event event)
{
	event.at = g->now;
	tg_engine_step(g->engine, &event);
	drain(g);
}

/* ADDR[*N]:PORT[+N], IPv6 in brackets: N addresses that follow, N ports that follow. */
struct endpoints {
	struct tg_addr addr;
	unsigned addrs, port, ports;
};

static bool parse_endpoints(const char *word, struct endpoints *ret)
{
	char host[64];
	const char *end = word[0] == '[' ? strchr(word, ']') : word + strcspn(word, "*:");
	const char *start = word[0] == '[' ? word + 1 : word;
	if (!end || (size_t)(end - start) >= sizeof(host))
		return false;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	*ret = (struct endpoints){.addrs = 1, .ports = 1};
	if (!tg_addr_parse(host, &ret->addr))
		return false;
	char *rest = (char *)end + (word[0] == '[');
	if (*rest == '*')
		ret->addrs = (unsigned)strtoul(rest + 1, &rest, 10);
	if (*rest != ':')
		return false;
	ret->port = (unsigned)strtoul(rest + 1, &rest, 10);
	if (*rest == '+')
		ret->ports = (unsigned)strtoul(rest + 1, &rest, 10);
	return *rest == '\0';
}

static struct tg_addr nth_addr(const struct tg_addr *addr, unsigned n)
{
	struct tg_addr nth = *addr;
	for (int i = (addr->family == TG_IPV4 ? 4 : 16) - 1; i >= 0 && n > 0; i--, n >>= 8) {
		n += nth.bytes[i];
		nth.bytes[i] = (uint8_t)n;
	}
	return nth;
}

static unsigned parse_state(const char *word)
{
	unsigned s = 0;
	while (s < TG_TCP_STATE_COUNT && strcmp(tg_tcp_state_name((enum tg_tcp_state)s), word) != 0)
		s++;
	return s;
}

static void run_flow(struct golden *g, enum tg_event_type type, char **words, size_t count)
{
	struct endpoints src, dst;
	if (count < 3 || !parse_endpoints(words[1], &src) || !parse_endpoints(words[2], &dst)) {
		fail(g, "wants SRC DST");
		return;
	}
	struct tg_event event = {.type = type, .flow.state = TG_TCP_UNKNOWN};
	for (size_t i = 3; i < count; i++) {
		if (strncmp(words[i], "timeout=", 8) == 0)
			event.flow.timeout_s = (uint32_t)strtoul(words[i] + 8, NULL, 10);
		else if (strncmp(words[i], "packets=", 8) == 0)
			event.flow.packets = strtoull(words[i] + 8, NULL, 10);
		else if (strncmp(words[i], "bytes=", 6) == 0)
			event.flow.bytes = strtoull(words[i] + 6, NULL, 10);
		else if (strncmp(words[i], "zone=", 5) == 0)
			event.flow.key.zone = (uint16_t)strtoul(words[i] + 5, NULL, 10);
		else if (strcmp(words[i], "dumped") == 0)
			event.flow.dumped = true;
		else if (strcmp(words[i], "answered") == 0)
			event.flow.answered = true;
		else if (parse_state(words[i]) < TG_TCP_STATE_COUNT)
			event.flow.state = (uint8_t)parse_state(words[i]);
		else
			fail(g, "unknown word");
	}
	event.flow.counted = event.flow.packets > 0;
	event.flow.key.family = src.addr.family;
	event.flow.key.dport = (uint16_t)dst.port;
	memcpy(event.flow.key.dst, dst.addr.bytes, 16);
	for (unsigned a = 0; a < src.addrs; a++) {
		struct tg_addr addr = nth_addr(&src.addr, a);
		memcpy(event.flow.key.src, addr.bytes, 16);
		for (unsigned p = 0; p < src.ports; p++) {
			event.flow.key.sport = (uint16_t)(src.port + p);
			step(g, event);
		}
	}
}

static void run_request(struct golden *g, enum tg_event_type type, char **words, size_t count)
{
	struct tg_event event = {
		.type = type,
		.request = {.request = ++g->request,
			    .action = TG_ACTION_DROP,
			    .scope = TG_SCOPE_EVERYTHING,
			    .expire_ms = 600000},
	};
	if (count > 1 && strcmp(words[1], "all") == 0)
		event.request.all = true;
	else if (count < 2 || tg_prefix_parse(words[1], &event.request.source))
		fail(g, "wants a source");
	for (size_t i = 2; i < count; i++) {
		if (strncmp(words[i], "for=", 4) == 0) {
			if (tg_duration_parse(words[i] + 4, &event.request.expire_ms))
				fail(g, "bad for=");
		} else if (strncmp(words[i], "to=", 3) == 0) {
			event.request.action = TG_ACTION_RATE_LIMIT;
			if (tg_rate_parse(words[i] + 3, &event.request.to))
				fail(g, "bad to=");
		} else if (strncmp(words[i], "cap=", 4) == 0) {
			event.request.action = TG_ACTION_CAP;
			event.request.to.count = (uint32_t)strtoul(words[i] + 4, NULL, 10);
		} else if (strcmp(words[i], "reject") == 0) {
			event.request.action = TG_ACTION_REJECT;
		} else if (strcmp(words[i], "scope=new") == 0) {
			event.request.scope = TG_SCOPE_NEW;
		} else if (strcmp(words[i], "force") == 0) {
			event.request.force = true;
		} else if (strncmp(words[i], "reason=", 7) == 0) {
			snprintf(event.request.reason, TG_REASON_MAX, "%s", words[i] + 7);
		} else {
			fail(g, "unknown word");
		}
	}
	step(g, event);
}

static void run_protect(struct golden *g, char **words, size_t count)
{
	static const char *const kinds[] = {"own",       "loopback", "link-local",
					    "multicast", "gateway",  "resolver"};
	struct tg_protected_prefix *entry = &g->protected[g->protected_count];
	unsigned kind = 0;
	while (count == 3 && kind < ARRAY_SIZE(kinds) && strcmp(kinds[kind], words[2]) != 0)
		kind++;
	if (count != 3 || kind == ARRAY_SIZE(kinds) || g->protected_count == PROTECTED_MAX ||
	    tg_prefix_parse(words[1], &entry->prefix)) {
		fail(g, "wants PREFIX KIND");
		return;
	}
	entry->kind = (enum tg_protect_kind)kind;
	struct tg_prefix_set *set = tg_prefix_set_create(g->protected, ++g->protected_count);
	step(g, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = set});
	tg_prefix_set_destroy(g->set);
	g->set = set;
}

/* Addresses with a live session of an admin, all there are. */
static void run_admins(struct golden *g, char **words, size_t count)
{
	struct tg_protected_prefix admins[WORDS_MAX];
	for (size_t i = 1; i < count; i++) {
		admins[i - 1].kind = TG_PROTECT_ADMIN;
		if (tg_prefix_parse(words[i], &admins[i - 1].prefix))
			fail(g, "wants addresses");
	}
	struct tg_prefix_set *set = tg_prefix_set_create(admins, count - 1);
	step(g, (struct tg_event){.type = TG_EVENT_ADMINS, .admins = set});
	tg_prefix_set_destroy(g->admins);
	g->admins = set;
}

static void run_policy(struct golden *g, const char *path)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	struct tg_config *config = tg_config_load(path, NULL, &diag);
	if (!config) {
		struct tg_strbuf text;
		tg_strbuf_init(&text);
		tg_diag_print(&diag, &text);
		printf("# %s\n", text.text);
		tg_strbuf_finish(&text);
		fail(g, "the policy does not load");
	} else {
		if (g->policies == 0) {
			g->params = (struct tg_engine_params){
				.max_sources = config->max_sources,
				.max_flows = config->max_flows,
				.max_bans = g->max_bans ? g->max_bans : 1024,
				.seed = "golden traces 1",
			};
			g->engine = tg_engine_create(&g->params);
		}
		struct tg_ruleset *ruleset = tg_ruleset_create(config, &g->params, NULL);
		g->configs[g->policies] = config;
		g->rulesets[g->policies++] = ruleset;
		step(g, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
	}
	tg_diag_finish(&diag);
}

static int compare_sources(const void *a, const void *b)
{
	const struct tg_source_count *x = a, *y = b;
	int order = (int)x->source.addr.family - (int)y->source.addr.family;
	if (order == 0)
		order = memcmp(x->source.addr.bytes, y->source.addr.bytes, 16);
	if (order == 0)
		order = (int)x->source.len - (int)y->source.len;
	return order ? order : (int)x->policy - (int)y->policy;
}

static void run_show(struct golden *g)
{
	static struct tg_source_count sources[65536];
	size_t count = 0;
	uint32_t cursor = 0;
	while (count < ARRAY_SIZE(sources) &&
	       tg_engine_next_source(g->engine, &cursor, &sources[count]))
		count++;
	qsort(sources, count, sizeof(*sources), compare_sources);
	struct tg_engine_stats stats;
	tg_engine_stats(g->engine, &stats);
	tg_strbuf_printf(
		&g->out, "%.3f show flows %u sources %u bans %u observed %u pending %u%s%s\n",
		(double)g->now / (double)TG_SEC, stats.flows, stats.sources[0] + stats.sources[1],
		stats.bans_active, stats.bans_observed, stats.bans_pending,
		stats.stale ? " stale" : "", stats.braked ? " braked" : "");
	for (size_t i = 0; i < count && count <= 20; i++) {
		char text[TG_PREFIX_STRLEN];
		tg_strbuf_printf(&g->out, "\t%s %s", tg_prefix_format(&sources[i].source, text),
				 g->configs[g->policies - 1]->policies[sources[i].policy].name);
		for (unsigned s = 0; s < TG_TCP_STATE_COUNT; s++)
			if (sources[i].states[s] > 0)
				tg_strbuf_printf(&g->out, " %s %u",
						 tg_tcp_state_name((enum tg_tcp_state)s),
						 sources[i].states[s]);
		if (sources[i].idle > 0)
			tg_strbuf_printf(&g->out, " idle %u", sources[i].idle);
		if (sources[i].hosts > 0)
			tg_strbuf_printf(&g->out, " hosts %u", sources[i].hosts);
		if (sources[i].new_level > 0)
			tg_strbuf_printf(&g->out, " new %u", sources[i].new_level);
		tg_strbuf_putc(&g->out, '\n');
	}
}

static void run_resync(struct golden *g, const char *what)
{
	if (strcmp(what, "begin") == 0)
		step(g, (struct tg_event){.type = TG_EVENT_RESYNC_BEGIN});
	else if (strcmp(what, "end") == 0)
		step(g, (struct tg_event){.type = TG_EVENT_RESYNC_END});
	else
		step(g, (struct tg_event){.type = TG_EVENT_RESYNC_FAILED});
}

/* A prefix, or total/LIMIT. False: neither. */
static bool read_source(const char *text, struct tg_prefix *ret_source)
{
	if (strncmp(text, "total/", 6) != 0)
		return !tg_prefix_parse(text, ret_source);
	*ret_source = tg_ban_total(text + 6);
	return true;
}

static void run_adopt(struct golden *g, char **words, size_t count)
{
	struct tg_event event = {.type = TG_EVENT_ADOPT,
				 .adopt = {.action = TG_ACTION_DROP, .origin = TG_ORIGIN_AUTO}};
	if (count < 4 || !read_source(words[1], &event.adopt.source)) {
		fail(g, "wants PREFIX POLICY LIMIT [left=MS] [age=MS] [offence=N] "
			"[ACTION] [SCOPE] [stored] [record] [unproven]");
		return;
	}
	event.adopt.scope = TG_SCOPE_PORTS;
	snprintf(event.adopt.policy, sizeof(event.adopt.policy), "%s", words[2]);
	snprintf(event.adopt.limit, sizeof(event.adopt.limit), "%s", words[3]);
	for (size_t i = 4; i < count; i++) {
		if (strncmp(words[i], "left=", 5) == 0)
			event.adopt.left_ms = strtoull(words[i] + 5, NULL, 10);
		if (strncmp(words[i], "age=", 4) == 0)
			event.adopt.age_ms = strtoull(words[i] + 4, NULL, 10);
		if (strncmp(words[i], "offence=", 8) == 0)
			event.adopt.offence = (uint32_t)strtoul(words[i] + 8, NULL, 10);
		for (unsigned a = 0; a < TG_ACTION_COUNT; a++)
			if (strcmp(words[i], tg_action_name((enum tg_action)a)) == 0)
				event.adopt.action = (enum tg_action)a;
		for (unsigned s = 0; s < TG_SCOPE_COUNT; s++)
			if (strcmp(words[i], tg_scope_name((enum tg_scope)s)) == 0)
				event.adopt.scope = (enum tg_scope)s;
		event.adopt.stored |= strcmp(words[i], "stored") == 0;
		event.adopt.unproven |= strcmp(words[i], "unproven") == 0;
		if (strcmp(words[i], "record") == 0)
			event.adopt.record = event.adopt.stored = true;
	}
	if (event.adopt.action == TG_ACTION_RATE_LIMIT)
		event.adopt.to = (struct tg_rate){5, 1000};
	if (event.adopt.action == TG_ACTION_CAP)
		event.adopt.to.count = 2;
	if (strcmp(words[2], "-") == 0) {
		event.adopt.origin = TG_ORIGIN_OPERATOR;
		event.adopt.policy[0] = event.adopt.limit[0] = '\0';
	}
	step(g, event);
}

static void run_witness(struct golden *g, char **words, size_t count)
{
	struct tg_event event = {.type = TG_EVENT_WITNESS};
	if (count == 2) {
		g->silent_witness = strcmp(words[1], "none") == 0;
		return;
	}
	if (count != 5 || tg_prefix_parse(words[1], &event.witness.source)) {
		fail(g, "wants none, auto, or PREFIX POLICY LIMIT PROVEN");
		return;
	}
	snprintf(event.witness.policy, sizeof(event.witness.policy), "%s", words[2]);
	snprintf(event.witness.limit, sizeof(event.witness.limit), "%s", words[3]);
	event.witness.proven = (uint32_t)strtoul(words[4], NULL, 10);
	step(g, event);
}

static void run_traffic(struct golden *g, char **words, size_t count)
{
	struct tg_event event = {.type = TG_EVENT_TRAFFIC};
	if (count < 5 || count > 6 || !read_source(words[1], &event.traffic.source)) {
		fail(g, "wants PREFIX POLICY new|ports PACKETS [FINISHED]");
		return;
	}
	event.traffic.proxied = count == 6;
	if (event.traffic.proxied)
		event.traffic.finished = (uint32_t)strtoul(words[5], NULL, 10);
	snprintf(event.traffic.policy, sizeof(event.traffic.policy), "%s", words[2]);
	event.traffic.scope = strcmp(words[3], "ports") == 0 ? TG_SCOPE_PORTS : TG_SCOPE_NEW;
	event.traffic.packets = strtoull(words[4], NULL, 10);
	step(g, event);
}

static void run_requests(struct golden *g, char **words, size_t count)
{
	struct tg_event event = {.type = TG_EVENT_REQUESTS};
	if (count != 3) {
		fail(g, "wants POLICY COUNT");
		return;
	}
	snprintf(event.requests.policy, sizeof(event.requests.policy), "%s", words[1]);
	event.requests.count = (uint32_t)strtoul(words[2], NULL, 10);
	step(g, event);
}

static void run_fuse(struct golden *g, char **words, size_t count)
{
	/* Of a limit that no other is tighter than, if not said. */
	struct tg_event event = {.type = TG_EVENT_FUSE,
				 .fuse = {.threshold = UINT32_MAX, .window_ms = 1}};
	if ((count != 4 && count != 7) || !tg_addr_parse(words[1], &event.fuse.source)) {
		fail(g, "wants ADDRESS POLICY LIMIT [COUNT MS BURST]");
		return;
	}
	snprintf(event.fuse.policy, sizeof(event.fuse.policy), "%s", words[2]);
	snprintf(event.fuse.limit, sizeof(event.fuse.limit), "%s", words[3]);
	if (count == 7) {
		event.fuse.threshold = (uint32_t)strtoul(words[4], NULL, 10);
		event.fuse.window_ms = (uint32_t)strtoul(words[5], NULL, 10);
		event.fuse.burst = (uint32_t)strtoul(words[6], NULL, 10);
	}
	step(g, event);
}

static void run_words(struct golden *g, char **words, size_t count)
{
	const char *verb = words[0];
	const char *arg = count > 1 ? words[1] : "";
	if (strcmp(verb, "policy") == 0) {
		char path[512];
		const char *slash = strrchr(g->base, '/');
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - g->base), g->base, arg);
		run_policy(g, path);
	} else if (strcmp(verb, "max-bans") == 0) {
		g->max_bans = (uint32_t)strtoul(arg, NULL, 10);
	} else if (!g->engine) {
		fail(g, "no policy yet");
	} else if (strcmp(verb, "at") == 0) {
		g->now = (tg_time)(strtod(arg, NULL) * 1000 + 0.5) * TG_MSEC;
		step(g, (struct tg_event){.type = TG_EVENT_TICK});
	} else if (strcmp(verb, "new") == 0) {
		run_flow(g, TG_EVENT_FLOW_NEW, words, count);
	} else if (strcmp(verb, "state") == 0) {
		run_flow(g, TG_EVENT_FLOW_STATE, words, count);
	} else if (strcmp(verb, "end") == 0) {
		run_flow(g, TG_EVENT_FLOW_END, words, count);
	} else if (strcmp(verb, "gap") == 0) {
		step(g, (struct tg_event){.type = TG_EVENT_GAP, .lost = strtoull(arg, NULL, 10)});
	} else if (strcmp(verb, "feed") == 0) {
		step(g, (struct tg_event){.type = TG_EVENT_FEED,
					  .feed = (enum tg_feed_step)strtoul(arg, NULL, 10)});
	} else if (strcmp(verb, "requests") == 0) {
		run_requests(g, words, count);
	} else if (strcmp(verb, "resync") == 0) {
		run_resync(g, arg);
	} else if (strcmp(verb, "ban") == 0) {
		run_request(g, TG_EVENT_OPERATOR_BAN, words, count);
	} else if (strcmp(verb, "unban") == 0) {
		run_request(g, TG_EVENT_OPERATOR_UNBAN, words, count);
	} else if (strcmp(verb, "adopt") == 0) {
		run_adopt(g, words, count);
	} else if (strcmp(verb, "witness") == 0) {
		run_witness(g, words, count);
	} else if (strcmp(verb, "probes") == 0) {
		g->show_probes = true;
	} else if (strcmp(verb, "traffic") == 0) {
		run_traffic(g, words, count);
	} else if (strcmp(verb, "fuse") == 0) {
		run_fuse(g, words, count);
	} else if (strcmp(verb, "protect") == 0) {
		run_protect(g, words, count);
	} else if (strcmp(verb, "admins") == 0) {
		run_admins(g, words, count);
	} else if (strcmp(verb, "panic") == 0) {
		step(g, (struct tg_event){.type = TG_EVENT_PANIC, .panic = strcmp(arg, "on") == 0});
	} else if (strcmp(verb, "lost") == 0) {
		step(g, (struct tg_event){.type = TG_EVENT_SINK_LOST});
	} else if (strcmp(verb, "acks") == 0) {
		g->ack_error = strcmp(arg, "fail") == 0 ? EIO : 0;
		g->no_ack = strcmp(arg, "none") == 0;
	} else if (strcmp(verb, "show") == 0) {
		run_show(g);
	} else {
		fail(g, "unknown verb");
	}
}

static void run_script(struct golden *g, FILE *script)
{
	char line[1024];
	while (fgets(line, sizeof(line), script)) {
		char *words[WORDS_MAX];
		size_t count = 0;
		g->line++;
		line[strcspn(line, "#\n")] = '\0';
		for (char *save = NULL, *word = strtok_r(line, " \t", &save);
		     word && count < WORDS_MAX; word = strtok_r(NULL, " \t", &save))
			words[count++] = word;
		if (count > 0)
			run_words(g, words, count);
	}
}

static bool run_golden(const char *base, struct tg_strbuf *ret_out)
{
	char path[512];
	snprintf(path, sizeof(path), "%s.events", base);
	_cleanup_fclose_ FILE *script = fopen(path, "re");
	if (!script) {
		printf("# cannot read %s\n", path);
		return false;
	}
	struct golden g = {.base = base};
	tg_strbuf_init(&g.out);
	run_script(&g, script);
	tg_engine_destroy(g.engine);
	for (size_t i = 0; i < g.policies; i++) {
		tg_ruleset_destroy(g.rulesets[i]);
		tg_config_destroy(g.configs[i]);
	}
	tg_prefix_set_destroy(g.set);
	tg_prefix_set_destroy(g.admins);
	*ret_out = g.out;
	return !g.failed;
}

static bool read_file(const char *path, struct tg_strbuf *out)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char chunk[4096];
	for (size_t n = 1; file && n > 0;) {
		n = fread(chunk, 1, sizeof(chunk), file);
		tg_strbuf_append(out, chunk, n);
	}
	return file != NULL;
}

/* Where they part, a line of each: a whole file of decisions helps nobody. */
static void print_difference(const char *want, const char *got)
{
	unsigned line = 1;
	const char *w = want, *g = got;
	for (; *want && *want == *got; want++, got++) {
		if (*want != '\n')
			continue;
		line++;
		w = want + 1;
		g = got + 1;
	}
	printf("# line %u\n# want %.*s\n# got  %.*s\n", line, (int)strcspn(w, "\n"), w,
	       (int)strcspn(g, "\n"), g);
}

int main(int argc, char **argv)
{
	const bool write = argc == 3 && strcmp(argv[1], "--write") == 0;
	if (argc != 2 && !write) {
		fprintf(stderr, "usage: golden [--write] DIR/NAME\n");
		return 2;
	}
	const char *base = argv[argc - 1];
	char path[512];
	struct tg_strbuf first, second, want;
	tg_strbuf_init(&first);
	tg_strbuf_init(&second);
	tg_strbuf_init(&want);
	snprintf(path, sizeof(path), "%s.out", base);
	bool ok = run_golden(base, &first) && run_golden(base, &second);
	if (write && ok) {
		_cleanup_fclose_ FILE *out = fopen(path, "we");
		ok = out && fputs(first.text, out) >= 0;
	}
	ok = ok && read_file(path, &want);
	const bool same = ok && strcmp(first.text, want.text) == 0;
	if (ok && !same)
		print_difference(want.text, first.text);
	const bool again = ok && strcmp(first.text, second.text) == 0;
	printf("%sok 1 - decisions are those of %s\n", same ? "" : "not ", strrchr(path, '/') + 1);
	printf("%sok 2 - a second run decides the same\n1..2\n", again ? "" : "not ");
	tg_strbuf_finish(&first);
	tg_strbuf_finish(&second);
	tg_strbuf_finish(&want);
	return same && again ? 0 : 1;
}
