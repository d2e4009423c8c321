/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_SINK_LAB_H
#define TESTS_SINK_LAB_H

/*
 * Two nameless network namespaces and a wire: this process lives in the guarded one
 * and sends from the other. A table of our own counts what gets in.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tcpguard/addr.h>

struct lab {
	int inside, outside; /* namespaces */
	int raw[TG_FAMILY_COUNT];
};

#define LAB_SENTINEL_PORT 9
#define LAB_SERVER4 "10.9.255.254"
#define LAB_SERVER6 "2001:db8:9::ffff"

__attribute__((format(printf, 1, 2))) static inline int run(const char *format, ...)
{
	char command[2048];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	fflush(stdout);
	int status = system(command);
	if (status != 0)
		printf("# status %d of: %s\n", status, command);
	return status;
}

/* What a command prints; the caller frees it. */
static inline char *output_of(const char *command)
{
	size_t size = 1 << 20, len;
	char *text = malloc(size);
	FILE *pipe = popen(command, "r");
	if (!text || !pipe)
		abort();
	len = fread(text, 1, size - 1, pipe);
	text[len] = '\0';
	(void)pclose(pipe); /* the text tells */
	return text;
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline int lab_probe_table(void)
{
	return run("nft 'table inet probe { counter seen { }; counter sentinel { };"
		   " chain in { type filter hook input priority 0;"
		   " tcp dport %d counter name sentinel accept;"
		   " meta l4proto { tcp, udp } counter name seen; }; }'",
		   LAB_SENTINEL_PORT);
}

static inline bool lab_open(struct lab *lab)
{
	const int offset = 16, one = 1;
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	lab->outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int err = run("ip link set lo up; sysctl -qw net.ipv6.conf.all.accept_dad=0"
		      " net.ipv6.conf.default.accept_dad=0");
	for (enum tg_family f = 0; f < TG_FAMILY_COUNT; f++)
		lab->raw[f] = socket(f == TG_IPV4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
				     IPPROTO_TCP);
	setsockopt(lab->raw[TG_IPV6], SOL_IPV6, IPV6_CHECKSUM, &offset, sizeof(offset));
	setsockopt(lab->raw[TG_IPV6], SOL_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	lab->inside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	err |= run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0;"
		   "ip link set lo up && ip link add tgs type veth peer name tgc netns"
		   " /proc/%d/fd/%d && ip link set tgs up &&"
		   " ip addr add " LAB_SERVER4 "/16 dev tgs &&"
		   " ip addr add " LAB_SERVER6 "/48 dev tgs nodad",
		   (int)getpid(), lab->outside);
	if (setns(lab->outside, CLONE_NEWNET) < 0)
		return false;
	/* Any source of these networks can be bound to. */
	err |= run("ip link set tgc up && ip addr add 10.9.255.253/16 dev tgc &&"
		   " ip addr add 2001:db8:9::fffe/48 dev tgc nodad &&"
		   " ip route add local 10.9.0.0/17 dev lo &&"
		   " ip -6 route add local 2001:db8:9:1::/64 dev lo &&"
		   " ip -6 route add local 2001:db8:9:2::/64 dev lo");
	if (setns(lab->inside, CLONE_NEWNET) < 0)
		return false;
	return err == 0 && lab_probe_table() == 0;
}

static inline uint64_t lab_counter(const char *name)
{
	char command[100];
	(void)snprintf(command, sizeof(command), "nft list counter inet probe %s", name);
	char *text = output_of(command);
	const char *packets = strstr(text, "packets ");
	uint64_t value = packets ? strtoull(packets + 8, NULL, 10) : UINT64_MAX;
	free(text);
	return value;
}

static inline uint16_t lab_sum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* One TCP packet from source (an address of the outside) to the server. */
static inline bool lab_send(struct lab *lab, const char *source, uint16_t port, uint8_t flags)
{
	static uint16_t sport = 1024;
	struct tg_addr from, to;
	if (!tg_addr_parse(source, &from) ||
	    !tg_addr_parse(from.family == TG_IPV4 ? LAB_SERVER4 : LAB_SERVER6, &to))
		return false;
	sport = sport == 65535 ? 1024 : sport + 1;
	struct tcphdr tcp = {.th_sport = htons(sport),
			     .th_dport = htons(port),
			     .th_off = 5,
			     .th_flags = flags,
			     .th_win = htons(1024)};
	struct in_pktinfo four = {.ipi_ifindex = 0};
	struct in6_pktinfo six = {.ipi6_ifindex = 0};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = {.bytes = {0}};
	union {
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} server = {0};
	struct iovec iov = {.iov_base = &tcp, .iov_len = sizeof(tcp)};
	struct msghdr msg = {
		.msg_name = &server, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	if (from.family == TG_IPV4) {
		uint32_t pseudo = lab_sum(from.bytes, 4, lab_sum(to.bytes, 4, 6 + sizeof(tcp)));
		tcp.th_sum = htons((uint16_t)~lab_sum(&tcp, sizeof(tcp), pseudo));
		server.four.sin_family = AF_INET;
		memcpy(&server.four.sin_addr, to.bytes, 4);
		msg.msg_namelen = sizeof(server.four);
		control.header.cmsg_level = SOL_IP;
		control.header.cmsg_type = IP_PKTINFO;
		control.header.cmsg_len = CMSG_LEN(sizeof(four));
		memcpy(&four.ipi_spec_dst, from.bytes, 4);
		memcpy(CMSG_DATA(&control.header), &four, sizeof(four));
		msg.msg_controllen = CMSG_SPACE(sizeof(four));
	} else {
		server.six.sin6_family = AF_INET6;
		memcpy(&server.six.sin6_addr, to.bytes, 16);
		msg.msg_namelen = sizeof(server.six);
		control.header.cmsg_level = SOL_IPV6;
		control.header.cmsg_type = IPV6_PKTINFO;
		control.header.cmsg_len = CMSG_LEN(sizeof(six));
		memcpy(&six.ipi6_addr, from.bytes, 16);
		memcpy(CMSG_DATA(&control.header), &six, sizeof(six));
		msg.msg_controllen = CMSG_SPACE(sizeof(six));
	}
	return sendmsg(lab->raw[from.family], &msg, 0) == (ssize_t)sizeof(tcp);
}

/* How many of count packets get in. A packet behind them, from elsewhere, tells when all are
 * through. */
static inline uint64_t lab_passed(struct lab *lab, const char *source, uint16_t port, uint8_t flags,
				  unsigned count)
{
	const uint64_t seen = lab_counter("seen"), sentinel = lab_counter("sentinel");
	const uint64_t deadline = now_ns() + 5000000000u;
	for (unsigned i = 0; i < count; i++) {
		if (!lab_send(lab, source, port, flags))
			return UINT64_MAX;
	}
	if (!lab_send(lab, strchr(source, ':') ? "2001:db8:9::fffe" : "10.9.255.253",
		      LAB_SENTINEL_PORT, TH_SYN))
		return UINT64_MAX;
	while (lab_counter("sentinel") == sentinel) {
		if (now_ns() > deadline)
			return UINT64_MAX;
	}
	return lab_counter("seen") - seen;
}

#endif
