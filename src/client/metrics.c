/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the names of all metrics and what they mean: one table. Rows of one metric stand one
 * after another; each row gathers its samples as the records come, so that none is kept.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"

/* 64 policies of 32 limits make 3 MB; more is no daemon of ours. */
#define PAGE_MAX (16u << 20)

enum type { COUNTER, GAUGE, HISTOGRAM };

enum unit {
	PLAIN,
	MICROSECONDS, /* are told as seconds */
	EVERY_KEY,    /* a sample for each number of the record, its key in the label */
	TEXT_KEY,     /* 1 when the value is the row's */
	BUCKETS       /* a record of le_N in microseconds, count and sum_us */
};

struct row {
	const char *name, *help;
	enum type type;
	const char *record, *key;
	const char *label, *value; /* beside policy and limit, if the record has them */
	enum unit unit;
};

/* clang-format off */
static const struct row rows[] = {
	{"tcpguard_start_time_seconds", "When the daemon was started, in seconds since the epoch.", GAUGE, "status", "started", NULL, NULL, PLAIN},
	{"tcpguard_policy_loaded_time_seconds", "When the policy in force was loaded, in seconds since the epoch.", GAUGE, "status", "loaded", NULL, NULL, PLAIN},
	{"tcpguard_mode", "1 for the mode of the host: bans are enforced, or only observed.", GAUGE, "status", "mode", "mode", "enforce", TEXT_KEY},
	{"tcpguard_mode", NULL, GAUGE, "status", "mode", "mode", "observe", TEXT_KEY},
	{"tcpguard_degraded", "1 when something promised does not hold now, by reason.", GAUGE, "reasons", NULL, "reason", NULL, EVERY_KEY},
	{"tcpguard_memory_reserved_bytes", "Reserved by the tables, at start and by the policy.", GAUGE, "status", "memory", NULL, NULL, PLAIN},

	{"tcpguard_flows", "Connections that are followed.", GAUGE, "status", "flows", NULL, NULL, PLAIN},
	{"tcpguard_flows_max", "Room for connections.", GAUGE, "status", "max_flows", NULL, NULL, PLAIN},
	{"tcpguard_flows_by_state", "Connections that are followed, by TCP state as conntrack sees it.", GAUGE, "states", NULL, "state", NULL, EVERY_KEY},
	{"tcpguard_flows_evicted_total", "Connections that gave way in a full table.", COUNTER, "engine", "flows_evicted", NULL, NULL, PLAIN},
	{"tcpguard_flows_refused_total", "Connections that found no place in a full table.", COUNTER, "engine", "flows_refused", NULL, NULL, PLAIN},
	{"tcpguard_flows_verified_total", "Questions to the kernel whether a connection is still there.", COUNTER, "engine", "verified", NULL, NULL, PLAIN},
	{"tcpguard_flows_uncounted_total", "Answers about connections without packet counters.", COUNTER, "engine", "uncounted", NULL, NULL, PLAIN},
	{"tcpguard_sources", "Sources that are counted, of both families.", GAUGE, "status", "sources", NULL, NULL, PLAIN},
	{"tcpguard_sources_max", "Room for sources of each family.", GAUGE, "status", "max_sources", NULL, NULL, PLAIN},
	{"tcpguard_sources_lowered", "1 when there is room for fewer sources than usual, to stay within the memory.", GAUGE, "status", "sources_lowered", NULL, NULL, PLAIN},
	{"tcpguard_sources_evicted_total", "Sources that gave way in a full table.", COUNTER, "engine", "sources_evicted", NULL, NULL, PLAIN},
	{"tcpguard_conntrack_entries", "Entries in the kernel's table of connections.", GAUGE, "conntrack", "count", NULL, NULL, PLAIN},
	{"tcpguard_conntrack_entries_max", "Room in the kernel's table of connections.", GAUGE, "conntrack", "max", NULL, NULL, PLAIN},

	{"tcpguard_events_received_total", "Messages of conntrack that were received.", COUNTER, "events", "received", NULL, NULL, PLAIN},
	{"tcpguard_events_lost_total", "Messages of conntrack that the kernel could not deliver.", COUNTER, "events", "lost", NULL, NULL, PLAIN},
	{"tcpguard_events_skipped_total", "Messages of conntrack that changed nothing, by reason.", COUNTER, "events", "ignored", "reason", "ignored", PLAIN},
	{"tcpguard_events_skipped_total", NULL, COUNTER, "events", "malformed", "reason", "malformed", PLAIN},
	{"tcpguard_events_skipped_total", NULL, COUNTER, "events", "foreign", "reason", "foreign", PLAIN},
	{"tcpguard_events_skipped_total", NULL, COUNTER, "events", "overtaken", "reason", "overtaken", PLAIN},
	{"tcpguard_feed_step", "How much less than everything conntrack is asked to tell: 0 to 3.", GAUGE, "feed", "step", NULL, NULL, PLAIN},
	{"tcpguard_feed_steps_down_total", "Times that conntrack was asked for less.", COUNTER, "feed", "steps_down", NULL, NULL, PLAIN},
	{"tcpguard_feed_steps_up_total", "Times that conntrack was asked for more again.", COUNTER, "feed", "steps_up", NULL, NULL, PLAIN},
	{"tcpguard_gaps_total", "Times that events were lost; a dump heals the counts.", COUNTER, "events", "gaps", NULL, NULL, PLAIN},
	{"tcpguard_resyncs_total", "Counts rebuilt from a dump of conntrack.", COUNTER, "events", "resyncs", NULL, NULL, PLAIN},
	{"tcpguard_resyncs_failed_total", "Rebuilds that were given up, and are tried again.", COUNTER, "events", "resyncs_failed", NULL, NULL, PLAIN},
	{"tcpguard_counts_stale", "1 while events were lost and no dump has healed it yet.", GAUGE, "events", "stale", NULL, NULL, PLAIN},
	{"tcpguard_dumps_total", "Dumps of conntrack that were begun.", COUNTER, "events", "dumps", NULL, NULL, PLAIN},
	{"tcpguard_dumps_failed_total", "Dumps of conntrack that failed.", COUNTER, "events", "dumps_failed", NULL, NULL, PLAIN},
	{"tcpguard_dumped_entries_total", "Entries of conntrack that dumps have told.", COUNTER, "events", "dumped", NULL, NULL, PLAIN},
	{"tcpguard_questions_total", "Single entries that conntrack was asked about.", COUNTER, "events", "questions", NULL, NULL, PLAIN},
	{"tcpguard_questions_failed_total", "Questions to conntrack without an answer.", COUNTER, "events", "questions_failed", NULL, NULL, PLAIN},
	{"tcpguard_feed_restarts_total", "Times that following conntrack had to begin anew.", COUNTER, "events", "feed_restarts", NULL, NULL, PLAIN},
	{"tcpguard_receive_buffer_bytes", "Room for events between kernel and daemon.", GAUGE, "events", "receive_buffer", NULL, NULL, PLAIN},
	{"tcpguard_engine_events_total", "Steps of the engine: events, ticks, answers.", COUNTER, "engine", "events", NULL, NULL, PLAIN},

	{"tcpguard_decisions_total", "What was decided, by limit. Kept over a reload by the names.", COUNTER, "limit", "ban", "decision", "ban", PLAIN},
	{"tcpguard_decisions_total", NULL, COUNTER, "limit", "observe", "decision", "observe", PLAIN},
	{"tcpguard_decisions_total", NULL, COUNTER, "limit", "extend", "decision", "extend", PLAIN},
	{"tcpguard_decisions_total", NULL, COUNTER, "limit", "prove", "decision", "prove", PLAIN},
	{"tcpguard_decisions_total", NULL, COUNTER, "limit", "lift", "decision", "lift", PLAIN},
	{"tcpguard_decisions_total", NULL, COUNTER, "limit", "expire", "decision", "expire", PLAIN},
	{"tcpguard_limit_bans", "Bans now, by limit: enforced, as a rate-limit without proof, only observed; or the service over its limit in all.", GAUGE, "limit", "enforced", "state", "enforced", PLAIN},
	{"tcpguard_limit_bans", NULL, GAUGE, "limit", "unproven", "state", "unproven", PLAIN},
	{"tcpguard_limit_bans", NULL, GAUGE, "limit", "observed", "state", "observed", PLAIN},
	{"tcpguard_limit_bans", NULL, GAUGE, "limit", "over", "state", "over", PLAIN},
	{"tcpguard_bans_enforced", "Bans in force.", GAUGE, "bans", "active", NULL, NULL, PLAIN},
	{"tcpguard_bans_observed", "Bans that are only observed.", GAUGE, "bans", "observed", NULL, NULL, PLAIN},
	{"tcpguard_bans_unproven", "Bans in force that are rate-limits in the place of drops.", GAUGE, "bans", "unproven", NULL, NULL, PLAIN},
	{"tcpguard_bans_pending", "Bans in force that the kernel has not confirmed yet.", GAUGE, "bans", "pending", NULL, NULL, PLAIN},
	{"tcpguard_bans_max", "Room for bans.", GAUGE, "bans", "max", NULL, NULL, PLAIN},
	{"tcpguard_bans_by_action", "Bans in force, by what they do.", GAUGE, "actions", NULL, "action", NULL, EVERY_KEY},
	{"tcpguard_services_over", "Services that are over a limit in all, or were until lately.", GAUGE, "engine", "services", NULL, NULL, PLAIN},
	{"tcpguard_offences_total", "Times that a source crossed a limit.", COUNTER, "bans", "offences", NULL, NULL, PLAIN},
	{"tcpguard_offence_records", "Offences that are remembered after the end of their ban.", GAUGE, "engine", "records", NULL, NULL, PLAIN},
	{"tcpguard_bans_begun_total", "Bans that began, enforced or observed, by limits and by hand.", COUNTER, "bans", "begun", NULL, NULL, PLAIN},
	{"tcpguard_bans_extended_total", "Bans that were extended.", COUNTER, "bans", "extended", NULL, NULL, PLAIN},
	{"tcpguard_bans_insisting_total", "Ends of bans put off, because the source went on sending.", COUNTER, "engine", "insisting", NULL, NULL, PLAIN},
	{"tcpguard_bans_lifted_total", "Bans that ended before their time.", COUNTER, "bans", "lifted", NULL, NULL, PLAIN},
	{"tcpguard_bans_expired_total", "Bans whose time was over.", COUNTER, "bans", "expired", NULL, NULL, PLAIN},
	{"tcpguard_bans_adopted_total", "Bans of an earlier daemon, found in the kernel at start.", COUNTER, "bans", "adopted", NULL, NULL, PLAIN},
	{"tcpguard_bans_restored_total", "Bans that came back from the disk at start.", COUNTER, "bans", "restored", NULL, NULL, PLAIN},
	{"tcpguard_bans_evicted_total", "Bans that gave way in a full table.", COUNTER, "bans", "evicted", NULL, NULL, PLAIN},
	{"tcpguard_bans_refused_total", "Bans that were refused: of a protected address, for want of room, of an admin with a live session.", COUNTER, "bans", "refused_protected", "reason", "protected", PLAIN},
	{"tcpguard_bans_refused_total", NULL, COUNTER, "bans", "refused_full", "reason", "full", PLAIN},
	{"tcpguard_bans_refused_total", NULL, COUNTER, "bans", "refused_admin", "reason", "admin", PLAIN},
	{"tcpguard_bans_braked_total", "Proven bans that stayed rate-limits: too many in a minute, of the sources, of the connections.", COUNTER, "bans", "braked_rate", "brake", "rate", PLAIN},
	{"tcpguard_bans_braked_total", NULL, COUNTER, "bans", "braked_sources", "brake", "sources", PLAIN},
	{"tcpguard_bans_braked_total", NULL, COUNTER, "bans", "braked_flows", "brake", "flows", PLAIN},
	{"tcpguard_offences_suppressed_total", "Offences in a wide flood, left to the state of their service.", COUNTER, "engine", "suppressed", NULL, NULL, PLAIN},
	{"tcpguard_decisions_lost_total", "Notes of refusals, expiries and questions that found no room; never a ban.", COUNTER, "engine", "decisions_lost", NULL, NULL, PLAIN},
	{"tcpguard_reloads_total", "Policies that were asked for, by what became of them.", COUNTER, "engine", "reloads", "result", "loaded", PLAIN},
	{"tcpguard_reloads_total", NULL, COUNTER, "engine", "reloads_failed", "result", "failed", PLAIN},

	{"tcpguard_kernel_transaction_duration_seconds", "From sending a transaction to nf_tables until its answer, refused ones too.", HISTOGRAM, "transaction", NULL, NULL, NULL, BUCKETS},
	{"tcpguard_kernel_transactions_total", "Transactions of nf_tables that were sent.", COUNTER, "table", "transactions", NULL, NULL, PLAIN},
	{"tcpguard_kernel_transactions_failed_total", "Transactions that the kernel refused as a whole.", COUNTER, "table", "failed", NULL, NULL, PLAIN},
	{"tcpguard_kernel_elements_total", "Elements of sets that the kernel was told of, by what became of it.", COUNTER, "table", "elements_added", "result", "added", PLAIN},
	{"tcpguard_kernel_elements_total", NULL, COUNTER, "table", "elements_removed", "result", "removed", PLAIN},
	{"tcpguard_kernel_elements_total", NULL, COUNTER, "table", "elements_failed", "result", "failed", PLAIN},
	{"tcpguard_kernel_retries_total", "Changes of bans that were tried again.", COUNTER, "table", "retried", NULL, NULL, PLAIN},
	{"tcpguard_kernel_verified_total", "Sources that SYNPROXY or a budget of SYNs was to let pass, again and again, by what became of it.", COUNTER, "table", "verified", "result", "passed", PLAIN},
	{"tcpguard_kernel_verified_total", NULL, COUNTER, "table", "verified_refused", "result", "refused", PLAIN},
	{"tcpguard_kernel_repairs_total", "Times that the table was found changed or gone and put back.", COUNTER, "table", "repairs", NULL, NULL, PLAIN},
	{"tcpguard_kernel_table_owned", "1 when nobody else can change the table.", GAUGE, "table", "owned", NULL, NULL, PLAIN},
	{"tcpguard_fuse_limits", "Limits that stand in the packet path, too.", GAUGE, "fuse", "limits", NULL, NULL, PLAIN},
	{"tcpguard_fuse_offences_total", "Offences that the packet path told of.", COUNTER, "fuse", "told", NULL, NULL, PLAIN},
	{"tcpguard_fuse_skipped_total", "Messages of the packet path that made no offence, by reason: of another policy, of no rule of ours.", COUNTER, "fuse", "unknown", "reason", "unknown", PLAIN},
	{"tcpguard_fuse_skipped_total", NULL, COUNTER, "fuse", "malformed", "reason", "malformed", PLAIN},
	{"tcpguard_fuse_lost_total", "Messages of the packet path that found no room.", COUNTER, "fuse", "lost", NULL, NULL, PLAIN},
	{"tcpguard_fuse_full_total", "Times that a meter was told to be full, at most one a second and meter.", COUNTER, "fuse", "full", NULL, NULL, PLAIN},
	{"tcpguard_fuse_meter_room", "Sources that each meter has room for.", GAUGE, "fuse", "room", NULL, NULL, PLAIN},
	{"tcpguard_fuse_meter_sources", "Sources in all meters, if the kernel tells.", GAUGE, "meter", "sources", NULL, NULL, PLAIN},
	{"tcpguard_fuse_meter_most", "Sources in the fullest meter, if the kernel tells.", GAUGE, "meter", "most", NULL, NULL, PLAIN},

	{"tcpguard_witness_verdicts_total", "Questions whether the sockets prove a source, and the answers.", COUNTER, "engine", "witness_asked", "verdict", "asked", PLAIN},
	{"tcpguard_witness_verdicts_total", NULL, COUNTER, "engine", "witness_proven", "verdict", "proven", PLAIN},
	{"tcpguard_witness_verdicts_total", NULL, COUNTER, "engine", "witness_denied", "verdict", "denied", PLAIN},
	{"tcpguard_witness_questions_total", "Questions to the sockets that were taken.", COUNTER, "witness", "questions", NULL, NULL, PLAIN},
	{"tcpguard_witness_walks_total", "Looks at the host's sockets.", COUNTER, "witness", "walks", NULL, NULL, PLAIN},
	{"tcpguard_witness_walks_failed_total", "Looks at the host's sockets that were given up.", COUNTER, "witness", "walks_failed", NULL, NULL, PLAIN},
	{"tcpguard_witness_dropped_total", "Questions to the sockets that found no room.", COUNTER, "witness", "dropped", NULL, NULL, PLAIN},
	{"tcpguard_witness_waiting", "Questions to the sockets without an answer yet.", GAUGE, "witness", "waiting", NULL, NULL, PLAIN},
	{"tcpguard_witness_sockets_total", "Sockets that looks were told of.", COUNTER, "witness", "sockets", NULL, NULL, PLAIN},
	{"tcpguard_witness_last_walk_seconds", "The last look at the sockets, from its begin to its end.", GAUGE, "witness", "last_us", NULL, NULL, MICROSECONDS},
	{"tcpguard_probes_total", "Elements of the kernel that were asked what they have counted.", COUNTER, "witness", "probes", NULL, NULL, PLAIN},
	{"tcpguard_probes_failed_total", "Elements that gave no answer.", COUNTER, "witness", "probes_failed", NULL, NULL, PLAIN},
	{"tcpguard_truth_looking", "1 while something is wrong, and the sockets are looked at once a second.", GAUGE, "truth", "looking", NULL, NULL, PLAIN},
	{"tcpguard_truth_requests", "Handshakes that sockets wait for, at the last look.", GAUGE, "truth", "requests", NULL, NULL, PLAIN},
	{"tcpguard_truth_requests_cut", "1 when there were more than a look counts.", GAUGE, "truth", "cut", NULL, NULL, PLAIN},
	{"tcpguard_truth_listen_drops_per_second", "SYNs and handshakes without room in a listener's queue, before the last look.", GAUGE, "truth", "dropped_per_second", NULL, NULL, PLAIN},
	{"tcpguard_truth_cookies_per_second", "SYNs answered by a cookie, before the last look.", GAUGE, "truth", "cookies_per_second", NULL, NULL, PLAIN},
	{"tcpguard_truth_looks_total", "Looks at handshakes that sockets wait for.", COUNTER, "truth", "looks", NULL, NULL, PLAIN},
	{"tcpguard_truth_looks_failed_total", "Looks at handshakes that were given up.", COUNTER, "truth", "looks_failed", NULL, NULL, PLAIN},
	{"tcpguard_truth_last_look_seconds", "The last look at handshakes, from its begin to its end.", GAUGE, "truth", "last_us", NULL, NULL, MICROSECONDS},
	{"tcpguard_admin_addresses", "Addresses with a live session of an admin.", GAUGE, "admins", "addresses", NULL, NULL, PLAIN},
	{"tcpguard_admin_looks_total", "Looks for sessions of admins.", COUNTER, "admins", "looks", NULL, NULL, PLAIN},
	{"tcpguard_admin_looks_failed_total", "Looks for sessions of admins that were given up.", COUNTER, "admins", "looks_failed", NULL, NULL, PLAIN},
	{"tcpguard_admin_last_look_seconds", "The last look for sessions of admins, from its begin to its end.", GAUGE, "admins", "last_us", NULL, NULL, MICROSECONDS},
	{"tcpguard_bans_killing_total", "Bans after which connections were to end.", COUNTER, "bans", "kills", NULL, NULL, PLAIN},
	{"tcpguard_kill_orders_total", "Sources whose connections were to end.", COUNTER, "kill", "orders", NULL, NULL, PLAIN},
	{"tcpguard_kill_dropped_total", "Sources whose connections were to end, and for which there was no room.", COUNTER, "kill", "dropped", NULL, NULL, PLAIN},
	{"tcpguard_kill_waiting", "Sources whose connections are to end.", GAUGE, "kill", "waiting", NULL, NULL, PLAIN},
	{"tcpguard_kill_passes_failed_total", "Looks in which something could not be ended.", COUNTER, "kill", "passes_failed", NULL, NULL, PLAIN},
	{"tcpguard_kill_passes_total", "Looks for what is to be ended.", COUNTER, "kill", "passes", NULL, NULL, PLAIN},
	{"tcpguard_kill_last_pass_seconds", "The last of them, from its begin to its end.", GAUGE, "kill", "last_us", NULL, NULL, MICROSECONDS},
	{"tcpguard_killed_total", "What was ended: sockets of this host, entries of conntrack.", COUNTER, "kill", "sockets", "kind", "socket", PLAIN},
	{"tcpguard_killed_total", NULL, COUNTER, "kill", "flows", "kind", "flow", PLAIN},

	{"tcpguard_control_clients_total", "Clients of the control sockets, by what became of them.", COUNTER, "control", "accepted", "result", "accepted", PLAIN},
	{"tcpguard_control_clients_total", NULL, COUNTER, "control", "denied", "result", "denied", PLAIN},
	{"tcpguard_control_clients_total", NULL, COUNTER, "control", "busy", "result", "busy", PLAIN},
	{"tcpguard_control_malformed_total", "Requests that were none.", COUNTER, "control", "malformed", NULL, NULL, PLAIN},
	{"tcpguard_control_timed_out_total", "Clients that were closed because they neither asked nor read.", COUNTER, "control", "timed_out", NULL, NULL, PLAIN},
	{"tcpguard_store_changes_total", "Changes that were written to the state file.", COUNTER, "store", "changes", NULL, NULL, PLAIN},
	{"tcpguard_store_snapshots_total", "State files that were written anew.", COUNTER, "store", "snapshots", NULL, NULL, PLAIN},
	{"tcpguard_store_failed_total", "Times that the disk refused the state.", COUNTER, "store", "failed", NULL, NULL, PLAIN},
	{"tcpguard_store_lost", "Changes that are not on the disk.", GAUGE, "store", "lost", NULL, NULL, PLAIN},
	{"tcpguard_store_bytes", "Size of the state file.", GAUGE, "store", "size", NULL, NULL, PLAIN},
	{"tcpguard_recorders", "Clients that record a trace.", GAUGE, "record", "clients", NULL, NULL, PLAIN},
	{"tcpguard_recorded_events_total", "Events that were recorded.", COUNTER, "record", "events", NULL, NULL, PLAIN},
	{"tcpguard_recorded_lost_total", "Events that a recording client did not read in time.", COUNTER, "record", "lost", NULL, NULL, PLAIN},
	{"tcpguard_log_lines_total", "Lines that were logged.", COUNTER, "log", "lines", NULL, NULL, PLAIN},
	{"tcpguard_log_dropped_total", "Lines that were not logged: too many of their kind, or nobody read.", COUNTER, "log", "suppressed", "reason", "rate", PLAIN},
	{"tcpguard_log_dropped_total", NULL, COUNTER, "log", "dropped", "reason", "reader", PLAIN},
	{"tcpguard_events_missed_total", "Events that their readers were too slow for.", COUNTER, "log", "events_missed", NULL, NULL, PLAIN},
	{"tcpguard_events_untold_total", "Events that are not told, for want of memory.", COUNTER, "log", "events_untold", NULL, NULL, PLAIN},
};
/* clang-format on */

struct metrics {
	bool answered; /* there was a `status` */
	bool failed;
	size_t size;
	struct tg_strbuf version;
	struct tg_strbuf samples[ARRAY_SIZE(rows)];
};

struct metrics *metrics_create(void)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		return NULL;
	tg_strbuf_init(&metrics->version);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		tg_strbuf_init(&metrics->samples[i]);
	return metrics;
}

void metrics_destroy(struct metrics *metrics)
{
	if (!metrics)
		return;
	tg_strbuf_finish(&metrics->version);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		tg_strbuf_finish(&metrics->samples[i]);
	free(metrics);
}

static void put_label(struct tg_strbuf *out, const char *name, const char *value, bool *first)
{
	if (!name || !value)
		return;
	tg_strbuf_printf(out, "%s%s=\"", *first ? "{" : ",", name);
	*first = false;
	for (; *value; value++) {
		if (*value == '\n')
			tg_strbuf_puts(out, "\\n");
		else if (*value == '"' || *value == '\\')
			tg_strbuf_printf(out, "\\%c", *value);
		else
			tg_strbuf_putc(out, *value);
	}
	tg_strbuf_putc(out, '"');
}

/* The one kind of record that comes more than once, each with two names. */
static bool is_limit(const struct tg_record *record)
{
	return strcmp(record->name, "limit") == 0;
}

/* The name with its labels, and a blank. */
static void begin_sample(struct tg_strbuf *out, const struct row *row, const char *suffix,
			 const struct tg_record *record, const char *label, const char *value)
{
	bool first = true;
	tg_strbuf_printf(out, "%s%s", row->name, suffix);
	if (is_limit(record)) {
		put_label(out, "policy", tg_record_get(record, "policy"), &first);
		put_label(out, "limit", tg_record_get(record, "limit"), &first);
	}
	put_label(out, label, value, &first);
	tg_strbuf_puts(out, first ? " " : "} ");
}

static void put_seconds(struct tg_strbuf *out, uint64_t us)
{
	tg_strbuf_printf(out, "%" PRIu64 ".%06u\n", us / 1000000, (unsigned)(us % 1000000));
}

static void add_number(struct tg_strbuf *out, const struct row *row, const struct tg_record *record)
{
	uint64_t number;
	if (!tg_record_get_u64(record, row->key, &number))
		return;
	begin_sample(out, row, "", record, row->label, row->value);
	if (row->unit == MICROSECONDS)
		put_seconds(out, number);
	else
		tg_strbuf_printf(out, "%" PRIu64 "\n", number);
}

static void add_every_key(struct tg_strbuf *out, const struct row *row,
			  const struct tg_record *record)
{
	uint64_t number;
	for (size_t i = 0; i < record->count; i++) {
		if (!tg_text_u64(record->fields[i].value, &number))
			continue;
		begin_sample(out, row, "", record, row->label, record->fields[i].key);
		tg_strbuf_printf(out, "%" PRIu64 "\n", number);
	}
}

/* The daemon adds up from bound to bound already. */
static void add_buckets(struct tg_strbuf *out, const struct row *row,
			const struct tg_record *record)
{
	uint64_t bound, number, count, sum_us;
	if (!tg_record_get_u64(record, "count", &count) ||
	    !tg_record_get_u64(record, "sum_us", &sum_us))
		return;
	for (size_t i = 0; i < record->count; i++) {
		const char *key = record->fields[i].key;
		char text[32];
		if (strncmp(key, "le_", 3) != 0 || !tg_text_u64(key + 3, &bound) ||
		    !tg_text_u64(record->fields[i].value, &number))
			continue;
		(void)snprintf(text, sizeof(text), "%g", (double)bound / 1e6); /* it is short */
		begin_sample(out, row, "_bucket", record, "le", text);
		tg_strbuf_printf(out, "%" PRIu64 "\n", number);
	}
	begin_sample(out, row, "_bucket", record, "le", "+Inf");
	tg_strbuf_printf(out, "%" PRIu64 "\n", count);
	begin_sample(out, row, "_sum", record, NULL, NULL);
	put_seconds(out, sum_us);
	begin_sample(out, row, "_count", record, NULL, NULL);
	tg_strbuf_printf(out, "%" PRIu64 "\n", count);
}

static void add_row(struct tg_strbuf *out, const struct row *row, const struct tg_record *record)
{
	const char *text;
	switch (row->unit) {
	case PLAIN:
	case MICROSECONDS:
		add_number(out, row, record);
		return;
	case EVERY_KEY:
		add_every_key(out, row, record);
		return;
	case TEXT_KEY:
		text = tg_record_get(record, row->key);
		begin_sample(out, row, "", record, row->label, row->value);
		tg_strbuf_puts(out, text && strcmp(text, row->value) == 0 ? "1\n" : "0\n");
		return;
	case BUCKETS:
		add_buckets(out, row, record);
		return;
	}
}

void metrics_add(struct metrics *metrics, const struct tg_record *record)
{
	if (strcmp(record->name, "status") == 0 && !metrics->answered) {
		const char *version = tg_record_get(record, "version");
		tg_strbuf_puts(&metrics->version, version ? version : "");
		metrics->answered = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows) && !metrics->failed; i++) {
		struct tg_strbuf *out = &metrics->samples[i];
		if (strcmp(rows[i].record, record->name) != 0)
			continue;
		/* A series given twice would spoil the page. */
		if (out->len > 0 && !is_limit(record))
			continue;
		const size_t before = out->len;
		add_row(out, &rows[i], record);
		metrics->size += out->len - before;
		metrics->failed = out->failed || metrics->size > PAGE_MAX;
	}
}

static void put_head(struct tg_strbuf *out, const char *name, const char *help, enum type type)
{
	static const char *const types[] = {
		[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
	tg_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

bool metrics_print(const struct metrics *metrics, struct tg_strbuf *out)
{
	static const struct row build = {.name = "tcpguard_build_info"};
	static const struct tg_record none = {.name = "none"};
	put_head(out, "tcpguard_up", "1 when the daemon answered.", GAUGE);
	tg_strbuf_printf(out, "tcpguard_up %d\n", metrics->answered);
	if (metrics->answered) {
		put_head(out, build.name, "Always 1; the label says which version the daemon is.",
			 GAUGE);
		begin_sample(out, &build, "", &none, "version", metrics->version.text);
		tg_strbuf_puts(out, "1\n");
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows);) {
		const size_t head = i;
		bool headed = false;
		for (; i < ARRAY_SIZE(rows) && strcmp(rows[i].name, rows[head].name) == 0; i++) {
			if (metrics->samples[i].len == 0)
				continue;
			if (!headed)
				put_head(out, rows[head].name, rows[head].help, rows[head].type);
			headed = true;
			tg_strbuf_append(out, metrics->samples[i].text, metrics->samples[i].len);
		}
	}
	return !out->failed && !metrics->failed;
}
