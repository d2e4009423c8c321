/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "step_world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "base/util.h"

/* The engine counts quarter seconds in 32 bits, which is for 34 years; what settles is on top. */
#define TIME_MOST (20 * 365 * 86400 * TG_SEC)
#define EVENTS_MOST 1000
/* To make a ruleset takes as long as some hundred events. */
#define POLICIES_MOST 3

void step_require(struct step_world *w, bool holds, const char *what, const char *file,
		  unsigned line)
{
	if (holds || w->wrong)
		return;
	w->wrong = what;
	w->wrong_file = file;
	w->wrong_line = line;
}

static void hash_bytes(struct step_world *w, const void *bytes, size_t size)
{
	const uint8_t *b = bytes;
	for (size_t i = 0; i < size; i++)
		w->hash = (w->hash ^ b[i]) * UINT64_C(0x100000001b3);
}

static void hash_number(struct step_world *w, uint64_t number)
{
	hash_bytes(w, &number, sizeof(number));
}

static void hash_prefix(struct step_world *w, const struct tg_prefix *prefix)
{
	hash_bytes(w, prefix->addr.bytes, sizeof(prefix->addr.bytes));
	hash_number(w, prefix->addr.family << 8 | prefix->len);
}

/* By field, because padding may hold anything. */
static void hash_decision(struct step_world *w, const struct tg_decision *d)
{
	hash_number(w, d->type);
	hash_number(w, d->cause);
	hash_number(w, d->at);
	hash_number(w, d->request);
	if (d->type == TG_DECISION_VERIFY) {
		hash_bytes(w, &d->flow, sizeof(d->flow));
		return;
	}
	const struct tg_ban *b = &d->ban;
	const uint64_t numbers[] = {b->id,         b->version,     b->action,    b->scope,
				    b->origin,     b->policy,      b->limit,     b->enforced,
				    b->unproven,   b->to.count,    b->to.per_ms, b->measured,
				    b->threshold,  b->offence,     b->since,     b->until,
				    d->has_sample, d->covers_kind, b->kill,      d->renewed};
	hash_prefix(w, &b->source);
	hash_prefix(w, &d->covers);
	hash_bytes(w, numbers, sizeof(numbers));
	hash_bytes(w, b->reason, strlen(b->reason));
	if (d->has_sample)
		hash_bytes(w, &d->sample, sizeof(d->sample));
}

static void trace_decision(const struct step_world *w, const struct tg_decision *d)
{
	static const char *const types[] = {"BAN",    "LIFT",    "EXPIRE", "REFUSE",
					    "VERIFY", "WITNESS", "PROBE",  "KILL"};
	char source[TG_PREFIX_STRLEN];
	if (!w->trace || d->type == TG_DECISION_VERIFY)
		return;
	(void)fprintf(w->trace,
		      "    %s %s #%" PRIu32 ".%" PRIu32
		      " %s %s/%s policy %u limit %u measured %" PRIu32 " threshold %" PRIu32
		      " offence %" PRIu32 "%s%s until %.3f\n",
		      types[d->type], tg_cause_name(d->cause), d->ban.id, d->ban.version,
		      tg_prefix_format(&d->ban.source, source), tg_action_name(d->ban.action),
		      tg_scope_name(d->ban.scope), d->ban.policy, d->ban.limit, d->ban.measured,
		      d->ban.threshold, d->ban.offence, d->ban.enforced ? " enforced" : "",
		      d->ban.unproven ? " unproven" : "", (double)d->ban.until / 1e9);
}

static void take_decision(struct step_world *w, const struct tg_decision *d,
			  const struct tg_event *event)
{
	trace_decision(w, d);
	hash_decision(w, d);
	step_check_decision(w, d, event);
	step_kernel_take(w, d);
	w->decisions[d->type % TG_DECISION_COUNT]++;
	if (d->type == TG_DECISION_BAN) {
		w->actions[d->ban.action]++;
		w->renewed += d->renewed;
		w->unproven += d->ban.unproven;
		w->totals += tg_prefix_is_total(&d->ban.source);
		w->again += d->ban.offence > 1;
	} else if (d->type == TG_DECISION_VERIFY && w->verify_count < STEP_ASKED_MAX) {
		w->verify[w->verify_count++] = d->flow;
	} else if (d->type == TG_DECISION_WITNESS && w->witness_count < STEP_ASKED_MAX) {
		w->witness[w->witness_count++] = d->ban;
	} else if (d->type == TG_DECISION_PROBE && w->probe_count < STEP_ASKED_MAX) {
		w->probe[w->probe_count++] = d->ban;
	}
}

static void trace_event(const struct step_world *w, const struct tg_event *event)
{
	static const char *const types[] = {
		"FLOW_NEW",       "FLOW_STATE",    "FLOW_END",  "GAP",  "RESYNC_BEGIN",
		"RESYNC_END",     "RESYNC_FAILED", "TICK",      "ACK",  "ADOPT",
		"SINK_LOST",      "WITNESS",       "TRAFFIC",   "FUSE", "OPERATOR_BAN",
		"OPERATOR_UNBAN", "PANIC",         "PROTECTED", "FEED", "REQUESTS",
		"ADMINS",         "POLICY"};
	char src[TG_ADDR_STRLEN], dst[TG_ADDR_STRLEN];
	if (!w->trace)
		return;
	(void)fprintf(w->trace, "%.3f %s", (double)event->at / 1e9, types[event->type]);
	if (event->type <= TG_EVENT_FLOW_END) {
		const struct tg_addr a = step_key_addr(&event->flow.key, event->flow.key.src);
		const struct tg_addr b = step_key_addr(&event->flow.key, event->flow.key.dst);
		(void)fprintf(w->trace, " %s %u > %s %u zone %u state %u%s%s timeout %" PRIu32,
			      tg_addr_format(&a, src), event->flow.key.sport,
			      tg_addr_format(&b, dst), event->flow.key.dport, event->flow.key.zone,
			      event->flow.state, event->flow.dumped ? " dumped" : "",
			      event->flow.answered ? " answered" : "", event->flow.timeout_s);
		if (event->flow.counted)
			(void)fprintf(w->trace, " packets %" PRIu64 " bytes %" PRIu64,
				      event->flow.packets, event->flow.bytes);
	} else if (event->type == TG_EVENT_WITNESS) {
		(void)fprintf(w->trace, " %s %s proven %" PRIu32, event->witness.policy,
			      event->witness.limit, event->witness.proven);
	} else if (event->type == TG_EVENT_ACK) {
		(void)fprintf(w->trace, " #%" PRIu32 ".%" PRIu32 " error %d", event->ack.ban,
			      event->ack.version, event->ack.error);
	}
	(void)fprintf(w->trace, "\n");
}

/* One event, and everything that it makes the engine tell. */
static void send(struct step_world *w, const struct tg_event *event)
{
	struct tg_decision decisions[5];
	size_t count, all = 0;
	if (w->wrong)
		return;
	trace_event(w, event);
	const unsigned before = allocations;
	tg_engine_step(w->engine, event);
	const size_t cap = 1 + w->told_events++ % ARRAY_SIZE(decisions);
	do {
		/* Whatever was there before must not show. */
		memset(decisions, (int)(w->told_events & 0xff), sizeof(decisions));
		count = tg_engine_take(w->engine, decisions, cap);
		STEP_REQUIRE(w, count <= cap && allocations == before);
		all += count;
		for (size_t i = 0; i < MIN(count, cap); i++)
			take_decision(w, &decisions[i], event);
	} while (count == cap && !w->wrong);
	step_kernel_expire(w);
	step_check(w, event, all > 0);
	if (w->told_events % 128 == 0 || w->stats.flows < 4)
		step_check_counts(w);
}

static void tell(struct step_world *w, struct tg_event event)
{
	if (event.at == 0)
		event.at = w->now;
	send(w, &event);
	w->last = event;
	while (w->acks_at_once && w->pending_count > 0 && !w->wrong) {
		event = step_kernel_answer(w, 0);
		event.at = w->now;
		send(w, &event);
	}
}

static void tell_simple(struct step_world *w, enum tg_event_type type)
{
	tell(w, (struct tg_event){.type = type});
}

static void tell_flow(struct step_world *w, enum tg_event_type type, uint8_t a, uint8_t b,
		      uint8_t how)
{
	static const uint32_t timeouts[] = {0, 5, 60, 100000};
	tell(w, (struct tg_event){.type = type,
				  .flow = {.key = step_key(a, b),
					   .state = (how & 0x0f) % (TG_TCP_STATE_COUNT + 1),
					   .timeout_s = timeouts[how >> 4 & 3],
					   .dumped = how & 0x40,
					   .answered = how & 0x80}});
}

/* Payload is what goes beyond the headers. */
static void tell_counters(struct step_world *w, const struct tg_flow_key *key, uint8_t how,
			  bool answered)
{
	static const uint64_t payload[] = {0, 1, 1000, UINT64_C(0xffffffffff)};
	const uint64_t packets = how & 0x3f;
	tell(w, (struct tg_event){.type = TG_EVENT_FLOW_STATE,
				  .flow = {.key = *key,
					   .state = TG_TCP_ESTABLISHED,
					   .timeout_s = 100000,
					   .counted = true,
					   .answered = answered,
					   .packets = packets,
					   .bytes = packets * (key->family == TG_IPV4 ? 52 : 72) +
						    payload[how >> 6]}});
}

static void pass_time(struct step_world *w, tg_time by)
{
	w->now += by;
	tell_simple(w, TG_EVENT_TICK);
}

/* A dump of n flows, whole: then the engine knows these and no others. */
static void resync(struct step_world *w, struct step_input *input, unsigned n)
{
	struct tg_flow_key dumped[16];
	size_t count = 0;
	const struct tg_engine_stats before = w->stats;
	tell_simple(w, TG_EVENT_RESYNC_BEGIN);
	for (unsigned i = 0; i < n && !w->wrong; i++) {
		const uint8_t a = step_byte(input), b = step_byte(input) & 0x7f;
		const uint8_t state = (uint8_t)(b ^ a) % TG_TCP_STATE_COUNT;
		tell_flow(w, TG_EVENT_FLOW_STATE, a, b, state | 0x70);
		const struct tg_flow_key key = step_key(a, b);
		const struct tg_addr src = step_key_addr(&key, key.src);
		bool known = step_is_own(w, &src);
		for (size_t k = 0; k < count; k++)
			known |= memcmp(&dumped[k], &key, sizeof(key)) == 0;
		if (!known)
			dumped[count++] = key;
	}
	tell_simple(w, TG_EVENT_RESYNC_END);
	if (w->stats.flows_refused != before.flows_refused ||
	    w->stats.flows_evicted != before.flows_evicted)
		return;
	step_read_flows(w);
	size_t others = 0;
	for (size_t i = 0; i < w->flow_count; i++) {
		const struct tg_addr src = step_key_addr(&w->flows[i].key, w->flows[i].key.src);
		others += !step_is_own(w, &src);
	}
	STEP_REQUIRE(w, others == count);
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		while (k < w->flow_count && memcmp(&w->flows[k].key, &dumped[i], 40) != 0)
			k++;
		STEP_REQUIRE(w, k < w->flow_count);
	}
	STEP_REQUIRE(w, w->stats.stale == (w->stats.feed != TG_FEED_ALL) && !w->stats.resyncing);
	step_check_counts(w);
}

static struct tg_prefix any_source(const struct step_world *w, uint8_t a, uint8_t how)
{
	static const uint8_t lengths[TG_FAMILY_COUNT][4] = {{32, 24, 30, 28}, {64, 48, 128, 56}};
	(void)w;
	const struct tg_addr addr = step_addr(a);
	return tg_addr_mask(&addr, lengths[addr.family][how & 3]);
}

static const struct tg_limit *any_limit(const struct step_world *w, uint8_t which,
					const struct tg_policy **ret_policy)
{
	const struct tg_config *config = &w->config->config;
	*ret_policy = &config->policies[(which & 3) % config->policy_count];
	return &(*ret_policy)->limits[(which >> 2 & 3) % (*ret_policy)->limit_count];
}

static void set_name(char name[TG_NAME_MAX + 1], const char *from)
{
	(void)snprintf(name, TG_NAME_MAX + 1, "%s", from); /* names are short */
}

static void add_proof(struct step_world *w, const char *policy, const struct tg_prefix *source,
		      bool adopted)
{
	w->overflow |= w->proof_count == STEP_PROOFS_MAX;
	if (w->proof_count < STEP_PROOFS_MAX)
		w->proofs[w->proof_count++] = (struct step_proof){policy, *source, adopted};
}

/* A ban may be of another policy's time, and of its threshold. */
static uint32_t least_threshold(const struct step_world *w, const char *policy, const char *limit)
{
	uint32_t least = UINT32_MAX;
	for (unsigned c = 0; c < STEP_CONFIGS; c++) {
		const struct tg_config *config = &w->configs[c].config;
		for (size_t p = 0; p < config->policy_count; p++) {
			const struct tg_policy *in = &config->policies[p];
			for (size_t i = 0; i < in->limit_count; i++)
				if (strcmp(in->name, policy) == 0 &&
				    strcmp(in->limits[i].name, limit) == 0)
					least = MIN(least,
						    in->limits[i].threshold + in->limits[i].burst);
		}
	}
	return least;
}

static void tell_witness(struct step_world *w, const struct tg_prefix *source,
			 const struct tg_policy *policy, const struct tg_limit *limit, unsigned how)
{
	const uint32_t threshold = limit->threshold + limit->burst;
	const uint32_t proven[] = {0, threshold, threshold + 1, UINT32_MAX};
	struct tg_event event = {.type = TG_EVENT_WITNESS,
				 .witness = {.source = *source, .proven = proven[how & 3]}};
	set_name(event.witness.policy, policy->name);
	set_name(event.witness.limit, limit->name);
	if (event.witness.proven > least_threshold(w, policy->name, limit->name))
		add_proof(w, policy->name, source, false);
	tell(w, event);
}

static void answer_witness(struct step_world *w, unsigned how)
{
	if (w->witness_count == 0)
		return;
	const struct tg_ban ban = w->witness[--w->witness_count];
	const struct tg_config *config = &w->config->config;
	if (ban.policy < config->policy_count &&
	    ban.limit < config->policies[ban.policy].limit_count)
		tell_witness(w, &ban.source, &config->policies[ban.policy],
			     &config->policies[ban.policy].limits[ban.limit], how);
}

static void tell_traffic(struct step_world *w, const struct tg_prefix *source, enum tg_scope scope,
			 bool proxied, const char *policy, unsigned how)
{
	static const uint64_t packets[] = {0, 1, 10, 100, 10000, 1, UINT64_MAX, 50};
	struct tg_event event = {
		.type = TG_EVENT_TRAFFIC,
		.traffic = {.source = *source, .scope = scope, .packets = packets[how & 7]}};
	event.traffic.proxied = proxied;
	event.traffic.finished = proxied ? (uint32_t)packets[how >> 3 & 7] / 2 : 0;
	set_name(event.traffic.policy, policy);
	tell(w, event);
}

/* Who has sent too many SYNs, as the packet path says, or so it looks. */
static void tell_fuse(struct step_world *w, uint8_t a, uint8_t which)
{
	const struct tg_policy *policy;
	const struct tg_limit *limit = any_limit(w, which, &policy);
	struct tg_event event = {.type = TG_EVENT_FUSE,
				 .fuse = {.source = step_addr(a),
					  .threshold = 1 + (which >> 4),
					  .window_ms = 1000,
					  .burst = which & 3}};
	set_name(event.fuse.policy, policy->name);
	set_name(event.fuse.limit, limit->name);
	tell(w, event);
}

static void answer_probe(struct step_world *w, unsigned how)
{
	if (w->probe_count == 0)
		return;
	const struct tg_ban ban = w->probe[--w->probe_count];
	const struct tg_config *config = &w->config->config;
	if (ban.policy < config->policy_count)
		tell_traffic(w, &ban.source, ban.scope, ban.action == TG_ACTION_SYNPROXY,
			     config->policies[ban.policy].name, how);
}

static void answer_verify(struct step_world *w, unsigned how)
{
	if (w->verify_count == 0)
		return;
	struct tg_event event = {.type = TG_EVENT_FLOW_STATE,
				 .flow = {.key = w->verify[--w->verify_count],
					  .state = TG_TCP_ESTABLISHED,
					  .timeout_s = 100000,
					  .answered = true}};
	if (how == 0) {
		event.type = TG_EVENT_FLOW_END;
		event.flow.state = TG_TCP_UNKNOWN;
		tell(w, event);
	} else if (how == 1) {
		tell(w, event);
	} else {
		tell_counters(w, &event.flow.key, (uint8_t)(how << 5 | 9), true);
	}
}

/* The kernel had it before the engine began, or the state directory knows of it, or so it looks. */
static void adopt(struct step_world *w, uint8_t a, uint8_t which, uint8_t how)
{
	static const uint64_t left[] = {0, 1500, 60000, 3600 * 1000};
	static const enum tg_action actions[] = {TG_ACTION_RATE_LIMIT, TG_ACTION_DROP,
						 TG_ACTION_CAP, TG_ACTION_REJECT};
	const struct tg_policy *policy;
	const struct tg_limit *limit = any_limit(w, which, &policy);
	const bool by_hand = how & 0x80, stored = which & 0x10;
	struct tg_event event = {.type = TG_EVENT_ADOPT,
				 .adopt = {.stored = stored,
					   .record = stored && which & 0x20,
					   .unproven = which & 0x40,
					   .source = any_source(w, a, how),
					   .action = actions[(how >> 2 & 1) | (which >> 6 & 2)],
					   .to = {5, 1000},
					   .measured = 20,
					   .threshold = 10,
					   .offence = how >> 5 & 3,
					   .age_ms = 1000,
					   .left_ms = left[how >> 3 & 3]}};
	struct tg_adopt *adopt = &event.adopt;
	if (adopt->action == TG_ACTION_CAP)
		adopt->to.per_ms = 0;
	if (adopt->action > TG_ACTION_CAP)
		adopt->scope = by_hand || a & 8 ? TG_SCOPE_EVERYTHING : TG_SCOPE_PORTS;
	adopt->origin = by_hand ? TG_ORIGIN_OPERATOR : TG_ORIGIN_AUTO;
	const struct step_element element = {
		.policy = by_hand ? NULL : policy->name,
		.source = adopt->source,
		.scope = adopt->scope,
		.action = adopt->action,
		.to = adopt->to,
		.until = adopt->left_ms ? w->now + adopt->left_ms * TG_MSEC : TG_NEVER,
		.wild = true,
	};
	if (limit->total || (!stored && !step_kernel_add(w, &element)))
		return;
	if (!by_hand) {
		set_name(adopt->policy, policy->name);
		set_name(adopt->limit, limit->name);
		/* A drop of a daemon before this one was proven to that. */
		if (adopt->action > TG_ACTION_RATE_LIMIT && !adopt->unproven && !adopt->record)
			add_proof(w, policy->name, &adopt->source, true);
	}
	tell(w, event);
}

static void by_hand(struct step_world *w, bool ban, uint8_t a, uint8_t how)
{
	static const uint64_t expire[] = {1000, 60000, 3600 * 1000, TG_DURATION_MAX_MS};
	static const enum tg_action actions[] = {TG_ACTION_RATE_LIMIT, TG_ACTION_DROP,
						 TG_ACTION_CAP, TG_ACTION_REJECT};
	struct tg_event event = {
		.type = ban ? TG_EVENT_OPERATOR_BAN : TG_EVENT_OPERATOR_UNBAN,
		.request = {.request = 1 + (uint32_t)w->told_events,
			    .source = any_source(w, a, how),
			    .all = !ban && how >> 5 == 7,
			    .action = actions[(how >> 2 & 1) | (how >> 4 & 2)],
			    .scope = how & 0x80 ? TG_SCOPE_NEW : TG_SCOPE_EVERYTHING,
			    .force = how & 0x40,
			    .to = {5, how & 0x20 && !(how & 4) ? 0 : 1000},
			    .expire_ms = expire[how >> 3 & 3],
			    .reason = "by hand"}};
	tell(w, event);
}

/* What the kernel had to do is done by then: policies are changed between two turns. */
static void change_policy(struct step_world *w, unsigned which)
{
	if (w->policies == POLICIES_MOST)
		return;
	w->policies++;
	w->braked_count = 0;
	while (w->pending_count > 0 && !w->wrong) {
		struct tg_event event = step_kernel_answer(w, 0);
		event.at = w->now;
		send(w, &event);
	}
	struct tg_ruleset *old = w->ruleset;
	const struct step_config *config = &w->configs[which % STEP_CONFIGS];
	struct tg_ruleset *ruleset = tg_ruleset_create(&config->config, &w->params, NULL);
	if (!ruleset)
		return;
	step_kernel_policy(w, &config->config);
	w->config = config;
	w->ruleset = ruleset;
	w->memory = 0;
	w->witness_count = w->probe_count = 0; /* they number the old policy's limits */
	tell(w, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = ruleset});
	tg_ruleset_destroy(old);
	step_check_counts(w);
}

static void protect(struct step_world *w, unsigned which)
{
	w->protected = which % STEP_PROTECTED;
	tell(w, (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = w->sets[w->protected]});
	step_check_counts(w);
}

/* One connection's life, up to some point; or of many at once. */
static void live(struct step_world *w, uint8_t a, uint8_t b, unsigned to)
{
	static const uint8_t states[] = {TG_TCP_SYN_SENT, TG_TCP_SYN_RECV, TG_TCP_ESTABLISHED,
					 TG_TCP_FIN_WAIT, TG_TCP_LAST_ACK, TG_TCP_TIME_WAIT,
					 TG_TCP_CLOSE};
	tell_flow(w, TG_EVENT_FLOW_NEW, a, b, 0);
	for (unsigned i = 1; i < MIN(to, ARRAY_SIZE(states)); i++)
		tell_flow(w, TG_EVENT_FLOW_STATE, a, b, states[i] | 0x30);
	if (to == ARRAY_SIZE(states))
		tell_flow(w, TG_EVENT_FLOW_END, a, b, TG_TCP_UNKNOWN);
}

static void tell_many(struct step_world *w, struct step_input *input, bool wide, unsigned to)
{
	const uint8_t a = step_byte(input), b = step_byte(input), n = step_byte(input);
	for (unsigned i = 0; i <= n % 24u && !w->wrong; i++) {
		const uint8_t net = a & 0xe0, port = b & 0xf8;
		if (wide)
			live(w, (uint8_t)(net | ((a + i) & 0x1f)), b, to);
		else
			live(w, a, (uint8_t)(i < 8 ? port | ((b + i) & 7) : b + i * 5), to);
	}
}

static void tell_asked(struct step_world *w, struct step_input *input, unsigned op, unsigned p)
{
	const struct tg_policy *policy;
	uint8_t a, b;
	switch (op) {
	case 19:
		answer_witness(w, p);
		break;
	case 20:
		a = step_byte(input);
		b = step_byte(input);
		const struct tg_limit *limit = any_limit(w, b, &policy);
		const struct tg_prefix source = any_source(w, a, p);
		tell_witness(w, &source, policy, limit, b >> 6);
		break;
	case 21:
		answer_probe(w, p);
		break;
	case 22:
		a = step_byte(input);
		b = step_byte(input);
		(void)any_limit(w, b, &policy);
		const struct tg_prefix other = any_source(w, a, p);
		tell_traffic(w, &other, (b >> 4) % TG_SCOPE_COUNT, false,
			     b & 0x80 ? "" : policy->name, p);
		break;
	case 23:
		answer_verify(w, p);
		break;
	default:
		break;
	}
}

/* Panic; how much conntrack tells; or what the sockets say meanwhile. */
static void tell_told(struct step_world *w, struct step_input *input, unsigned p)
{
	const struct tg_policy *policy;
	struct tg_event event = {.type = TG_EVENT_PANIC, .panic = p & 1};
	if (p >= 2 + TG_FEED_STEP_COUNT) {
		event = (struct tg_event){.type = TG_EVENT_REQUESTS};
		(void)any_limit(w, step_byte(input), &policy);
		set_name(event.requests.policy, policy->name);
		event.requests.count = 1u << (step_byte(input) & 0x1f);
	} else if (p >= 2) {
		event = (struct tg_event){.type = TG_EVENT_FEED,
					  .feed = (enum tg_feed_step)(p - 2)};
	}
	tell(w, event);
}

static void tell_rest(struct step_world *w, struct step_input *input, unsigned op, unsigned p)
{
	uint8_t a;
	switch (op) {
	case 15:
	case 16:
		for (size_t n = op == 15 ? 1 : w->pending_count; n > 0 && w->pending_count > 0; n--)
			tell(w, step_kernel_answer(w, p >= 6 ? -EBUSY : 0));
		break;
	case 17:
		a = step_byte(input);
		const uint8_t which = step_byte(input);
		adopt(w, a, which, step_byte(input));
		break;
	case 18:
		w->element_count = 0;
		tell_simple(w, TG_EVENT_SINK_LOST);
		break;
	case 24:
	case 25:
		a = step_byte(input);
		by_hand(w, op == 24, a, step_byte(input));
		break;
	case 26:
		tell_told(w, input, p);
		break;
	case 27:
		protect(w, p);
		break;
	case 28:
		change_policy(w, p);
		break;
	case 29:
		/* An old POLICY or PROTECTED is gone by now. */
		for (unsigned i = 0; i <= p && w->last.type <= TG_EVENT_PANIC && !w->wrong; i++)
			send(w, &w->last);
		break;
	case 31:
		w->admins = w->admin_sets[p % STEP_ADMINS];
		tell(w, (struct tg_event){.type = TG_EVENT_ADMINS, .admins = w->admins});
		break;
	case 30:
		while (w->verify_count > 0 && !w->wrong)
			answer_verify(w, p);
		break;
	default:
		tell_asked(w, input, op, p);
		break;
	}
}

static void tell_next(struct step_world *w, struct step_input *input)
{
	static const tg_time waits[] = {TG_MSEC,
					100 * TG_MSEC,
					250 * TG_MSEC,
					TG_SEC,
					3 * TG_SEC,
					20 * TG_SEC,
					70 * TG_SEC,
					600 * TG_SEC,
					3600 * TG_SEC,
					86400 * TG_SEC,
					8 * 86400 * TG_SEC,
					370 * 86400 * TG_SEC,
					0,
					130 * TG_SEC,
					6 * TG_SEC,
					61 * TG_SEC};
	const uint8_t code = step_byte(input);
	const unsigned op = code & 0x1f, p = code >> 5;
	uint8_t a, b;
	switch (op) {
	case 0:
	case 1:
	case 2:
		a = step_byte(input);
		b = step_byte(input);
		tell_flow(w, (enum tg_event_type)(TG_EVENT_FLOW_NEW + op), a, b, step_byte(input));
		break;
	case 3:
		a = step_byte(input);
		const struct tg_flow_key key = step_key(a, step_byte(input));
		tell_counters(w, &key, step_byte(input), p & 1);
		break;
	case 4:
		a = step_byte(input);
		b = step_byte(input);
		live(w, a, b, p);
		break;
	case 5:
	case 6:
		tell_many(w, input, op == 6, p);
		break;
	case 7:
	case 8:
		pass_time(w, MIN(waits[(op - 7) * 8 + p], TIME_MOST - w->now));
		break;
	case 9:
		tell(w, (struct tg_event){.type = TG_EVENT_GAP, .lost = p});
		break;
	case 10:
	case 11:
	case 12:
		tell_simple(w, (enum tg_event_type)(TG_EVENT_RESYNC_BEGIN + op - 10));
		break;
	case 13:
		resync(w, input, p * 2);
		break;
	case 14:
		if (p >= 4) {
			a = step_byte(input);
			tell_fuse(w, a, step_byte(input));
			break;
		}
		/* Time that goes back is taken as standing still. */
		tell(w, (struct tg_event){.type = TG_EVENT_TICK,
					  .at = w->now - MIN(w->now, p * TG_SEC)});
		break;
	default:
		tell_rest(w, input, op, p);
		break;
	}
}

/* The kernel answers everything, and what it had refused before: then both know the same. */
static void settle(struct step_world *w)
{
	for (unsigned i = 0; i < 8 && !w->wrong; i++) {
		pass_time(w, 5 * TG_SEC);
		while (w->pending_count > 0 && !w->wrong)
			tell(w, step_kernel_answer(w, 0));
	}
	step_check_counts(w);
	step_kernel_check(w);
	if (!w->overflow)
		STEP_REQUIRE(w, w->stats.bans_pending == 0);
}

static bool prepare(struct step_world *w, const uint8_t *data, size_t size)
{
	uint8_t head[STEP_HEAD_SIZE] = {0};
	memcpy(head, data, MIN(size, sizeof(head)));
	const uint8_t *change = head + STEP_CONFIG_SIZE;
	for (unsigned i = 0; i < STEP_CONFIGS; i++) {
		step_config_read(&w->configs[i], head);
		/* The next one is this one, with a few bytes changed. */
		for (unsigned k = 0; i + 1 < STEP_CONFIGS && k < STEP_CHANGES; k++, change += 2)
			head[change[0] % STEP_CONFIG_SIZE] = change[1];
	}
	w->params = step_params_read(head);
	w->acks_at_once = head[0] & 0x80;
	w->config = &w->configs[0];
	w->ruleset = tg_ruleset_create(&w->config->config, &w->params, NULL);
	w->engine = tg_engine_create(&w->params);
	bool made = w->ruleset && w->engine;
	for (unsigned i = 0; i < STEP_PROTECTED; i++) {
		w->members[i] = step_protected_of(i);
		w->sets[i] = tg_prefix_set_create(w->members[i].members, w->members[i].count);
		made = made && w->sets[i];
	}
	for (unsigned i = 0; i < STEP_ADMINS; i++) {
		const struct tg_addr admin = step_addr(i == 1 ? 0x01 : 0x82);
		const struct tg_protected_prefix member = {
			{admin, tg_family_bits((enum tg_family)admin.family)}, TG_PROTECT_ADMIN};
		w->admin_sets[i] = tg_prefix_set_create(&member, i > 0);
		made = made && w->admin_sets[i];
	}
	return made;
}

static void finish(struct step_world *w)
{
	tg_engine_destroy(w->engine);
	tg_ruleset_destroy(w->ruleset);
	for (unsigned i = 0; i < STEP_PROTECTED; i++)
		tg_prefix_set_destroy(w->sets[i]);
	for (unsigned i = 0; i < STEP_ADMINS; i++)
		tg_prefix_set_destroy(w->admin_sets[i]);
}

bool step_run(struct step_world *w, const uint8_t *data, size_t size, FILE *trace)
{
	struct step_input input = {data + MIN(size, STEP_HEAD_SIZE), data + size};
	memset(w, 0, offsetof(struct step_world, flow_count));
	w->flow_count = 0;
	w->trace = trace;
	w->now = 1000 * TG_SEC;
	w->hash = UINT64_C(0xcbf29ce484222325);
	if (prepare(w, data, size)) {
		tell(w, (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = w->ruleset});
		protect(w, 0);
		while (input.next < input.end && !w->wrong && w->told_events < EVENTS_MOST)
			tell_next(w, &input);
		settle(w);
		hash_number(w, w->stats.offences);
		hash_number(w, w->stats.flows);
	}
	finish(w);
	return !w->wrong;
}

bool step_run_twice(struct step_world *w, const uint8_t *data, size_t size)
{
	if (!step_run(w, data, size, NULL))
		return false;
	const uint64_t hash = w->hash, events = w->told_events;
	if (!step_run(w, data, size, NULL))
		return false;
	STEP_REQUIRE(w, w->hash == hash && w->told_events == events);
	return !w->wrong;
}
