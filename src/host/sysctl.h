/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_SYSCTL_H
#define HOST_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values under /proc/sys that say how this host treats connections; as this network namespace
   sees them. */

enum sysctl_key {
	SYSCTL_SYNCOOKIES,
	SYSCTL_MAX_SYN_BACKLOG,
	SYSCTL_SOMAXCONN,
	SYSCTL_MAX_TW_BUCKETS,
	SYSCTL_EHASH_ENTRIES,
	SYSCTL_TW_REUSE,
	SYSCTL_TW_RECYCLE,
	SYSCTL_TW_TIMEOUT,
	SYSCTL_TIMESTAMPS,
	SYSCTL_FIN_TIMEOUT,
	SYSCTL_PORT_RANGE,
	SYSCTL_NETDEV_BACKLOG,
	SYSCTL_KEEPALIVE_TIME,
	SYSCTL_KEEPALIVE_INTVL,
	SYSCTL_KEEPALIVE_PROBES,
	SYSCTL_TCP_MEM,
	SYSCTL_TCP_RMEM,
	SYSCTL_RMEM_MAX,
	SYSCTL_TCP_SACK,
	SYSCTL_CT_MAX,
	SYSCTL_CT_COUNT,
	SYSCTL_CT_BUCKETS,
	SYSCTL_CT_EVENTS,
	SYSCTL_CT_ACCT,
	SYSCTL_CT_LOOSE,
	SYSCTL_CT_ESTABLISHED,
	SYSCTL_COUNT
};

enum sysctl_status {
	SYSCTL_KNOWN,
	SYSCTL_ABSENT, /* not of this kernel, not loaded, or not shown in a network namespace */
	SYSCTL_DENIED,
	SYSCTL_UNREADABLE /* not the numbers it should be */
};

#define SYSCTL_NUMBERS_MAX 3

struct sysctl_value {
	enum sysctl_status status;
	unsigned count;
	int64_t numbers[SYSCTL_NUMBERS_MAX];
};

/* "net.ipv4.tcp_syncookies". */
const char *sysctl_name(enum sysctl_key key);
/* By a path below /proc/sys, or false. */
bool sysctl_find(const char *path, enum sysctl_key *ret_key);

struct sysctl_value sysctl_read_one(enum sysctl_key key);
/* Its first number; false: not known, as of a kernel without conntrack loaded. */
bool sysctl_read_number(enum sysctl_key key, int64_t *ret_number);
void sysctl_read_all(struct sysctl_value values[static SYSCTL_COUNT]);
/* The numbers in text, as many as there are up to the most; false: there is something else. */
bool sysctl_parse(const char *text, struct sysctl_value *ret_value);

/* How many of the ports from first to last ip_local_reserved_ports takes out; the list as the
   kernel writes it: "80,8080-8090". */
uint32_t sysctl_reserved_in(const char *list, uint16_t first, uint16_t last);
/* The same of this host; 0 when it cannot be read. */
uint32_t sysctl_read_reserved(uint16_t first, uint16_t last);

#endif
