/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the keys of /proc/sys that doctor judges. Says why one is not known instead of guessing. */
#include "host/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

static const struct {
	const char *name, *path;
} keys[SYSCTL_COUNT] = {
#define IPV4(key)                                \
	{                                        \
		"net.ipv4." key, "net/ipv4/" key \
	}
#define CORE(key)                                \
	{                                        \
		"net.core." key, "net/core/" key \
	}
#define CONNTRACK(key)                                                               \
	{                                                                            \
		"net.netfilter.nf_conntrack_" key, "net/netfilter/nf_conntrack_" key \
	}
	[SYSCTL_SYNCOOKIES] = IPV4("tcp_syncookies"),
	[SYSCTL_MAX_SYN_BACKLOG] = IPV4("tcp_max_syn_backlog"),
	[SYSCTL_SOMAXCONN] = CORE("somaxconn"),
	[SYSCTL_MAX_TW_BUCKETS] = IPV4("tcp_max_tw_buckets"),
	[SYSCTL_EHASH_ENTRIES] = IPV4("tcp_ehash_entries"),
	[SYSCTL_TW_REUSE] = IPV4("tcp_tw_reuse"),
	[SYSCTL_TW_RECYCLE] = IPV4("tcp_tw_recycle"),
	[SYSCTL_TW_TIMEOUT] = IPV4("tcp_tw_timeout"),
	[SYSCTL_TIMESTAMPS] = IPV4("tcp_timestamps"),
	[SYSCTL_FIN_TIMEOUT] = IPV4("tcp_fin_timeout"),
	[SYSCTL_PORT_RANGE] = IPV4("ip_local_port_range"),
	[SYSCTL_NETDEV_BACKLOG] = CORE("netdev_max_backlog"),
	[SYSCTL_KEEPALIVE_TIME] = IPV4("tcp_keepalive_time"),
	[SYSCTL_KEEPALIVE_INTVL] = IPV4("tcp_keepalive_intvl"),
	[SYSCTL_KEEPALIVE_PROBES] = IPV4("tcp_keepalive_probes"),
	[SYSCTL_TCP_MEM] = IPV4("tcp_mem"),
	[SYSCTL_TCP_RMEM] = IPV4("tcp_rmem"),
	[SYSCTL_RMEM_MAX] = CORE("rmem_max"),
	[SYSCTL_TCP_SACK] = IPV4("tcp_sack"),
	[SYSCTL_CT_MAX] = CONNTRACK("max"),
	[SYSCTL_CT_COUNT] = CONNTRACK("count"),
	[SYSCTL_CT_BUCKETS] = CONNTRACK("buckets"),
	[SYSCTL_CT_EVENTS] = CONNTRACK("events"),
	[SYSCTL_CT_ACCT] = CONNTRACK("acct"),
	[SYSCTL_CT_LOOSE] = CONNTRACK("tcp_loose"),
	[SYSCTL_CT_ESTABLISHED] = CONNTRACK("tcp_timeout_established"),
};

const char *sysctl_name(enum sysctl_key key)
{
	return keys[key].name;
}

bool sysctl_find(const char *path, enum sysctl_key *ret_key)
{
	for (size_t i = 0; i < SYSCTL_COUNT; i++) {
		if (strcmp(keys[i].path, path) != 0)
			continue;
		*ret_key = (enum sysctl_key)i;
		return true;
	}
	return false;
}

bool sysctl_parse(const char *text, struct sysctl_value *ret_value)
{
	struct sysctl_value value = {.status = SYSCTL_KNOWN};
	for (;;) {
		char *end;
		text += strspn(text, " \t\n");
		if (!*text)
			break;
		errno = 0;
		const long long number = strtoll(text, &end, 10);
		if (end == text || errno || !strchr(" \t\n", *end) ||
		    value.count == SYSCTL_NUMBERS_MAX)
			return false;
		value.numbers[value.count++] = number;
		text = end;
	}
	if (value.count == 0)
		return false;
	*ret_value = value;
	return true;
}

/* The text of a key below /proc/sys, cut if it is longer than the buffer; or -errno. */
static int read_text(const char *path, char *text, size_t size)
{
	char full[128];
	if ((size_t)snprintf(full, sizeof(full), "/proc/sys/%s", path) >= sizeof(full))
		return -ENAMETOOLONG;
	_cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	ssize_t len = read(fd, text, size - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	return 0;
}

static struct sysctl_value read_value(const char *path)
{
	char text[128];
	struct sysctl_value value = {.status = SYSCTL_UNREADABLE};
	int err = read_text(path, text, sizeof(text));
	if (err == -ENOENT)
		value.status = SYSCTL_ABSENT;
	else if (err == -EACCES || err == -EPERM)
		value.status = SYSCTL_DENIED;
	else if (!err)
		(void)sysctl_parse(text, &value); /* stays unreadable */
	return value;
}

struct sysctl_value sysctl_read_one(enum sysctl_key key)
{
	return read_value(keys[key].path);
}

bool sysctl_read_number(enum sysctl_key key, int64_t *ret_number)
{
	const struct sysctl_value value = sysctl_read_one(key);
	if (value.status == SYSCTL_KNOWN)
		*ret_number = value.numbers[0];
	return value.status == SYSCTL_KNOWN;
}

void sysctl_read_all(struct sysctl_value values[static SYSCTL_COUNT])
{
	for (size_t i = 0; i < SYSCTL_COUNT; i++)
		values[i] = read_value(keys[i].path);
}

uint32_t sysctl_reserved_in(const char *list, uint16_t first, uint16_t last)
{
	uint32_t count = 0;
	while (*list) {
		char *end;
		unsigned long from = strtoul(list, &end, 10), to = from;
		if (end == list)
			break;
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		from = MAX(from, first);
		to = MIN(to, last);
		if (from <= to)
			count += (uint32_t)(to - from + 1);
		list = end + (*end == ',');
	}
	return count;
}

uint32_t sysctl_read_reserved(uint16_t first, uint16_t last)
{
	char text[4096];
	int err = read_text("net/ipv4/ip_local_reserved_ports", text, sizeof(text));
	return err ? 0 : sysctl_reserved_in(text, first, last);
}
