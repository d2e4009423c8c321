/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the daemon's state as records. Only reads. */
#include "control_status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "control_record.h"
#include "daemon.h"
#include "host/sysctl.h"
#include "admins.h"
#include "killer.h"
#include "state.h"
#include "truth.h"
#include "witness.h"

struct number {
	const char *name;
	uint64_t value;
};

static void put_numbers(struct tg_strbuf *out, const char *name, const struct number *numbers,
			size_t count)
{
	tg_record_begin(out, name);
	for (size_t i = 0; i < count; i++)
		tg_record_put_u64(out, numbers[i].name, numbers[i].value);
	tg_record_end(out);
}

static void put_conntrack(struct tg_strbuf *out)
{
	int64_t count, max;
	tg_record_begin(out, "conntrack");
	if (sysctl_read_number(SYSCTL_CT_COUNT, &count))
		tg_record_put_u64(out, "count", (uint64_t)count);
	if (sysctl_read_number(SYSCTL_CT_MAX, &max))
		tg_record_put_u64(out, "max", (uint64_t)max);
	tg_record_end(out);
}

static void put_health(const struct daemon *daemon, struct tg_strbuf *out)
{
	for (int i = 0; i < HEALTH_COUNT; i++) {
		if (!daemon->health.reasons[i].on)
			continue;
		tg_record_begin(out, "degraded");
		tg_record_put(out, "reason", health_reason_name((enum health_reason)i));
		tg_record_put_u64(out, "since",
				  (uint64_t)loop_wall_at(daemon->health.reasons[i].since));
		tg_record_put(out, "text", daemon->health.reasons[i].text);
		tg_record_end(out);
	}
}

static void put_head(const struct daemon *daemon, const struct tg_engine_stats *stats,
		     struct tg_strbuf *out)
{
	const struct tg_config *config = daemon->policy.config;
	enum tg_mode mode =
		daemon->options.observe || stats->panic ? TG_MODE_OBSERVE : config->mode;
	tg_record_begin(out, "status");
	tg_record_put(out, "version", TCPGUARD_VERSION);
	tg_record_put_u64(out, "pid", (uint64_t)getpid());
	tg_record_put(out, "mode", tg_mode_name(mode));
	tg_record_put(out, "mode_from",
		      stats->panic              ? "panic"
		      : daemon->options.observe ? "option"
						: "policy");
	tg_record_put(out, "health", health_is_ok(&daemon->health) ? "ok" : "degraded");
	tg_record_put_u64(out, "started", (uint64_t)loop_wall_at(daemon->started_at));
	tg_record_put_u64(out, "uptime", (loop_now(daemon->loop) - daemon->started_at) / TG_SEC);
	tg_record_put_u64(out, "loaded", (uint64_t)daemon->policy.loaded);
	const uint64_t confirm_ms = policy_confirm_left(daemon);
	if (confirm_ms > 0)
		tg_record_put_u64(out, "confirm_in", (confirm_ms + 999) / 1000);
	tg_record_put_u64(out, "flows", stats->flows);
	tg_record_put_u64(out, "max_flows", stats->max_flows);
	tg_record_put_u64(out, "sources",
			  (uint64_t)stats->sources[TG_IPV4] + stats->sources[TG_IPV6]);
	tg_record_put_u64(out, "max_sources", stats->max_sources);
	tg_record_put_u64(out, "sources_lowered", daemon->sources_lowered);
	tg_record_put_u64(out, "memory", stats->memory);
	/* Without such a limit the kernel is not asked to tell how connections close. */
	tg_record_put_u64(out, "closing_followed", tg_config_follows_closing(config));
	tg_record_end(out);
}

static void put_files(const struct tg_config *config, struct tg_strbuf *out)
{
	for (size_t i = 0; i < config->file_count; i++) {
		tg_record_begin(out, "file");
		tg_record_put(out, "path", config->files[i]);
		tg_record_end(out);
	}
}

static void put_events(const struct daemon *daemon, const struct tg_engine_stats *stats,
		       struct tg_strbuf *out)
{
	struct ct_feed_stats feed;
	upkeep_feed_stats(daemon, &feed);
	const struct number events[] = {
		{"received", feed.received},
		{"lost", feed.lost},
		{"gaps", stats->gaps},
		{"resyncs", stats->resyncs},
		{"resyncs_failed", stats->resyncs_failed},
		{"ignored", feed.ignored},
		{"malformed", feed.malformed},
		{"foreign", feed.foreign},
		{"dumped", feed.dumped},
		{"dumps", feed.dumps},
		{"dumps_failed", feed.dumps_failed},
		{"questions", feed.questions},
		{"questions_failed", feed.questions_failed},
		{"overtaken", feed.stale},
		{"feed_restarts", daemon->feed_restarts},
		{"receive_buffer", feed.receive_buffer},
		{"stale", stats->stale},
	};
	put_numbers(out, "events", events, ARRAY_SIZE(events));
}

static void put_feed(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct ct_feed_stats feed;
	upkeep_feed_stats(daemon, &feed);
	tg_record_begin(out, "feed");
	tg_record_put_u64(out, "step", feed.step);
	tg_record_put(out, "tells", tg_feed_step_name(feed.step));
	if (feed.step != TG_FEED_ALL) {
		tg_record_put(out, "why", feed.behind ? "behind" : "lost");
		tg_record_put_u64(out, "since", (uint64_t)loop_wall_at(feed.step_since));
	}
	tg_record_put_u64(out, "steps_down", feed.steps_down);
	tg_record_put_u64(out, "steps_up", feed.steps_up);
	tg_record_end(out);
}

/* Numbers all the time, so that a graph has no holes; looking says whether they mean something. */
static void put_truth(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct truth_stats stats;
	truth_stats(daemon->truth, &stats);
	const struct number truth[] = {
		{"looking", stats.active},
		{"requests", stats.requests},
		{"cut", stats.cut},
		{"dropped_per_second", stats.dropped},
		{"cookies_per_second", stats.cookies},
		{"looks", stats.looks},
		{"looks_failed", stats.failed},
		{"last_us", stats.last_us},
	};
	put_numbers(out, "truth", truth, ARRAY_SIZE(truth));
}

static void put_bans(const struct daemon *daemon, const struct tg_engine_stats *stats,
		     struct tg_strbuf *out)
{
	const struct number bans[] = {
		{"active", stats->bans_active},
		{"observed", stats->bans_observed},
		{"pending", stats->bans_pending},
		{"unproven", stats->bans_unproven},
		{"max", stats->max_bans},
		{"adopted", stats->adopted},
		{"offences", stats->offences},
		{"begun", stats->bans},
		{"extended", stats->extensions},
		{"lifted", stats->lifts},
		{"expired", stats->expiries},
		{"refused_protected", stats->refused_protected},
		{"refused_full", stats->refused_full},
		{"refused_admin", stats->refused_admin},
		{"evicted", stats->bans_evicted},
		{"restored", stats->restored},
		{"kills", stats->kills},
		{"braked_rate", stats->braked_rate},
		{"braked_sources", stats->braked_sources},
		{"braked_flows", stats->braked_flows},
	};
	put_numbers(out, "bans", bans, ARRAY_SIZE(bans));
	const struct number engine[] = {
		{"events", stats->events},
		{"sources_evicted", stats->sources_evicted},
		{"flows_evicted", stats->flows_evicted},
		{"flows_refused", stats->flows_refused},
		{"uncounted", stats->uncounted},
		{"services", stats->services},
		{"suppressed", stats->suppressed},
		{"insisting", stats->insisting},
		{"records", stats->records},
		{"witness_asked", stats->witness_asked},
		{"witness_proven", stats->witness_proven},
		{"witness_denied", stats->witness_denied},
		{"verified", stats->verified},
		{"decisions_lost", stats->decisions_lost},
		{"reloads", daemon->reloads},
		{"reloads_failed", daemon->reloads_failed},
	};
	put_numbers(out, "engine", engine, ARRAY_SIZE(engine));
}

static void put_evidence(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct witness_stats walks;
	witness_stats(daemon->witness, &walks);
	const struct number witness[] = {
		{"questions", walks.questions},
		{"dropped", walks.dropped},
		{"waiting", walks.waiting},
		{"walks", walks.walks},
		{"walks_failed", walks.failed},
		{"sockets", walks.sockets},
		{"last_us", walks.last_us},
		{"probes", daemon->probes},
		{"probes_failed", daemon->probes_failed},
	};
	put_numbers(out, "witness", witness, ARRAY_SIZE(witness));
	struct admins_stats admins;
	admins_stats(daemon->admins, &admins);
	const struct number sessions[] = {
		{"addresses", admins.count},
		{"looks", admins.looks},
		{"looks_failed", admins.failed},
		{"last_us", admins.last_us},
	};
	put_numbers(out, "admins", sessions, ARRAY_SIZE(sessions));
	struct killer_stats kills;
	killer_stats(daemon->killer, &kills);
	const struct number kill[] = {
		{"orders", kills.orders},        {"dropped", kills.dropped},
		{"waiting", kills.waiting},      {"passes", kills.passes},
		{"passes_failed", kills.failed}, {"sockets", kills.sockets},
		{"flows", kills.flows},          {"last_us", kills.last_us},
	};
	put_numbers(out, "kill", kill, ARRAY_SIZE(kill));
}

/* Totals that are over their limit, or were until lately: there are few, one for each limit. */
static void put_services(const struct daemon *daemon, const struct tg_engine_stats *stats,
			 struct tg_strbuf *out)
{
	const struct tg_config *config = daemon->policy.config;
	uint32_t cursor = 0, left = stats->services;
	struct tg_ban ban;
	while (left > 0 && tg_engine_next_ban(daemon->engine, &cursor, &ban)) {
		if (!tg_prefix_is_total(&ban.source))
			continue;
		left--;
		tg_record_begin(out, "service");
		if (ban.policy < config->policy_count) {
			const struct tg_policy *policy = &config->policies[ban.policy];
			tg_record_put(out, "policy", policy->name);
			if (ban.limit < policy->limit_count) {
				const struct tg_limit *limit = &policy->limits[ban.limit];
				tg_record_put(out, "limit", limit->name);
				tg_record_put(out, "measure", tg_measure_name(limit->measure));
			}
		}
		tg_record_put_u64(out, "measured", ban.measured);
		tg_record_put_u64(out, "threshold", ban.threshold);
		tg_record_put_u64(out, "since", (uint64_t)loop_wall_at(ban.since));
		tg_record_end(out);
	}
}

static void put_kernel(const struct daemon *daemon, const struct tg_engine_stats *stats,
		       struct tg_strbuf *out)
{
	struct nft_sink_stats sink;
	nft_sink_stats(daemon->sink, &sink);
	const struct number table[] = {
		{"owned", sink.owned},
		{"transactions", sink.transactions},
		{"failed", sink.failed},
		{"elements_added", sink.elements_added},
		{"elements_removed", sink.elements_removed},
		{"elements_failed", sink.elements_failed + daemon->sink_adds_failed},
		{"retried", stats->sink_errors},
		{"repairs", sink.repairs},
		{"verified", sink.verified},
		{"verified_refused", sink.verified_refused},
	};
	put_numbers(out, "table", table, ARRAY_SIZE(table));
}

static void put_fuses(const struct daemon *daemon, const struct tg_engine_stats *stats,
		      struct tg_strbuf *out)
{
	struct fuse_log_stats log;
	struct nft_meters meters;
	fuses_stats(&daemon->fuses, &log);
	nft_sink_meters(daemon->sink, &meters);
	const struct number fuse[] = {
		/* Of each limit that has one, one for each family. */
		{"limits", meters.fuses / TG_FAMILY_COUNT},
		{"room", meters.room},
		{"told", stats->fuses},
		{"unknown", stats->fuses_unknown},
		{"full", log.full},
		{"lost", log.lost},
		{"malformed", log.malformed + log.foreign},
	};
	put_numbers(out, "fuse", fuse, ARRAY_SIZE(fuse));
	if (!meters.known)
		return;
	const struct number meter[] = {{"sources", meters.sources}, {"most", meters.most}};
	put_numbers(out, "meter", meter, ARRAY_SIZE(meter));
}

static void put_own(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct control_stats control = {0}, metrics = {0};
	if (daemon->control)
		control_stats(daemon->control, &control);
	if (daemon->metrics)
		control_stats(daemon->metrics, &metrics);
	const struct number numbers[] = {
		{"accepted", control.accepted + metrics.accepted},
		{"denied", control.denied + metrics.denied},
		{"busy", control.busy + metrics.busy},
		{"malformed", control.malformed + metrics.malformed},
		{"timed_out", control.timed_out + metrics.timed_out},
	};
	put_numbers(out, "control", numbers, ARRAY_SIZE(numbers));
	struct state_stats kept;
	state_stats(daemon->state, &kept);
	const struct number store[] = {
		{"changes", kept.changes}, {"snapshots", kept.snapshots}, {"failed", kept.failed},
		{"lost", kept.lost},       {"size", kept.size},
	};
	put_numbers(out, "store", store, ARRAY_SIZE(store));
	struct recorder_stats recorded;
	control_record_stats(daemon, &recorded);
	const struct number record[] = {
		{"clients", daemon->recording},
		{"events", recorded.events},
		{"lost", recorded.lost},
	};
	put_numbers(out, "record", record, ARRAY_SIZE(record));
	const struct number log[] = {
		{"lines", daemon->log->lines},
		{"suppressed", daemon->log->suppressed},
		{"dropped", daemon->log->dropped},
		{"events_missed", daemon->events_missed},
		{"events_untold", daemon->events_untold},
	};
	put_numbers(out, "log", log, ARRAY_SIZE(log));
}

static void put_counters(const struct daemon *daemon, const struct tg_engine_stats *stats,
			 struct tg_strbuf *out)
{
	put_events(daemon, stats, out);
	put_feed(daemon, out);
	put_truth(daemon, out);
	tg_record_begin(out, "states");
	for (int i = 0; i < TG_TCP_STATE_COUNT; i++)
		tg_record_put_u64(out, tg_tcp_state_name((enum tg_tcp_state)i), stats->states[i]);
	tg_record_end(out);
	put_bans(daemon, stats, out);
	put_evidence(daemon, out);
	put_conntrack(out);
	put_kernel(daemon, stats, out);
	put_fuses(daemon, stats, out);
	put_own(daemon, out);
}

void control_status(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct tg_engine_stats stats;
	tg_engine_stats(daemon->engine, &stats);
	put_head(daemon, &stats, out);
	put_files(daemon->policy.config, out);
	put_health(daemon, out);
	put_services(daemon, &stats, out);
	put_counters(daemon, &stats, out);
}

void control_status_numbers(const struct daemon *daemon, struct tg_strbuf *out)
{
	struct tg_engine_stats stats;
	tg_engine_stats(daemon->engine, &stats);
	put_head(daemon, &stats, out);
	put_counters(daemon, &stats, out);
}

void control_status_source(const struct daemon *daemon, const struct tg_source_count *source,
			   uint64_t total, struct tg_strbuf *out)
{
	const struct tg_config *config = daemon->policy.config;
	char prefix[TG_PREFIX_STRLEN];
	tg_record_begin(out, "source");
	tg_record_put(out, "source", tg_prefix_format(&source->source, prefix));
	/* A reload between two pieces of a list may have taken the policy away. */
	if (source->policy < config->policy_count)
		tg_record_put(out, "policy", config->policies[source->policy].name);
	tg_record_put_u64(out, "total", total);
	tg_record_put_u64(out, "new_rate", source->new_level);
	for (int i = 0; i < TG_TCP_STATE_COUNT; i++)
		tg_record_put_u64(out, tg_tcp_state_name((enum tg_tcp_state)i), source->states[i]);
	tg_record_put_u64(out, "idle", source->idle);
	tg_record_put_u64(out, "hosts", source->hosts);
	tg_record_end(out);
}
