/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_SNAPSHOT_H
#define HOST_SNAPSHOT_H

#include "host/counters.h"
#include "host/sysctl.h"
#include "host/sysctl_files.h"
#include "host/tally.h"

/* All that doctor judges by, read once. What could not be read is not known, and never 0. */
struct host_snapshot {
	/* In a network namespace of its own: some keys are the host's alone, and files of sysctl.d
	   were applied to the host and not here. */
	bool namespaced;
	struct sysctl_value sysctls[SYSCTL_COUNT];
	uint32_t reserved_ports; /* within ip_local_port_range */
	struct counter_value counters[COUNTER_COUNT];
	uint64_t counted_s; /* the counters are of so many seconds; 0: since boot */
	struct sockstat sockstat;
	struct tally tally;
	uint64_t idle_ms;     /* what the tally took for idle */
	bool files_elsewhere; /* of another root than this host's */
	struct sysctl_files files;
};

struct snapshot_params {
	uint64_t idle_ms;
	uint64_t over_s;  /* counters over this time, which it takes, and not since boot */
	const char *root; /* of the files of sysctl.d; "": this host's */
	/* Called now and then with how much of the time is over, and with how many sockets were
	   seen; may be NULL. */
	void (*waiting)(void *data, uint64_t gone_s);
	void (*walking)(void *data, uint64_t sockets);
	void *data;
};

/* 0 or -errno: for want of memory or of the root. */
int snapshot_read(const struct snapshot_params *params, struct host_snapshot *ret_snapshot);
void snapshot_finish(struct host_snapshot *snapshot);

#endif
