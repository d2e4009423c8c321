/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the small change of the namespace tests. Everything stays in the process's own network
 * namespace and ends with it. */
#include "ns.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/util.h"

#define BATCH 64
#define REQUEST_MAX 512

tg_time ns_now(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
	return (tg_time)ts.tv_sec * TG_SEC + (tg_time)ts.tv_nsec;
}

bool ns_enter(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

int ns_skip(void)
{
	if (getenv("CI")) {
		printf("Bail out! no network namespace, and CI must not skip\n");
		return 1;
	}
	printf("1..0 # SKIP needs root and network namespaces\n");
	return 0;
}

bool ns_run(const char *command)
{
	return system(command) == 0;
}

bool ns_track(void)
{
	return ns_run("nft 'table inet t { chain c { type filter hook input priority 0; "
		      "ct state new counter; }; }'");
}

static socklen_t loopback(int family, uint16_t port, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
	if (family == AF_INET) {
		struct sockaddr_in *in = (void *)ret;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)ret;
	in6->sin6_port = htons(port);
	in6->sin6_addr = in6addr_loopback;
	return sizeof(*in6);
}

int ns_listen(int family, uint16_t *ret_port)
{
	struct sockaddr_storage addr;
	socklen_t len = loopback(family, 0, &addr);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 100) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
		if (fd >= 0)
			(void)close(fd); /* the test fails anyway */
		return -1;
	}
	*ret_port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port
					    : ((struct sockaddr_in6 *)&addr)->sin6_port);
	return fd;
}

int ns_connect(int family, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t len = loopback(family, port, &addr);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* In progress, or refused: the test looks at the events. */
	if (fd >= 0)
		(void)connect(fd, (struct sockaddr *)&addr, len);
	return fd;
}

struct tg_flow_key ns_key(enum tg_family family, uint32_t n)
{
	struct tg_flow_key key = {.family = (uint8_t)family, .dport = 80, .sport = 1024};
	const uint32_t host = htonl(n);
	static const uint8_t prefix[2][12] = {
		{0},
		{0x20, 0x01, 0x0d, 0xb8, 0, 1},
	};
	if (family == TG_IPV4) {
		const uint32_t v4 = htonl(0x0a000000 | n);
		memcpy(key.src, &v4, 4);
		memcpy(key.dst, (const uint8_t[]){198, 51, 100, 1}, 4);
		return key;
	}
	memcpy(key.src, prefix[1], 12);
	memcpy(key.src + 12, &host, 4);
	memcpy(key.dst, prefix[1], 12);
	key.dst[4] = 0xff;
	return key;
}

uint32_t ns_key_number(const struct tg_flow_key *key)
{
	uint32_t n;
	memcpy(&n, key->family == TG_IPV4 ? key->src : key->src + 12, sizeof(n));
	return ntohl(n) & 0xffffff;
}

static void set_tuples(struct nf_conntrack *ct, const struct tg_flow_key *key)
{
	const bool ipv4 = key->family == TG_IPV4;
	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, ipv4 ? AF_INET : AF_INET6);
	nfct_set_attr(ct, ipv4 ? ATTR_ORIG_IPV4_SRC : ATTR_ORIG_IPV6_SRC, key->src);
	nfct_set_attr(ct, ipv4 ? ATTR_ORIG_IPV4_DST : ATTR_ORIG_IPV6_DST, key->dst);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, htons(key->sport));
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, htons(key->dport));
	if (key->zone)
		nfct_set_attr_u16(ct, ATTR_ZONE, key->zone);
}

static size_t put_request(void *buf, uint16_t type, uint16_t flags, const struct tg_flow_key *key)
{
	struct nf_conntrack *ct = nfct_new();
	if (!ct)
		return 0;
	set_tuples(ct, key);
	if (type == IPCTNL_MSG_CT_NEW) {
		nfct_setobjopt(ct, NFCT_SOPT_SETUP_REPLY);
		nfct_set_attr_u8(ct, ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
		nfct_set_attr_u32(ct, ATTR_TIMEOUT, 3600);
		nfct_set_attr_u32(ct, ATTR_STATUS, IPS_SEEN_REPLY | IPS_ASSURED);
	}
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
	header->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	*generic = (struct nfgenmsg){
		.nfgen_family = key->family == TG_IPV4 ? AF_INET : AF_INET6,
	};
	size_t len = nfct_nlmsg_build(header, ct) < 0 ? 0 : header->nlmsg_len;
	nfct_destroy(ct);
	return NLMSG_ALIGN(len);
}

/* Only an error is answered: nothing to read means that all went well. */
static bool talk(int fd, const void *bytes, size_t len)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	char answer[1024];
	if (len == 0 ||
	    sendto(fd, bytes, len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) != (ssize_t)len)
		return false;
	return recv(fd, answer, sizeof(answer), MSG_DONTWAIT) < 0;
}

static bool entries(uint16_t type, uint16_t flags, enum tg_family family, uint16_t zone,
		    uint32_t first, uint32_t count)
{
	_Alignas(struct nlmsghdr) static _Thread_local uint8_t buf[BATCH * REQUEST_MAX];
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	for (uint32_t done = 0; done < count;) {
		const uint32_t part = MIN(count - done, (uint32_t)BATCH);
		size_t len = 0;
		for (uint32_t i = 0; i < part; i++) {
			struct tg_flow_key key = ns_key(family, first + done + i);
			key.zone = zone;
			len += put_request(buf + len, type, flags, &key);
		}
		if (!talk(fd, buf, len))
			return false;
		done += part;
	}
	return fd >= 0;
}

bool ns_entries_make(enum tg_family family, uint16_t zone, uint32_t first, uint32_t count)
{
	return entries(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, family, zone, first, count);
}

bool ns_entries_delete(enum tg_family family, uint16_t zone, uint32_t first, uint32_t count)
{
	return entries(IPCTNL_MSG_CT_DELETE, 0, family, zone, first, count);
}

bool ns_flush(void)
{
	_Alignas(struct nlmsghdr) char buf[64];
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
	header->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
	header->nlmsg_flags = NLM_F_REQUEST;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	*generic = (struct nfgenmsg){.nfgen_family = AF_UNSPEC};
	return fd >= 0 && talk(fd, buf, header->nlmsg_len);
}

static long read_number(const char *path)
{
	long number = -1;
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%ld", &number) != 1)
		return -1;
	return number;
}

long ns_count(void)
{
	return read_number("/proc/sys/net/netfilter/nf_conntrack_count");
}

long ns_max(void)
{
	return read_number("/proc/sys/net/netfilter/nf_conntrack_max");
}
