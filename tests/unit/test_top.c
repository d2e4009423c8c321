/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sources that top shows: counted, ranked, told new from old, and how keys choose. Its table at
 * 80 columns, byte for byte. */
#include <netinet/tcp.h>
#include <stdlib.h>

#include <tcpguard/proto.h>

#include "cli/socket_tally.h"
#include "cli/top_keys.h"
#include "cli/top_output.h"
#include "cli/top_page.h"
#include "cli/top_seen.h"
#include "test.h"

#define ALL_STATES 0xffeu

static struct tg_addr addr(const char *text)
{
	struct tg_addr parsed = {.family = TG_IPV4};
	CHECK(tg_addr_parse(text, &parsed));
	return parsed;
}

/* count connections, of which as many as fresh were not there before. */
static void add(struct socket_tally *tally, uint8_t state, const char *remote, uint16_t port,
		unsigned count, unsigned fresh)
{
	const struct sock_diag_socket socket = {.local = addr("192.0.2.80"),
						.remote = addr(remote),
						.local_port = 443,
						.remote_port = port,
						.state = state};
	for (unsigned i = 0; i < count; i++) {
		struct tally_group *group = socket_tally_add(tally, &socket);
		if (group)
			group->fresh += i < fresh;
	}
}

static struct socket_tally tally_of(uint8_t ipv4, uint8_t ipv6)
{
	return (struct socket_tally){.by = TALLY_BY_SOURCE,
				     .states_wanted = ALL_STATES,
				     .source_len = {[TG_IPV4] = ipv4, [TG_IPV6] = ipv6}};
}

static void add_host(struct socket_tally *tally)
{
	add(tally, TCP_ESTABLISHED, "198.51.100.7", 50000, 120, 3);
	add(tally, TCP_TIME_WAIT, "198.51.100.7", 50001, 4, 0);
	add(tally, TCP_SYN_RECV, "203.0.113.255", 50000, 800, 750);
	add(tally, TCP_ESTABLISHED, "2001:db8:aaaa:bbbb::7", 50000, 90, 0);
	add(tally, TCP_FIN_WAIT2, "2001:db8:aaaa:bbbb::8", 50000, 9, 0);
	add(tally, TCP_CLOSE_WAIT, "198.51.100.8", 50000, 12, 0);
	add(tally, TCP_SYN_SENT, "192.0.2.1", 443, 1, 1);
}

static struct top_page page_of(enum top_column sort, uint32_t wanted, uint64_t over_ms)
{
	struct socket_tally tally = tally_of(0, 0);
	struct top_page page = {.from = TOP_FROM_SOCKETS,
				.sort = sort,
				.wanted = wanted,
				.states_wanted = ALL_STATES};
	add_host(&tally);
	top_page_take(&page, &tally, over_ms);
	socket_tally_finish(&tally);
	return page;
}

static void add_record(struct top_page *page, const char *text,
		       void (*fn)(struct top_page *, const struct tg_record *))
{
	char line[512];
	struct tg_record record;
	(void)snprintf(line, sizeof(line), "%s", text);
	CHECK(tg_record_parse(line, &record));
	fn(page, &record);
}

static void add_near(struct top_page *page)
{
	add_record(page,
		   "near source=203.0.113.255/32 bans=1 enforced=1 banned=203.0.113.0/24 "
		   "action=rate-limit observed=false expires_in=299 policy=web limit=half-open "
		   "measured=800 threshold=64",
		   top_page_add_near);
	add_record(page,
		   "near source=198.51.100.7/32 bans=0 enforced=0 policy=web limit=open-per-ip "
		   "measured=120 threshold=150",
		   top_page_add_near);
	add_record(page,
		   "near source=2001:db8:aaaa:bbbb::/64 bans=2 enforced=1 "
		   "banned=2001:db8:aaaa:bbbb::7/128 action=drop observed=false expires_in=60",
		   top_page_add_near);
	add_record(page,
		   "near source=198.51.100.8/32 bans=1 enforced=0 banned=198.51.100.8/32 "
		   "action=drop observed=true expires_in=7300",
		   top_page_add_near);
	add_record(page, "near source=192.0.2.1/32 bans=0 enforced=0", top_page_add_near);
	page->near_known = true;
}

static char *print(const struct top_page *page, const struct top_look *look)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	top_output_table(out, look, page);
	CHECK(fclose(out) == 0);
	return text;
}

TEST(ranks)
{
	struct top_page page = page_of(TOP_TOTAL, 2, 0);
	CHECK_U64(page.count, 2);
	CHECK_U64(page.sources, 5);
	CHECK_U64(page.total, 1036);
	CHECK_U64(page.rows[0].total, 800);
	CHECK_U64(page.rows[1].total, 124);
	CHECK(!page.rates_known);
	top_page_finish(&page);
	page = page_of(TOP_ESTABLISHED, 0, 0);
	CHECK_U64(page.count, 5);
	CHECK_U64(top_row_value(&page.rows[0], TOP_ESTABLISHED), 120);
	CHECK_U64(top_row_value(&page.rows[1], TOP_ESTABLISHED), 90);
	CHECK_U64(top_row_value(&page.rows[1], TOP_CLOSING), 9);
	/* Of equal ones the fuller first. */
	CHECK_U64(page.rows[2].total, 800);
	top_page_finish(&page);
	page = page_of(TOP_NEW, 1, 2000);
	CHECK_U64(page.rows[0].fresh, 375);
	top_page_finish(&page);
}

TEST(rates_are_rounded_up)
{
	struct top_page page = page_of(TOP_NEW, 0, 2000);
	CHECK_U64(page.rows[1].fresh, 2); /* 3 in two seconds */
	CHECK_U64(page.rows[2].fresh, 1); /* 1 */
	CHECK_U64(page.rows[3].fresh, 0);
	top_page_finish(&page);
}

TEST(prefixes)
{
	struct socket_tally tally = tally_of(24, 128);
	add_host(&tally);
	CHECK_U64(tally.group_count, 5); /* 198.51.100.0/24 once, both of IPv6 */
	socket_tally_finish(&tally);
}

TEST(too_many_sources)
{
	struct socket_tally tally = tally_of(0, 0);
	tally.groups_max = 2;
	add_host(&tally);
	CHECK_U64(tally.group_count, 2);
	CHECK_U64(tally.total, 1036);
	CHECK_U64(tally.crowded, 90 + 9 + 12 + 1);
	CHECK(!tally.failed);
	socket_tally_finish(&tally);
}

TEST(seen)
{
	struct top_seen seen = {0};
	top_seen_begin(&seen);
	CHECK(!top_seen_can_tell(&seen));
	for (uint64_t i = 0; i < 10000; i++)
		CHECK(!top_seen_add(&seen, i * 0x9e3779b97f4a7c15u));
	top_seen_begin(&seen);
	CHECK(top_seen_can_tell(&seen));
	for (uint64_t i = 0; i < 10000; i++)
		CHECK(!top_seen_add(&seen, i * 0x9e3779b97f4a7c15u));
	CHECK(top_seen_add(&seen, 4711));
	CHECK_U64(seen.now.count, 10001);
	top_seen_begin(&seen);
	CHECK(!top_seen_add(&seen, 4711));
	/* Nothing at this look: at the next all is new. */
	top_seen_begin(&seen);
	top_seen_begin(&seen);
	CHECK(top_seen_add(&seen, 4711));
	top_seen_finish(&seen);
}

TEST(daemon_records)
{
	struct top_page page = {.from = TOP_FROM_DAEMON, .sort = TOP_HALF_OPEN};
	add_record(&page,
		   "source source=192.0.2.1/32 policy=web total=9 new_rate=3 syn-recv=2 "
		   "established=7 idle=1 hosts=0",
		   top_page_add);
	add_record(&page, "source source=total policy=web total=20 new_rate=0 syn-sent=11",
		   top_page_add);
	add_record(&page, "done", top_page_add);
	add_record(&page, "source source=nonsense total=1", top_page_add);
	top_page_sort(&page);
	CHECK_U64(page.count, 2);
	CHECK(tg_prefix_is_total(&page.rows[0].source));
	CHECK_U64(page.rows[1].idle, 1);
	CHECK_STR(page.rows[1].policy, "web");
	CHECK_U64(top_row_value(&page.rows[1], TOP_NEW), 3);
	top_page_finish(&page);
}

TEST(columns_have_words)
{
	enum top_column column = TOP_TOTAL;
	CHECK(top_column_parse("time-wait", &column) && column == TOP_TIME_WAIT);
	CHECK(!top_column_parse("Time-Wait", &column) && !top_column_parse("", &column));
}

TEST(table)
{
	struct top_page page = page_of(TOP_TOTAL, 4, 1000);
	const struct top_look look = {.newline = "\n"};
	char *text = print(&page, &look);
	CHECK_STR(text, "SOURCE                   TOTAL  HALF  ESTAB  CLOSING  TIME-W  NEW/S\n"
			"203.0.113.255              800   800      -        -       -    750\n"
			"198.51.100.7               124     -    120        -       4      3\n"
			"2001:db8:aaaa:bbbb::/64     99     -     90        9       -      -\n"
			"198.51.100.8                12     -      -       12       -      -\n"
			"1035 of 1036 connections, 4 of 5 sources\n");
	free(text);
	top_page_finish(&page);
}

TEST(table_at_80_columns)
{
	struct top_page page = page_of(TOP_TOTAL, 5, 1000);
	const struct top_look look = {.newline = "\n", .width = 80};
	add_near(&page);
	char *text = print(&page, &look);
	CHECK_STR(
		text,
		"SOURCE                   TOTAL  HALF  ESTAB  CLOSING  TIME-W  NEW/S  BAN, LIMIT\n"
		"203.0.113.255              800   800      -        -       -    750  rate-limit\n"
		"198.51.100.7               124     -    120        -       4      3  80% web/ope\n"
		"2001:db8:aaaa:bbbb::/64     99     -     90        9       -      -  1 banned in\n"
		"198.51.100.8                12     -      -       12       -      -  would drop\n"
		"192.0.2.1                    1     1      -        -       -      1  -\n"
		"1036 of 1036 connections, 5 of 5 sources\n");
	free(text);
	text = print(&page, &(struct top_look){.newline = "\n"});
	CHECK(strstr(text, "  rate-limit 4 min; 1250% web/half-open\n"));
	CHECK(strstr(text, "  80% web/open-per-ip\n"));
	CHECK(strstr(text, "  1 banned in it\n"));
	CHECK(strstr(text, "  would drop 2 h\n"));
	free(text);
	top_page_finish(&page);
}

/* Where the line would be cut; but never the one that sorts. */
TEST(columns_that_hold_nothing_give_way)
{
	struct top_page page = {.from = TOP_FROM_DAEMON, .sort = TOP_TIME_WAIT};
	add_record(&page, "source source=192.0.2.1/32 policy=web total=9 new_rate=0 established=9",
		   top_page_add);
	add_record(&page,
		   "near source=192.0.2.1/32 bans=0 enforced=0 policy=web limit=open-per-ip "
		   "measured=9 threshold=10",
		   top_page_add_near);
	top_page_sort(&page);
	char *text = print(&page, &(struct top_look){.newline = "\n", .width = 75});
	CHECK_STR(text,
		  "SOURCE     POLICY  TOTAL  HALF  ESTAB  CLOSING  TIME-W  BAN, LIMIT\n"
		  "192.0.2.1  web         9     -      9        -       -  90% open-per-ip\n");
	free(text);
	text = print(&page, &(struct top_look){.newline = "\n", .width = 56});
	CHECK_STR(text, "SOURCE     POLICY  TOTAL  ESTAB  TIME-W  BAN, LIMIT\n"
			"192.0.2.1  web         9      9       -  90% open-per-ip\n");
	free(text);
	text = print(&page, &(struct top_look){.newline = "\n"});
	CHECK(strstr(text, "  CLOSING  TIME-W  NEW  BAN, LIMIT\n"));
	free(text);
	top_page_finish(&page);
}

TEST(screen)
{
	struct top_page page = page_of(TOP_HALF_OPEN, 0, 0);
	const struct top_look look = {.newline = "|\n", .width = 60, .height = 6};
	(void)snprintf(page.note, sizeof(page.note), "a note\033[2J");
	char *text = print(&page, &look);
	/* Six lines: the last one is for the keys. */
	CHECK_STR(text, "tcpguard top: sockets of this host, 1036 from 5 sources|\n"
			"a note\\x1b[2J|\n"
			"SOURCE         TOTAL >HALF  ESTAB  CLOSING  TIME-W  NEW/S|\n"
			"203.0.113.255    800   800      -        -       -      -|\n"
			"192.0.2.1          1     1      -        -       -      -|\n");
	free(text);
	text = print(&page, &(struct top_look){.newline = "\n", .width = 9, .height = 1});
	CHECK(strstr(text, "tcpguard\n"));
	free(text);
	top_page_finish(&page);
}

TEST(colors)
{
	struct top_page page = page_of(TOP_TOTAL, 3, 0);
	add_near(&page);
	char *text = print(&page, &(struct top_look){.newline = "\n", .width = 80, .color = true});
	CHECK(strstr(text, "\033[1;31m203.0.113.255 "));   /* banned */
	CHECK(strstr(text, "\033[1m198.51.100.7 "));       /* close to its limit */
	CHECK(strstr(text, "\n2001:db8:aaaa:bbbb::/64 ")); /* a part of it is banned */
	free(text);
	top_page_finish(&page);
}

static struct top_keys typed(struct top_keys keys, const char *text)
{
	keys.again = false;
	top_keys_take(&keys, (const uint8_t *)text, strlen(text));
	return keys;
}

TEST(keys)
{
	struct top_keys keys = {.sort = TOP_TOTAL};
	keys = typed(keys, "x1");
	CHECK(!keys.quit && !keys.again && keys.sort == TOP_TOTAL);
	keys = typed(keys, "w");
	CHECK(keys.again && keys.sort == TOP_TIME_WAIT);
	keys = typed(keys, "\033[C");
	CHECK(keys.sort == TOP_NEW);
	keys = typed(keys, "\033OC"); /* round */
	CHECK(keys.sort == TOP_TOTAL);
	keys = typed(keys, "\033[D\033[A");
	CHECK(keys.sort == TOP_TIME_WAIT);
	keys = typed(keys, " ");
	CHECK(keys.again && !keys.quit);
	CHECK(typed(keys, "q").quit && typed(keys, "Q").quit && typed(keys, "\003").quit);
}

TEST(keys_in_pieces)
{
	struct top_keys keys = {.sort = TOP_TOTAL};
	keys = typed(keys, "\033");
	keys = typed(keys, "[");
	CHECK(keys.state == TOP_KEYS_SEQUENCE && !keys.again);
	keys = typed(keys, "C");
	CHECK(keys.sort == TOP_HALF_OPEN && keys.state == TOP_KEYS_PLAIN);
	/* A long sequence is swallowed whole: its letters are no keys. */
	keys = typed(keys, "\033[1;5q\033[5~");
	CHECK(!keys.quit && keys.sort == TOP_HALF_OPEN);
	/* Alt and a letter is not the letter; the key Escape alone is nothing. */
	keys = typed(keys, "\033q");
	CHECK(!keys.quit);
	keys = typed(keys, "\033");
	top_keys_pause(&keys);
	CHECK(typed(keys, "q").quit);
}

int main(void)
{
	RUN(ranks);
	RUN(rates_are_rounded_up);
	RUN(prefixes);
	RUN(too_many_sources);
	RUN(seen);
	RUN(daemon_records);
	RUN(columns_have_words);
	RUN(table);
	RUN(table_at_80_columns);
	RUN(columns_that_hold_nothing_give_way);
	RUN(screen);
	RUN(colors);
	RUN(keys);
	RUN(keys_in_pieces);
	return DONE();
}
