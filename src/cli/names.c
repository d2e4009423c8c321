/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from addresses to names. The resolver of the C library cannot be told when to give
 * up: so some processes of our own ask, and are ended when the time is over.
 */
#include "names.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define ASKERS 16

struct answer {
	size_t index;
	char name[NAMES_LEN];
};
_Static_assert(sizeof(struct answer) <= 512, "one write to a pipe, which no other cuts (PIPE_BUF)");

static bool read_single(const char *source, struct tg_addr *ret_addr)
{
	struct tg_prefix prefix;
	if (!source || tg_prefix_parse(source, &prefix) ||
	    prefix.len != tg_family_bits((enum tg_family)prefix.addr.family))
		return false;
	*ret_addr = prefix.addr;
	return true;
}

static size_t find(const struct names *names, const struct tg_addr *addr)
{
	size_t i = 0;
	while (i < names->count && !tg_addr_equal(&names->addrs[i], addr))
		i++;
	return i;
}

void names_want(struct names *names, const char *source)
{
	struct tg_addr addr;
	if (!read_single(source, &addr) || names->count == NAMES_MAX ||
	    find(names, &addr) != names->count)
		return;
	names->texts[names->count][0] = '\0';
	names->addrs[names->count++] = addr;
}

void names_make_room(struct names *names)
{
	if (names->count > NAMES_MAX / 2)
		names->count = names->asked = 0;
}

const char *names_find(const struct names *names, const char *source)
{
	struct tg_addr addr;
	if (!read_single(source, &addr))
		return NULL;
	const size_t i = find(names, &addr);
	return i < names->count && names->texts[i][0] ? names->texts[i] : NULL;
}

const char *names_cut(const char *name, size_t most, char buf[static NAMES_LEN])
{
	const size_t len = strlen(name);
	most = MAX(most, sizeof("..x") - 1);
	if (len <= most)
		return name;
	/* Its begin is what anybody may write, such as somebody else's domain. */
	(void)snprintf(buf, NAMES_LEN, "..%s", name + len - (most - 2));
	return buf;
}

static void ask(const struct tg_addr *addr, char name[static NAMES_LEN])
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	const bool ipv4 = addr->family == TG_IPV4;
	memcpy(&v6.sin6_addr, addr->bytes, sizeof(v6.sin6_addr));
	memcpy(&v4.sin_addr, addr->bytes, sizeof(v4.sin_addr));
	if (getnameinfo(ipv4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
			ipv4 ? sizeof(v4) : sizeof(v6), name, NAMES_LEN, NULL, 0, NI_NAMEREQD) != 0)
		name[0] = '\0';
}

/* Every ASKERS-th address that was not asked for, in a process of its own. */
static void ask_some(const struct names *names, size_t from, int out)
{
	for (size_t i = names->asked + from; i < names->count; i += ASKERS) {
		struct answer answer = {.index = i};
		ask(&names->addrs[i], answer.name);
		if (answer.name[0] && write(out, &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
	_exit(0);
}

static int left_ms(const struct timespec *begun)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	const long ms =
		(now.tv_sec - begun->tv_sec) * 1000 + (now.tv_nsec - begun->tv_nsec) / 1000000;
	return (int)MAX(NAMES_WAIT_MS - ms, 0);
}

static void gather(struct names *names, int in)
{
	struct timespec begun;
	struct pollfd pfd = {.fd = in, .events = POLLIN};
	struct answer answer;
	(void)clock_gettime(CLOCK_MONOTONIC, &begun);
	while (poll(&pfd, 1, left_ms(&begun)) > 0 &&
	       read(in, &answer, sizeof(answer)) == sizeof(answer)) {
		answer.name[NAMES_LEN - 1] = '\0';
		if (answer.index < names->count)
			memcpy(names->texts[answer.index], answer.name, NAMES_LEN);
	}
}

void names_resolve(struct names *names)
{
	pid_t askers[ASKERS];
	size_t count = 0;
	int fds[2];
	if (names->count == names->asked || pipe(fds) < 0)
		return;
	(void)fflush(stdout); /* or each of them would print it, too */
	for (; count < MIN(names->count - names->asked, ASKERS); count++) {
		askers[count] = fork();
		if (askers[count] < 0)
			break;
		if (askers[count] == 0)
			ask_some(names, count, fds[1]);
	}
	(void)close(fds[1]);
	gather(names, fds[0]);
	(void)close(fds[0]);
	for (size_t i = 0; i < count; i++) {
		(void)kill(askers[i], SIGKILL);
		(void)waitpid(askers[i], NULL, 0);
	}
	names->asked = names->count;
}
