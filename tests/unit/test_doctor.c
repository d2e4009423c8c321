/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage: test_doctor DOCTOR.MD
 * Every check of doctor on a host that is well but for one thing: found with its severity, at its
 * threshold and not before, and never out of what is not known.
 */
#include "cli/doctor.h"

#include <stdlib.h>

#include "base/util.h"
#include "doctor_host.h"
#include "test.h"

static struct doctor_host host;

static struct doctor_report *examine(void)
{
	struct doctor_report *report = doctor_report_create();
	doctor_check_all(&host.snapshot, report);
	return report;
}

static const struct doctor_finding *find(const struct doctor_report *report, const char *id)
{
	for (size_t i = 0; i < report->count; i++)
		if (strcmp(report->findings[i].id, id) == 0)
			return &report->findings[i];
	return NULL;
}

static const char *severity_of(const char *id)
{
	struct doctor_report *report = examine();
	const struct doctor_finding *finding = find(report, id);
	const char *severity = finding ? doctor_severity_name(finding->severity) : "none";
	doctor_report_destroy(report);
	return severity;
}

#define SPOIL(name) static void spoil_##name(void)
#define KEY(key, number) set_sysctl(&host, SYSCTL_##key, number)
#define COUNT(counter, number) set_counter(&host, COUNTER_##counter, number)

SPOIL(cookies_off)
{
	KEY(SYNCOOKIES, 0);
}
SPOIL(cookies_always)
{
	KEY(SYNCOOKIES, 2);
}
SPOIL(syn_backlog)
{
	KEY(SYNCOOKIES, 0);
	KEY(MAX_SYN_BACKLOG, 680);
}
SPOIL(syn_backlog_not)
{
	KEY(SYNCOOKIES, 0);
	KEY(MAX_SYN_BACKLOG, 684);
}
SPOIL(syn_backlog_cookies)
{
	KEY(MAX_SYN_BACKLOG, 16);
}
SPOIL(syn_queue)
{
	COUNT(SYNCOOKIES_SENT, 1);
}
SPOIL(syn_queue_drop)
{
	COUNT(REQQ_DROPS, 1);
}
SPOIL(syn_queue_now)
{
	COUNT(SYNCOOKIES_SENT, 1);
	host.snapshot.counted_s = 10;
}
SPOIL(syn_queue_always)
{
	COUNT(SYNCOOKIES_SENT, 1000);
	KEY(SYNCOOKIES, 2);
}
SPOIL(accept_full)
{
	host.listener.queued = 512;
}
SPOIL(accept_not)
{
	host.listener.queued = 511;
}
SPOIL(overflows)
{
	COUNT(LISTEN_OVERFLOWS, 2);
	COUNT(LISTEN_DROPS, 2);
}
SPOIL(overflows_now)
{
	COUNT(LISTEN_OVERFLOWS, 2);
	host.snapshot.counted_s = 10;
}
SPOIL(drops)
{
	COUNT(LISTEN_OVERFLOWS, 2);
	COUNT(REQQ_DROPS, 3);
	COUNT(LISTEN_DROPS, 6);
}
SPOIL(drops_not)
{
	COUNT(LISTEN_OVERFLOWS, 2);
	COUNT(REQQ_DROPS, 3);
	COUNT(LISTEN_DROPS, 5);
}
SPOIL(somaxconn)
{
	host.listener.backlog = 128;
	KEY(SOMAXCONN, 128);
}
SPOIL(somaxconn_hurts)
{
	host.listener.backlog = 4096;
	COUNT(LISTEN_OVERFLOWS, 1);
}
SPOIL(somaxconn_hurts_now)
{
	host.listener.backlog = 4096;
	COUNT(LISTEN_OVERFLOWS, 1);
	host.snapshot.counted_s = 10;
}
SPOIL(somaxconn_not)
{
	host.listener.backlog = 4096;
}
SPOIL(softnet)
{
	COUNT(SOFTNET_DROPPED, 1);
}
SPOIL(softnet_now)
{
	COUNT(SOFTNET_DROPPED, 1);
	host.snapshot.counted_s = 10;
}
SPOIL(softnet_hidden)
{
	COUNT(SOFTNET_DROPPED, 1);
	host.snapshot.namespaced = true;
	host.snapshot.sysctls[SYSCTL_NETDEV_BACKLOG].status = SYSCTL_ABSENT;
}
SPOIL(memory)
{
	host.snapshot.sockstat.tcp_pages = 2000;
}
SPOIL(memory_full)
{
	host.snapshot.sockstat.tcp_pages = 2850;
}
SPOIL(memory_not)
{
	host.snapshot.sockstat.tcp_pages = 1999;
}
SPOIL(aborts)
{
	COUNT(ABORT_ON_MEMORY, 1);
}
SPOIL(aborts_now)
{
	COUNT(ABORT_ON_MEMORY, 1);
	host.snapshot.counted_s = 10;
}
SPOIL(pressures)
{
	COUNT(MEMORY_PRESSURES, 1);
}
SPOIL(buckets_low)
{
	KEY(MAX_TW_BUCKETS, 5000);
}
SPOIL(buckets_small_machine)
{
	KEY(MAX_TW_BUCKETS, 5000);
	KEY(EHASH_ENTRIES, -8192);
}
SPOIL(buckets_old_kernel)
{
	KEY(MAX_TW_BUCKETS, 5000);
	host.snapshot.sysctls[SYSCTL_EHASH_ENTRIES].status = SYSCTL_ABSENT;
}
SPOIL(buckets_full)
{
	host.snapshot.tally.time_wait = 117965;
}
SPOIL(buckets_not)
{
	host.snapshot.tally.time_wait = 117964;
}
SPOIL(buckets_were)
{
	COUNT(TW_OVERFLOW, 1);
}
SPOIL(buckets_are)
{
	COUNT(TW_OVERFLOW, 1);
	host.snapshot.counted_s = 10;
}
SPOIL(reuse_none)
{
	KEY(TW_REUSE, 1);
	host.snapshot.tally.time_wait_out = 0;
}
SPOIL(reuse_useful)
{
	KEY(TW_REUSE, 1);
}
SPOIL(reuse_bare)
{
	KEY(TW_REUSE, 1);
	KEY(TIMESTAMPS, 0);
}
SPOIL(recycle)
{
	KEY(TW_RECYCLE, 1);
}
SPOIL(recycle_off)
{
	KEY(TW_RECYCLE, 0);
}
SPOIL(timeout)
{
	KEY(TW_TIMEOUT, 59);
}
SPOIL(timeout_usual)
{
	KEY(TW_TIMEOUT, 60);
}
SPOIL(fin_timeout)
{
	KEY(FIN_TIMEOUT, 29);
}
SPOIL(fin_timeout_not)
{
	KEY(FIN_TIMEOUT, 30);
}
SPOIL(fin_wait2)
{
	host.snapshot.tally.fin_wait2 = 500;
}
SPOIL(fin_wait2_busy)
{
	host.snapshot.tally.fin_wait2 = 500;
	host.snapshot.tally.established = 500;
}
SPOIL(closes_first)
{
	host.ports[80] = (struct tally_port){.time_wait = 500, .established = 125};
}
SPOIL(closes_first_busy)
{
	host.ports[80] = (struct tally_port){.time_wait = 500, .established = 126};
}
SPOIL(closes_first_few)
{
	host.ports[80] = (struct tally_port){.time_wait = 499};
}
SPOIL(ports)
{
	host.destination.used = 22586;
}
SPOIL(ports_not)
{
	host.destination.used = 22585;
}
SPOIL(ports_reserved)
{
	host.destination.used = 22585;
	host.snapshot.reserved_ports = 1000;
}
SPOIL(ports_gone)
{
	host.destination.used = 26821;
}
SPOIL(slow)
{
	host.snapshot.tally.keepalive = 10;
}
SPOIL(slow_few)
{
	host.snapshot.tally.keepalive = 9;
}
SPOIL(slow_not)
{
	host.snapshot.tally.keepalive = 10;
	KEY(KEEPALIVE_TIME, 3600 - 9 * 75);
}
SPOIL(mute)
{
	host.process.mute = 10;
}
SPOIL(mute_few)
{
	host.process.mute = 9;
}
SPOIL(mute_many)
{
	host.process.mute = 100;
}
SPOIL(close_wait)
{
	host.process.close_wait = 10;
	host.process.close_wait_ms = 59999;
}
SPOIL(close_wait_old)
{
	host.process.close_wait = 10;
	host.process.close_wait_ms = 60000;
}
SPOIL(close_wait_many)
{
	host.process.close_wait = 1000;
	host.process.close_wait_ms = 60000;
}
SPOIL(close_wait_few)
{
	host.process.close_wait = 9;
	host.process.close_wait_ms = 60000;
}
SPOIL(fill)
{
	KEY(CT_COUNT, 196608);
}
SPOIL(fill_not)
{
	KEY(CT_COUNT, 196607);
}
SPOIL(fill_critical)
{
	KEY(CT_COUNT, 235930);
}
SPOIL(ct_drops)
{
	COUNT(CT_DROP, 1);
}
SPOIL(ct_drops_now)
{
	COUNT(CT_DROP, 1);
	host.snapshot.counted_s = 10;
}
SPOIL(ct_buckets)
{
	KEY(CT_BUCKETS, 65535);
}
SPOIL(ct_buckets_not)
{
	KEY(CT_BUCKETS, 65536);
}
SPOIL(ct_long)
{
	KEY(CT_COUNT, 65536);
}
SPOIL(ct_long_empty)
{
	KEY(CT_COUNT, 65535);
}
SPOIL(ct_short)
{
	KEY(CT_ESTABLISHED, 7199);
}
SPOIL(ct_short_not)
{
	KEY(CT_ESTABLISHED, 7200);
}
SPOIL(events_off)
{
	KEY(CT_EVENTS, 0);
}
SPOIL(events_auto)
{
	KEY(CT_EVENTS, 2);
}
SPOIL(loose)
{
	KEY(CT_LOOSE, 1);
}
SPOIL(untracked)
{
	KEY(CT_LOOSE, 1);
	KEY(CT_COUNT, 0);
}
SPOIL(vanished)
{
	set_line(&host, (char *)"net/ipv4/tcp_tw_recycle", (char *)"1", true);
}
SPOIL(vanished_other)
{
	set_line(&host, (char *)"net/ipv4/tcp_made_up", (char *)"1", true);
}
SPOIL(vanished_namespace)
{
	set_line(&host, (char *)"net/ipv4/tcp_made_up", (char *)"1", true);
	host.snapshot.namespaced = true;
}
SPOIL(vanished_unloaded)
{
	set_line(&host, (char *)"net/netfilter/nf_conntrack_max", (char *)"1", true);
	host.snapshot.sysctls[SYSCTL_CT_MAX].status = SYSCTL_ABSENT;
}
SPOIL(harmful)
{
	set_line(&host, (char *)"net/ipv4/tcp_max_tw_buckets", (char *)"5000", false);
	KEY(MAX_TW_BUCKETS, 131072);
}
SPOIL(harmful_cookies)
{
	set_line(&host, (char *)"net/ipv4/tcp_syncookies", (char *)"0", false);
}
SPOIL(harmful_overruled)
{
	set_line(&host, (char *)"net/ipv4/tcp_syncookies", (char *)"0", false);
	host.line.wins = false;
}
SPOIL(not_applied)
{
	set_line(&host, (char *)"net/core/somaxconn", (char *)"8192", false);
}
SPOIL(applied)
{
	set_line(&host, (char *)"net/ipv4/ip_local_port_range", (char *)"32768\t 60999", false);
}
SPOIL(not_applied_elsewhere)
{
	set_line(&host, (char *)"net/core/somaxconn", (char *)"8192", false);
	host.snapshot.files_elsewhere = true;
}

static const struct {
	const char *id, *severity;
	void (*spoil)(void);
} cases[] = {
	{"syncookies-off", "critical", spoil_cookies_off},
	{"syncookies-always", "warning", spoil_cookies_always},
	{"syn-backlog-small", "warning", spoil_syn_backlog},
	{"syn-backlog-small", "none", spoil_syn_backlog_not},
	{"syn-backlog-small", "none", spoil_syn_backlog_cookies},
	{"syn-queue-full", "advice", spoil_syn_queue},
	{"syn-queue-full", "advice", spoil_syn_queue_drop},
	{"syn-queue-full", "warning", spoil_syn_queue_now},
	{"syn-queue-full", "none", spoil_syn_queue_always},
	{"accept-queue-full", "critical", spoil_accept_full},
	{"accept-queue-full", "none", spoil_accept_not},
	{"listen-overflows", "advice", spoil_overflows},
	{"listen-overflows", "warning", spoil_overflows_now},
	{"listen-drops", "none", spoil_overflows},
	{"listen-drops", "advice", spoil_drops},
	{"listen-drops", "none", spoil_drops_not},
	{"somaxconn-low", "advice", spoil_somaxconn},
	{"somaxconn-low", "advice", spoil_somaxconn_hurts},
	{"somaxconn-low", "warning", spoil_somaxconn_hurts_now},
	{"somaxconn-low", "none", spoil_somaxconn_not},
	{"softnet-drops", "advice", spoil_softnet},
	{"softnet-drops", "warning", spoil_softnet_now},
	{"softnet-drops", "none", spoil_softnet_hidden},
	{"tcp-memory", "warning", spoil_memory},
	{"tcp-memory", "critical", spoil_memory_full},
	{"tcp-memory", "none", spoil_memory_not},
	{"tcp-memory-aborts", "advice", spoil_aborts},
	{"tcp-memory-aborts", "warning", spoil_aborts_now},
	{"tcp-memory-aborts", "advice", spoil_pressures},
	{"tw-buckets-low", "warning", spoil_buckets_low},
	{"tw-buckets-low", "none", spoil_buckets_small_machine},
	{"tw-buckets-low", "warning", spoil_buckets_old_kernel},
	{"tw-buckets-full", "critical", spoil_buckets_full},
	{"tw-buckets-full", "none", spoil_buckets_not},
	{"tw-buckets-full", "warning", spoil_buckets_were},
	{"tw-buckets-full", "critical", spoil_buckets_are},
	{"tw-reuse", "advice", spoil_reuse_none},
	{"tw-reuse", "none", spoil_reuse_useful},
	{"tw-reuse", "advice", spoil_reuse_bare},
	{"tw-recycle", "critical", spoil_recycle},
	{"tw-recycle", "none", spoil_recycle_off},
	{"tw-timeout", "warning", spoil_timeout},
	{"tw-timeout", "none", spoil_timeout_usual},
	{"fin-timeout-low", "advice", spoil_fin_timeout},
	{"fin-timeout-low", "none", spoil_fin_timeout_not},
	{"fin-wait2-pile", "advice", spoil_fin_wait2},
	{"fin-wait2-pile", "none", spoil_fin_wait2_busy},
	{"server-closes-first", "advice", spoil_closes_first},
	{"server-closes-first", "none", spoil_closes_first_busy},
	{"server-closes-first", "none", spoil_closes_first_few},
	{"ports-per-destination", "warning", spoil_ports},
	{"ports-per-destination", "none", spoil_ports_not},
	{"ports-per-destination", "warning", spoil_ports_reserved},
	{"ports-per-destination", "critical", spoil_ports_gone},
	{"keepalive-slow", "advice", spoil_slow},
	{"keepalive-slow", "none", spoil_slow_few},
	{"keepalive-slow", "none", spoil_slow_not},
	{"idle-without-keepalive", "advice", spoil_mute},
	{"idle-without-keepalive", "none", spoil_mute_few},
	{"idle-without-keepalive", "warning", spoil_mute_many},
	{"close-wait", "advice", spoil_close_wait},
	{"close-wait", "warning", spoil_close_wait_old},
	{"close-wait", "critical", spoil_close_wait_many},
	{"close-wait", "none", spoil_close_wait_few},
	{"conntrack-fill", "warning", spoil_fill},
	{"conntrack-fill", "none", spoil_fill_not},
	{"conntrack-fill", "critical", spoil_fill_critical},
	{"conntrack-drops", "warning", spoil_ct_drops},
	{"conntrack-drops", "critical", spoil_ct_drops_now},
	{"conntrack-buckets", "advice", spoil_ct_buckets},
	{"conntrack-buckets", "none", spoil_ct_buckets_not},
	{"conntrack-timeout-long", "advice", spoil_ct_long},
	{"conntrack-timeout-long", "none", spoil_ct_long_empty},
	{"conntrack-timeout-short", "warning", spoil_ct_short},
	{"conntrack-timeout-short", "none", spoil_ct_short_not},
	{"conntrack-events", "warning", spoil_events_off},
	{"conntrack-events", "advice", spoil_events_auto},
	{"conntrack-loose", "advice", spoil_loose},
	{"conntrack-loose", "none", spoil_untracked},
	{"sysctl-vanished", "advice", spoil_vanished},
	{"sysctl-vanished", "advice", spoil_vanished_other},
	{"sysctl-vanished", "none", spoil_vanished_namespace},
	{"sysctl-vanished", "none", spoil_vanished_unloaded},
	{"sysctl-harmful", "warning", spoil_harmful},
	{"sysctl-harmful", "critical", spoil_harmful_cookies},
	{"sysctl-harmful", "none", spoil_harmful_overruled},
	{"sysctl-not-applied", "advice", spoil_not_applied},
	{"sysctl-not-applied", "none", spoil_applied},
	{"sysctl-not-applied", "none", spoil_not_applied_elsewhere},
};

TEST(a_healthy_host_has_no_findings)
{
	healthy(&host);
	struct doctor_report *report = examine();
	CHECK_U64(report->count, 0);
	CHECK_U64(report->unknown_count, 0);
	doctor_report_destroy(report);
}

TEST(each_is_found_at_its_threshold)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		healthy(&host);
		cases[i].spoil();
		const int before = test_failures;
		CHECK_STR(severity_of(cases[i].id), cases[i].severity);
		if (test_failures > before)
			printf("# case %zu: %s\n", i, cases[i].id);
	}
}

TEST(accounting_is_for_a_policy_that_needs_it)
{
	healthy(&host);
	struct doctor_report *report = doctor_report_create();
	report->wants_accounting = true;
	doctor_check_all(&host.snapshot, report);
	CHECK(find(report, "conntrack-accounting"));
	CHECK_U64(report->count, 1);
	doctor_report_destroy(report);
}

static bool is_unknown(const struct doctor_report *report, const char *name)
{
	for (size_t i = 0; i < report->unknown_count; i++)
		if (strcmp(report->unknown[i].name, name) == 0)
			return true;
	return false;
}

/* A key is spoilt as badly as can be, but cannot be read: nothing follows from what stands there.
 */
TEST(what_is_not_known_is_said_and_not_guessed)
{
	for (int key = 0; key < SYSCTL_COUNT; key++) {
		/* Not judged, absent as a rule, or only asked when something else is wrong. */
		if (key == SYSCTL_TCP_RMEM || key == SYSCTL_RMEM_MAX || key == SYSCTL_TCP_SACK ||
		    key == SYSCTL_TW_RECYCLE || key == SYSCTL_TW_TIMEOUT ||
		    key == SYSCTL_EHASH_ENTRIES || key == SYSCTL_MAX_SYN_BACKLOG ||
		    key == SYSCTL_TIMESTAMPS || key == SYSCTL_CT_ACCT)
			continue;
		healthy(&host);
		host.snapshot.sysctls[key] = (struct sysctl_value){.status = SYSCTL_DENIED};
		struct doctor_report *report = examine();
		const int before = test_failures;
		CHECK_U64(report->count, 0);
		CHECK(is_unknown(report, sysctl_name((enum sysctl_key)key)));
		if (test_failures > before)
			printf("# key %s\n", sysctl_name((enum sysctl_key)key));
		doctor_report_destroy(report);
	}
}

TEST(unknown_counters_and_sockets)
{
	healthy(&host);
	for (int i = 0; i < COUNTER_COUNT; i++)
		host.snapshot.counters[i] = (struct counter_value){.value = 99};
	host.snapshot.tally = (struct tally){.error = -13};
	host.snapshot.sockstat.known = false;
	struct doctor_report *report = examine();
	CHECK_U64(report->count, 0);
	CHECK(is_unknown(report, "sockets"));
	CHECK(is_unknown(report, "ListenOverflows"));
	CHECK(is_unknown(report, "TCP's memory"));
	doctor_report_destroy(report);
}

TEST(the_worst_come_first)
{
	healthy(&host);
	KEY(FIN_TIMEOUT, 5);
	KEY(MAX_TW_BUCKETS, 5000);
	KEY(SYNCOOKIES, 0);
	KEY(CT_LOOSE, 1);
	struct doctor_report *report = examine();
	CHECK_U64(report->count, 4);
	CHECK_STR(report->findings[0].id, "syncookies-off");
	CHECK_STR(report->findings[1].id, "tw-buckets-low");
	CHECK_STR(report->findings[2].id, "fin-timeout-low");
	CHECK_STR(report->findings[3].id, "conntrack-loose");
	doctor_report_destroy(report);
}

TEST(findings_beyond_the_room_are_counted)
{
	struct tally_process many[DOCTOR_FINDINGS_MAX + 7];
	healthy(&host);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct tally_process){.process = "x", .close_wait = 10};
	host.snapshot.tally.processes = many;
	host.snapshot.tally.process_count = ARRAY_SIZE(many);
	struct doctor_report *report = examine();
	CHECK_U64(report->count, DOCTOR_FINDINGS_MAX);
	CHECK_U64(report->left_off, 7);
	CHECK(!report->failed);
	doctor_report_destroy(report);
}

/* Ids that are known, tested here and documented are the same. */
static void check_documented(const char *path)
{
	char line[512], heading[64];
	size_t documented = 0, known = 0;
	FILE *file = fopen(path, "re");
	CHECK(file);
	for (size_t i = 0; doctor_ids[i]; i++)
		known++;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "## %63[a-z0-9-]", heading) != 1)
			continue;
		documented++;
		bool found = false;
		for (size_t i = 0; i < known; i++)
			found = found || strcmp(doctor_ids[i], heading) == 0;
		CHECK(found);
	}
	CHECK_U64(documented, known);
	if (file)
		(void)fclose(file);
	for (size_t i = 0; i < known; i++) {
		bool tested = strcmp(doctor_ids[i], "conntrack-accounting") == 0;
		for (size_t j = 0; j < ARRAY_SIZE(cases); j++)
			tested = tested || strcmp(cases[j].id, doctor_ids[i]) == 0;
		CHECK(tested);
	}
}

static const char *docs;

TEST(every_id_is_documented_and_tested)
{
	check_documented(docs);
}

int main(int argc, char **argv)
{
	docs = argc > 1 ? argv[1] : "";
	RUN(a_healthy_host_has_no_findings);
	RUN(each_is_found_at_its_threshold);
	RUN(accounting_is_for_a_policy_that_needs_it);
	RUN(what_is_not_known_is_said_and_not_guessed);
	RUN(unknown_counters_and_sockets);
	RUN(the_worst_come_first);
	RUN(findings_beyond_the_room_are_counted);
	RUN(every_id_is_documented_and_tested);
	return DONE();
}
