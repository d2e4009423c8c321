/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses and prefixes: tables of what is read and refused, then properties over random
 * ones, compared with a model that looks at one bit after the other.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include <tcpguard/addr.h>

#include "base/util.h"
#include "test.h"

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Half of them with long runs of equal bits, where masks go wrong. */
static struct tg_addr random_addr(void)
{
	uint8_t bytes[16];
	for (size_t i = 0; i < sizeof(bytes); i++) {
		static const uint8_t edges[] = {0x00, 0xff, 0x80, 0x7f, 0x01, 0xfe};
		uint64_t r = next_random() >> 16;
		bytes[i] = r & 1 ? edges[(r >> 8) % ARRAY_SIZE(edges)] : (uint8_t)(r >> 8);
	}
	return (next_random() >> 32) & 1 ? tg_addr_from_ipv4(bytes) : tg_addr_from_ipv6(bytes);
}

static bool bit(const struct tg_addr *addr, unsigned i)
{
	return addr->bytes[i / 8] >> (7 - i % 8) & 1;
}

/* The model of "the first len bits are the same". */
static bool same_bits(const struct tg_addr *a, const struct tg_addr *b, unsigned len)
{
	if (a->family != b->family)
		return false;
	for (unsigned i = 0; i < len; i++) {
		if (bit(a, i) != bit(b, i))
			return false;
	}
	return true;
}

TEST(parse_addresses)
{
	static const struct {
		const char *text, *back;
	} good[] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"192.0.2.1", "192.0.2.1"},
		{"::", "::"},
		{"::1", "::1"},
		{"2001:DB8::A", "2001:db8::a"},
		{"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
		{"2001:0db8::0001", "2001:db8::1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"::FFFF:c000:0201", "192.0.2.1"},
		{"0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"},
		{"::192.0.2.1", "::192.0.2.1"}, /* compatible is not mapped */
		{"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
		{"::fffe:192.0.2.1", "::fffe:c000:201"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct tg_addr addr;
		char text[TG_ADDR_STRLEN];
		CHECK(tg_addr_parse(good[i].text, &addr));
		CHECK_STR(tg_addr_format(&addr, text), good[i].back);
	}
}

TEST(refuse_addresses)
{
	static const char *const bad[] = {
		"",
		" ",
		"1",
		"192.0.2",
		"192.0.2.",
		"192.0.2.256",
		"192.0.2.1 ",
		" 192.0.2.1",
		"192.0.2.01",
		"192.0.2.010",
		"192.0.2.0x1",
		"192.0.2.-1",
		"192.0.2.+1",
		"192..2.1",
		"192.0.2.1.1",
		"3221225985",
		"0xc0000201",
		"192.0.2.1:80",
		"[::1]",
		":",
		":::",
		"1::2::3",
		"2001:db8:::1",
		"fe80::1%lo",
		"fe80::1%1",
		"12345::",
		"g::",
		"1:2:3:4:5:6:7",
		"::1\n",
		"1:2:3:4:5:6:7:8:9",
		"localhost",
		"::ffff:1.2.3",
		"::1.2.3.256",
		"1.2.3.4::",
		"192.0.2.1\t",
		"::ffff:192.0.2.01",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tg_addr addr = {.family = 77};
		if (tg_addr_parse(bad[i], &addr))
			CHECK_STR(bad[i], "refused");
		CHECK_U64(addr.family, 77);
	}
}

TEST(parse_prefixes)
{
	static const struct {
		const char *text, *back;
	} good[] = {
		{"192.0.2.1", "192.0.2.1/32"},
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"128.0.0.0/1", "128.0.0.0/1"},
		{"192.0.2.254/31", "192.0.2.254/31"},
		{"::/0", "::/0"},
		{"8000::/1", "8000::/1"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"::ffff:192.0.2.0/120", "192.0.2.0/24"},
		{"::ffff:0.0.0.0/96", "0.0.0.0/0"},
		{"::ffff:192.0.2.1/128", "192.0.2.1/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"::/95", "::/95"}, /* ends before the mapped addresses begin */
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct tg_prefix prefix;
		char text[TG_PREFIX_STRLEN];
		const char *fault = tg_prefix_parse(good[i].text, &prefix);
		CHECK(fault == NULL);
		if (!fault)
			CHECK_STR(tg_prefix_format(&prefix, text), good[i].back);
	}
}

TEST(refuse_prefixes)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{"", "not an IPv4"},
		{"/", "not an IPv4"},
		{"/24", "not an IPv4"},
		{"192.0.2.0/", "not a number"},
		{"192.0.2.0/ 24", "not a number"},
		{"192.0.2.0/24 ", "not a number"},
		{"192.0.2.0/+24", "not a number"},
		{"192.0.2.0/-1", "not a number"},
		{"192.0.2.0/024", "not a number"},
		{"192.0.2.0/00", "not a number"},
		{"192.0.2.0/2x", "not a number"},
		{"192.0.2.0/24/24", "not a number"},
		{"192.0.2.0/255.255.255.0", "not a number"},
		{"192.0.2.0/4294967320", "not a number"},
		{"192.0.2.0/33", "over 32"},
		{"192.0.2.0/256", "over 32"},
		{"192.0.2.0/280", "over 32"}, /* 24, if it were kept in 8 bits */
		{"192.0.2.0/999", "over 32"},
		{"2001:db8::/129", "over 128"},
		{"2001:db8::/256", "over 128"},
		{"::ffff:192.0.2.0/129", "over 128"},
		{"::ffff:192.0.2.0/95", "wider than the IPv4-mapped"},
		{"::ffff:192.0.2.0/24", "wider than the IPv4-mapped"},
		{"::ffff:0.0.0.0/0", "wider than the IPv4-mapped"},
		{"192.0.2.1/24", "beyond the prefix length"},
		{"192.0.2.1/0", "beyond the prefix length"},
		{"0.0.0.1/31", "beyond the prefix length"},
		{"2001:db8::1/127", "beyond the prefix length"},
		{"::ffff:192.0.2.1/120", "beyond the prefix length"},
		{"1111111111111111111111111111111111111111111111111111/8", "not an IPv4"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tg_prefix prefix = {.len = 77};
		const char *fault = tg_prefix_parse(bad[i].text, &prefix);
		if (!fault || !strstr(fault, bad[i].words)) {
			printf("# %s\n", bad[i].text);
			CHECK_STR(fault, bad[i].words);
		}
		CHECK_U64(prefix.len, 77);
	}
}

TEST(mapped_is_folded_from_bytes)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
	static const uint8_t four[4] = {192, 0, 2, 1};
	const struct tg_addr a = tg_addr_from_ipv6(mapped), b = tg_addr_from_ipv4(four);
	CHECK_U64(a.family, TG_IPV4);
	CHECK(tg_addr_equal(&a, &b));
	/* as bytes, too: they are compared and hashed so */
	CHECK(memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0);
}

TEST(families_are_apart)
{
	static const uint8_t zero[16];
	const struct tg_addr four = tg_addr_from_ipv4(zero), six = tg_addr_from_ipv6(zero);
	const struct tg_prefix all4 = tg_addr_mask(&four, 0), all6 = tg_addr_mask(&six, 0);
	CHECK(!tg_addr_equal(&four, &six));
	CHECK(!tg_prefix_equal(&all4, &all6));
	CHECK(!tg_prefix_contains(&all4, &six) && !tg_prefix_contains(&all6, &four));
	CHECK(!tg_prefix_overlaps(&all4, &all6) && !tg_prefix_overlaps(&all6, &all4));
	CHECK_U64(tg_family_bits(TG_IPV4), 32);
	CHECK_U64(tg_family_bits(TG_IPV6), 128);
}

TEST(random_masks)
{
	for (int round = 0; round < 20000; round++) {
		const struct tg_addr addr = random_addr();
		const unsigned bits = tg_family_bits(addr.family);
		const uint8_t len = (uint8_t)(next_random() >> 32);
		const struct tg_prefix prefix = tg_addr_mask(&addr, len);
		const struct tg_addr last = tg_prefix_last(&prefix);
		CHECK_U64(prefix.len, MIN((unsigned)len, bits));
		CHECK(same_bits(&prefix.addr, &addr, prefix.len));
		for (unsigned i = prefix.len; i < bits; i++)
			CHECK(!bit(&prefix.addr, i) && bit(&last, i));
		CHECK(same_bits(&last, &addr, prefix.len));
		for (unsigned i = bits / 8; i < 16; i++)
			CHECK(prefix.addr.bytes[i] == 0 && last.bytes[i] == 0);
		CHECK(tg_prefix_contains(&prefix, &addr));
		CHECK(tg_prefix_contains(&prefix, &last));
		const struct tg_prefix again = tg_addr_mask(&prefix.addr, prefix.len);
		CHECK(tg_prefix_equal(&again, &prefix));
	}
}

TEST(random_pairs)
{
	for (int round = 0; round < 50000; round++) {
		const struct tg_addr a = random_addr();
		struct tg_addr b = random_addr();
		if (round % 2 == 0) {
			/* One bit apart, or none. */
			const unsigned i =
				(unsigned)(next_random() >> 40) % tg_family_bits(a.family);
			b = a;
			b.bytes[i / 8] ^= (uint8_t)((next_random() >> 40 & 1) << (7 - i % 8));
		}
		const struct tg_prefix p = tg_addr_mask(&a, (uint8_t)((next_random() >> 40) % 130));
		const struct tg_prefix q = tg_addr_mask(&b, (uint8_t)((next_random() >> 40) % 130));
		const bool overlap = same_bits(&a, &b, MIN(p.len, q.len));
		CHECK(tg_prefix_contains(&p, &b) == same_bits(&a, &b, p.len));
		CHECK(tg_prefix_overlaps(&p, &q) == overlap);
		CHECK(tg_prefix_overlaps(&q, &p) == overlap);
		CHECK(tg_addr_equal(&a, &b) ==
		      same_bits(&a, &b, tg_family_bits((enum tg_family)a.family)));
		CHECK(tg_prefix_equal(&p, &q) == (overlap && p.len == q.len));
	}
}

TEST(random_text)
{
	for (int round = 0; round < 50000; round++) {
		const struct tg_addr addr = random_addr();
		const struct tg_prefix prefix =
			tg_addr_mask(&addr, (uint8_t)((next_random() >> 40) % 129));
		char text[TG_ADDR_STRLEN], prefix_text[TG_PREFIX_STRLEN];
		struct tg_addr back;
		struct tg_prefix prefix_back;
		CHECK(tg_addr_parse(tg_addr_format(&addr, text), &back));
		CHECK(tg_addr_equal(&back, &addr));
		CHECK(tg_prefix_parse(tg_prefix_format(&prefix, prefix_text), &prefix_back) ==
		      NULL);
		CHECK(tg_prefix_equal(&prefix_back, &prefix));
	}
}

/* Letters that addresses are made of, thrown together: read by us if and only if by the libc. */
TEST(random_garbage)
{
	static const char letters[] = "0123456789abf:::...//% ";
	for (int round = 0; round < 200000; round++) {
		char text[24];
		size_t len = (size_t)(next_random() >> 40) % (sizeof(text) - 1);
		for (size_t i = 0; i < len; i++)
			text[i] = letters[(next_random() >> 40) % (sizeof(letters) - 1)];
		text[len] = '\0';
		uint8_t bytes[16];
		struct tg_addr addr;
		struct tg_prefix prefix;
		const bool want = inet_pton(AF_INET, text, bytes) == 1 ||
				  inet_pton(AF_INET6, text, bytes) == 1;
		CHECK(tg_addr_parse(text, &addr) == want);
		if (tg_prefix_parse(text, &prefix) == NULL) {
			CHECK(prefix.len <= tg_family_bits(prefix.addr.family));
			CHECK(tg_prefix_contains(&prefix, &prefix.addr));
		}
	}
}

int main(int argc, char **argv)
{
	state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", state);
	state = state * 2654435761U + 1;
	RUN(parse_addresses);
	RUN(refuse_addresses);
	RUN(parse_prefixes);
	RUN(refuse_prefixes);
	RUN(mapped_is_folded_from_bytes);
	RUN(families_are_apart);
	RUN(random_masks);
	RUN(random_pairs);
	RUN(random_text);
	RUN(random_garbage);
	return DONE();
}
