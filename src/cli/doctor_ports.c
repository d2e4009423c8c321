/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks the ports that are left for connections to others. */
#include <inttypes.h>

#include <tcpguard/addr.h>

#include "doctor.h"

/* Of the ports that one destination can have: when it is close, and when it is as good as over,
   because the search for a free one takes ever longer. */
#define SCARCE_PERCENT 80
#define GONE_PERCENT 95
/* Above what services of most hosts listen on, of both parities. */
#define RANGE_FIRST 10240
#define RANGE_LAST 65535

static void advise(const struct host_snapshot *host, const struct tally_destination *to,
		   int64_t first, int64_t last, struct doctor_finding *finding)
{
	const struct sysctl_value *reuse = &host->sysctls[SYSCTL_TW_REUSE];
	const bool widen = last - first < RANGE_LAST - RANGE_FIRST;
	tg_strbuf_puts(&finding->advice,
		       "Keep the connections to it open and use them again (a pool, HTTP "
		       "keep-alive to the upstream).");
	if (widen) {
		tg_strbuf_puts(&finding->advice, " Widen the range.");
		tg_strbuf_printf(&finding->setting, "net.ipv4.ip_local_port_range = %d %d",
				 RANGE_FIRST, RANGE_LAST);
	}
	if (to->time_wait > to->used / 2 && reuse->status == SYSCTL_KNOWN &&
	    reuse->numbers[0] != 1) {
		tg_strbuf_puts(&finding->advice,
			       " Most of these ports are in TIME_WAIT: tcp_tw_reuse = 1 lets this "
			       "host use them again after a second.");
		tg_strbuf_printf(&finding->setting, "%snet.ipv4.tcp_tw_reuse = 1",
				 widen ? "\n" : "");
	}
	tg_strbuf_puts(
		&finding->advice,
		" Beyond that, more addresses on either side: each pair has all ports anew.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not begin the range below the ports of your services without "
		       "ip_local_reserved_ports: a connection may hold a service's port when that "
		       "restarts. Do not lower tcp_max_tw_buckets.");
}

void doctor_check_ports(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t first;
	char local[TG_ADDR_STRLEN], remote[TG_ADDR_STRLEN];
	if (!doctor_sysctl(host, report, SYSCTL_PORT_RANGE, &first) ||
	    !doctor_sockets(host, report) || host->sysctls[SYSCTL_PORT_RANGE].count != 2)
		return;
	const int64_t last = host->sysctls[SYSCTL_PORT_RANGE].numbers[1];
	const int64_t usable = last - first + 1 - (int64_t)host->reserved_ports;
	for (size_t i = 0; i < host->tally.destination_count; i++) {
		const struct tally_destination *to = &host->tally.destinations[i];
		if ((int64_t)to->used * 100 < usable * SCARCE_PERCENT)
			continue;
		struct doctor_finding *finding = doctor_add(
			report, "ports-per-destination",
			(int64_t)to->used * 100 < usable * GONE_PERCENT ? DOCTOR_WARNING
									: DOCTOR_CRITICAL);
		tg_strbuf_printf(&finding->value,
				 "%" PRIu32 " of %" PRId64 " ports in use to %s port %u", to->used,
				 usable, tg_addr_format(&to->remote, remote), to->port);
		tg_strbuf_printf(&finding->evidence,
				 "the sockets now, from %s, %" PRIu32
				 " of them in TIME_WAIT; ip_local_port_range is %" PRId64
				 " to %" PRId64 ", %" PRIu32 " of it reserved",
				 tg_addr_format(&to->local, local), to->time_wait, first, last,
				 host->reserved_ports);
		advise(host, to, first, last, finding);
	}
}
