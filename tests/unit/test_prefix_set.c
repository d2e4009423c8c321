/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The prefix set against a model that looks at every prefix it was given. */
#include <stdlib.h>
#include <time.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "test.h"

static uint64_t seed;

static uint32_t random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static struct tg_protected_prefix member(const char *text, enum tg_protect_kind kind)
{
	struct tg_protected_prefix result = {.kind = kind};
	CHECK(tg_prefix_parse(text, &result.prefix) == NULL);
	return result;
}

static bool covered(const struct tg_prefix_set *set, const char *text)
{
	struct tg_protected_prefix asked = member(text, TG_PROTECT_OWN);
	return tg_prefix_set_overlap(set, &asked.prefix) != NULL;
}

TEST(empty)
{
	struct tg_prefix_set *set = tg_prefix_set_create(NULL, 0);
	size_t count = 1;
	CHECK(set != NULL);
	CHECK(!covered(set, "0.0.0.0/0"));
	CHECK(!covered(NULL, "::/0"));
	(void)tg_prefix_set_members(NULL, TG_IPV6, &count);
	CHECK_U64(count, 0);
	CHECK(tg_prefix_set_equal(set, NULL));
	tg_prefix_set_destroy(set);
	tg_prefix_set_destroy(NULL);
}

TEST(wider_swallows_narrower)
{
	const struct tg_protected_prefix given[] = {
		member("192.0.2.7/32", TG_PROTECT_OWN),
		member("192.0.2.0/24", TG_PROTECT_ALLOWED),
		member("2001:db8::/32", TG_PROTECT_GATEWAY),
		member("192.0.3.0/24", TG_PROTECT_OWN),
		member("2001:db8::1/128", TG_PROTECT_OWN),
	};
	struct tg_prefix_set *set = tg_prefix_set_create(given, ARRAY_SIZE(given));
	size_t count;
	const struct tg_protected_prefix *members = tg_prefix_set_members(set, TG_IPV4, &count);
	char text[TG_PREFIX_STRLEN];
	CHECK_U64(count, 2);
	CHECK_STR(tg_prefix_format(&members[0].prefix, text), "192.0.2.0/24");
	CHECK(members[0].kind == TG_PROTECT_ALLOWED);
	CHECK_STR(tg_prefix_format(&members[1].prefix, text), "192.0.3.0/24");
	members = tg_prefix_set_members(set, TG_IPV6, &count);
	CHECK_U64(count, 1);
	CHECK(members[0].kind == TG_PROTECT_GATEWAY);
	CHECK(covered(set, "192.0.2.200/32"));
	CHECK(covered(set, "192.0.0.0/16"));
	CHECK(covered(set, "0.0.0.0/0"));
	CHECK(!covered(set, "192.0.4.0/24"));
	CHECK(covered(set, "::/0"));
	tg_prefix_set_destroy(set);
}

TEST(always)
{
	static const char *const yes[] = {
		"127.0.0.1/32", "127.255.255.255/32", "0.0.0.0/32",  "169.254.1.1/32",
		"224.0.0.1/32", "255.255.255.255/32", "::/128",      "::1/128",
		"fe80::1/128",  "febf::/16",          "ff02::1/128", "240.0.0.0/4"};
	static const char *const no[] = {"1.0.0.0/8",    "126.255.255.255/32", "128.0.0.0/32",
					 "240.0.0.1/32", "255.255.255.254/32", "::2/128",
					 "fec0::/16",    "2001:db8::1/128"};
	size_t count;
	const struct tg_protected_prefix *list = tg_protect_always(&count);
	struct tg_prefix_set *set = tg_prefix_set_create(list, count);
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		CHECK(covered(set, yes[i]));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		CHECK(!covered(set, no[i]));
	tg_prefix_set_destroy(set);
}

/* Few distinct bits, so that prefixes meet often. */
static struct tg_prefix random_prefix(void)
{
	struct tg_addr addr = {.family = random_u32() % 2 ? TG_IPV4 : TG_IPV6};
	const uint8_t bits = tg_family_bits(addr.family);
	for (unsigned i = 0; i < bits / 8u; i++)
		addr.bytes[i] = (uint8_t)(random_u32() & (i == bits / 8u - 1 ? 0xff : 0xc0) &
					  (random_u32() % 2 ? 0xff : 0));
	return tg_addr_mask(&addr, (uint8_t)(random_u32() % (bits + 1u)));
}

static void one_round(void)
{
	struct tg_protected_prefix given[40];
	const size_t count = random_u32() % ARRAY_SIZE(given);
	for (size_t i = 0; i < count; i++) {
		given[i].prefix = random_prefix();
		/* A prefix of length zero or so would hide everything else. */
		if (given[i].prefix.len < 4)
			given[i].prefix = tg_addr_mask(&given[i].prefix.addr, 32);
		given[i].kind = random_u32() % TG_PROTECT_KIND_COUNT;
	}
	struct tg_prefix_set *set = tg_prefix_set_create(given, count);
	for (unsigned n = 0; n < 50; n++) {
		struct tg_prefix asked = random_prefix();
		bool model = false;
		for (size_t i = 0; i < count; i++)
			model = model || tg_prefix_overlaps(&given[i].prefix, &asked);
		const struct tg_protected_prefix *hit = tg_prefix_set_overlap(set, &asked);
		CHECK(model == (hit != NULL));
		CHECK(!hit || tg_prefix_overlaps(&hit->prefix, &asked));
		struct tg_addr first = asked.addr;
		bool in = false;
		for (size_t i = 0; i < count; i++)
			in = in || tg_prefix_contains(&given[i].prefix, &first);
		CHECK(in == (tg_prefix_set_lookup(set, &first) != NULL));
	}
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		size_t members;
		const struct tg_protected_prefix *list =
			tg_prefix_set_members(set, family, &members);
		for (size_t i = 1; i < members; i++) {
			CHECK(memcmp(list[i - 1].prefix.addr.bytes, list[i].prefix.addr.bytes, 16) <
			      0);
			CHECK(!tg_prefix_overlaps(&list[i - 1].prefix, &list[i].prefix));
		}
	}
	/* The order they were given in does not matter. */
	for (size_t i = count; i > 1; i--) {
		size_t j = random_u32() % i;
		struct tg_protected_prefix swap = given[i - 1];
		given[i - 1] = given[j];
		given[j] = swap;
	}
	struct tg_prefix_set *other = tg_prefix_set_create(given, count);
	CHECK(tg_prefix_set_equal(set, other));
	tg_prefix_set_destroy(other);
	tg_prefix_set_destroy(set);
}

TEST(like_the_model)
{
	for (unsigned i = 0; i < 3000 && test_failures == 0; i++)
		one_round();
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
	printf("# seed %" PRIu64 "\n", seed);
	RUN(empty);
	RUN(wider_swallows_narrower);
	RUN(always);
	RUN(like_the_model);
	return DONE();
}
