/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The road from packet to ban within one turn of the loop: receive within a budget,
 * step, take, queue, one transaction, acknowledge. A feed with traffic is
 * drained by a timer, because a wake-up for each message costs both sides more
 * than the message does.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "admins.h"
#include "control_events.h"
#include "control_kill.h"
#include "daemon.h"
#include "killer.h"
#include "opener.h"
#include "report.h"
#include "state.h"
#include "synproxy.h"
#include "truth.h"
#include "witness.h"

#define TURN_BATCH 256
/* About 5 ms of work: what a client of the control socket waits at most for its turn. */
#define TURN_BUDGET 4096
#define DRAIN_INTERVAL (2 * TG_MSEC)
/* After so many drains that found nothing, the feed goes back to epoll. */
#define DRAIN_EMPTY 5
/* Elements asked about at once; each costs the kernel 5 to 13 us. */
#define PROBE_BATCH 64
/* An acknowledgement can cause decisions, and so can a repair; what is left waits for a timer. */
#define TURN_PASSES 4
#define AGAIN_DELAY (10 * TG_MSEC)

struct turn {
	struct daemon *daemon;
	bool queued;
	struct tg_flow_key keys[TURN_BATCH];
	size_t key_count;
	struct tg_ban probes[PROBE_BATCH];
	size_t probe_count;
};

static struct daemon_request *find_request(struct daemon *daemon, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->requests); i++)
		if (daemon->requests[i].id == id)
			return &daemon->requests[i];
	return NULL;
}

/* Refusals and observed bans need no kernel; everything else waits for it. */
static void note_request(struct daemon *daemon, const struct tg_decision *decision)
{
	struct daemon_request *request =
		decision->request ? find_request(daemon, decision->request) : NULL;
	if (!request)
		return;
	request->decided = true;
	request->decision = *decision;
	if (decision->type == TG_DECISION_REFUSE)
		request->refused = true;
	else if (decision->type == TG_DECISION_LIFT && request->lifted++ < DAEMON_REQUEST_NAMED)
		request->named[request->lifted - 1] = decision->ban;
	request->waiting = decision->type == TG_DECISION_BAN && decision->ban.enforced;
}

static void acknowledge(void *data, uint32_t ban, uint32_t version, int error)
{
	struct daemon *daemon = data;
	struct tg_event event = {.type = TG_EVENT_ACK,
				 .at = loop_now(daemon->loop),
				 .ack = {.ban = ban, .version = version, .error = error}};
	daemon_step(daemon, &event);
	/* A flood's bans come by the thousand, and nobody waits for them. */
	for (size_t i = 0; daemon->request_count > 0 && i < ARRAY_SIZE(daemon->requests); i++) {
		struct daemon_request *request = &daemon->requests[i];
		if (request->id == 0)
			continue;
		if (request->unban) {
			/* Lifts are too many to be remembered; one that failed is worth a word. */
			if (error && error != ENOENT && request->decided)
				request->error = error;
		} else if (request->waiting && request->decision.ban.id == ban) {
			/* A lost table is put back at once, and the ban with it. */
			request->waiting = error == ENOENT;
			request->error = error;
		}
	}
}

static void queue(struct turn *turn, const struct tg_decision *decision)
{
	struct daemon *daemon = turn->daemon;
	int err = nft_sink_add(daemon->sink, decision, loop_now(daemon->loop),
			       (uint64_t)loop_wall_clock());
	turn->queued = true;
	if (!err)
		return;
	daemon->sink_adds_failed++;
	acknowledge(daemon, decision->ban.id, decision->ban.version, -err);
}

static void flush_questions(struct turn *turn)
{
	struct daemon *daemon = turn->daemon;
	if (turn->key_count == 0)
		return;
	/* What the feed cannot ask it counts; the engine asks again, or its own deadline decides.
	 */
	if (daemon->feed)
		(void)ct_feed_verify(daemon->feed, turn->keys, turn->key_count);
	turn->key_count = 0;
}

static void name_policy(const struct daemon *daemon, const struct tg_ban *ban, char *name)
{
	const struct tg_config *config = daemon->policy.config;
	if (ban->policy < config->policy_count)
		memcpy(name, config->policies[ban->policy].name,
		       strlen(config->policies[ban->policy].name));
}

/* An element that is not there gets no answer: its ban ends on time. */
static void flush_probes(struct turn *turn)
{
	struct daemon *daemon = turn->daemon;
	struct nft_counters counters[PROBE_BATCH];
	const size_t count = turn->probe_count;
	turn->probe_count = 0;
	if (count == 0)
		return;
	bool proxied = false;
	for (size_t i = 0; i < count; i++)
		proxied = proxied || turn->probes[i].action == TG_ACTION_SYNPROXY;
	const uint32_t finished = proxied ? synproxy_finished() : 0;
	int err = nft_sink_counters(daemon->sink, turn->probes, count, counters);
	for (size_t i = 0; i < count; i++) {
		const struct tg_ban *ban = &turn->probes[i];
		daemon->probes++;
		if (err < 0 || !counters[i].found) {
			daemon->probes_failed++;
			continue;
		}
		struct tg_event event = {.type = TG_EVENT_TRAFFIC,
					 .at = loop_now(daemon->loop),
					 .traffic = {.source = ban->source,
						     .scope = ban->scope,
						     .packets = counters[i].packets,
						     .proxied = ban->action == TG_ACTION_SYNPROXY,
						     .finished = finished}};
		name_policy(daemon, ban, event.traffic.policy);
		daemon_step(daemon, &event);
	}
}

static void probe(struct turn *turn, const struct tg_ban *ban)
{
	turn->probes[turn->probe_count++] = *ban;
	if (turn->probe_count == PROBE_BATCH)
		flush_probes(turn);
}

/* A service of this host opens connections to more places than its limit says: who is it? */
static void report_opener(const struct daemon *daemon, const struct tg_decision *decision)
{
	const struct tg_config *config = daemon->policy.config;
	const struct tg_ban *ban = &decision->ban;
	struct opener opener;
	if (!decision->has_sample || ban->policy >= config->policy_count ||
	    ban->limit >= config->policies[ban->policy].limit_count ||
	    config->policies[ban->policy].limits[ban->limit].measure != TG_MEASURE_FAN_OUT)
		return;
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	int err = opener_find(&decision->sample, &opener);
	if (err)
		tg_strbuf_printf(&text, "its socket cannot be found: %s", strerror(-err));
	else
		opener_put(&text, &opener);
	log_write(daemon->log, LOG_NOTE, "%s %s: %u destinations; local port %u to port %u: %s",
		  config->policies[ban->policy].name,
		  config->policies[ban->policy].limits[ban->limit].name, ban->measured,
		  decision->sample.sport, decision->sample.dport, text.text);
	tg_strbuf_finish(&text);
}

static void handle(struct turn *turn, const struct tg_decision *decision)
{
	struct daemon *daemon = turn->daemon;
	events_add(daemon, decision);
	note_request(daemon, decision);
	limit_counts_add(&daemon->limit_counts, daemon->policy.config, decision);
	switch (decision->type) {
	case TG_DECISION_BAN:
	case TG_DECISION_LIFT:
		report_decision(daemon->log, daemon->policy.config, decision);
		if (decision->cause == TG_CAUSE_OFFENCE)
			report_opener(daemon, decision);
		if (decision->ban.enforced) {
			state_change(daemon->state, decision);
			queue(turn, decision);
		}
		break;
	case TG_DECISION_EXPIRE:
	case TG_DECISION_REFUSE:
		report_decision(daemon->log, daemon->policy.config, decision);
		break;
	case TG_DECISION_VERIFY:
		turn->keys[turn->key_count++] = decision->flow;
		if (turn->key_count == TURN_BATCH)
			flush_questions(turn);
		break;
	case TG_DECISION_WITNESS:
		witness_ask(daemon->witness, daemon->policy.config, &decision->ban);
		break;
	case TG_DECISION_PROBE:
		probe(turn, &decision->ban);
		break;
	case TG_DECISION_PASS:
		nft_sink_pass(daemon->sink, decision->pass.policy, &decision->pass.source);
		turn->queued = true;
		break;
	case TG_DECISION_KILL:
		control_kill_banned(daemon, &decision->ban);
		break;
	case TG_DECISION_COUNT:
		break;
	}
}

/* One pass: all decisions there are, one transaction. False when there were none. */
static bool turn_pass(struct daemon *daemon)
{
	struct turn turn = {.daemon = daemon, .queued = false, .key_count = 0, .probe_count = 0};
	struct tg_decision decisions[TURN_BATCH];
	size_t total = 0, count;
	do {
		count = tg_engine_take(daemon->engine, decisions, TURN_BATCH);
		for (size_t i = 0; i < count; i++)
			handle(&turn, &decisions[i]);
		total += count;
	} while (count == TURN_BATCH);
	flush_questions(&turn);
	/* Before the transaction: a changed element begins to count anew. */
	flush_probes(&turn);
	if (turn.queued) {
		int err = nft_sink_commit(daemon->sink, acknowledge, daemon);
		if (err == -ENOENT)
			upkeep_table_lost(daemon);
	}
	return total > 0;
}

static void answer_request(struct daemon *daemon, struct daemon_request *request)
{
	struct control_client *client = control_find(daemon->control, request->id);
	const struct tg_decision *decision = &request->decision;
	request->id = 0;
	daemon->request_count--;
	if (!client)
		return;
	if (request->refused) {
		struct tg_strbuf text;
		tg_strbuf_init(&text);
		report_refusal(&text, decision);
		control_error(client, 1, "%s", text.text);
		tg_strbuf_finish(&text);
		return;
	}
	if (request->error) {
		control_error(client, 1, "the kernel refused it: %s; it is tried again",
			      strerror(request->error));
		return;
	}
	struct tg_strbuf *out = control_out(client);
	for (unsigned i = 0; i < MIN(request->lifted, DAEMON_REQUEST_NAMED); i++) {
		char source[TG_PREFIX_STRLEN];
		tg_record_begin(out, "lifted");
		tg_record_put(out, "source", tg_prefix_format(&request->named[i].source, source));
		tg_record_put(out, "action", tg_action_name(request->named[i].action));
		tg_record_end(out);
	}
	tg_record_begin(out, "changed");
	if (request->unban) {
		tg_record_put_u64(out, "lifted", request->lifted);
	} else if (request->decided) {
		tg_record_put_u64(out, "until", (uint64_t)loop_wall_at(decision->ban.until));
		tg_record_put(out, "action", tg_action_name(decision->ban.action));
		char rate[TG_RATE_STRLEN];
		const char *to = tg_ban_to_format(&decision->ban, rate);
		if (to)
			tg_record_put(out, "to", to);
		tg_record_put(out, "enforced", decision->ban.enforced ? "true" : "false");
	}
	tg_record_end(out);
	control_done(client);
}

void turn_finish(struct daemon *daemon)
{
	bool more = true;
	for (int pass = 0; pass < TURN_PASSES && more; pass++)
		more = turn_pass(daemon);
	/* Before anybody is told: what was promised is there after a crash. */
	state_flush(daemon->state);
	for (size_t i = 0; i < ARRAY_SIZE(daemon->requests); i++)
		if (daemon->requests[i].id != 0 && !daemon->requests[i].waiting)
			answer_request(daemon, &daemon->requests[i]);
	tg_time now = loop_now(daemon->loop);
	tg_time next = tg_engine_deadline(daemon->engine);
	if (more)
		next = now + AGAIN_DELAY;
	else if (next <= now)
		next = now + TG_MSEC; /* a deadline that a TICK did not move must not spin */
	loop_timer_set(daemon->tick, next);
}

/* A client that went away leaves its slot: nobody else can have its id. */
static struct daemon_request *free_request(struct daemon *daemon)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->requests); i++) {
		struct daemon_request *request = &daemon->requests[i];
		if (request->id == 0 || !control_find(daemon->control, request->id))
			return request;
	}
	return NULL;
}

void turn_request(struct daemon *daemon, struct control_client *client, struct tg_event *event)
{
	struct daemon_request *request = free_request(daemon);
	if (!request) {
		control_error(client, 1, "too many requests wait for the kernel");
		return;
	}
	daemon->request_count += request->id == 0;
	*request = (struct daemon_request){.id = control_client_id(client),
					   .unban = event->type == TG_EVENT_OPERATOR_UNBAN};
	event->at = loop_now(daemon->loop);
	event->request.request = request->id;
	daemon_step(daemon, event);
}

void turn_panic(struct daemon *daemon, bool on)
{
	struct tg_event event = {.type = TG_EVENT_PANIC, .at = loop_now(daemon->loop), .panic = on};
	daemon_step(daemon, &event);
	turn_finish(daemon);
	/* What the packet path does by itself, too: in one transaction with the rest of the rules.
	 */
	nft_sink_observe(daemon->sink, on || daemon->options.observe);
	if (nft_sink_install(daemon->sink, daemon->policy.config, daemon->protected,
			     daemon->policy.allow, daemon->policy.syn_options) != 0)
		upkeep_table_lost(daemon);
	turn_finish(daemon);
}

static void step_all(struct daemon *daemon, const struct tg_event *events, int count)
{
	for (int i = 0; daemon->recording > 0 && i < count; i++)
		record_event(daemon, &events[i]);
	tg_engine_step_batch(daemon->engine, events, (size_t)count);
}

/* True when more waits. */
static bool receive(struct daemon *daemon, bool *ret_any)
{
	struct tg_event events[TURN_BATCH];
	bool more = true;
	int total = 0;
	while (more && total < TURN_BUDGET) {
		int count = ct_feed_receive(daemon->feed, loop_now(daemon->loop), events,
					    TURN_BATCH, &more);
		if (count < 0) {
			upkeep_feed_failed(daemon, -count);
			return false;
		}
		step_all(daemon, events, count);
		if (ct_feed_step(daemon->feed) != daemon->feed_step)
			upkeep_feed_step(daemon);
		total += count;
		if (count == 0)
			break; /* it holds back until its dump goes on */
	}
	*ret_any = total > 0;
	return more;
}

static void drain_feed(void *data)
{
	struct daemon *daemon = data;
	bool any = false;
	if (!daemon->feed)
		return;
	bool more = receive(daemon, &any);
	if (!daemon->feed)
		return;
	daemon->drained_empty = any ? 0 : daemon->drained_empty + 1;
	if (daemon->drained_empty < DRAIN_EMPTY) {
		tg_time now = loop_now(daemon->loop);
		loop_timer_set(daemon->drain, more ? now : now + DRAIN_INTERVAL);
		return;
	}
	daemon->feed_busy = false;
	loop_timer_set(daemon->drain, TG_NEVER);
	if (loop_fd_set_events(daemon->feed_event, EPOLLIN) < 0)
		loop_timer_set(daemon->drain, loop_now(daemon->loop) + DRAIN_INTERVAL);
}

static void feed_readable(void *data, uint32_t events)
{
	struct daemon *daemon = data;
	(void)events;
	if (!daemon->feed_busy) {
		daemon->feed_busy = true;
		daemon->drained_empty = 0;
		/* Failing, it only costs wake-ups. */
		(void)loop_fd_set_events(daemon->feed_event, 0);
	}
	drain_feed(daemon);
}

static void query_feed(void *data)
{
	struct daemon *daemon = data;
	struct tg_event events[TURN_BATCH];
	bool more = true;
	int total = 0;
	while (daemon->feed && more && total < TURN_BUDGET) {
		int count = ct_feed_query(daemon->feed, loop_now(daemon->loop), events, TURN_BATCH,
					  &more);
		if (count < 0) {
			upkeep_feed_failed(daemon, -count);
			return;
		}
		step_all(daemon, events, count);
		if (ct_feed_step(daemon->feed) != daemon->feed_step)
			upkeep_feed_step(daemon);
		total += count;
		if (count == 0)
			break;
	}
}

static void query_readable(void *data, uint32_t events)
{
	(void)events;
	query_feed(data);
}

static void engine_tick(void *data)
{
	struct daemon *daemon = data;
	struct tg_event event = {.type = TG_EVENT_TICK, .at = loop_now(daemon->loop)};
	daemon_step(daemon, &event);
}

static void turn_begin(void *data)
{
	struct daemon *daemon = data;
	log_set_time(daemon->log, loop_now(daemon->loop));
}

static void turn_end(void *data)
{
	struct daemon *daemon = data;
	turn_finish(daemon);
	if (daemon->recording > 0)
		record_wake(daemon);
	events_tell_gaps(daemon);
	events_wake(daemon);
	tg_time now = loop_now(daemon->loop);
	tg_time query = daemon->feed ? ct_feed_deadline(daemon->feed) : TG_NEVER;
	/* The feed may want the same time again when the kernel is busy: then soon, not at once. */
	loop_timer_set(daemon->query, query <= now ? now + TG_MSEC : query);
}

static void witnessed(void *data, const struct tg_witness *answer)
{
	struct daemon *daemon = data;
	struct tg_event event = {
		.type = TG_EVENT_WITNESS, .at = loop_now(daemon->loop), .witness = *answer};
	daemon_step(daemon, &event);
}

static void admins_changed(void *data, const struct tg_prefix_set *set)
{
	struct daemon *daemon = data;
	struct tg_event event = {
		.type = TG_EVENT_ADMINS, .at = loop_now(daemon->loop), .admins = set};
	daemon_step(daemon, &event);
}

static void saw_admin(void *data, const struct tg_addr *addr)
{
	const struct daemon *daemon = data;
	admins_saw(daemon->admins, addr);
}

void turn_follow_policy(struct daemon *daemon)
{
	const struct tg_config *config = daemon->policy.config;
	limit_counts_follow(&daemon->limit_counts, config);
	killer_set_config(daemon->killer, config);
	truth_set_config(daemon->truth, config);
	admins_set_ports(daemon->admins, config->admin_ports, config->admin_port_count);
	witness_set_admins(daemon->witness, config->admin_ports, config->admin_port_count,
			   saw_admin, daemon);
}

int turn_init(struct daemon *daemon)
{
	daemon->tick = loop_add_timer(daemon->loop, engine_tick, daemon);
	daemon->drain = loop_add_timer(daemon->loop, drain_feed, daemon);
	daemon->query = loop_add_timer(daemon->loop, query_feed, daemon);
	if (!daemon->tick || !daemon->drain || !daemon->query)
		return -ENOMEM;
	loop_set_hooks(daemon->loop, turn_begin, turn_end, daemon);
	int err = killer_create(daemon->loop, control_kill_done, daemon, &daemon->killer);
	if (!err)
		err = admins_create(daemon->loop, admins_changed, daemon, &daemon->admins);
	if (!err)
		err = witness_create(daemon->loop, daemon->params.seed, witnessed, daemon,
				     &daemon->witness);
	if (!err)
		err = upkeep_watch_truth(daemon);
	if (!err)
		turn_follow_policy(daemon);
	return err;
}

int turn_attach_feed(struct daemon *daemon)
{
	int err = loop_add_fd(daemon->loop, ct_feed_event_fd(daemon->feed), EPOLLIN, feed_readable,
			      daemon, &daemon->feed_event);
	if (!err)
		err = loop_add_fd(daemon->loop, ct_feed_query_fd(daemon->feed), EPOLLIN,
				  query_readable, daemon, &daemon->feed_query);
	daemon->feed_busy = false;
	return err;
}

void turn_detach_feed(struct daemon *daemon)
{
	loop_remove_fd(daemon->feed_event);
	loop_remove_fd(daemon->feed_query);
	daemon->feed_event = daemon->feed_query = NULL;
	if (daemon->drain)
		loop_timer_set(daemon->drain, TG_NEVER);
}
