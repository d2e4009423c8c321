/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets counted by state and by one thing more, and what states prints of them, byte for byte. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/socket_tally.h"
#include "cli/states_report.h"
#include "host/processes.h"
#include "host/sockets.h"
#include "test.h"

#define SSH 22
#define WEB 443

static struct tg_addr addr(const char *text)
{
	struct tg_addr parsed = {.family = TG_IPV4};
	CHECK(!*text || tg_addr_parse(text, &parsed));
	return parsed;
}

static struct socket_tally tally_of(enum tally_by by)
{
	return (struct socket_tally){.by = by, .states_wanted = SOCKETS_STATES};
}

/* count sockets of one state; what the kernel holds alone has no inode. */
static void add(struct socket_tally *tally, uint8_t state, uint16_t local, const char *remote,
		uint16_t remote_port, unsigned count)
{
	const bool orphan = state == TCP_TIME_WAIT || state == TCP_SYN_RECV;
	const struct sock_diag_socket socket = {
		.local = addr("192.0.2.80"),
		.remote = addr(remote),
		.local_port = local,
		.remote_port = remote_port,
		.state = state,
		.uid = orphan         ? 0
		       : local == WEB ? 33
				      : 1000,
		.inode = orphan ? 0 : 4711,
	};
	for (unsigned i = 0; i < count; i++)
		socket_tally_add(tally, &socket);
}

/* A web server that is flooded a little, and calls a database that is down. */
static void add_host(struct socket_tally *tally)
{
	add(tally, TCP_LISTEN, SSH, "", 0, 1);
	add(tally, TCP_LISTEN, WEB, "", 0, 1);
	add(tally, TCP_ESTABLISHED, WEB, "198.51.100.7", 50000, 40);
	add(tally, TCP_ESTABLISHED, WEB, "2001:db8:aaaa:bbbb::7", 50000, 30);
	add(tally, TCP_ESTABLISHED, WEB, "2001:db8:aaaa:bbbb::8", 50001, 31);
	add(tally, TCP_SYN_RECV, WEB, "203.0.113.9", 1024, 300);
	add(tally, TCP_TIME_WAIT, WEB, "198.51.100.7", 50001, 12);
	add(tally, TCP_SYN_SENT, 40000, "192.0.2.33", 5432, 9);
	add(tally, TCP_CLOSE_WAIT, 40001, "192.0.2.33", 5432, 2);
	add(tally, TCP_FIN_WAIT2, SSH, "198.51.100.8", 50002, 1);
}

static const char *name_of(void *data, const struct tally_group *group)
{
	(void)data; /* the names are ours */
	return group->key.number == 33 ? "www-data" : NULL;
}

static char *print(struct socket_tally *tally, const struct states_conntrack *conntrack, bool json,
		   bool color)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	const struct states_report report = {
		.tally = tally, .conntrack = conntrack, .name = name_of, .hidden = 0};
	if (json)
		states_report_json(out, &report);
	else
		states_report_table(out, color, &report);
	CHECK(fclose(out) == 0);
	return text;
}

static void check_lines_fit(const char *text)
{
	while (*text) {
		const size_t len = strcspn(text, "\n");
		CHECK(len <= 80);
		text += len + (text[len] != '\0');
	}
}

TEST(one_table)
{
	struct socket_tally tally = tally_of(TALLY_BY_NOTHING);
	const struct states_conntrack conntrack = {
		.from = CONNTRACK_KERNEL,
		.total = 512,
		.counts = {[TG_TCP_SYN_SENT] = 9,
			   [TG_TCP_SYN_RECV] = 301,
			   [TG_TCP_ESTABLISHED] = 202},
	};
	add_host(&tally);
	char *text = print(&tally, &conntrack, false, false);
	CHECK_STR(
		text,
		"STATE        SOCKETS CONNTRACK  MEANING\n"
		"LISTEN             2         -  takes connections\n"
		"SYN-SENT           9         9  we call; a pile: an upstream is dead, or a worm\n"
		"SYN-RECV         300       301  half-open; a pile: a flood, or a lossy path\n"
		"ESTABLISHED      101       202  open; a pile: load, or peers that never leave\n"
		"FIN-WAIT-1         0         0  we closed; a pile: peers or their path are gone\n"
		"FIN-WAIT-2         1         -  peer knows; a pile: peers that do not finish\n"
		"CLOSING            0         -  both closed at once; a pile: a lossy path\n"
		"TIME-WAIT         12         0  over, kept for 60 s; a pile: we close first\n"
		"CLOSE-WAIT         2         0  peer closed; a pile: our program forgets to\n"
		"LAST-ACK           0         0  both closed; a pile: peers or path are gone\n"
		"CLOSE              0         0  none; in conntrack: reset or refused\n"
		"total            427       512\n"
		"conntrack: as the kernel lists it, both ways and forwarded\n");
	check_lines_fit(text);
	free(text);
	tally.states_wanted = 1u << TCP_SYN_RECV | 1u << TCP_SYN_SENT;
	text = print(&tally, &conntrack, false, false);
	CHECK(strstr(text, "\ntotal            427       310\n"));
	CHECK(!strstr(text, "LISTEN"));
	free(text);
	socket_tally_finish(&tally);
}

/* A pile is marked, what is not there is dim, and without colour there is no escape at all. */
TEST(colours)
{
	struct socket_tally tally = tally_of(TALLY_BY_NOTHING);
	const struct states_conntrack conntrack = {.err = -EPERM};
	add_host(&tally);
	char *text = print(&tally, &conntrack, false, true);
	CHECK(strstr(text, "\033[33mSYN-RECV "));
	CHECK(strstr(text, "\033[2mLAST-ACK "));
	CHECK(strstr(text, "\nSYN-SENT "));
	free(text);
	text = print(&tally, &conntrack, false, false);
	CHECK(!strchr(text, '\033'));
	CHECK(strstr(text, "ESTABLISHED      101         -  open"));
	CHECK(strstr(text, "\nconntrack: unknown; root may ask"));
	free(text);
	socket_tally_finish(&tally);
}

TEST(who_told_of_conntrack)
{
	struct socket_tally tally = tally_of(TALLY_BY_NOTHING);
	struct states_conntrack conntrack = {.from = CONNTRACK_DAEMON,
					     .closing_unknown = true,
					     .counts = {[TG_TCP_CLOSE_WAIT] = 1}};
	char *text = print(&tally, &conntrack, false, false);
	CHECK(strstr(text, "\nconntrack: as tcpguardd counts it"));
	CHECK(strstr(text, "no limit counts `concurrent`"));
	CHECK(strstr(text, "\n  its CLOSE-WAIT holds our FIN-WAIT-2, too"));
	check_lines_fit(text);
	free(text);
	text = print(&tally, &conntrack, true, false);
	CHECK(strstr(text, "\"from\": \"daemon\""));
	CHECK(strstr(text, "\"closing_followed\": false"));
	free(text);
	conntrack = (struct states_conntrack){.err = -EOPNOTSUPP};
	text = print(&tally, &conntrack, false, false);
	CHECK(strstr(text, "\nconntrack: the kernel tracks nothing\n"));
	free(text);
	text = print(&tally, &conntrack, true, false);
	CHECK(strstr(text, "\"from\": null,"));
	CHECK(strstr(text, "\"error\": \"the kernel tracks nothing\""));
	free(text);
	conntrack = (struct states_conntrack){.from = CONNTRACK_KERNEL};
	text = print(&tally, &conntrack, false, false);
	CHECK(strstr(text, "which tracks nothing here\n"));
	check_lines_fit(text);
	free(text);
}

TEST(by_source)
{
	struct socket_tally tally = tally_of(TALLY_BY_SOURCE);
	const struct states_conntrack conntrack = {0};
	add_host(&tally);
	socket_tally_top(&tally, 3);
	char *text = print(&tally, &conntrack, false, false);
	CHECK_STR(text,
		  "SOURCE                   SOCKETS  LISTEN  SYN-S  SYN-R  ESTAB  TIME-W  OTHER\n"
		  "203.0.113.9                  300       -      -    300      -       -      -\n"
		  "2001:db8:aaaa:bbbb::/64       61       -      -      -     61       -      -\n"
		  "198.51.100.7                  52       -      -      -     40      12      -\n"
		  "3 others                      14       2      9      -      -       -      3\n"
		  "total                        427       2      9    300    101      12      3\n");
	check_lines_fit(text);
	free(text);
	socket_tally_finish(&tally);
}

TEST(by_port)
{
	struct socket_tally tally = tally_of(TALLY_BY_PORT);
	const struct states_conntrack conntrack = {0};
	add_host(&tally);
	add(&tally, TCP_TIME_WAIT, 8080, "198.51.100.7", 50003, 4); /* nobody listens any more */
	socket_tally_top(&tally, 20);
	char *text = print(&tally, &conntrack, false, false);
	CHECK_STR(text, "PORT      SOCKETS  LISTEN  SYN-S  SYN-R  ESTAB  FIN-W2  TIME-W  CLOS-W\n"
			"443 in        414       1      -    300    101       -      12       -\n"
			"5432 out       11       -      9      -      -       -       -       2\n"
			"8080 in         4       -      -      -      -       -       4       -\n"
			"22 in           2       1      -      -      -       1       -       -\n"
			"total         431       2      9    300    101       1      16       2\n");
	free(text);
	socket_tally_finish(&tally);
}

TEST(by_user)
{
	struct socket_tally tally = tally_of(TALLY_BY_USER);
	const struct states_conntrack conntrack = {0};
	add_host(&tally);
	socket_tally_top(&tally, 20);
	char *text = print(&tally, &conntrack, false, false);
	CHECK(strstr(text, "\n(no process)       312  "));
	CHECK(strstr(text, "\nwww-data (33)      102  "));
	CHECK(strstr(text, "\n? (1000)            13  "));
	free(text);
	socket_tally_finish(&tally);
}

TEST(json)
{
	struct socket_tally tally = tally_of(TALLY_BY_USER);
	const struct states_conntrack conntrack = {0};
	tally.port = 443;
	tally.states_wanted = 1u << TCP_ESTABLISHED | 1u << TCP_TIME_WAIT;
	add_host(&tally);
	socket_tally_top(&tally, 1);
	char *text = print(&tally, &conntrack, true, false);
	CHECK_STR(text,
		  "{\n"
		  "  \"schema\": 1,\n"
		  "  \"port\": 443,\n"
		  "  \"total\": 113,\n"
		  "  \"states\": {\n"
		  "    \"established\": 101,\n"
		  "    \"time-wait\": 12\n"
		  "  },\n"
		  "  \"by\": \"user\",\n"
		  "  \"groups\": [\n"
		  "    {\"kind\": \"user\", \"uid\": 33, \"user\": \"www-data\", \"total\": 101, "
		  "\"states\": {\"established\": 101, \"time-wait\": 0}}\n"
		  "  ],\n"
		  "  \"others\": {\n"
		  "    \"groups\": 1,\n"
		  "    \"total\": 12,\n"
		  "    \"states\": {\"established\": 0, \"time-wait\": 12}\n"
		  "  }\n"
		  "}\n");
	free(text);
	socket_tally_finish(&tally);
}

/* As many sources as the sockets, against a count that cannot be wrong. */
TEST(many_sources)
{
	enum { SOURCES = 20000, ROUNDS = 3 };
	struct socket_tally tally = tally_of(TALLY_BY_SOURCE);
	struct sock_diag_socket socket = {.state = TCP_ESTABLISHED, .local_port = WEB};
	uint64_t sum = 0, left = 0;
	for (uint32_t i = 0; i < ROUNDS * SOURCES; i++) {
		const uint32_t number = htobe32(0x0a000000 + i % SOURCES);
		socket.remote = tg_addr_from_ipv4(&number);
		socket_tally_add(&tally, &socket);
	}
	CHECK(!tally.failed);
	CHECK_U64(tally.group_count, SOURCES);
	socket_tally_top(&tally, 50);
	CHECK_U64(tally.group_count, 50);
	CHECK_U64(tally.groups_in_all, SOURCES);
	for (uint32_t i = 0; i < tally.group_count; i++) {
		CHECK_U64(tally.groups[i].total, ROUNDS);
		sum += tally.groups[i].total;
	}
	for (size_t i = 0; i < SOCKET_STATE_COUNT; i++)
		left += tally.others[i];
	CHECK_U64(sum + left, ROUNDS * SOURCES);
	socket_tally_finish(&tally);
}

TEST(names_of_states)
{
	uint32_t mask = 0;
	CHECK(!socket_states_parse("time-wait", &mask));
	CHECK_U64(mask, 1u << TCP_TIME_WAIT);
	CHECK(!socket_states_parse("FIN_WAIT2,estab", &mask));
	CHECK_U64(mask, 1u << TCP_FIN_WAIT2 | 1u << TCP_ESTABLISHED);
	CHECK(!socket_states_parse("fin-wait", &mask));
	CHECK_U64(mask, 1u << TCP_FIN_WAIT2 | 1u << TCP_FIN_WAIT1);
	CHECK(!socket_states_parse("SYN-RECV", &mask));
	CHECK_U64(mask, 1u << TCP_SYN_RECV);
	CHECK_STR(socket_states_parse("listen,wait,close", &mask), "wait,close");
	CHECK_STR(socket_states_parse("listen,", &mask), "");
	CHECK(socket_states_parse("", &mask));
	CHECK(socket_states_parse("clos", &mask) && socket_states_parse("closee", &mask));
	for (size_t i = 0; i < SOCKET_STATE_COUNT - 1; i++) {
		CHECK(!socket_states_parse(socket_states[i].name, &mask));
		CHECK_U64(mask, 1u << socket_states[i].number);
	}
}

TEST(processes_have_sockets)
{
	struct processes *processes;
	struct stat stat;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && fstat(fd, &stat) == 0);
	CHECK_U64(processes_create(&processes), 0);
	const struct processes_owner *owner = processes_find(processes, (uint32_t)stat.st_ino);
	CHECK(owner && owner->pid == (uint32_t)getpid());
	CHECK_STR(owner ? owner->name : NULL, "test_states");
	CHECK(!processes_find(processes, 0));
	processes_destroy(processes);
	(void)close(fd);
	/* And no more. */
	CHECK_U64(processes_create(&processes), 0);
	CHECK(!processes_find(processes, (uint32_t)stat.st_ino));
	processes_destroy(processes);
}

int main(void)
{
	RUN(one_table);
	RUN(colours);
	RUN(who_told_of_conntrack);
	RUN(by_source);
	RUN(by_port);
	RUN(by_user);
	RUN(json);
	RUN(many_sources);
	RUN(names_of_states);
	RUN(processes_have_sockets);
	return DONE();
}
