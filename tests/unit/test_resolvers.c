/* SPDX-License-Identifier: GPL-2.0-or-later */
/* resolv.conf: what is a name server and what is not; a change is noticed. */
#include "daemon/resolvers.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

TEST(parse)
{
	static const char text[] =
		"# nameserver 9.9.9.9\n"
		"nameserver 192.0.2.1\n"
		"nameserver\t2001:db8::53\r\n"
		"  nameserver 192.0.2.2\n"
		"nameserver fe80::1%eth0 # link\n"
		"nameservers 192.0.2.3\n"
		"nameserver192.0.2.4\n"
		"nameserver 192.0.2.300\n"
		"nameserver ::ffff:192.0.2.5\n"
		"nameserver \n"
		"nameserver 000000000000000000000000000000000000000000000000000\n"
		"search nameserver 192.0.2.6\n"
		"nameserver 192.0.2.7;x";
	static const char *const want[] = {"192.0.2.1", "2001:db8::53", "fe80::1", "192.0.2.5",
					   "192.0.2.7"};
	struct tg_addr servers[8];
	char buf[TG_ADDR_STRLEN];
	size_t count = 0;
	CHECK(resolvers_parse(text, servers, &count, 8));
	CHECK_U64(count, 5);
	for (size_t i = 0; i < count && i < 5; i++)
		CHECK_STR(tg_addr_format(&servers[i], buf), want[i]);
	count = 0;
	CHECK(!resolvers_parse(text, servers, &count, 2));
	CHECK_U64(count, 2);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

TEST(changes_are_noticed)
{
	char dir[] = "/tmp/test_resolvers.XXXXXX", path[64], other[64];
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/resolv.conf", dir);
	(void)snprintf(other, sizeof(other), "%s/other", dir);
	const char *const paths[RESOLVERS_FILES] = {path, other};
	struct resolvers resolvers;
	resolvers_init(&resolvers, paths);
	CHECK(resolvers_refresh(&resolvers)); /* the first look */
	CHECK_U64(resolvers.count, 0);
	CHECK(!resolvers_refresh(&resolvers));
	write_file(path, "nameserver 192.0.2.1\n");
	CHECK(resolvers_refresh(&resolvers));
	CHECK_U64(resolvers.count, 1);
	write_file(other, "nameserver 192.0.2.2\nnameserver 192.0.2.3\n");
	CHECK(resolvers_refresh(&resolvers));
	CHECK_U64(resolvers.count, 3);
	CHECK(!resolvers_refresh(&resolvers));
	CHECK(rename(other, path) == 0);
	CHECK(resolvers_refresh(&resolvers));
	CHECK_U64(resolvers.count, 2);
	CHECK(unlink(path) == 0);
	CHECK(resolvers_refresh(&resolvers));
	CHECK_U64(resolvers.count, 0);
	CHECK(!resolvers.incomplete);
	CHECK(rmdir(dir) == 0);
}

TEST(what_cannot_be_read_takes_no_protection_away)
{
	char dir[] = "/tmp/test_resolvers.XXXXXX", path[64], other[64];
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/resolv.conf", dir);
	(void)snprintf(other, sizeof(other), "%s/other", dir);
	const char *const paths[RESOLVERS_FILES] = {path, other};
	struct resolvers resolvers;
	resolvers_init(&resolvers, paths);
	write_file(path, "nameserver 192.0.2.1\n");
	CHECK(resolvers_refresh(&resolvers));
	CHECK_U64(resolvers.count, 1);
	CHECK(!resolvers.incomplete);
	write_file(path, "nameserver 192.0.2.2\nnameserver 192.0.2.3\n");
	struct rlimit limit, none = {0};
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none.rlim_max = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK(!resolvers_refresh(&resolvers));
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(resolvers.incomplete);
	CHECK_U64(resolvers.count, 1);
	/* The file is as it was at the look that failed. */
	CHECK(resolvers_refresh(&resolvers));
	CHECK_U64(resolvers.count, 2);
	CHECK(!resolvers.incomplete);
	/* A directory opens, and cannot be read. */
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
	CHECK(!resolvers_refresh(&resolvers));
	CHECK(resolvers.incomplete);
	CHECK_U64(resolvers.count, 2);
	CHECK(rmdir(path) == 0 && rmdir(dir) == 0);
}

int main(void)
{
	RUN(parse);
	RUN(changes_are_noticed);
	RUN(what_cannot_be_read_takes_no_protection_away);
	return DONE();
}
