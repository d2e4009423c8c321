/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_DOCTOR_HOST_H
#define TESTS_UNIT_DOCTOR_HOST_H

#include "host/snapshot.h"

/* A host with which nothing is wrong, to be spoilt one thing at a time. Owns nothing. */

struct doctor_host {
	struct host_snapshot snapshot;
	struct tally_port ports[65536];
	struct tally_listener listener;
	struct tally_process process;
	struct tally_destination destination;
	struct sysctl_line line;
};

static inline void set_sysctl(struct doctor_host *host, enum sysctl_key key, int64_t number)
{
	host->snapshot.sysctls[key] =
		(struct sysctl_value){.status = SYSCTL_KNOWN, .count = 1, .numbers = {number}};
}

static inline void set_counter(struct doctor_host *host, enum counter counter, uint64_t value)
{
	host->snapshot.counters[counter] = (struct counter_value){.known = true, .value = value};
}

/* The line of a file; the texts are borrowed. */
static inline void set_line(struct doctor_host *host, char *path, char *value, bool absent)
{
	host->line = (struct sysctl_line){.file = "/etc/sysctl.d/guide.conf",
					  .line = 7,
					  .path = path,
					  .value = value,
					  .wins = true,
					  .absent = absent};
	host->snapshot.files = (struct sysctl_files){.lines = &host->line, .line_count = 1};
}

static inline void healthy_sysctls(struct doctor_host *host)
{
	static const struct {
		enum sysctl_key key;
		int64_t number;
	} values[] = {
		{SYSCTL_SYNCOOKIES, 1},
		{SYSCTL_MAX_SYN_BACKLOG, 2048},
		{SYSCTL_SOMAXCONN, 4096},
		{SYSCTL_MAX_TW_BUCKETS, 131072},
		{SYSCTL_EHASH_ENTRIES, 262144},
		{SYSCTL_TW_REUSE, 2},
		{SYSCTL_TIMESTAMPS, 1},
		{SYSCTL_FIN_TIMEOUT, 60},
		{SYSCTL_NETDEV_BACKLOG, 1000},
		{SYSCTL_KEEPALIVE_TIME, 7200},
		{SYSCTL_KEEPALIVE_INTVL, 75},
		{SYSCTL_KEEPALIVE_PROBES, 9},
		{SYSCTL_CT_MAX, 262144},
		{SYSCTL_CT_COUNT, 1000},
		{SYSCTL_CT_BUCKETS, 262144},
		{SYSCTL_CT_EVENTS, 1},
		{SYSCTL_CT_ACCT, 0},
		{SYSCTL_CT_LOOSE, 0},
		{SYSCTL_CT_ESTABLISHED, 432000},
	};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		set_sysctl(host, values[i].key, values[i].number);
	host->snapshot.sysctls[SYSCTL_PORT_RANGE] = (struct sysctl_value){
		.status = SYSCTL_KNOWN, .count = 2, .numbers = {32768, 60999}};
	host->snapshot.sysctls[SYSCTL_TCP_MEM] = (struct sysctl_value){
		.status = SYSCTL_KNOWN, .count = 3, .numbers = {1000, 2000, 3000}};
	host->snapshot.sysctls[SYSCTL_TW_RECYCLE].status = SYSCTL_ABSENT;
	host->snapshot.sysctls[SYSCTL_TW_TIMEOUT].status = SYSCTL_ABSENT;
}

static inline void healthy(struct doctor_host *host)
{
	*host = (struct doctor_host){.snapshot = {.idle_ms = 600000}};
	struct tally *tally = &host->snapshot.tally;
	healthy_sysctls(host);
	for (int i = 0; i < COUNTER_COUNT; i++)
		set_counter(host, (enum counter)i, 0);
	host->snapshot.sockstat = (struct sockstat){.known = true, .tcp_pages = 100};
	host->listener = (struct tally_listener){.port = 80,
						 .queued = 1,
						 .backlog = 511,
						 .half_open = 3,
						 .process = "nginx (pid 812)"};
	host->process = (struct tally_process){.process = "app (pid 4711)"};
	host->destination =
		(struct tally_destination){.local = tg_addr_from_ipv4("\xc0\x00\x02\x01"),
					   .remote = tg_addr_from_ipv4("\xc6\x33\x64\x07"),
					   .port = 5432,
					   .used = 10,
					   .time_wait = 1};
	*tally = (struct tally){
		.known = true,
		.processes_known = true,
		.time_wait = 40,
		.time_wait_out = 1,
		.established = 100,
		.listeners = &host->listener,
		.listener_count = 1,
		.processes = &host->process,
		.process_count = 1,
		.destinations = &host->destination,
		.destination_count = 1,
		.ports = host->ports,
	};
}

#endif
