/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_COUNTERS_H
#define HOST_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

/* What the kernel has counted since this network namespace began (for the host: since boot). The
   softnet counters are those of the whole machine. */

enum counter {
	COUNTER_SYNCOOKIES_SENT,
	COUNTER_LISTEN_OVERFLOWS,
	COUNTER_LISTEN_DROPS,
	COUNTER_REQQ_COOKIES,
	COUNTER_REQQ_DROPS,
	COUNTER_TW_OVERFLOW,
	COUNTER_MEMORY_PRESSURES,
	COUNTER_ABORT_ON_MEMORY,
	COUNTER_SOFTNET_DROPPED,
	COUNTER_SOFTNET_SQUEEZED,
	COUNTER_CT_DROP,
	COUNTER_CT_EARLY_DROP,
	COUNTER_SYNPROXY_FINISHED, /* handshakes that SYNPROXY saw through */
	COUNTER_COUNT
};

struct counter_value {
	bool known;
	uint64_t value;
};

/* The kernel's name: "ListenOverflows". */
const char *counter_name(enum counter counter);

void counters_read(struct counter_value values[static COUNTER_COUNT]);
/* What was added since before; not known unless both are. */
void counters_subtract(struct counter_value values[static COUNTER_COUNT],
		       const struct counter_value before[static COUNTER_COUNT]);

/* The texts of /proc, for counters_read() and tests. Each sets what it knows and leaves the rest.
 */
void counters_parse_netstat(const char *text, struct counter_value values[static COUNTER_COUNT]);
void counters_parse_softnet(const char *text, struct counter_value values[static COUNTER_COUNT]);
void counters_parse_conntrack(const char *text, struct counter_value values[static COUNTER_COUNT]);
void counters_parse_synproxy(const char *text, struct counter_value values[static COUNTER_COUNT]);

struct sockstat {
	bool known;
	uint64_t tcp_pages; /* of the whole machine, as tcp_mem is */
};

void sockstat_read(struct sockstat *ret_stat);
bool sockstat_parse(const char *text, struct sockstat *ret_stat);

#endif
