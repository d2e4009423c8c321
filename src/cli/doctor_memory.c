/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the memory that TCP has, against what it may have. */
#include <inttypes.h>

#include "doctor.h"

/* tcp_mem: below pressure nobody is held to anything; at the most allocations fail. */
enum { MEM_MIN, MEM_PRESSURE, MEM_MAX, MEM_COUNT };

static void check_pages(const struct host_snapshot *host, struct doctor_report *report)
{
	int64_t min;
	if (!doctor_sysctl(host, report, SYSCTL_TCP_MEM, &min))
		return;
	const struct sysctl_value *mem = &host->sysctls[SYSCTL_TCP_MEM];
	if (!host->sockstat.known || mem->count != MEM_COUNT) {
		doctor_note_unknown(report, "TCP's memory", "/proc/net/sockstat does not tell it");
		return;
	}
	const uint64_t pages = host->sockstat.tcp_pages;
	const uint64_t pressure = (uint64_t)mem->numbers[MEM_PRESSURE];
	const uint64_t max = (uint64_t)mem->numbers[MEM_MAX];
	if (pages < pressure)
		return;
	struct doctor_finding *finding = doctor_add(
		report, "tcp-memory", pages >= max - max / 20 ? DOCTOR_CRITICAL : DOCTOR_WARNING);
	tg_strbuf_printf(&finding->value,
			 "TCP has %" PRIu64 " pages; net.ipv4.tcp_mem = %" PRId64 " %" PRIu64
			 " %" PRIu64,
			 pages, min, pressure, max);
	tg_strbuf_puts(&finding->evidence,
		       "/proc/net/sockstat, now, of the whole machine: buffers are cut from the "
		       "second figure on, and what needs more than the third fails");
	tg_strbuf_puts(&finding->advice,
		       "Find what fills the buffers: clients that do not read, or a service that "
		       "does not (Recv-Q and Send-Q of ss -tm). Limit connections per source. If "
		       "it is real work and there is RAM, raise tcp_mem.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not raise tcp_rmem and tcp_wmem as tuning guides do: each socket then "
		       "takes more of the same. Mind that tcp_mem counts pages, not bytes.");
}

static void check_aborts(const struct host_snapshot *host, struct doctor_report *report)
{
	uint64_t aborts, pressures;
	char period[DOCTOR_PERIOD_STRLEN];
	if (!doctor_counter(host, report, COUNTER_ABORT_ON_MEMORY, &aborts) ||
	    !doctor_counter(host, report, COUNTER_MEMORY_PRESSURES, &pressures) ||
	    (aborts == 0 && pressures == 0))
		return;
	struct doctor_finding *finding =
		doctor_add(report, "tcp-memory-aborts",
			   aborts > 0 ? doctor_counted(host, DOCTOR_WARNING) : DOCTOR_ADVICE);
	tg_strbuf_printf(&finding->value,
			 "TCPAbortOnMemory %" PRIu64 ", TCPMemoryPressures %" PRIu64, aborts,
			 pressures);
	tg_strbuf_printf(&finding->evidence,
			 "connections reset for want of memory or for too many orphans, and times "
			 "of pressure, %s",
			 doctor_period(host, period));
	tg_strbuf_puts(&finding->advice,
		       "See whether it goes on (--over 10s), and then who holds the memory, as for "
		       "tcp-memory. The kernel's log tells orphans from memory.");
	tg_strbuf_puts(&finding->avoid,
		       "Do not raise tcp_max_orphans blindly: each holds up to 64 KiB that nothing "
		       "can take back.");
}

void doctor_check_memory(const struct host_snapshot *host, struct doctor_report *report)
{
	check_pages(host, report);
	check_aborts(host, report);
}
