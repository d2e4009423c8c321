/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage: doctor_show text|color|json|sysctl|well: how the findings of a host look that has
 * everything. */
#include "cli/doctor_output.h"

#include <string.h>

#include "../unit/doctor_host.h"

/* Values of a bad night, among them text from outside that is not to be trusted. */
static void spoil(struct doctor_host *host)
{
	static char path[] = "net/ipv4/tcp_tw_recycle", value[] = "1";
	set_sysctl(host, SYSCTL_SYNCOOKIES, 0);
	set_sysctl(host, SYSCTL_MAX_SYN_BACKLOG, 128);
	set_sysctl(host, SYSCTL_MAX_TW_BUCKETS, 5000);
	set_sysctl(host, SYSCTL_FIN_TIMEOUT, 10);
	set_sysctl(host, SYSCTL_CT_COUNT, 250000);
	set_sysctl(host, SYSCTL_CT_BUCKETS, 16384);
	set_sysctl(host, SYSCTL_CT_EVENTS, 2);
	set_counter(host, COUNTER_LISTEN_OVERFLOWS, 123);
	set_counter(host, COUNTER_LISTEN_DROPS, 400);
	host->snapshot.sysctls[SYSCTL_TCP_MEM].status = SYSCTL_ABSENT;
	host->snapshot.counters[COUNTER_SOFTNET_DROPPED].known = false;
	host->snapshot.tally.time_wait = 4990;
	host->ports[80] = (struct tally_port){.time_wait = 4900, .established = 12};
	host->listener.queued = 512;
	host->process = (struct tally_process){.process = "a\033[31mpp (pid 4711)",
					       .close_wait = 1500,
					       .close_wait_ms = 8040000,
					       .mute = 40,
					       .mute_ms = 90000000,
					       .mute_port = 8080};
	host->destination.used = 28000;
	host->destination.time_wait = 27000;
	host->snapshot.tally.keepalive = 60;
	set_line(host, path, value, true);
}

int main(int argc, char **argv)
{
	static struct doctor_host host;
	const char *what = argc > 1 ? argv[1] : "";
	healthy(&host);
	if (strcmp(what, "well") != 0)
		spoil(&host);
	struct doctor_report *report = doctor_report_create();
	if (!report)
		return 2;
	doctor_check_all(&host.snapshot, report);
	if (strcmp(what, "json") == 0)
		doctor_output_json(stdout, report, DOCTOR_ADVICE);
	else if (strcmp(what, "sysctl") == 0)
		doctor_output_sysctl(stdout, report, DOCTOR_ADVICE);
	else
		doctor_output_text(stdout, strcmp(what, "color") == 0, report,
				   strcmp(what, "color") == 0 ? DOCTOR_CRITICAL : DOCTOR_ADVICE);
	doctor_report_destroy(report);
	return 0;
}
