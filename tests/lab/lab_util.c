/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lab's tools share. Errors of the command line are told here, because
 * every tool would tell them in the same words.
 */
#include "lab_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

uint64_t lab_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * LAB_SEC + (uint64_t)ts.tv_nsec;
}

bool lab_number(const char *option, const char *text, uint64_t max, uint64_t *ret_value)
{
	char *end = NULL;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > max) {
		fprintf(stderr, "--%s: '%s' is not a number up to %llu\n", option, text,
			(unsigned long long)max);
		return false;
	}
	*ret_value = value;
	return true;
}

static bool address_fill(const char *text, uint16_t port, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memset(ret_address, 0, sizeof(*ret_address));
		memcpy(ret_address, &v4, sizeof(v4));
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		memset(ret_address, 0, sizeof(*ret_address));
		memcpy(ret_address, &v6, sizeof(v6));
		return true;
	}
	return false;
}

bool lab_address(const char *option, const char *text, struct sockaddr_storage *ret_address)
{
	if (address_fill(text, 0, ret_address))
		return true;
	fprintf(stderr, "--%s: '%s' is not an address\n", option, text);
	return false;
}

bool lab_endpoint(const char *option, const char *text, struct sockaddr_storage *ret_address)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!colon || len == 0 || len >= sizeof(host)) {
		fprintf(stderr, "--%s: '%s' is not ADDRESS:PORT\n", option, text);
		return false;
	}
	if (!lab_number(option, colon + 1, UINT16_MAX, &port))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	char *bare = host;
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		bare++;
	}
	if (address_fill(bare, (uint16_t)port, ret_address))
		return true;
	fprintf(stderr, "--%s: '%s' is not an address\n", option, bare);
	return false;
}

socklen_t lab_address_len(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6);
}

uint16_t lab_address_port(const struct sockaddr_storage *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->ss_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return ntohs(v4.sin_port);
	}
	memcpy(&v6, address, sizeof(v6));
	return ntohs(v6.sin6_port);
}

/* Adds n to the number whose last bit is bit len - 1. */
static void bytes_add(uint8_t *bytes, unsigned int len, uint64_t n)
{
	unsigned int shift = (8 - len % 8) % 8;
	unsigned int carry = 0;

	for (unsigned int i = (len + 7) / 8; i-- > 0;) {
		unsigned int add = (unsigned int)(n & (0xffu >> shift)) << shift;
		unsigned int sum = bytes[i] + add + carry;

		n >>= 8 - shift;
		shift = 0;
		bytes[i] = (uint8_t)sum;
		carry = sum >> 8;
	}
}

struct sockaddr_storage lab_address_nth(const struct sockaddr_storage *base, unsigned int len,
					uint64_t n)
{
	struct sockaddr_storage address = *base;

	if (base->ss_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, base, sizeof(v4));
		bytes_add((uint8_t *)&v4.sin_addr, len < 32 ? len : 32, n);
		memcpy(&address, &v4, sizeof(v4));
	} else {
		struct sockaddr_in6 v6;

		memcpy(&v6, base, sizeof(v6));
		bytes_add(v6.sin6_addr.s6_addr, len < 128 ? len : 128, n);
		memcpy(&address, &v6, sizeof(v6));
	}
	return address;
}

int lab_socket(const struct sockaddr_storage *source, const struct sockaddr_storage *to)
{
	bool v4 = to->ss_family == AF_INET;
	int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	int one = 1;
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (!source)
		return fd;
	/* IPv6 knows no local route for bind(): FREEBIND lets it take any address of the range. */
	(void)setsockopt(fd, level, v4 ? IP_FREEBIND : IPV6_FREEBIND, &one, sizeof(one));
	/* The port is chosen at connect(), so that many sources do not share one range of ports. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)source, lab_address_len(source)) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

uint64_t lab_paced(uint64_t start, uint64_t now, uint64_t rate, uint64_t count)
{
	if (!rate)
		return count;
	uint64_t due = (uint64_t)((double)(now - start) * (double)rate / (double)LAB_SEC) + 1;
	return due < count ? due : count;
}

int lab_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int lab_signal_take(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

size_t lab_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max < 1048576 ? limit.rlim_max : 1048576;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	return limit.rlim_cur;
}
