/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of what stays after a connection: TIME_WAIT, FIN_WAIT2 and the keys that guides confuse
 * them by. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/util.h"
#include "doctor.h"

/* For a kernel that does not tell how large its tables are: 5000 and its like are below. */
#define TW_BUCKETS_FEW 8192
/* Twice the time that a segment may live, RFC 9293, as Linux has always had it. */
#define TIME_WAIT_SECONDS 60
#define FIN_TIMEOUT_DEFAULT 60
/* A peer on a slow path needs a while to close its half. */
#define FIN_TIMEOUT_SHORT 30
/* Fewer are of no account on any host. */
#define PILE_MIN 500

/* What the kernel would have chosen by itself, or 0. */
static int64_t default_buckets(const struct host_snapshot *host)
{
	const struct sysctl_value *entries = &host->sysctls[SYSCTL_EHASH_ENTRIES];
	/* Negative: a namespace that shares the host's table. */
	return entries->status == SYSCTL_KNOWN ? llabs(entries->numbers[0]) / 2 : 0;
}

static const char never_lower[] =
	"Do not lower it, to 5000 or whatever a guide says, to be rid of TIME_WAIT: the kernel "
	"then "
	"closes connections without the wait, and a late segment of the old one can end or corrupt "
	"the next. A TIME_WAIT costs some 250 bytes and no CPU.";

static void check_buckets_low(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t buckets;
	if (!doctor_sysctl(host, report, SYSCTL_MAX_TW_BUCKETS, &buckets))
		return;
	const int64_t usual = default_buckets(host);
	if (usual > 0 ? buckets >= usual / 4 : buckets > TW_BUCKETS_FEW)
		return;
	struct doctor_finding *finding = doctor_add(report, "tw-buckets-low", DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value, "net.ipv4.tcp_max_tw_buckets = %" PRId64, buckets);
	if (usual > 0)
		tg_strbuf_printf(&finding->evidence,
				 "the kernel chose %" PRId64 " for this machine", usual);
	else
		tg_strbuf_puts(&finding->evidence, "no kernel chooses so few on a server");
	if (host->tally.known)
		tg_strbuf_printf(&finding->evidence, "; now there are %" PRIu32 " in TIME_WAIT",
				 host->tally.time_wait);
	tg_strbuf_puts(&finding->advice,
		       "Take the line out of sysctl.d, or set what the kernel chose.");
	tg_strbuf_puts(&finding->avoid, never_lower);
	tg_strbuf_printf(&finding->setting, "net.ipv4.tcp_max_tw_buckets = %" PRId64,
			 usual > 0 ? usual : 65536);
}

static void check_buckets_full(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t buckets;
	uint64_t overflow;
	char period[DOCTOR_PERIOD_STRLEN];
	if (!doctor_sysctl(host, report, SYSCTL_MAX_TW_BUCKETS, &buckets) ||
	    !doctor_counter(host, report, COUNTER_TW_OVERFLOW, &overflow))
		return;
	/* Orphans in FIN_WAIT2 are of the same table. */
	const uint64_t held =
		host->tally.known ? (uint64_t)host->tally.time_wait + host->tally.fin_wait2 : 0;
	const bool full = buckets > 0 && held * 10 >= (uint64_t)buckets * 9;
	if (!full && overflow == 0)
		return;
	struct doctor_finding *finding =
		doctor_add(report, "tw-buckets-full",
			   full ? DOCTOR_CRITICAL : doctor_counted(host, DOCTOR_CRITICAL));
	tg_strbuf_printf(&finding->value,
			 "%" PRIu64 " in TIME_WAIT and FIN_WAIT2, net.ipv4.tcp_max_tw_buckets = "
			 "%" PRId64,
			 held, buckets);
	tg_strbuf_printf(&finding->evidence,
			 "the sockets now; TCPTimeWaitOverflow %" PRIu64
			 ": connections that were closed without the wait, %s",
			 overflow, doctor_period(host, period));
	tg_strbuf_puts(&finding->advice,
		       "Raise it, and see who closes first (server-closes-first): who does has the "
		       "TIME_WAIT.");
	tg_strbuf_puts(&finding->avoid, never_lower);
	tg_strbuf_printf(&finding->setting, "net.ipv4.tcp_max_tw_buckets = %" PRId64,
			 MAX(buckets * 2, default_buckets(host)));
}

static void check_reuse(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t reuse, timestamps;
	if (!doctor_sysctl(host, report, SYSCTL_TW_REUSE, &reuse) || reuse != 1 ||
	    !doctor_sysctl(host, report, SYSCTL_TIMESTAMPS, &timestamps) ||
	    !doctor_sockets(host, report) || (timestamps != 0 && host->tally.time_wait_out > 0))
		return;
	struct doctor_finding *finding = doctor_add(report, "tw-reuse", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value,
			 "net.ipv4.tcp_tw_reuse = 1, net.ipv4.tcp_timestamps = %" PRId64,
			 timestamps);
	if (timestamps == 0)
		tg_strbuf_puts(&finding->evidence,
			       "without timestamps the kernel reuses nothing: it could not tell a "
			       "late segment from a new one");
	else
		tg_strbuf_printf(
			&finding->evidence,
			"it is for connections that this host opens, and none of its %" PRIu32
			" in TIME_WAIT is such a one",
			host->tally.time_wait);
	tg_strbuf_puts(&finding->advice,
		       timestamps == 0
			       ? "Turn timestamps on."
			       : "Leave it at 2, the kernel's own choice (loopback only), "
				 "unless this host opens many connections to few services.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not expect it to lower TIME_WAIT on a server's port, and do not look "
		       "for tcp_tw_recycle instead.");
	tg_strbuf_puts(&finding->setting, timestamps == 0 ? "net.ipv4.tcp_timestamps = 1"
							  : "net.ipv4.tcp_tw_reuse = 2");
}

static void check_recycle(const struct host_snapshot *host, struct doctor_report *report)
{
	const struct sysctl_value *recycle = &host->sysctls[SYSCTL_TW_RECYCLE];
	/* Most kernels have no such key; that is as it should be. */
	if (recycle->status != SYSCTL_KNOWN || recycle->numbers[0] == 0)
		return;
	struct doctor_finding *finding = doctor_add(report, "tw-recycle", DOCTOR_CRITICAL);
	tg_strbuf_printf(&finding->value, "net.ipv4.tcp_tw_recycle = %" PRId64,
			 recycle->numbers[0]);
	tg_strbuf_puts(&finding->evidence,
		       "this kernel, older than 4.12, has it on: of clients behind one address it "
		       "drops the SYNs of those whose clock is behind");
	tg_strbuf_puts(&finding->advice, "Set it to 0, and take it out of sysctl.d: it is gone in "
					 "later kernels.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not turn timestamps off instead to make it harmless: they are what "
		       "protects against old segments.");
	tg_strbuf_puts(&finding->setting, "net.ipv4.tcp_tw_recycle = 0");
}

static void check_timeout(const struct host_snapshot *host, struct doctor_report *report)
{
	const struct sysctl_value *timeout = &host->sysctls[SYSCTL_TW_TIMEOUT];
	/* A vendor's key; Linux itself has none. */
	if (timeout->status != SYSCTL_KNOWN || timeout->numbers[0] >= TIME_WAIT_SECONDS)
		return;
	struct doctor_finding *finding = doctor_add(report, "tw-timeout", DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value, "net.ipv4.tcp_tw_timeout = %" PRId64,
			 timeout->numbers[0]);
	tg_strbuf_puts(&finding->evidence,
		       "a key of this vendor's kernel, in seconds; Linux waits 60 and cannot be "
		       "told otherwise");
	tg_strbuf_puts(&finding->advice,
		       "Leave it at 60 unless ports run out (ports-per-destination), and then use "
		       "tcp_tw_reuse first.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not go below 15: late segments of the old connection can reach the "
		       "next, and a peer whose last FIN was lost is answered with a reset.");
	tg_strbuf_puts(&finding->setting, "net.ipv4.tcp_tw_timeout = 60");
}

static void check_fin_timeout(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t seconds;
	if (!doctor_sysctl(host, report, SYSCTL_FIN_TIMEOUT, &seconds) ||
	    seconds >= FIN_TIMEOUT_SHORT)
		return;
	struct doctor_finding *finding = doctor_add(report, "fin-timeout-low", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value, "net.ipv4.tcp_fin_timeout = %" PRId64, seconds);
	tg_strbuf_puts(
		&finding->evidence,
		"it is the time in FIN_WAIT2, where a peer has yet to close its half; TIME_WAIT "
		"lasts 60 s whatever it says");
	if (host->tally.known)
		tg_strbuf_printf(&finding->evidence,
				 ". Now %" PRIu32 " are in FIN_WAIT2, %" PRIu32 " in TIME_WAIT",
				 host->tally.fin_wait2, host->tally.time_wait);
	tg_strbuf_puts(&finding->advice, "Set it back to 60, or to 30 where FIN_WAIT2 piles up.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not lower it against TIME_WAIT: it does nothing there, and cuts off "
		       "peers that are slow to close.");
	tg_strbuf_printf(&finding->setting, "net.ipv4.tcp_fin_timeout = %d", FIN_TIMEOUT_DEFAULT);
}

static void check_fin_wait2(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t seconds;
	if (!doctor_sockets(host, report) || host->tally.fin_wait2 < PILE_MIN ||
	    host->tally.fin_wait2 <= host->tally.established ||
	    !doctor_sysctl(host, report, SYSCTL_FIN_TIMEOUT, &seconds))
		return;
	struct doctor_finding *finding = doctor_add(report, "fin-wait2-pile", DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value,
			 "%" PRIu32 " in FIN_WAIT2, %" PRIu32
			 " established; net.ipv4.tcp_fin_timeout = %" PRId64,
			 host->tally.fin_wait2, host->tally.established, seconds);
	tg_strbuf_puts(&finding->evidence,
		       "the sockets now: this host has closed, and the peers do not");
	tg_strbuf_puts(&finding->advice,
		       "See whose they are (tcpguard top): a few sources are for a limit on "
		       "fin-wait. Peers that never close are outlived sooner with 30.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not go below 15, and do not take these for TIME_WAIT: they are the "
		       "peers' doing.");
	if (seconds > FIN_TIMEOUT_SHORT)
		tg_strbuf_printf(&finding->setting, "net.ipv4.tcp_fin_timeout = %d",
				 FIN_TIMEOUT_SHORT);
}

static void check_closes_first(const struct host_snapshot *host, struct doctor_report *report)
{
	if (!doctor_sockets(host, report))
		return;
	for (size_t port = 0; port <= UINT16_MAX; port++) {
		const struct tally_port *own = &host->tally.ports[port];
		if (own->time_wait < PILE_MIN || own->time_wait / 4 < own->established)
			continue;
		struct doctor_finding *finding =
			doctor_add(report, "server-closes-first", DOCTOR_ADVICE);
		tg_strbuf_printf(&finding->value,
				 "port %zu: %" PRIu32 " in TIME_WAIT, %" PRIu32 " established",
				 port, own->time_wait, own->established);
		tg_strbuf_puts(&finding->evidence,
			       "the sockets now: TIME_WAIT is with the side that closes first, and "
			       "here that is the service");
		tg_strbuf_puts(
			&finding->advice,
			"For a web server, turn HTTP keep-alive on, or give it more requests "
			"and more than a few seconds: each of these was a handshake for a "
			"request or two.");
		tg_strbuf_puts(
			&finding->avoid,
			"Do not fight the TIME_WAIT itself: on a listening port it takes no "
			"port and no descriptor. tcp_tw_reuse and tcp_fin_timeout do nothing "
			"for it.");
	}
}

void doctor_check_time_wait(const struct host_snapshot *host, struct doctor_report *report)
{
	check_buckets_low(host, report);
	check_buckets_full(host, report);
	check_reuse(host, report);
	check_recycle(host, report);
	check_timeout(host, report);
	check_fin_timeout(host, report);
	check_fin_wait2(host, report);
	check_closes_first(host, report);
}
