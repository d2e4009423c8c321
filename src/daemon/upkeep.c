/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps the daemon true while the host changes and the kernel fails: the table
 * put back, the feed replaced, protected addresses followed, the reasons for being
 * degraded kept. Nothing here ends the daemon.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "control_events.h"
#include "daemon.h"
#include "host/sysctl.h"
#include "netfilter/rt_watch.h"
#include "protected.h"
#include "state.h"
#include "synproxy.h"
#include "truth.h"
#include "witness.h"

#define UPKEEP_INTERVAL (2 * TG_SEC)
/* Interface changes come in bursts of a few messages. */
#define REPROTECT_DELAY (20 * TG_MSEC)
#define RETRY_FIRST (100 * TG_MSEC)
#define RETRY_LAST (5 * TG_SEC)
/* Somebody who removes the table in a loop is answered so often. */
#define REPAIR_PAUSE (100 * TG_MSEC)
/* How long a full table is shown after it last refused something. */
#define ROOM_SHOWN (60 * TG_SEC)

static tg_time longer(tg_time delay)
{
	return delay == 0 ? RETRY_FIRST : MIN(delay * 2, RETRY_LAST);
}

/* The table */

static void repair_table(void *data)
{
	struct daemon *daemon = data;
	tg_time now = loop_now(daemon->loop);
	int err = nft_sink_install(daemon->sink, daemon->policy.config, daemon->protected,
				   daemon->policy.allow, daemon->policy.syn_options);
	if (err < 0) {
		health_set(&daemon->health, HEALTH_TABLE, loop_now(daemon->loop),
			   "table inet tcpguard cannot be installed: %s; tried again",
			   strerror(-err));
		daemon->repair_delay = longer(daemon->repair_delay);
		loop_timer_set(daemon->repair, now + daemon->repair_delay);
		return;
	}
	daemon->repair_delay = 0;
	daemon->repaired_at = now;
	daemon->table_lost = false;
	/* Also when no set is missing: single elements may be, and only asking for each would tell.
	 */
	struct tg_event event = {.type = TG_EVENT_SINK_LOST, .at = now};
	daemon_step(daemon, &event);
	health_clear(&daemon->health, HEALTH_TABLE, loop_now(daemon->loop));
}

void upkeep_table_lost(struct daemon *daemon)
{
	tg_time now = loop_now(daemon->loop);
	if (daemon->table_lost)
		return; /* the timer runs */
	daemon->table_lost = true;
	health_set(&daemon->health, HEALTH_TABLE, loop_now(daemon->loop),
		   "somebody changed or removed table inet tcpguard; it is put back");
	if (daemon->repaired_at != 0 && now < daemon->repaired_at + REPAIR_PAUSE)
		loop_timer_set(daemon->repair, daemon->repaired_at + REPAIR_PAUSE);
	else
		repair_table(daemon);
}

static void sink_readable(void *data, uint32_t events)
{
	struct daemon *daemon = data;
	(void)events;
	if (nft_sink_watch_dispatch(daemon->sink))
		upkeep_table_lost(daemon);
}

/* The feed */

void upkeep_feed_stats(const struct daemon *daemon, struct ct_feed_stats *ret_stats)
{
	struct ct_feed_stats now = {0};
	const struct ct_feed_stats *before = &daemon->feed_before;
	if (daemon->feed)
		ct_feed_stats(daemon->feed, &now);
	now.received += before->received;
	now.lost += before->lost;
	now.ignored += before->ignored;
	now.malformed += before->malformed;
	now.foreign += before->foreign;
	now.dumped += before->dumped;
	now.dumps += before->dumps;
	now.dumps_failed += before->dumps_failed;
	now.questions += before->questions;
	now.questions_failed += before->questions_failed;
	now.stale += before->stale;
	now.steps_down += before->steps_down;
	now.steps_up += before->steps_up;
	*ret_stats = now;
}

int upkeep_open_feed(struct daemon *daemon)
{
	const struct ct_feed_params params = {.receive_buffer = daemon->options.event_buffer,
					      .now = loop_now(daemon->loop)};
	return ct_feed_create(&params, &daemon->feed);
}

void upkeep_feed_step(struct daemon *daemon)
{
	static const char *const told[TG_FEED_STEP_COUNT] = {
		[TG_FEED_ALL] = "everything again, and counts are rebuilt",
		[TG_FEED_NO_UPDATES] = "beginnings and ends; `new` limits go on",
		[TG_FEED_NEW] = "beginnings only; `new` limits go on",
		[TG_FEED_NOTHING] = "nothing; the packet path and the sockets stand in",
	};
	const enum tg_feed_step step = daemon->feed ? ct_feed_step(daemon->feed) : TG_FEED_ALL;
	const tg_time now = loop_now(daemon->loop);
	const bool down = step > daemon->feed_step;
	struct ct_feed_stats stats;
	upkeep_feed_stats(daemon, &stats);
	daemon->feed_step = step;
	if (step != TG_FEED_ALL)
		health_set(&daemon->health, HEALTH_LOAD, now,
			   "more messages than can be read: conntrack is asked for %s", told[step]);
	events_tell(daemon, down ? HAPPENING_STEP_DOWN : HAPPENING_STEP_UP,
		    down ? (stats.behind ? "behind" : "overrun") : "calm",
		    "conntrack is asked for %s; messages lost since start: %" PRIu64, told[step],
		    stats.lost);
	if (step == TG_FEED_ALL)
		health_clear(&daemon->health, HEALTH_LOAD, now);
	truth_look(daemon->truth);
}

/* Ground truth */

static bool truth_wanted(void *data)
{
	const struct daemon *daemon = data;
	struct tg_engine_stats stats;
	tg_engine_stats(daemon->engine, &stats);
	return stats.stale || stats.services > 0;
}

static bool asks_requests(const struct tg_policy *policy)
{
	for (size_t i = 0; i < policy->limit_count; i++)
		if (policy->limits[i].total && policy->limits[i].measure == TG_MEASURE_HALF_OPEN)
			return true;
	return false;
}

/* Where conntrack tells how handshakes go on, that is better. */
static void truth_told(void *data, uint16_t policy, uint32_t requests)
{
	struct daemon *daemon = data;
	struct tg_event event = {.type = TG_EVENT_REQUESTS,
				 .at = loop_now(daemon->loop),
				 .requests = {.count = requests}};
	const struct tg_policy *about = &daemon->policy.config->policies[policy];
	if (daemon->feed_step == TG_FEED_ALL || !asks_requests(about))
		return;
	memcpy(event.requests.policy, about->name, strlen(about->name));
	daemon_step(daemon, &event);
}

int upkeep_watch_truth(struct daemon *daemon)
{
	const struct truth_params params = {
		.wanted = truth_wanted, .told = truth_told, .data = daemon};
	return truth_create(daemon->loop, &params, &daemon->truth);
}

static void end_feed(struct daemon *daemon)
{
	struct ct_feed_stats stats;
	upkeep_feed_stats(daemon, &stats);
	daemon->feed_before = stats;
	turn_detach_feed(daemon);
	ct_feed_destroy(daemon->feed);
	daemon->feed = NULL;
}

static void restart_feed(void *data)
{
	struct daemon *daemon = data;
	if (daemon->feed)
		end_feed(daemon);
	int err = upkeep_open_feed(daemon);
	if (!err)
		err = turn_attach_feed(daemon);
	if (err) {
		upkeep_feed_failed(daemon, -err);
		return;
	}
	/* What happened in between is unknown; the new feed's first dump heals it. */
	struct tg_event event = {.type = TG_EVENT_GAP, .at = loop_now(daemon->loop), .lost = 0};
	daemon_step(daemon, &event);
	/* And it begins with all there is to tell. */
	event = (struct tg_event){.type = TG_EVENT_FEED, .at = event.at, .feed = TG_FEED_ALL};
	if (daemon->feed_step != TG_FEED_ALL) {
		daemon_step(daemon, &event);
		upkeep_feed_step(daemon);
	}
	daemon->feed_restarts++;
	daemon->refeed_delay = 0;
	health_clear(&daemon->health, HEALTH_FEED, loop_now(daemon->loop));
}

void upkeep_feed_failed(struct daemon *daemon, int error)
{
	health_set(&daemon->health, HEALTH_FEED, loop_now(daemon->loop),
		   "no conntrack events: %s; the feed is started again", strerror(error));
	if (daemon->feed)
		end_feed(daemon);
	daemon->refeed_delay = longer(daemon->refeed_delay);
	loop_timer_set(daemon->refeed, loop_now(daemon->loop) + daemon->refeed_delay);
}

/* Protected addresses */

static int follow_protected(struct daemon *daemon)
{
	struct tg_prefix_set *set, *old = daemon->protected;
	int err = protected_read(daemon->watch, &daemon->resolvers, &set);
	if (err)
		return err;
	if (tg_prefix_set_equal(set, old)) {
		tg_prefix_set_destroy(set);
		return 0;
	}
	/* The engine first: what it lifts must be out of its mind before the old set is freed. */
	struct tg_event event = {
		.type = TG_EVENT_PROTECTED, .at = loop_now(daemon->loop), .protected = set};
	daemon_step(daemon, &event);
	daemon->protected = set;
	err = nft_sink_protect(daemon->sink, set);
	tg_prefix_set_destroy(old);
	log_write(daemon->log, LOG_INFORM, "protected addresses changed");
	/* Not taken: the table is not as it should be, and installing it puts this right, too. */
	if (err)
		upkeep_table_lost(daemon);
	return 0;
}

static void reprotect(void *data)
{
	struct daemon *daemon = data;
	int err = follow_protected(daemon);
	if (!err && daemon->resolvers.incomplete)
		return; /* upkeep has said so, and clears it when they are read */
	if (!err) {
		health_clear(&daemon->health, HEALTH_PROTECTED, loop_now(daemon->loop));
		return;
	}
	health_set(&daemon->health, HEALTH_PROTECTED, loop_now(daemon->loop),
		   "own addresses cannot be read: %s; the last known stay protected",
		   strerror(-err));
	loop_timer_set(daemon->reprotect, loop_now(daemon->loop) + TG_SEC);
}

static void reprotect_soon(struct daemon *daemon)
{
	if (loop_timer_at(daemon->reprotect) == TG_NEVER)
		loop_timer_set(daemon->reprotect, loop_now(daemon->loop) + REPROTECT_DELAY);
}

static void watch_readable(void *data, uint32_t events)
{
	struct daemon *daemon = data;
	(void)events;
	if (rt_watch_dispatch(daemon->watch))
		reprotect_soon(daemon);
}

/* Health that nobody reports by itself */

static void check_room(struct daemon *daemon, const struct tg_engine_stats *stats)
{
	const struct tg_engine_stats *seen = &daemon->seen;
	tg_time now = loop_now(daemon->loop);
	uint64_t sources = stats->sources_evicted - seen->sources_evicted;
	uint64_t flows = stats->flows_refused - seen->flows_refused;
	uint64_t evicted = stats->flows_evicted - seen->flows_evicted;
	uint64_t bans =
		stats->refused_full - seen->refused_full + stats->bans_evicted - seen->bans_evicted;
	const struct tg_engine_stats *before = &daemon->roomy;
	if (sources + flows + evicted + bans > 0) {
		if (!daemon->health.reasons[HEALTH_ROOM].on)
			daemon->roomy = *seen;
		daemon->room_until = now + ROOM_SHOWN;
		health_set(&daemon->health, HEALTH_ROOM, now,
			   "a table is full: since then %" PRIu64 " sources and %" PRIu64
			   " flows evicted, %" PRIu64 " flows not counted, %" PRIu64
			   " bans refused, %" PRIu64 " bans evicted",
			   stats->sources_evicted - before->sources_evicted,
			   stats->flows_evicted - before->flows_evicted,
			   stats->flows_refused - before->flows_refused,
			   stats->refused_full - before->refused_full,
			   stats->bans_evicted - before->bans_evicted);
	} else if (now >= daemon->room_until) {
		health_clear(&daemon->health, HEALTH_ROOM, now);
	}
}

static void check_brakes(struct daemon *daemon, const struct tg_engine_stats *stats)
{
	tg_time now = loop_now(daemon->loop);
	if (stats->braked)
		health_set(&daemon->health, HEALTH_BRAKE, now,
			   "proven bans stay rate-limits, since start: %" PRIu64
			   " beyond max-bans-per-minute, %" PRIu64
			   " beyond max-share-of-sources, %" PRIu64 " beyond max-share-of-flows",
			   stats->braked_rate, stats->braked_sources, stats->braked_flows);
	else
		health_clear(&daemon->health, HEALTH_BRAKE, now);
}

static void check_engine(struct daemon *daemon)
{
	struct tg_engine_stats stats;
	tg_time now = loop_now(daemon->loop);
	tg_engine_stats(daemon->engine, &stats);
	check_room(daemon, &stats);
	check_brakes(daemon, &stats);
	/* Below everything there is to tell that has a reason of its own. */
	if (stats.stale && daemon->seen.stale && stats.feed == TG_FEED_ALL)
		health_set(&daemon->health, HEALTH_GAP, now,
			   "events were lost and counts are not rebuilt yet: %" PRIu64
			   " lost in %" PRIu64 " gaps",
			   stats.lost, stats.gaps);
	else if (!stats.stale || stats.feed != TG_FEED_ALL)
		health_clear(&daemon->health, HEALTH_GAP, now);
	/* Twice in a row: a ban on its way is no fault. */
	if (stats.bans_pending > 0 && daemon->seen.bans_pending > 0 &&
	    stats.sink_errors > daemon->seen.sink_errors)
		health_set(&daemon->health, HEALTH_BANS, now,
			   "the kernel has not taken %" PRIu32 " bans; tried again",
			   stats.bans_pending);
	else if (stats.bans_pending == 0)
		health_clear(&daemon->health, HEALTH_BANS, now);
	daemon->seen = stats;
}

/* Its questions wait for the next walk, a second later or more: it ends as soon as one succeeds. */
static void check_witness(struct daemon *daemon)
{
	struct witness_stats stats;
	tg_time now = loop_now(daemon->loop);
	witness_stats(daemon->witness, &stats);
	if (stats.error == 0)
		health_clear(&daemon->health, HEALTH_WITNESS, now);
	else
		health_set(&daemon->health, HEALTH_WITNESS, now,
			   "this host's sockets cannot be asked: %s; rate-limits stand in for "
			   "drops that need their proof",
			   strerror(stats.error));
}

static void check_accounting(struct daemon *daemon)
{
	int64_t counts = 0;
	tg_time now = loop_now(daemon->loop);
	/* Without the file there is no conntrack, and nothing to count. */
	if (!tg_config_measures(daemon->policy.config, TG_MEASURE_IDLE) ||
	    !sysctl_read_number(SYSCTL_CT_ACCT, &counts) || counts != 0) {
		health_clear(&daemon->health, HEALTH_ACCOUNTING, now);
		return;
	}
	health_set(&daemon->health, HEALTH_ACCOUNTING, now,
		   "a limit counts idle connections, but the kernel counts no packets: sysctl -w "
		   "net.netfilter.nf_conntrack_acct=1; flows begun before it stay uncounted");
}

/* With 0 only those flows tell for which a rule asks: none of this host's own, and none without a
 * mask. */
static void check_events(struct daemon *daemon)
{
	const struct tg_config *config = daemon->policy.config;
	const bool wants_own = tg_config_measures(config, TG_MEASURE_FAN_OUT);
	int64_t events = 1;
	tg_time now = loop_now(daemon->loop);
	if ((!config->all_events && !wants_own) || !sysctl_read_number(SYSCTL_CT_EVENTS, &events) ||
	    events != 0) {
		health_clear(&daemon->health, HEALTH_EVENTS, now);
		return;
	}
	health_set(&daemon->health, HEALTH_EVENTS, now,
		   "%s, but conntrack tells nothing of it: sysctl -w "
		   "net.netfilter.nf_conntrack_events=1",
		   config->all_events ? "event-mask is none" : "a limit counts fan-out");
}

void upkeep_check_sysctls(struct daemon *daemon)
{
	check_accounting(daemon);
	check_events(daemon);
}

static void check_store(struct daemon *daemon)
{
	struct state_stats stats;
	tg_time now = loop_now(daemon->loop);
	state_stats(daemon->state, &stats);
	if (stats.error)
		health_set(&daemon->health, HEALTH_STORE, now,
			   "cannot write %s/bans (%s): a reboot would forget newer bans",
			   daemon->options.state_dir, strerror(-stats.error));
	else
		health_clear(&daemon->health, HEALTH_STORE, now);
}

static void check_ingress(struct daemon *daemon)
{
	struct nft_sink_stats stats;
	tg_time now = loop_now(daemon->loop);
	nft_sink_stats(daemon->sink, &stats);
	if (daemon->policy.config->ingress_count > 0 && !stats.ingress)
		health_set(&daemon->health, HEALTH_INGRESS, now,
			   "the kernel does not take chains at the ingress of these interfaces: "
			   "drops stand in prerouting only");
	else
		health_clear(&daemon->health, HEALTH_INGRESS, now);
}

static void upkeep_due(void *data)
{
	struct daemon *daemon = data;
	bool incomplete = daemon->resolvers.incomplete;
	/* Also when they are whole again, and the same: that clears it. */
	if (resolvers_refresh(&daemon->resolvers) || (incomplete && !daemon->resolvers.incomplete))
		reprotect_soon(daemon);
	if (daemon->resolvers.incomplete)
		health_set(&daemon->health, HEALTH_PROTECTED, loop_now(daemon->loop),
			   "resolv.conf cannot be read, or names more than %d resolvers; those "
			   "that are known stay protected",
			   RESOLVERS_MAX);
	check_engine(daemon);
	truth_look(daemon->truth);
	check_store(daemon);
	check_ingress(daemon);
	fuses_check(daemon);
	check_witness(daemon);
	upkeep_check_sysctls(daemon);
	synproxy_follow(daemon);
	notify_send(&daemon->notify,
		    "STATUS=%s, %s: %" PRIu32 " bans in force, %" PRIu32 " observed",
		    daemon->seen.panic ? "panic" : "at work",
		    health_is_ok(&daemon->health) ? "ok" : "degraded", daemon->seen.bans_active,
		    daemon->seen.bans_observed);
	loop_timer_set(daemon->upkeep, loop_now(daemon->loop) + UPKEEP_INTERVAL);
}

/* From the loop itself, so that a loop that hangs is noticed. */
static void watchdog_due(void *data)
{
	struct daemon *daemon = data;
	notify_send(&daemon->notify, "WATCHDOG=1");
	loop_timer_set(daemon->watchdog, loop_now(daemon->loop) + daemon->notify.watchdog);
}

int upkeep_init(struct daemon *daemon)
{
	struct loop *loop = daemon->loop;
	int err = 0;
	daemon->repair = loop_add_timer(loop, repair_table, daemon);
	daemon->refeed = loop_add_timer(loop, restart_feed, daemon);
	daemon->reprotect = loop_add_timer(loop, reprotect, daemon);
	daemon->upkeep = loop_add_timer(loop, upkeep_due, daemon);
	daemon->watchdog = loop_add_timer(loop, watchdog_due, daemon);
	if (!daemon->repair || !daemon->refeed || !daemon->reprotect || !daemon->upkeep ||
	    !daemon->watchdog)
		return -ENOMEM;
	loop_timer_set(daemon->upkeep, loop_now(loop) + UPKEEP_INTERVAL);
	upkeep_check_sysctls(daemon);
	fuses_check(daemon);
	if (daemon->notify.watchdog > 0)
		loop_timer_set(daemon->watchdog, loop_now(loop));
	err = loop_add_fd(loop, rt_watch_fd(daemon->watch), EPOLLIN, watch_readable, daemon,
			  &daemon->watch_source);
	if (!err && nft_sink_watch_fd(daemon->sink) >= 0)
		err = loop_add_fd(loop, nft_sink_watch_fd(daemon->sink), EPOLLIN, sink_readable,
				  daemon, &daemon->sink_watch);
	return err;
}
