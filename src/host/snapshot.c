/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts together what the readers of this folder find. The only one that waits: for the time over
 * which counters are asked for. */
#include "host/snapshot.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static void wait_seconds(const struct snapshot_params *params)
{
	for (uint64_t gone = 0; gone < params->over_s; gone++) {
		struct timespec rest = {.tv_sec = 1};
		if (params->waiting)
			params->waiting(params->data, gone);
		while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
			;
	}
}

static void read_counters(const struct snapshot_params *params, struct host_snapshot *snapshot)
{
	struct counter_value before[COUNTER_COUNT];
	if (params->over_s > 0) {
		counters_read(before);
		wait_seconds(params);
	}
	counters_read(snapshot->counters);
	if (params->over_s > 0)
		counters_subtract(snapshot->counters, before);
	snapshot->counted_s = params->over_s;
}

int snapshot_read(const struct snapshot_params *params, struct host_snapshot *ret_snapshot)
{
	struct host_snapshot snapshot = {.idle_ms = params->idle_ms,
					 .files_elsewhere = *params->root != '\0'};
	int err = sysctl_files_read(params->root, &snapshot.files);
	if (err)
		return err;
	read_counters(params, &snapshot);
	sysctl_read_all(snapshot.sysctls);
	/* The kernel shows this one to the first network namespace only. */
	snapshot.namespaced = snapshot.sysctls[SYSCTL_NETDEV_BACKLOG].status == SYSCTL_ABSENT;
	struct tally_params tally = {
		.idle_ms = params->idle_ms, .walking = params->walking, .data = params->data};
	const struct sysctl_value *range = &snapshot.sysctls[SYSCTL_PORT_RANGE];
	if (range->status == SYSCTL_KNOWN && range->count == 2) {
		tally.first_port = (uint16_t)range->numbers[0];
		tally.last_port = (uint16_t)range->numbers[1];
		snapshot.reserved_ports = sysctl_read_reserved(tally.first_port, tally.last_port);
	}
	sockstat_read(&snapshot.sockstat);
	err = tally_read(&tally, &snapshot.tally);
	if (err) {
		snapshot_finish(&snapshot);
		return err;
	}
	*ret_snapshot = snapshot;
	return 0;
}

void snapshot_finish(struct host_snapshot *snapshot)
{
	tally_finish(&snapshot->tally);
	sysctl_files_finish(&snapshot->files);
}
