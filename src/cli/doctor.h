/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "host/snapshot.h"

/*
 * What is wrong with this host. A check is a pure function of a snapshot: it asks nobody and
 * changes nothing. Each id is a section of docs/doctor.md, and is never given a new meaning.
 */

enum doctor_severity {
	DOCTOR_ADVICE,   /* could be better */
	DOCTOR_WARNING,  /* hurts now and then, or will */
	DOCTOR_CRITICAL, /* connections fail now, or at the first flood */
	DOCTOR_SEVERITY_COUNT
};

const char *doctor_severity_name(enum doctor_severity severity);
bool doctor_severity_parse(const char *text, enum doctor_severity *ret_severity);

struct doctor_finding {
	const char *id;
	enum doctor_severity severity;
	struct tg_strbuf value;    /* what is */
	struct tg_strbuf evidence; /* how we know */
	struct tg_strbuf advice;   /* what to do */
	struct tg_strbuf avoid;    /* what not to do */
	struct tg_strbuf setting;  /* "net.ipv4.tcp_syncookies = 1"; "": no key heals it */
};

/* More than anybody reads; a host with more of them is told how many were left off. */
#define DOCTOR_FINDINGS_MAX 200
#define DOCTOR_UNKNOWN_MAX 32

struct doctor_report {
	bool wants_accounting; /* the policy has a limit on idle connections */
	struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
	size_t count, left_off;
	struct doctor_finding beyond; /* what is written about those that were left off */
	struct {
		const char *name, *reason;
	} unknown[DOCTOR_UNKNOWN_MAX];
	size_t unknown_count;
	bool failed; /* no memory: something is missing */
};

/* NULL: no memory. */
struct doctor_report *doctor_report_create(void);
void doctor_report_destroy(struct doctor_report *report);

/* Never NULL: the checks write into what it gives. */
struct doctor_finding *doctor_add(struct doctor_report *report, const char *id,
				  enum doctor_severity severity);
/* Once for each name. Both stay the caller's. */
void doctor_note_unknown(struct doctor_report *report, const char *name, const char *reason);

/* The first number of a key; false, and noted, when it is not known. */
bool doctor_sysctl(const struct host_snapshot *host, struct doctor_report *report,
		   enum sysctl_key key, int64_t *ret_number);
bool doctor_counter(const struct host_snapshot *host, struct doctor_report *report,
		    enum counter counter, uint64_t *ret_value);
/* Notes it when they are not known. */
bool doctor_sockets(const struct host_snapshot *host, struct doctor_report *report);

/* What a counter that went up is worth: now, or a grade milder if it may have been long ago. */
enum doctor_severity doctor_counted(const struct host_snapshot *host, enum doctor_severity now);

#define DOCTOR_PERIOD_STRLEN 40
/* "since boot", "in the last 10 s": what the counters are of. */
const char *doctor_period(const struct host_snapshot *host, char buf[static DOCTOR_PERIOD_STRLEN]);
/* "2 h 11 min". */
#define DOCTOR_SPAN_STRLEN 48
const char *doctor_span_ms(uint64_t ms, char buf[static DOCTOR_SPAN_STRLEN]);

/* The checks, each for what its file is called. */
void doctor_check_queues(const struct host_snapshot *host, struct doctor_report *report);
void doctor_check_memory(const struct host_snapshot *host, struct doctor_report *report);
void doctor_check_time_wait(const struct host_snapshot *host, struct doctor_report *report);
void doctor_check_ports(const struct host_snapshot *host, struct doctor_report *report);
void doctor_check_stale(const struct host_snapshot *host, struct doctor_report *report);
void doctor_check_conntrack(const struct host_snapshot *host, struct doctor_report *report);
void doctor_check_files(const struct host_snapshot *host, struct doctor_report *report);

/* All of them; the worst findings first, else in the order of the checks. */
void doctor_check_all(const struct host_snapshot *host, struct doctor_report *report);

/* All ids there are, for docs and tests; NULL at the end. */
extern const char *const doctor_ids[];

#endif
