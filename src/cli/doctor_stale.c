/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of connections whose end nobody sees: dead peers, and ends that an application does not
 * take note of. */
#include <inttypes.h>

#include "doctor.h"

/* A peer that is dead for longer than this is found too late to be of use. */
#define DEAD_SECONDS_MAX 3600
/* A few are an administrator's own sessions. */
#define RELYING_MIN 10
#define MUTE_MIN 10
#define MUTE_MANY 100
#define CLOSE_WAIT_MIN 10
#define CLOSE_WAIT_MANY 1000
/* Younger ones may be on their way through. */
#define CLOSE_WAIT_OLD_MS 60000

static void check_slow(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t time, interval, probes;
	char span[DOCTOR_SPAN_STRLEN];
	if (!doctor_sysctl(host, report, SYSCTL_KEEPALIVE_TIME, &time) ||
	    !doctor_sysctl(host, report, SYSCTL_KEEPALIVE_INTVL, &interval) ||
	    !doctor_sysctl(host, report, SYSCTL_KEEPALIVE_PROBES, &probes) ||
	    !doctor_sockets(host, report) || host->tally.keepalive < RELYING_MIN)
		return;
	const int64_t dead = time + interval * probes;
	if (dead <= DEAD_SECONDS_MAX)
		return;
	struct doctor_finding *finding = doctor_add(report, "keepalive-slow", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value,
			 "a dead peer is found after %s: tcp_keepalive_time %" PRId64
			 " + intvl %" PRId64 " * probes %" PRId64,
			 doctor_span_ms((uint64_t)dead * 1000, span), time, interval, probes);
	tg_strbuf_printf(&finding->evidence,
			 "%" PRIu32 " established connections have keepalive on; those that set no "
			 "times of their own wait so long",
			 host->tally.keepalive);
	tg_strbuf_puts(&finding->advice,
		       "10 minutes, then 5 probes 30 seconds apart, find one within 13 minutes, "
		       "and keep the entries of NAT and firewalls on the way alive.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not go below a minute: it wakes every mobile client and finds nothing "
		       "sooner that matters. It does nothing for sockets without SO_KEEPALIVE.");
	tg_strbuf_puts(&finding->setting, "net.ipv4.tcp_keepalive_time = 600\n"
					  "net.ipv4.tcp_keepalive_intvl = 30\n"
					  "net.ipv4.tcp_keepalive_probes = 5");
}

static void add_mute(const struct host_snapshot *host, const struct tally_process *process,
		     struct doctor_report *report)
{
	char idle[DOCTOR_SPAN_STRLEN], longest[DOCTOR_SPAN_STRLEN];
	struct doctor_finding *finding =
		doctor_add(report, "idle-without-keepalive",
			   process->mute < MUTE_MANY ? DOCTOR_ADVICE : DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value,
			 "%s: %" PRIu32 " established, silent for %s or longer, without keepalive",
			 process->process, process->mute, doctor_span_ms(host->idle_ms, idle));
	tg_strbuf_printf(
		&finding->evidence,
		"the sockets now: nothing was sent or received, for %s at the longest, and "
		"no keepalive timer runs",
		doctor_span_ms(process->mute_ms, longest));
	if (process->mute_port != 0)
		tg_strbuf_printf(
			&finding->advice,
			"Have the listener on port %u set SO_KEEPALIVE (nginx: "
			"so_keepalive=on, haproxy: option clitcpka): what it accepts inherits "
			"it. Else peers that died stay for good.",
			process->mute_port);
	else
		tg_strbuf_puts(&finding->advice,
			       "Have the application set SO_KEEPALIVE, or a timeout of its own: "
			       "peers that died stay for good.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not tune tcp_keepalive_time for these: it concerns sockets with "
		       "keepalive on only. Do not take all of them for dead: idle is no fault "
		       "where clients wait for news.");
}

static void add_close_wait(const struct tally_process *process, struct doctor_report *report)
{
	char oldest[DOCTOR_SPAN_STRLEN];
	const bool old = process->close_wait_ms >= CLOSE_WAIT_OLD_MS;
	enum doctor_severity severity = old ? DOCTOR_WARNING : DOCTOR_ADVICE;
	if (old && process->close_wait >= CLOSE_WAIT_MANY)
		severity = DOCTOR_CRITICAL;
	struct doctor_finding *finding = doctor_add(report, "close-wait", severity);
	tg_strbuf_printf(&finding->value, "%s: %" PRIu32 " in CLOSE_WAIT", process->process,
			 process->close_wait);
	tg_strbuf_printf(
		&finding->evidence,
		"the sockets now: the peer has closed, the application has not. The oldest "
		"has had nothing from its peer since, for %s at least",
		doctor_span_ms(process->close_wait_ms, oldest));
	tg_strbuf_puts(&finding->advice,
		       "It is a bug of the application, which does not close what it has read to "
		       "the end, or it hangs. Restart it, and have it fixed: each takes a "
		       "descriptor.");
	tg_strbuf_puts(
		&finding->avoid,
		"Do not look for a sysctl: CLOSE_WAIT has no timeout, and tcp_fin_timeout is for "
		"another state. Keepalive can end the connection in the end, but the "
		"descriptor stays lost.");
}

void doctor_check_stale(const struct host_snapshot *host, struct doctor_report *report)
{
	check_slow(host, report);
	if (!doctor_sockets(host, report))
		return;
	for (size_t i = 0; i < host->tally.process_count; i++) {
		const struct tally_process *process = &host->tally.processes[i];
		if (process->mute >= MUTE_MIN)
			add_mute(host, process, report);
		if (process->close_wait >= CLOSE_WAIT_MIN)
			add_close_wait(process, report);
	}
	if (!host->tally.processes_known)
		doctor_note_unknown(report, "some processes",
				    "/proc/PID/fd of others can be read by root only");
}
