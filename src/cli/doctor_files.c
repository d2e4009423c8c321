/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks the files of sysctl.d: what they set is what this host is after its next boot. */
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "doctor.h"

/* Guides have these lines still. The rest of what is gone shows by its absence. */
static const struct {
	const char *pattern, *since, *advice;
} vanished[] = {
	{"net/ipv4/tcp_tw_recycle", "gone since Linux 4.12; before, it broke clients behind NAT",
	 "Take the line out. Nothing takes its place."},
	{"net/ipv4/ip_conntrack_max", "gone since Linux 4.9",
	 "Take the line out; the key is now net.netfilter.nf_conntrack_max."},
	{"net/ipv4/netfilter/ip_conntrack_*", "gone since Linux 4.9",
	 "Take the line out; the keys are now net.netfilter.nf_conntrack_*."},
};

static void put_line(struct doctor_finding *finding, const struct sysctl_line *line)
{
	struct tg_strbuf *value = &finding->value;
	tg_strbuf_printf(value, "%s:%u: ", line->file, line->line);
	/* As people write it; an interface's name may have dots, and is not of TCP. */
	for (const char *at = line->path; *at; at++)
		tg_strbuf_putc(value, *at == '/' ? '.' : *at);
	tg_strbuf_printf(value, " = %s", line->value);
}

/* Keys of TCP and of connection tracking that this kernel does not have. In a network namespace
   that proves nothing, nor while connection tracking is not loaded. */
static bool is_gone(const struct host_snapshot *host, const struct sysctl_line *line)
{
	const bool tracked = host->sysctls[SYSCTL_CT_MAX].status != SYSCTL_ABSENT;
	if (!line->absent || host->namespaced || host->files_elsewhere)
		return false;
	return strncmp(line->path, "net/ipv4/tcp_", 13) == 0 ||
	       strncmp(line->path, "net/core/", 9) == 0 ||
	       (tracked && strncmp(line->path, "net/netfilter/nf_conntrack_", 27) == 0);
}

static bool check_vanished(const struct host_snapshot *host, const struct sysctl_line *line,
			   struct doctor_report *report)
{
	size_t i = 0;
	while (i < ARRAY_SIZE(vanished) &&
	       fnmatch(vanished[i].pattern, line->path, FNM_PATHNAME) != 0)
		i++;
	const bool named = i < ARRAY_SIZE(vanished);
	/* A kernel that still has it is judged by its value, and a vendor's may. */
	if (named ? !line->absent : !is_gone(host, line))
		return false;
	struct doctor_finding *finding = doctor_add(report, "sysctl-vanished", DOCTOR_ADVICE);
	put_line(finding, line);
	tg_strbuf_puts(&finding->evidence,
		       named ? vanished[i].since : "this kernel has no such key under /proc/sys");
	tg_strbuf_puts(&finding->advice,
		       named ? vanished[i].advice
			     : "Take the line out: it does nothing but complain at boot.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not look for a kernel that has it, and do not trust the rest of a guide "
		       "that names it.");
	return true;
}

static bool is_zero(const struct host_snapshot *host, int64_t value)
{
	(void)host; /* whatever the host is like */
	return value == 0;
}

static bool is_one(const struct host_snapshot *host, int64_t value)
{
	(void)host; /* as above */
	return value == 1;
}

static bool is_few_buckets(const struct host_snapshot *host, int64_t value)
{
	const struct sysctl_value *entries = &host->sysctls[SYSCTL_EHASH_ENTRIES];
	if (entries->status == SYSCTL_KNOWN)
		return value < llabs(entries->numbers[0]) / 8;
	return value <= 8192;
}

static bool is_short(const struct host_snapshot *host, int64_t value)
{
	(void)host; /* as above */
	return value < 15;
}

static const struct {
	const char *path;
	bool (*is_harmful)(const struct host_snapshot *host, int64_t value);
	enum doctor_severity severity;
	const char *evidence, *advice;
} harmful[] = {
	{"net/ipv4/tcp_syncookies", is_zero, DOCTOR_CRITICAL,
	 "without cookies the first SYN flood shuts the service", "Take the line out, or set 1."},
	{"net/ipv4/tcp_max_tw_buckets", is_few_buckets, DOCTOR_WARNING,
	 "a cap this low closes connections without TIME_WAIT, against the protocol",
	 "Take the line out: the kernel's own choice follows the machine's memory."},
	{"net/ipv4/tcp_timestamps", is_zero, DOCTOR_WARNING,
	 "without timestamps fast connections take old segments for new ones, cookies lose what "
	 "the "
	 "peer offered, and tcp_tw_reuse does nothing",
	 "Take the line out."},
	{"net/ipv4/tcp_fin_timeout", is_short, DOCTOR_WARNING,
	 "it is the time in FIN_WAIT2, not in TIME_WAIT: it cuts off peers that are slow to close",
	 "Take the line out, or set 30."},
	{"net/ipv4/tcp_abort_on_overflow", is_one, DOCTOR_WARNING,
	 "a full accept queue then resets clients that a moment later would have been served",
	 "Take the line out."},
	{"net/ipv4/tcp_tw_recycle", is_one, DOCTOR_CRITICAL,
	 "this kernel still has it: of clients behind one address it drops the SYNs of some",
	 "Take the line out, and set 0."},
	{"net/ipv4/tcp_tw_timeout", is_short, DOCTOR_WARNING,
	 "a vendor's key: with so few seconds late segments reach the next connection",
	 "Take the line out, or set 60."},
};

static bool check_harmful(const struct host_snapshot *host, const struct sysctl_line *line,
			  struct doctor_report *report)
{
	struct sysctl_value value;
	if (!sysctl_parse(line->value, &value))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(harmful); i++) {
		if (fnmatch(line->path, harmful[i].path, FNM_PATHNAME) != 0 ||
		    !harmful[i].is_harmful(host, value.numbers[0]))
			continue;
		struct doctor_finding *finding =
			doctor_add(report, "sysctl-harmful", harmful[i].severity);
		put_line(finding, line);
		tg_strbuf_puts(&finding->evidence, harmful[i].evidence);
		tg_strbuf_puts(&finding->advice, harmful[i].advice);
		tg_strbuf_puts(&finding->avoid,
			       "Do not only change the running value: this line sets it again at "
			       "the next boot.");
		return true;
	}
	return false;
}

/* What runs is not what the files say: changed since, or never applied. */
static void check_applied(const struct host_snapshot *host, const struct sysctl_line *line,
			  struct doctor_report *report)
{
	enum sysctl_key key;
	struct sysctl_value wanted;
	if (host->namespaced || host->files_elsewhere || line->pattern ||
	    !sysctl_find(line->path, &key) || host->sysctls[key].status != SYSCTL_KNOWN ||
	    !sysctl_parse(line->value, &wanted))
		return;
	const struct sysctl_value *running = &host->sysctls[key];
	bool same = wanted.count == running->count;
	for (unsigned i = 0; same && i < wanted.count; i++)
		same = wanted.numbers[i] == running->numbers[i];
	if (same)
		return;
	struct doctor_finding *finding = doctor_add(report, "sysctl-not-applied", DOCTOR_ADVICE);
	put_line(finding, line);
	tg_strbuf_puts(&finding->evidence, "the running value is");
	for (unsigned i = 0; i < running->count; i++)
		tg_strbuf_printf(&finding->evidence, " %" PRId64, running->numbers[i]);
	tg_strbuf_puts(&finding->evidence, ": it was changed since, or the line was never applied");
	tg_strbuf_puts(
		&finding->advice,
		"Decide which of the two is meant. sysctl --system applies the files; keys of "
		"a module exist only once it is loaded (modules-load.d).");
	tg_strbuf_puts(&finding->avoid,
		       "Do not reboot to find out: the value of the file may be the worse one.");
}

void doctor_check_files(const struct host_snapshot *host, struct doctor_report *report)
{
	for (size_t i = 0; i < host->files.unread_count; i++)
		doctor_note_unknown(report, host->files.unread[i],
				    "cannot be read, or not all of it");
	for (size_t i = 0; i < host->files.line_count; i++) {
		const struct sysctl_line *line = &host->files.lines[i];
		if (check_vanished(host, line, report) || !line->wins)
			continue;
		if (!check_harmful(host, line, report))
			check_applied(host, line, report);
	}
}
