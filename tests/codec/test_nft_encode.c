/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Set elements and the frame around them as bytes, without a kernel: golden
 * messages, libnftnl as the oracle, and our own decoder as the way back.
 */
#include <stdlib.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <libnftnl/expr.h>
#include <libnftnl/set.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "layout/layout.h"
#include "test.h"

static uint64_t seed;

static uint32_t random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static struct tg_addr addr(const char *text)
{
	struct tg_addr result = {0};
	CHECK(tg_addr_parse(text, &result));
	return result;
}

static const struct nft_elem *from_array(void *data, size_t index)
{
	return (const struct nft_elem *)data + index;
}

/* One line for each message's header, then its bytes. Little-endian, as these machines are. */
static void check_golden(const struct nft_batch *batch, const char *name)
{
	struct tg_strbuf text;
	char path[512], *golden = NULL;
	size_t size = 0;
	tg_strbuf_init(&text);
	int left = (int)batch->len;
	const struct nlmsghdr *message = (const struct nlmsghdr *)(void *)batch->data;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		const uint8_t *bytes = mnl_nlmsg_get_payload(message);
		const size_t len = mnl_nlmsg_get_payload_len(message);
		tg_strbuf_printf(&text, "type %#x flags %#x seq %u len %u\n", message->nlmsg_type,
				 message->nlmsg_flags, message->nlmsg_seq, message->nlmsg_len);
		for (size_t i = 0; i < len; i++)
			tg_strbuf_printf(&text, "%02x%c", bytes[i],
					 i % 16 == 15 || i + 1 == len ? '\n' : ' ');
	}
	(void)snprintf(path, sizeof(path), TEST_DATA "/%s.hex", name);
	FILE *file = fopen(path, "r");
	if (file && getdelim(&golden, &size, '\0', file) < 0)
		CHECK_STR("nothing to read", path);
	CHECK_STR(text.text, golden);
	if (file)
		fclose(file);
	free(golden);
	tg_strbuf_finish(&text);
}

TEST(golden)
{
	struct nft_batch batch;
	struct nft_elem elems[2] = {
		{.key = addr("198.51.100.7"),
		 .action = TG_ACTION_DROP,
		 .left_ms = 600000,
		 .since_s = 1800000000,
		 .measured = 250,
		 .threshold = 200,
		 .offence = 1,
		 .policy = "web",
		 .limit = "open-per-ip"},
		{.key = addr("198.51.100.8"),
		 .action = TG_ACTION_RATE_LIMIT,
		 .to = {5, 1000},
		 .origin = TG_ORIGIN_OPERATOR,
		 .left_ms = 60000,
		 .since_s = 1800000000,
		 .reason = "loud neighbour"},
	};
	nft_batch_init(&batch);
	nft_batch_begin(&batch, 100);
	CHECK(nft_batch_is_empty(&batch));
	nft_elem_encode_remove(&batch, "t", "s", true, from_array, elems, 2);
	nft_elem_encode_add(&batch, "t", "s", from_array, elems, 2);
	nft_batch_end(&batch);
	check_golden(&batch, "replace");

	nft_batch_begin(&batch, 7);
	nft_elem_encode_remove(&batch, "t", "s", false, from_array, elems, 1);
	nft_batch_end(&batch);
	check_golden(&batch, "remove-portable");

	const struct nft_interval intervals[] = {
		{.first = {10}, .end = {11}},
		{.first = {224}, .open = true},
	};
	nft_batch_begin(&batch, 7);
	nft_elem_encode_intervals(&batch, "t", "s", 3, 4, intervals, 2);
	nft_batch_end(&batch);
	check_golden(&batch, "intervals");
	nft_batch_finish(&batch);
}

static void random_text(char *text, size_t max)
{
	size_t len = random_u32() % max;
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + random_u32() % 26);
	text[len] = '\0';
}

struct wanted {
	const struct nft_elem *elems;
	size_t count, seen;
};

static void same_elem(void *data, const struct nft_elem_found *found)
{
	struct wanted *wanted = data;
	const struct nft_elem *elem = &wanted->elems[wanted->seen++ % wanted->count];
	CHECK(tg_addr_equal(&found->key, &elem->key));
	CHECK(found->known);
	CHECK_U64(found->left_ms, MAX(elem->left_ms, NFT_ELEM_LEFT_MIN_MS));
	CHECK_U64(found->since_s, elem->since_s);
	CHECK_U64(found->measured, elem->measured);
	CHECK_U64(found->threshold, elem->threshold);
	CHECK_U64(found->offence, elem->offence);
	CHECK(found->origin == elem->origin);
	CHECK(found->limited == (elem->action == TG_ACTION_RATE_LIMIT));
	if (found->limited)
		CHECK(found->to.count == elem->to.count && found->to.per_ms == elem->to.per_ms);
	CHECK_STR(found->limit, elem->origin == TG_ORIGIN_AUTO ? elem->limit : "");
	CHECK_STR(found->reason, elem->origin == TG_ORIGIN_OPERATOR ? elem->reason : "");
}

#define MANY 5000

struct texts {
	char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1], reason[TG_REASON_MAX];
};

static void random_elem(struct nft_elem *elem, struct texts *texts, enum tg_family family)
{
	random_text(texts->policy, TG_NAME_MAX);
	random_text(texts->limit, TG_NAME_MAX);
	random_text(texts->reason, TG_REASON_MAX);
	*elem = (struct nft_elem){
		.key = {.family = (uint8_t)family},
		.action = random_u32() % 2 ? TG_ACTION_DROP : TG_ACTION_RATE_LIMIT,
		.to = {1 + random_u32() % 1000, 1 + random_u32() % 100000},
		.origin = random_u32() % TG_ORIGIN_COUNT,
		.left_ms = random_u32() % 1000 ? random_u32() : 0,
		.since_s = random_u32(),
		.measured = random_u32(),
		.threshold = random_u32(),
		.offence = random_u32(),
		.policy = texts->policy,
		.limit = texts->limit,
		.reason = texts->reason,
	};
	for (unsigned i = 0; i < tg_family_bits(family) / 8u; i++)
		elem->key.bytes[i] = (uint8_t)random_u32();
}

/* Nothing is lost where a list must be split: its length field has 16 bits. */
TEST(there_and_back)
{
	struct nft_elem *elems = calloc(MANY, sizeof(*elems));
	struct texts *texts = calloc(MANY, sizeof(*texts));
	for (enum tg_family family = 0; family < TG_FAMILY_COUNT; family++) {
		struct nft_batch batch;
		struct wanted wanted = {.elems = elems, .count = MANY};
		for (unsigned i = 0; i < MANY; i++)
			random_elem(&elems[i], &texts[i], family);
		nft_batch_init(&batch);
		nft_batch_clear(&batch, 1);
		nft_elem_encode_add(&batch, "tcpguard", "s", from_array, elems, MANY);
		CHECK(!batch.failed);
		int left = (int)batch.len;
		const struct nlmsghdr *message = (const struct nlmsghdr *)(void *)batch.data;
		for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			const size_t before = wanted.seen;
			CHECK(message->nlmsg_len < 65536);
			nft_elem_decode_message(message, family, same_elem, &wanted);
			CHECK(wanted.seen > before && wanted.seen - before <= 1000);
		}
		CHECK_U64(left, 0);
		CHECK_U64(wanted.seen, MANY);
		/* The same messages as a family they are not: no element, no harm. */
		wanted.seen = 0;
		nft_elem_decode_message((const struct nlmsghdr *)(void *)batch.data,
					family == TG_IPV4 ? TG_IPV6 : TG_IPV4, same_elem, &wanted);
		CHECK_U64(wanted.seen, 0);
		nft_batch_finish(&batch);
	}
	free(elems);
	free(texts);
}

/* What libnftnl reads out of one element. */
struct oracle {
	uint64_t rate, unit;
	uint32_t burst, flags;
	unsigned expressions;
	bool counter_last;
};

static int oracle_expr(struct nftnl_expr *expr, void *data)
{
	struct oracle *oracle = data;
	oracle->expressions++;
	oracle->counter_last = strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "counter") == 0;
	if (strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "limit") == 0) {
		oracle->rate = nftnl_expr_get_u64(expr, NFTNL_EXPR_LIMIT_RATE);
		oracle->unit = nftnl_expr_get_u64(expr, NFTNL_EXPR_LIMIT_UNIT);
		oracle->burst = nftnl_expr_get_u32(expr, NFTNL_EXPR_LIMIT_BURST);
		oracle->flags = nftnl_expr_get_u32(expr, NFTNL_EXPR_LIMIT_FLAGS);
	}
	return 0;
}

static struct oracle ask_oracle(struct nft_elem *elem)
{
	struct oracle oracle = {0};
	struct nft_batch batch;
	uint32_t len = 0;
	nft_batch_init(&batch);
	nft_batch_clear(&batch, 1);
	nft_elem_encode_add(&batch, "tcpguard", "some-set", from_array, elem, 1);
	struct nftnl_set *set = nftnl_set_alloc();
	CHECK(nftnl_set_elems_nlmsg_parse((const struct nlmsghdr *)(void *)batch.data, set) >= 0);
	CHECK_STR(nftnl_set_get_str(set, NFTNL_SET_NAME), "some-set");
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	struct nftnl_set_elem *parsed = nftnl_set_elems_iter_next(iter);
	CHECK(parsed != NULL);
	const void *key = nftnl_set_elem_get(parsed, NFTNL_SET_ELEM_KEY, &len);
	CHECK(len == tg_family_bits(elem->key.family) / 8u && !memcmp(key, elem->key.bytes, len));
	CHECK_U64(nftnl_set_elem_get_u64(parsed, NFTNL_SET_ELEM_TIMEOUT), elem->left_ms);
	CHECK_U64(nftnl_set_elem_get_u64(parsed, NFTNL_SET_ELEM_EXPIRATION), elem->left_ms);
	nftnl_set_elem_expr_foreach(parsed, oracle_expr, &oracle);
	CHECK(nftnl_set_elems_iter_next(iter) == NULL);
	nftnl_set_elems_iter_destroy(iter);
	nftnl_set_free(set);
	nft_batch_finish(&batch);
	return oracle;
}

TEST(like_libnftnl)
{
	static const struct {
		struct tg_rate rate;
		uint64_t count, unit;
	} cases[] = {
		{{5, 1000}, 5, 1},
		{{100, 10000}, 10, 1},
		{{1, 2000}, 30, 60},
		{{6, 60000}, 6, 60},
		{{1, 500}, 2, 1},
		{{1, 7000}, 86400, 604800},
		{{7, 3600000}, 7, 3600},
		{{3, 86400000}, 3, 86400},
		{{1, 604800000}, 1, 604800},
		{{1, 4000000000}, 1, 604800},
		{{4000000000, 1}, 4000000000000, 1},
	};
	struct nft_elem elem = {.key = addr("2001:db8::1"),
				.action = TG_ACTION_RATE_LIMIT,
				.left_ms = 1234,
				.policy = "p",
				.limit = "l"};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		elem.to = cases[i].rate;
		const struct oracle oracle = ask_oracle(&elem);
		CHECK_U64(oracle.rate, cases[i].count);
		CHECK_U64(oracle.unit, cases[i].unit);
		CHECK_U64(oracle.burst, cases[i].rate.count);
		CHECK_U64(oracle.flags, NFT_LIMIT_F_INV);
		/* In this order, so that only what the limit holds back is counted. */
		CHECK(oracle.expressions == 2 && oracle.counter_last);
	}
	elem.action = TG_ACTION_DROP;
	elem.key = addr("192.0.2.1");
	const struct oracle oracle = ask_oracle(&elem);
	CHECK(oracle.expressions == 1 && oracle.counter_last);
}

static void ignore_elem(void *data, const struct nft_elem_found *found)
{
	(void)data;
	CHECK(memchr(found->limit, '\0', sizeof(found->limit)) != NULL);
	CHECK(memchr(found->reason, '\0', sizeof(found->reason)) != NULL);
}

TEST(damaged_bytes)
{
	struct nft_batch batch;
	struct nft_elem elem;
	struct texts texts;
	nft_batch_init(&batch);
	for (unsigned i = 0; i < 20000; i++) {
		const enum tg_family family = random_u32() % TG_FAMILY_COUNT;
		random_elem(&elem, &texts, family);
		nft_batch_clear(&batch, 1);
		nft_elem_encode_add(&batch, "t", "s", from_array, &elem, 1);
		/* Exactly as long as it says, so that the sanitizer sees one byte too many. */
		struct nlmsghdr *message = malloc(batch.len);
		memcpy(message, batch.data, batch.len);
		for (unsigned n = random_u32() % 8; n > 0; n--)
			((uint8_t *)message)[20 + random_u32() % (batch.len - 20)] =
				(uint8_t)random_u32();
		nft_elem_decode_message(message, family, ignore_elem, NULL);
		free(message);
	}
	nft_batch_finish(&batch);
}

TEST(frame)
{
	struct nft_batch batch;
	struct nft_elem elem = {.key = {.family = TG_IPV4}};
	nft_batch_init(&batch);
	nft_batch_begin(&batch, UINT32_MAX);
	nft_elem_encode_add(&batch, "t", "s", from_array, &elem, 1);
	nft_elem_encode_add(&batch, "t", "s", from_array, &elem, 1);
	nft_batch_end(&batch);
	uint16_t types[5] = {0}, flags[5] = {0};
	uint32_t seqs[5] = {0};
	unsigned count = 0;
	int left = (int)batch.len;
	const struct nlmsghdr *message = (const struct nlmsghdr *)(void *)batch.data;
	for (; mnl_nlmsg_ok(message, left) && count < 5; count++) {
		types[count] = message->nlmsg_type;
		flags[count] = message->nlmsg_flags & NLM_F_ACK;
		seqs[count] = message->nlmsg_seq;
		message = mnl_nlmsg_next(message, &left);
	}
	CHECK_U64(count, 4);
	CHECK_U64(types[0], NFNL_MSG_BATCH_BEGIN);
	CHECK_U64(types[3], NFNL_MSG_BATCH_END);
	CHECK(!flags[0] && !flags[1] && flags[2] && !flags[3]);
	CHECK(seqs[0] == UINT32_MAX && seqs[1] == 0 && seqs[3] == 2 && batch.seq == 3);
	nft_batch_finish(&batch);
}

TEST(names_of_sets)
{
	static const char *const wrong[] = {"own4",
					    "web-ports-ip4",
					    "web-ports-ip4-33",
					    "web-ports-ip4-032",
					    "web-ports-ip5-32",
					    "web-port-ip4-32",
					    "-ports-ip4-32",
					    "web-ports-ip6-129",
					    "web-ports-ip4-",
					    "",
					    "web-ports-ip4-32x",
					    "a123456789a123456789a123456789a12-new-ip4-32",
					    "ports-ip4-32",
					    "web-ports-ip4--1",
					    "web-ports-ip4-4294967328"};
	struct layout_set set;
	char policy[TG_NAME_MAX + 1] = "";
	CHECK(layout_parse_name("a-to-new-ports-ip6-64", policy, &set));
	CHECK_STR(policy, "a-to-new");
	CHECK(set.scope == TG_SCOPE_PORTS && set.family == TG_IPV6 && set.prefix_len == 64);
	CHECK(layout_parse_name("hand-everything-ip4-0", policy, &set));
	CHECK_STR(policy, "");
	CHECK(set.scope == TG_SCOPE_EVERYTHING && set.family == TG_IPV4 && set.prefix_len == 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (layout_parse_name(wrong[i], policy, &set))
			CHECK_STR("parsed", wrong[i]);
	}
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + 1;
	printf("# seed %" PRIu64 "\n", seed);
	RUN(golden);
	RUN(frame);
	RUN(there_and_back);
	RUN(like_libnftnl);
	RUN(damaged_bytes);
	RUN(names_of_sets);
	return DONE();
}
