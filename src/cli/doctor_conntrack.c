/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of connection tracking: room, timeouts, and what tcpguard needs it to tell. */
#include <inttypes.h>

#include "base/util.h"
#include "doctor.h"

#define FILL_WARNING_PERCENT 75
#define FILL_CRITICAL_PERCENT 90
/* From here on what an old entry takes is room that others may need. */
#define FILL_NOTICED_PERCENT 25
/* Each connection is in two chains, so that this is eight steps for a look-up when it is full. */
#define ENTRIES_PER_BUCKET 4
#define ESTABLISHED_LONG (24 * 3600)
#define ESTABLISHED_SHORT_MARGIN 600

static void check_fill(int64_t count, int64_t max, struct doctor_report *report)
{
	if (max <= 0 || count * 100 < max * FILL_WARNING_PERCENT)
		return;
	struct doctor_finding *finding = doctor_add(
		report, "conntrack-fill",
		count * 100 < max * FILL_CRITICAL_PERCENT ? DOCTOR_WARNING : DOCTOR_CRITICAL);
	tg_strbuf_printf(&finding->value,
			 "%" PRId64 " of %" PRId64 " entries, net.netfilter.nf_conntrack_max",
			 count, max);
	tg_strbuf_puts(&finding->evidence,
		       "nf_conntrack_count, now: a full table drops every new connection, "
		       "whosever it is");
	tg_strbuf_puts(&finding->advice,
		       "See whose entries they are (tcpguard top --count 20) before you make room. "
		       "If it is real traffic, double the maximum and the buckets: an entry takes "
		       "some 320 bytes.");
	tg_strbuf_puts(
		&finding->avoid,
		"Do not flush the table: it cuts what NAT knows, and half-open ones are back "
		"at once. Do not shorten timeouts below what keepalive needs.");
	tg_strbuf_printf(&finding->setting,
			 "net.netfilter.nf_conntrack_max = %" PRId64
			 "\nnet.netfilter.nf_conntrack_buckets = %" PRId64,
			 max * 2, max * 2);
}

static void check_drops(const struct host_snapshot *host, struct doctor_report *report)
{
	uint64_t drops, early = 0;
	char period[DOCTOR_PERIOD_STRLEN];
	if (!doctor_counter(host, report, COUNTER_CT_DROP, &drops) || drops == 0)
		return;
	(void)doctor_counter(host, report, COUNTER_CT_EARLY_DROP, &early); /* stays 0 */
	struct doctor_finding *finding =
		doctor_add(report, "conntrack-drops", doctor_counted(host, DOCTOR_CRITICAL));
	tg_strbuf_printf(&finding->value, "drop %" PRIu64 ", early_drop %" PRIu64, drops, early);
	tg_strbuf_printf(&finding->evidence,
			 "/proc/net/stat/nf_conntrack, %s: packets dropped because the table was "
			 "full or had no memory; unanswered entries put out to make room",
			 doctor_period(host, period));
	tg_strbuf_puts(&finding->advice,
		       "See whether it goes on (--over 10s). Then as for conntrack-fill.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not take it for a fault of the network: clients see a time-out, and the "
		       "log says \"table full\" only now and then.");
}

static void check_buckets(int64_t max, const struct host_snapshot *host,
			  struct doctor_report *report)
{
	int64_t buckets;
	if (!doctor_sysctl(host, report, SYSCTL_CT_BUCKETS, &buckets) || buckets <= 0 ||
	    max <= buckets * ENTRIES_PER_BUCKET)
		return;
	struct doctor_finding *finding = doctor_add(report, "conntrack-buckets", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value,
			 "nf_conntrack_max = %" PRId64 ", nf_conntrack_buckets = %" PRId64, max,
			 buckets);
	tg_strbuf_printf(&finding->evidence,
			 "a full table has %" PRId64
			 " entries in each chain, and every packet of a "
			 "new connection walks one",
			 max * 2 / buckets);
	tg_strbuf_puts(
		&finding->advice,
		"Set the buckets to the maximum: a bucket takes 8 bytes. It can be set while "
		"the host runs.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not raise nf_conntrack_max alone, as guides do: a flood then costs more "
		       "CPU for every packet.");
	tg_strbuf_printf(&finding->setting, "net.netfilter.nf_conntrack_buckets = %" PRId64, max);
}

/* The time until keepalive has found a dead peer; 0: not known. */
static int64_t dead_seconds(const struct host_snapshot *host)
{
	const struct sysctl_value *time = &host->sysctls[SYSCTL_KEEPALIVE_TIME];
	const struct sysctl_value *interval = &host->sysctls[SYSCTL_KEEPALIVE_INTVL];
	const struct sysctl_value *probes = &host->sysctls[SYSCTL_KEEPALIVE_PROBES];
	if (time->status != SYSCTL_KNOWN || interval->status != SYSCTL_KNOWN ||
	    probes->status != SYSCTL_KNOWN)
		return 0;
	return time->numbers[0] + interval->numbers[0] * probes->numbers[0];
}

static void add_timeout_short(const struct host_snapshot *host, int64_t timeout,
			      struct doctor_report *report)
{
	struct doctor_finding *finding =
		doctor_add(report, "conntrack-timeout-short", DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value, "nf_conntrack_tcp_timeout_established = %" PRId64,
			 timeout);
	tg_strbuf_printf(&finding->evidence,
			 "tcp_keepalive_time is %" PRId64
			 ": an idle connection is forgotten before its first probe, and its next "
			 "packet is a stranger's: dropped as invalid, or taken up as new",
			 host->sysctls[SYSCTL_KEEPALIVE_TIME].numbers[0]);
	tg_strbuf_puts(&finding->advice,
		       "Let entries outlive keepalive: raise the timeout, or shorten "
		       "tcp_keepalive_time.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not shorten it to a few minutes, as guides do, to save room: an entry "
		       "that is forgotten too early breaks the connection.");
	tg_strbuf_printf(&finding->setting,
			 "net.netfilter.nf_conntrack_tcp_timeout_established = %" PRId64,
			 dead_seconds(host) + ESTABLISHED_SHORT_MARGIN);
}

static void add_timeout_long(const struct host_snapshot *host, int64_t timeout, int64_t count,
			     int64_t max, struct doctor_report *report)
{
	char span[DOCTOR_SPAN_STRLEN];
	struct doctor_finding *finding =
		doctor_add(report, "conntrack-timeout-long", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value, "nf_conntrack_tcp_timeout_established = %" PRId64 " (%s)",
			 timeout, doctor_span_ms((uint64_t)timeout * 1000, span));
	tg_strbuf_printf(&finding->evidence,
			 "%" PRId64 " of %" PRId64
			 " entries are taken, and one whose peers have gone without a word is "
			 "kept so long",
			 count, max);
	tg_strbuf_puts(&finding->advice,
		       "A few hours are enough, as long as it is more than keepalive needs.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not go below tcp_keepalive_time, and below two hours only where every "
		       "long connection has keepalive on.");
	tg_strbuf_printf(&finding->setting,
			 "net.netfilter.nf_conntrack_tcp_timeout_established = %" PRId64,
			 MAX(dead_seconds(host) + ESTABLISHED_SHORT_MARGIN, (int64_t)3 * 3600));
}

static void check_timeout(int64_t count, int64_t max, const struct host_snapshot *host,
			  struct doctor_report *report)
{
	int64_t timeout, time;
	if (!doctor_sysctl(host, report, SYSCTL_CT_ESTABLISHED, &timeout) ||
	    !doctor_sysctl(host, report, SYSCTL_KEEPALIVE_TIME, &time))
		return;
	if (timeout < time)
		add_timeout_short(host, timeout, report);
	else if (timeout >= ESTABLISHED_LONG && count * 100 >= max * FILL_NOTICED_PERCENT)
		add_timeout_long(host, timeout, count, max, report);
}

static void check_events(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t events;
	if (!doctor_sysctl(host, report, SYSCTL_CT_EVENTS, &events) || events == 1)
		return;
	struct doctor_finding *finding = doctor_add(report, "conntrack-events",
						    events == 0 ? DOCTOR_WARNING : DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value, "net.netfilter.nf_conntrack_events = %" PRId64, events);
	tg_strbuf_puts(&finding->evidence,
		       events == 0
			       ? "connection tracking tells of nothing but what a rule asks for: "
				 "tcpguard's own does, conntrack -E and conntrackd see nothing else"
			       : "flows that begin while nobody listens stay mute for good, so "
				 "that after a restart of the daemon their end is not told");
	tg_strbuf_puts(&finding->advice, "Set it to 1.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not turn events off to save CPU while tcpguard runs: without them it "
		       "counts by dumps of the table alone.");
	tg_strbuf_puts(&finding->setting, "net.netfilter.nf_conntrack_events = 1");
}

static void check_loose(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t loose;
	if (!doctor_sysctl(host, report, SYSCTL_CT_LOOSE, &loose) || loose == 0)
		return;
	struct doctor_finding *finding = doctor_add(report, "conntrack-loose", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value, "net.netfilter.nf_conntrack_tcp_loose = %" PRId64, loose);
	tg_strbuf_puts(&finding->evidence,
		       "a packet in the middle of nowhere makes an entry that looks established: "
		       "forged ACKs fill the table and look like connections");
	tg_strbuf_puts(&finding->advice, "Set it to 0 on a server; synproxy needs it so.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not do so on a router whose paths differ by direction, or that takes "
		       "connections over from another. Do not flush the table then: what it has "
		       "forgotten it does not take up again.");
	tg_strbuf_puts(&finding->setting, "net.netfilter.nf_conntrack_tcp_loose = 0");
}

static void check_accounting(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t acct;
	if (!report->wants_accounting || !doctor_sysctl(host, report, SYSCTL_CT_ACCT, &acct) ||
	    acct != 0)
		return;
	struct doctor_finding *finding = doctor_add(report, "conntrack-accounting", DOCTOR_WARNING);
	tg_strbuf_puts(&finding->value, "net.netfilter.nf_conntrack_acct = 0");
	tg_strbuf_puts(&finding->evidence,
		       "the policy has a limit on idle connections, and without packet counts "
		       "nobody sees which are");
	tg_strbuf_puts(&finding->advice,
		       "Set it to 1. Flows that began before stay without counts.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not turn it on for nothing: it costs a little for every packet.");
	tg_strbuf_puts(&finding->setting, "net.netfilter.nf_conntrack_acct = 1");
}

void doctor_check_conntrack(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t max, count;
	if (!doctor_sysctl(host, report, SYSCTL_CT_MAX, &max) ||
	    !doctor_sysctl(host, report, SYSCTL_CT_COUNT, &count))
		return;
	check_fill(count, max, report);
	check_drops(host, report);
	check_accounting(host, report);
	/* Loaded, but with no rule that asks for it nothing is tracked, and the rest is idle talk.
	 */
	if (count == 0)
		return;
	check_buckets(max, host, report);
	check_timeout(count, max, host, report);
	check_events(host, report);
	check_loose(host, report);
}
