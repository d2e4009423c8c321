/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the way in: SYN queues, accept queues and the keys that bound them. */
#include <inttypes.h>

#include "base/util.h"
#include "doctor.h"

/* What the kernel itself takes since 5.4. */
#define SOMAXCONN_DEFAULT 4096

static void check_syncookies(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t value;
	if (!doctor_sysctl(host, report, SYSCTL_SYNCOOKIES, &value) || value == 1)
		return;
	struct doctor_finding *finding =
		value == 0 ? doctor_add(report, "syncookies-off", DOCTOR_CRITICAL)
			   : doctor_add(report, "syncookies-always", DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value, "net.ipv4.tcp_syncookies = %" PRId64, value);
	tg_strbuf_puts(&finding->evidence, "read from /proc/sys");
	tg_strbuf_puts(&finding->setting, "net.ipv4.tcp_syncookies = 1");
	if (value == 0) {
		tg_strbuf_puts(&finding->advice,
			       "Set it to 1: when a SYN queue is full the kernel then answers "
			       "with a cookie instead of dropping everybody's SYNs.");
		tg_strbuf_puts(&finding->avoid,
			       "Do not raise tcp_max_syn_backlog instead: a flood fills any queue. "
			       "Do not set 2, which is for tests.");
		return;
	}
	tg_strbuf_puts(&finding->advice,
		       "Set it to 1: cookies are for a queue that is full. For every connection "
		       "they cost a calculation, and without timestamps what the peer offered in "
		       "options.");
	tg_strbuf_puts(&finding->avoid, "Do not turn them off to be rid of this.");
}

static uint32_t largest_backlog(const struct host_snapshot *host, uint16_t *ret_port)
{
	uint32_t largest = 0;
	for (size_t i = 0; host->tally.known && i < host->tally.listener_count; i++) {
		const struct tally_listener *listener = &host->tally.listeners[i];
		if (listener->backlog <= largest)
			continue;
		largest = listener->backlog;
		*ret_port = listener->port;
	}
	return largest;
}

/* The kernel looks at tcp_max_syn_backlog only while cookies are off: from three quarters of it on
   it refuses sources that it does not know. */
static void check_syn_backlog(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t cookies, backlog;
	uint16_t port = 0;
	if (!doctor_sysctl(host, report, SYSCTL_SYNCOOKIES, &cookies) || cookies != 0 ||
	    !doctor_sysctl(host, report, SYSCTL_MAX_SYN_BACKLOG, &backlog) ||
	    !doctor_sockets(host, report))
		return;
	const uint32_t wanted = largest_backlog(host, &port);
	if (backlog - backlog / 4 >= wanted)
		return;
	struct doctor_finding *finding = doctor_add(report, "syn-backlog-small", DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value,
			 "net.ipv4.tcp_max_syn_backlog = %" PRId64 ", cookies off, a backlog of "
			 "%" PRIu32 " on port %u",
			 backlog, wanted, port);
	tg_strbuf_printf(&finding->evidence,
			 "without cookies new sources are refused from %" PRId64
			 " half-open connections on, long before the listener's queue is full",
			 backlog - backlog / 4 + 1);
	tg_strbuf_puts(&finding->advice,
		       "Turn cookies on: the key is then not looked at. Without them, raise it to "
		       "4/3 of the largest backlog.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not expect it to hold off a flood, and do not bother with it while "
		       "cookies are on: the listener's own backlog is then the size of its queue.");
	tg_strbuf_printf(&finding->setting, "net.ipv4.tcp_max_syn_backlog = %" PRIu32,
			 wanted + wanted / 3 + 4);
}

static void check_syn_queue(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t syncookies;
	uint64_t sent, drops;
	char period[DOCTOR_PERIOD_STRLEN];
	/* With 2 cookies are sent whether a queue is full or not. */
	if (!doctor_sysctl(host, report, SYSCTL_SYNCOOKIES, &syncookies) || syncookies == 2 ||
	    !doctor_counter(host, report, COUNTER_SYNCOOKIES_SENT, &sent) ||
	    !doctor_counter(host, report, COUNTER_REQQ_DROPS, &drops) || (sent == 0 && drops == 0))
		return;
	struct doctor_finding *finding =
		doctor_add(report, "syn-queue-full", doctor_counted(host, DOCTOR_WARNING));
	tg_strbuf_printf(&finding->value, "SyncookiesSent %" PRIu64 ", TCPReqQFullDrop %" PRIu64,
			 sent, drops);
	tg_strbuf_printf(&finding->evidence, "a listener's SYN queue was full, counted %s",
			 doctor_period(host, period));
	for (size_t i = 0; host->tally.known && i < host->tally.listener_count; i++)
		if (host->tally.listeners[i].half_open > host->tally.listeners[i].backlog)
			tg_strbuf_printf(
				&finding->evidence,
				"; now port %u has %" PRIu32 " half-open, its backlog is %" PRIu32,
				host->tally.listeners[i].port, host->tally.listeners[i].half_open,
				host->tally.listeners[i].backlog);
	tg_strbuf_puts(&finding->advice,
		       "Look who it was: a few sources are for a limit on half-open; forged ones "
		       "for cookies or synproxy. If it was real traffic, give the service a larger "
		       "backlog in its listen() and raise somaxconn to it.");
	tg_strbuf_puts(
		&finding->avoid,
		"Do not raise tcp_max_syn_backlog: with cookies on nothing looks at it. Do "
		"not lower tcp_synack_retries to 0 or 1, which loses clients on lossy paths.");
}

static void check_accept_queue(const struct host_snapshot *host, struct doctor_report *report)
{
	if (!doctor_sockets(host, report))
		return;
	for (size_t i = 0; i < host->tally.listener_count; i++) {
		const struct tally_listener *listener = &host->tally.listeners[i];
		if (listener->queued <= listener->backlog)
			continue;
		struct doctor_finding *finding =
			doctor_add(report, "accept-queue-full", DOCTOR_CRITICAL);
		tg_strbuf_printf(
			&finding->value,
			"port %u, %s: %" PRIu32 " wait for accept(), its backlog is %" PRIu32,
			listener->port, listener->process, listener->queued, listener->backlog);
		tg_strbuf_puts(&finding->evidence,
			       "the listener's own figures, now: it takes no further connection");
		tg_strbuf_puts(&finding->advice,
			       "Look at the service: it does not accept. It hangs, is out of "
			       "workers or of file descriptors, or waits for something behind it.");
		tg_strbuf_puts(&finding->avoid,
			       "Do not only raise backlog and somaxconn: a service that does not "
			       "accept fills any queue. Do not set tcp_abort_on_overflow, which "
			       "resets clients that a moment later would have been served.");
	}
}

static void check_overflows(const struct host_snapshot *host, struct doctor_report *report)
{
	uint64_t overflows;
	char period[DOCTOR_PERIOD_STRLEN];
	if (!doctor_counter(host, report, COUNTER_LISTEN_OVERFLOWS, &overflows) || overflows == 0)
		return;
	struct doctor_finding *finding =
		doctor_add(report, "listen-overflows", doctor_counted(host, DOCTOR_WARNING));
	tg_strbuf_printf(&finding->value, "ListenOverflows %" PRIu64 " %s", overflows,
			 doctor_period(host, period));
	tg_strbuf_puts(&finding->evidence,
		       "each is a SYN or a finished handshake that met a full accept queue; which "
		       "listener's, the kernel does not count");
	tg_strbuf_puts(
		&finding->advice,
		host->counted_s > 0
			? "It happens now: see which listener's queue is long, and why its "
			  "service does not accept fast enough."
			: "See whether it goes on: tcpguard doctor --over 10s. Then give the "
			  "service more workers or, for bursts, a larger backlog.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not take a number since boot for a present fault, and do not set "
		       "tcp_abort_on_overflow.");
}

/* What the other counters of a listener do not explain. */
static void check_drops(const struct host_snapshot *host, struct doctor_report *report)
{
	uint64_t drops, overflows, full, cookies;
	char period[DOCTOR_PERIOD_STRLEN];
	if (!doctor_counter(host, report, COUNTER_LISTEN_DROPS, &drops) ||
	    !doctor_counter(host, report, COUNTER_LISTEN_OVERFLOWS, &overflows) ||
	    !doctor_counter(host, report, COUNTER_REQQ_DROPS, &full) ||
	    !doctor_counter(host, report, COUNTER_REQQ_COOKIES, &cookies) ||
	    drops <= overflows + full + cookies)
		return;
	struct doctor_finding *finding = doctor_add(report, "listen-drops", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value, "ListenDrops %" PRIu64 " %s", drops,
			 doctor_period(host, period));
	tg_strbuf_printf(&finding->evidence,
			 "at least %" PRIu64 " of them met neither a full accept queue nor a full "
			 "SYN queue",
			 drops - overflows - full - cookies);
	tg_strbuf_puts(&finding->advice,
		       "With cookies off it is tcp_max_syn_backlog. Else look for memory that ran "
		       "out, and for listeners that were closed with connections in their queue.");
	tg_strbuf_puts(&finding->avoid, "Do not tune queues for these: no queue was full.");
}

static void check_somaxconn(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t somaxconn;
	uint64_t overflows = 0;
	uint16_t port = 0;
	if (!doctor_sysctl(host, report, SYSCTL_SOMAXCONN, &somaxconn) ||
	    !doctor_sockets(host, report))
		return;
	(void)doctor_counter(host, report, COUNTER_LISTEN_OVERFLOWS, &overflows); /* stays 0 */
	/* A backlog is cut at listen(): one of exactly somaxconn most likely was. */
	const uint32_t largest = largest_backlog(host, &port);
	if (largest != (uint64_t)somaxconn || (overflows == 0 && somaxconn >= SOMAXCONN_DEFAULT))
		return;
	struct doctor_finding *finding =
		doctor_add(report, "somaxconn-low",
			   overflows > 0 ? doctor_counted(host, DOCTOR_WARNING) : DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value,
			 "net.core.somaxconn = %" PRId64 ", the backlog of port %u is as large",
			 somaxconn, port);
	tg_strbuf_printf(&finding->evidence,
			 "the kernel cuts backlogs to it at listen(); ListenOverflows %" PRIu64,
			 overflows);
	tg_strbuf_puts(&finding->advice,
		       "Raise it, then restart the service: what it asked for is read at listen() "
		       "only.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not go beyond some 10,000: who waits longer in the queue than its own "
		       "patience is served in vain.");
	tg_strbuf_printf(&finding->setting, "net.core.somaxconn = %" PRId64,
			 MAX(somaxconn * 2, (int64_t)SOMAXCONN_DEFAULT));
}

static void check_softnet(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t backlog;
	uint64_t dropped;
	char period[DOCTOR_PERIOD_STRLEN];
	if (!doctor_sysctl(host, report, SYSCTL_NETDEV_BACKLOG, &backlog) ||
	    !doctor_counter(host, report, COUNTER_SOFTNET_DROPPED, &dropped) || dropped == 0)
		return;
	struct doctor_finding *finding =
		doctor_add(report, "softnet-drops", doctor_counted(host, DOCTOR_WARNING));
	tg_strbuf_printf(&finding->value,
			 "%" PRIu64 " packets dropped, net.core.netdev_max_backlog = %" PRId64,
			 dropped, backlog);
	tg_strbuf_printf(&finding->evidence, "/proc/net/softnet_stat, all CPUs together, %s",
			 doctor_period(host, period));
	tg_strbuf_puts(&finding->advice,
		       "If it goes on (--over 10s), raise netdev_max_backlog, and spread the "
		       "packets over more CPUs (RSS queues, RPS).");
	tg_strbuf_puts(&finding->avoid,
		       "Do not expect it to help with drops of the card's own ring (ethtool -S): "
		       "the queue is that of RPS, tunnels and virtual devices.");
	tg_strbuf_printf(&finding->setting, "net.core.netdev_max_backlog = %" PRId64,
			 MAX(backlog * 2, (int64_t)4096));
}

void doctor_check_queues(const struct host_snapshot *host, struct doctor_report *report)
{
	check_syncookies(host, report);
	check_syn_backlog(host, report);
	check_syn_queue(host, report);
	check_accept_queue(host, report);
	check_overflows(host, report);
	check_drops(host, report);
	check_somaxconn(host, report);
	check_softnet(host, report);
}
