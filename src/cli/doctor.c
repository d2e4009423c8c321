/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the report that the checks write into, and the order of its findings. Knows no check by what
 * it looks for. */
#include "doctor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "output.h"

static const char *const severities[DOCTOR_SEVERITY_COUNT] = {
	[DOCTOR_ADVICE] = "advice",
	[DOCTOR_WARNING] = "warning",
	[DOCTOR_CRITICAL] = "critical",
};

const char *doctor_severity_name(enum doctor_severity severity)
{
	return severities[severity];
}

bool doctor_severity_parse(const char *text, enum doctor_severity *ret_severity)
{
	for (size_t i = 0; i < DOCTOR_SEVERITY_COUNT; i++) {
		if (strcmp(severities[i], text) != 0)
			continue;
		*ret_severity = (enum doctor_severity)i;
		return true;
	}
	return false;
}

const char *const doctor_ids[] = {
	"syncookies-off",
	"syncookies-always",
	"syn-backlog-small",
	"syn-queue-full",
	"accept-queue-full",
	"listen-overflows",
	"listen-drops",
	"somaxconn-low",
	"softnet-drops",
	"tcp-memory",
	"tcp-memory-aborts",
	"tw-buckets-low",
	"tw-buckets-full",
	"tw-reuse",
	"tw-recycle",
	"tw-timeout",
	"fin-timeout-low",
	"fin-wait2-pile",
	"server-closes-first",
	"ports-per-destination",
	"keepalive-slow",
	"idle-without-keepalive",
	"close-wait",
	"conntrack-fill",
	"conntrack-drops",
	"conntrack-buckets",
	"conntrack-timeout-long",
	"conntrack-timeout-short",
	"conntrack-events",
	"conntrack-loose",
	"conntrack-accounting",
	"sysctl-vanished",
	"sysctl-harmful",
	"sysctl-not-applied",
	NULL,
};

static void finding_init(struct doctor_finding *finding, const char *id,
			 enum doctor_severity severity)
{
	*finding = (struct doctor_finding){.id = id, .severity = severity};
	tg_strbuf_init(&finding->value);
	tg_strbuf_init(&finding->evidence);
	tg_strbuf_init(&finding->advice);
	tg_strbuf_init(&finding->avoid);
	tg_strbuf_init(&finding->setting);
}

static void finding_finish(struct doctor_finding *finding)
{
	tg_strbuf_finish(&finding->value);
	tg_strbuf_finish(&finding->evidence);
	tg_strbuf_finish(&finding->advice);
	tg_strbuf_finish(&finding->avoid);
	tg_strbuf_finish(&finding->setting);
}

static bool finding_failed(const struct doctor_finding *finding)
{
	return finding->value.failed || finding->evidence.failed || finding->advice.failed ||
	       finding->avoid.failed || finding->setting.failed;
}

struct doctor_report *doctor_report_create(void)
{
	struct doctor_report *report = calloc(1, sizeof(*report));
	if (report)
		finding_init(&report->beyond, "", DOCTOR_ADVICE);
	return report;
}

void doctor_report_destroy(struct doctor_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->count; i++)
		finding_finish(&report->findings[i]);
	finding_finish(&report->beyond);
	free(report);
}

struct doctor_finding *doctor_add(struct doctor_report *report, const char *id,
				  enum doctor_severity severity)
{
	if (report->count == DOCTOR_FINDINGS_MAX) {
		report->left_off++;
		return &report->beyond;
	}
	struct doctor_finding *finding = &report->findings[report->count++];
	finding_init(finding, id, severity);
	return finding;
}

void doctor_note_unknown(struct doctor_report *report, const char *name, const char *reason)
{
	for (size_t i = 0; i < report->unknown_count; i++)
		if (strcmp(report->unknown[i].name, name) == 0)
			return;
	if (report->unknown_count == DOCTOR_UNKNOWN_MAX)
		return;
	report->unknown[report->unknown_count].name = name;
	report->unknown[report->unknown_count++].reason = reason;
}

static const char *why_unknown(const struct host_snapshot *host, enum sysctl_status status)
{
	switch (status) {
	case SYSCTL_ABSENT:
		return host->namespaced
			       ? "not shown in this network namespace; ask on the host"
			       : "this kernel has no such key, or its module is not loaded";
	case SYSCTL_DENIED:
		return "permission denied; ask as root";
	case SYSCTL_UNREADABLE:
	case SYSCTL_KNOWN:
		break;
	}
	return "it is not the number it should be";
}

bool doctor_sysctl(const struct host_snapshot *host, struct doctor_report *report,
		   enum sysctl_key key, int64_t *ret_number)
{
	const struct sysctl_value *value = &host->sysctls[key];
	if (value->status != SYSCTL_KNOWN) {
		doctor_note_unknown(report, sysctl_name(key), why_unknown(host, value->status));
		return false;
	}
	*ret_number = value->numbers[0];
	return true;
}

bool doctor_counter(const struct host_snapshot *host, struct doctor_report *report,
		    enum counter counter, uint64_t *ret_value)
{
	const struct counter_value *value = &host->counters[counter];
	if (value->known)
		*ret_value = value->value;
	else
		doctor_note_unknown(report, counter_name(counter),
				    "the kernel does not tell this counter");
	return value->known;
}

bool doctor_sockets(const struct host_snapshot *host, struct doctor_report *report)
{
	if (!host->tally.known)
		doctor_note_unknown(report, "sockets", strerror(-host->tally.error));
	return host->tally.known;
}

enum doctor_severity doctor_counted(const struct host_snapshot *host, enum doctor_severity now)
{
	return host->counted_s > 0 || now == DOCTOR_ADVICE ? now : (enum doctor_severity)(now - 1);
}

const char *doctor_period(const struct host_snapshot *host, char buf[static DOCTOR_PERIOD_STRLEN])
{
	if (host->counted_s > 0)
		(void)snprintf(buf, DOCTOR_PERIOD_STRLEN, "in the last %" PRIu64 " s",
			       host->counted_s);
	else
		(void)snprintf(buf, DOCTOR_PERIOD_STRLEN, "since %s",
			       host->namespaced ? "this namespace began" : "boot");
	return buf;
}

const char *doctor_span_ms(uint64_t ms, char buf[static DOCTOR_SPAN_STRLEN])
{
	_Static_assert(DOCTOR_SPAN_STRLEN >= OUTPUT_SPAN_STRLEN, "a span fits");
	return output_span(ms / 1000, buf);
}

/* Stable: within a severity the checks' order stays. */
static void sort_findings(struct doctor_report *report)
{
	for (size_t i = 1; i < report->count; i++) {
		struct doctor_finding finding = report->findings[i];
		size_t at = i;
		for (; at > 0 && report->findings[at - 1].severity < finding.severity; at--)
			report->findings[at] = report->findings[at - 1];
		report->findings[at] = finding;
	}
}

void doctor_check_all(const struct host_snapshot *host, struct doctor_report *report)
{
	doctor_check_queues(host, report);
	doctor_check_memory(host, report);
	doctor_check_time_wait(host, report);
	doctor_check_ports(host, report);
	doctor_check_stale(host, report);
	doctor_check_conntrack(host, report);
	doctor_check_files(host, report);
	for (size_t i = 0; i < report->count; i++)
		report->failed = report->failed || finding_failed(&report->findings[i]);
	sort_findings(report);
}
