/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the readers of this host make of the kernel's texts and bytes, and of files of sysctl.d. */
#include "host/snapshot.h"
#include "host/syn_options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

TEST(numbers)
{
	struct sysctl_value value = {.count = 9};
	CHECK(sysctl_parse("1\n", &value));
	CHECK(value.status == SYSCTL_KNOWN);
	CHECK_U64(value.count, 1);
	CHECK(sysctl_parse("32768\t60999\n", &value));
	CHECK_U64(value.count, 2);
	CHECK_U64(value.numbers[1], 60999);
	CHECK(sysctl_parse(" -262144 ", &value));
	CHECK(value.numbers[0] == -262144);
	value.count = 9;
	CHECK(!sysctl_parse("", &value));
	CHECK(!sysctl_parse("\n", &value));
	CHECK(!sysctl_parse("cubic", &value));
	CHECK(!sysctl_parse("5x", &value));
	CHECK(!sysctl_parse("1 2 3 4", &value));
	CHECK(!sysctl_parse("99999999999999999999", &value));
	CHECK_U64(value.count, 9);
}

TEST(keys)
{
	enum sysctl_key key = SYSCTL_COUNT;
	for (int i = 0; i < SYSCTL_COUNT; i++)
		CHECK(sysctl_name((enum sysctl_key)i));
	CHECK(sysctl_find("net/core/somaxconn", &key));
	CHECK(key == SYSCTL_SOMAXCONN);
	CHECK(!sysctl_find("net/core/other", &key));
}

TEST(reserved_ports)
{
	CHECK_U64(sysctl_reserved_in("", 1, 65535), 0);
	CHECK_U64(sysctl_reserved_in("\n", 1, 65535), 0);
	CHECK_U64(sysctl_reserved_in("80,8080-8089\n", 1, 65535), 11);
	CHECK_U64(sysctl_reserved_in("80,8080-8089\n", 8085, 65535), 5);
	CHECK_U64(sysctl_reserved_in("1-65535", 100, 199), 100);
	CHECK_U64(sysctl_reserved_in("9-8,x", 1, 65535), 0);
}

TEST(netstat)
{
	struct counter_value values[COUNTER_COUNT] = {0};
	counters_parse_netstat("TcpExt: SyncookiesSent Other ListenOverflows\n"
			       "TcpExt: 7 8 18446744073709551615\nIpExt: ListenDrops\nIpExt: 5\n",
			       values);
	CHECK(values[COUNTER_SYNCOOKIES_SENT].known);
	CHECK_U64(values[COUNTER_SYNCOOKIES_SENT].value, 7);
	CHECK_U64(values[COUNTER_LISTEN_OVERFLOWS].value, UINT64_MAX);
	CHECK(!values[COUNTER_LISTEN_DROPS].known);
	memset(values, 0, sizeof(values));
	counters_parse_netstat("", values);
	counters_parse_netstat("TcpExt: ListenDrops", values);
	counters_parse_netstat("TcpExt: ListenDrops\nTcpExt:", values);
	CHECK(!values[COUNTER_LISTEN_DROPS].known);
}

TEST(per_cpu)
{
	struct counter_value values[COUNTER_COUNT] = {0};
	counters_parse_softnet("000000ff 0000000a 00000003 0\n00000001 00000001 00000000 0\n",
			       values);
	CHECK_U64(values[COUNTER_SOFTNET_DROPPED].value, 11);
	CHECK_U64(values[COUNTER_SOFTNET_SQUEEZED].value, 3);
	counters_parse_conntrack("entries  found drop early_drop\n00000001  0 0000001f 00000002\n"
				 "00000001  0 00000001 00000000\n",
				 values);
	CHECK_U64(values[COUNTER_CT_DROP].value, 32);
	CHECK_U64(values[COUNTER_CT_EARLY_DROP].value, 2);
	counters_parse_synproxy("entries\t\tsyn_received\tcookie_invalid\tcookie_valid\n"
				"00000000\t00000007\t00000000\t00000003\n"
				"00000000\t00000001\t00000000\tffffffff\n",
				values);
	CHECK_U64(values[COUNTER_SYNPROXY_FINISHED].value, 3 + UINT64_C(0xffffffff));
	struct counter_value before[COUNTER_COUNT] = {0};
	before[COUNTER_CT_DROP] = (struct counter_value){.known = true, .value = 30};
	counters_subtract(values, before);
	CHECK(values[COUNTER_CT_DROP].known);
	CHECK_U64(values[COUNTER_CT_DROP].value, 2);
	CHECK(!values[COUNTER_SOFTNET_DROPPED].known);
}

/* Checked against what a kernel answers in tests/netns/accept_synproxy.sh. */
TEST(window_scale)
{
	CHECK_U64(syn_options_window_scale(0, 6 << 20), 7);
	CHECK_U64(syn_options_window_scale(0, 32 << 20), 10);
	CHECK_U64(syn_options_window_scale(0, 65535), 0);
	CHECK_U64(syn_options_window_scale(0, 65536), 1);
	CHECK_U64(syn_options_window_scale(0, UINT64_MAX), TG_WINDOW_SCALE_MAX);
	/* What a socket was given bounds it. */
	CHECK_U64(syn_options_window_scale(2 << 20, 6 << 20), 4);
	CHECK_U64(syn_options_window_scale(8192, 6 << 20), 0);
	CHECK_U64(syn_options_window_scale(1u << 31, 6 << 20), 7);
}

TEST(memory)
{
	struct sockstat stat = {.tcp_pages = 1};
	CHECK(sockstat_parse("sockets: used 1\nTCP: inuse 0 orphan 0 tw 0 alloc 1 mem 53\n"
			     "UDP: inuse 0 mem 9\n",
			     &stat));
	CHECK(stat.known);
	CHECK_U64(stat.tcp_pages, 53);
	CHECK(!sockstat_parse("UDP: inuse 0 mem 9\n", &stat));
	CHECK(!sockstat_parse("TCP: inuse 0 mem\n", &stat));
}

static const char *normalised(const char *key)
{
	static char buf[80];
	(void)snprintf(buf, sizeof(buf), "%s", key);
	sysctl_files_normalise(buf);
	return buf;
}

TEST(key_separators)
{
	CHECK_STR(normalised("net.ipv4.tcp_mem"), "net/ipv4/tcp_mem");
	CHECK_STR(normalised("net/ipv4/tcp_mem"), "net/ipv4/tcp_mem");
	CHECK_STR(normalised("net.ipv4.conf.eth0/1.rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
	CHECK_STR(normalised("net/ipv4/conf/eth0.1/rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
	CHECK_STR(normalised("plain"), "plain");
}

static char root[] = "/tmp/tcpguard-host.XXXXXX";

static void put_file(const char *path, const char *text)
{
	char full[256];
	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + sizeof(root), '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(full, 0755); /* it may be there */
		*slash = '/';
	}
	FILE *file = fopen(full, "we");
	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static const struct sysctl_line *line_of(const struct sysctl_files *files, const char *path,
					 const char *value)
{
	for (size_t i = 0; i < files->line_count; i++)
		if (strcmp(files->lines[i].path, path) == 0 &&
		    strcmp(files->lines[i].value, value) == 0)
			return &files->lines[i];
	return NULL;
}

TEST(sysctl_files)
{
	struct sysctl_files files;
	put_file("/usr/lib/sysctl.d/10-a.conf", "a.b = hidden\n");
	put_file("/run/sysctl.d/10-a.conf", "; comment\n\n  a.b = early \n-a.c=1\nno assignment\n"
					    "-net.*.excluded\n");
	put_file("/etc/sysctl.d/20-b.conf",
		 "a/b = late\nn.*.x = all\nn.one.x = 1\n# a.b = none\nn.e =");
	put_file("/etc/sysctl.d/readme", "a.b = readme\n");
	put_file("/etc/sysctl.conf", "a.d = last");
	CHECK_U64(sysctl_files_read(root, &files), 0);
	CHECK_U64(files.name_count, 3);
	CHECK_U64(files.line_count, 7);
	CHECK(!line_of(&files, "a/b", "hidden"));
	const struct sysctl_line *early = line_of(&files, "a/b", "early");
	const struct sysctl_line *late = line_of(&files, "a/b", "late");
	CHECK(early && !early->wins && early->line == 3);
	CHECK(early && strcmp(early->file, "/run/sysctl.d/10-a.conf") == 0);
	CHECK(late && late->wins && late->absent);
	CHECK(line_of(&files, "a/c", "1"));
	const struct sysctl_line *all = line_of(&files, "n/*/x", "all");
	CHECK(all && all->pattern && !all->wins && !all->absent);
	CHECK(line_of(&files, "n/one/x", "1") && line_of(&files, "n/one/x", "1")->wins);
	CHECK(line_of(&files, "n/e", ""));
	const struct sysctl_line *last = line_of(&files, "a/d", "last");
	CHECK(last && last == &files.lines[6]);
	sysctl_files_finish(&files);
	CHECK(sysctl_files_read("/nonexistent-root", &files) == -ENOENT);
	if (fork() == 0)
		execlp("rm", "rm", "-rf", root, (char *)NULL);
}

/* The host that runs this has sockets and processes; which, is its own affair. */
TEST(this_host)
{
	const struct tally_params params = {.first_port = 1, .last_port = 65535};
	struct tally tally;
	CHECK_U64(tally_read(&params, &tally), 0);
	CHECK(tally.known || tally.error < 0);
	CHECK(tally.ports);
	tally_finish(&tally);
}

int main(void)
{
	if (!mkdtemp(root))
		return 2;
	RUN(numbers);
	RUN(keys);
	RUN(reserved_ports);
	RUN(netstat);
	RUN(per_cpu);
	RUN(window_scale);
	RUN(memory);
	RUN(key_separators);
	RUN(sysctl_files);
	RUN(this_host);
	return DONE();
}
