/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder against libnetfilter_conntrack, field for field, over messages that this
 * library builds and over what a kernel really sent; and against damage of every kind.
 * Arguments: a capture (see ct_capture.c), and a seed.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "host/ct_decode.h"
#include "test.h"

#define CAPTURE_MAX (1 << 20)
#define ROUNDS 20000

static const char *capture_path;
static uint64_t random_state;

static uint32_t draw(void)
{
	random_state += 0x9e3779b97f4a7c15u;
	uint64_t z = random_state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) >> 16);
}

static uint8_t state_of_oracle(const struct nf_conntrack *ct)
{
	static const uint8_t states[] = {
		[TCP_CONNTRACK_NONE] = TG_TCP_UNKNOWN,
		[TCP_CONNTRACK_SYN_SENT] = TG_TCP_SYN_SENT,
		[TCP_CONNTRACK_SYN_RECV] = TG_TCP_SYN_RECV,
		[TCP_CONNTRACK_ESTABLISHED] = TG_TCP_ESTABLISHED,
		[TCP_CONNTRACK_FIN_WAIT] = TG_TCP_FIN_WAIT,
		[TCP_CONNTRACK_CLOSE_WAIT] = TG_TCP_CLOSE_WAIT,
		[TCP_CONNTRACK_LAST_ACK] = TG_TCP_LAST_ACK,
		[TCP_CONNTRACK_TIME_WAIT] = TG_TCP_TIME_WAIT,
		[TCP_CONNTRACK_CLOSE] = TG_TCP_CLOSE,
		[TCP_CONNTRACK_SYN_SENT2] = TG_TCP_SYN_SENT,
	};
	if (!nfct_attr_is_set(ct, ATTR_TCP_STATE))
		return TG_TCP_UNKNOWN;
	uint8_t number = nfct_get_attr_u8(ct, ATTR_TCP_STATE);
	return number < ARRAY_SIZE(states) ? states[number] : TG_TCP_UNKNOWN;
}

/* What the oracle says of a message, in our words. */
static void oracle_message(const struct nf_conntrack *ct, uint16_t type, uint16_t flags,
			   struct ct_message *ret)
{
	const bool ipv4 = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO) == AF_INET;
	struct tg_flow_key key = {
		.family = ipv4 ? TG_IPV4 : TG_IPV6,
		.sport = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_SRC)),
		.dport = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST)),
	};
	memcpy(key.src, nfct_get_attr(ct, ipv4 ? ATTR_ORIG_IPV4_SRC : ATTR_ORIG_IPV6_SRC),
	       ipv4 ? 4 : 16);
	memcpy(key.dst, nfct_get_attr(ct, ipv4 ? ATTR_ORIG_IPV4_DST : ATTR_ORIG_IPV6_DST),
	       ipv4 ? 4 : 16);
	if (nfct_attr_is_set(ct, ATTR_ZONE))
		key.zone = nfct_get_attr_u16(ct, ATTR_ZONE);
	if (nfct_attr_is_set(ct, ATTR_ORIG_ZONE))
		key.zone = nfct_get_attr_u16(ct, ATTR_ORIG_ZONE);
	*ret = (struct ct_message){
		.kind = (type & 0xff) == IPCTNL_MSG_CT_DELETE ? CT_DESTROY
			: flags & (NLM_F_CREATE | NLM_F_EXCL) ? CT_NEW
							      : CT_UPDATE,
		.dying = nfct_attr_is_set(ct, ATTR_STATUS) &&
			 (nfct_get_attr_u32(ct, ATTR_STATUS) & IPS_DYING),
		.flow = {.key = key, .state = state_of_oracle(ct)},
	};
	if (nfct_attr_is_set(ct, ATTR_TIMEOUT))
		ret->flow.timeout_s = MAX(nfct_get_attr_u32(ct, ATTR_TIMEOUT), 1u);
	ret->flow.counted = nfct_attr_is_set(ct, ATTR_ORIG_COUNTER_PACKETS) &&
			    nfct_attr_is_set(ct, ATTR_ORIG_COUNTER_BYTES) &&
			    nfct_attr_is_set(ct, ATTR_REPL_COUNTER_PACKETS) &&
			    nfct_attr_is_set(ct, ATTR_REPL_COUNTER_BYTES);
	if (!ret->flow.counted)
		return;
	ret->flow.packets = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_PACKETS) +
			    nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_PACKETS);
	ret->flow.bytes = nfct_get_attr_u64(ct, ATTR_ORIG_COUNTER_BYTES) +
			  nfct_get_attr_u64(ct, ATTR_REPL_COUNTER_BYTES);
}

static bool messages_equal(const struct ct_message *a, const struct ct_message *b)
{
	return a->kind == b->kind && a->dying == b->dying && a->flow.state == b->flow.state &&
	       a->flow.timeout_s == b->flow.timeout_s && a->flow.counted == b->flow.counted &&
	       a->flow.packets == b->flow.packets && a->flow.bytes == b->flow.bytes &&
	       a->flow.dumped == b->flow.dumped &&
	       memcmp(&a->flow.key, &b->flow.key, sizeof(a->flow.key)) == 0;
}

/* True when both say the same; *ret_flow whether it is about a TCP flow. */
static bool agrees_with_oracle(const struct nlmsghdr *message, bool *ret_flow)
{
	struct ct_message got, want;
	bool same = false;
	struct nf_conntrack *ct = nfct_new();
	if (!ct)
		return false;
	if (nfct_nlmsg_parse(message, ct) == 0) {
		*ret_flow = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO) == IPPROTO_TCP;
		const enum ct_verdict verdict = ct_decode(message, message->nlmsg_len, &got);
		if (*ret_flow) {
			oracle_message(ct, message->nlmsg_type, message->nlmsg_flags, &want);
			same = verdict == CT_FLOW && messages_equal(&got, &want);
		} else {
			same = verdict == CT_IGNORED;
		}
	}
	nfct_destroy(ct);
	return same;
}

static void draw_addresses(struct nf_conntrack *ct, bool ipv4)
{
	static const enum nf_conntrack_attr attrs[2][4] = {
		{ATTR_ORIG_IPV6_SRC, ATTR_ORIG_IPV6_DST, ATTR_REPL_IPV6_SRC, ATTR_REPL_IPV6_DST},
		{ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV4_DST, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV4_DST},
	};
	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, ipv4 ? AF_INET : AF_INET6);
	nfct_set_attr_u8(ct, ATTR_REPL_L3PROTO, ipv4 ? AF_INET : AF_INET6);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t bytes[4] = {draw(), draw(), draw(), draw()};
		nfct_set_attr(ct, attrs[ipv4][i], bytes);
	}
}

/* The whole range of what a message may say, optional parts there or not. */
static struct nf_conntrack *draw_conntrack(void)
{
	static const uint8_t others[] = {IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP, IPPROTO_GRE};
	struct nf_conntrack *ct = nfct_new();
	if (!ct)
		return NULL;
	const uint8_t proto = draw() % 8 ? IPPROTO_TCP : others[draw() % ARRAY_SIZE(others)];
	draw_addresses(ct, draw() % 2);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, proto);
	nfct_set_attr_u8(ct, ATTR_REPL_L4PROTO, proto);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, (uint16_t)draw());
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, (uint16_t)draw());
	nfct_set_attr_u16(ct, ATTR_REPL_PORT_SRC, (uint16_t)draw());
	nfct_set_attr_u16(ct, ATTR_REPL_PORT_DST, (uint16_t)draw());
	if (draw() % 2)
		nfct_set_attr_u16(ct, ATTR_ZONE, (uint16_t)draw());
	else if (draw() % 2)
		nfct_set_attr_u16(ct, draw() % 2 ? ATTR_ORIG_ZONE : ATTR_REPL_ZONE,
				  (uint16_t)draw());
	if (draw() % 4)
		nfct_set_attr_u32(ct, ATTR_STATUS, draw() & 0x7fff);
	if (draw() % 4)
		nfct_set_attr_u32(ct, ATTR_TIMEOUT, draw() % 4 ? draw() : 0);
	if (proto == IPPROTO_TCP && draw() % 4)
		nfct_set_attr_u8(ct, ATTR_TCP_STATE, (uint8_t)(draw() % 16));
	if (draw() % 4 == 0)
		nfct_set_attr_u32(ct, ATTR_MARK, draw());
	return ct;
}

/* The library reads counters but does not write them. */
static void draw_counters(struct nlmsghdr *message)
{
	static const uint16_t types[] = {CTA_COUNTERS_ORIG, CTA_COUNTERS_REPLY};
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		if (draw() % 3 == 0)
			continue;
		struct nlattr *nest = mnl_attr_nest_start(message, types[i]);
		if (draw() % 8)
			mnl_attr_put_u64(message, CTA_COUNTERS_PACKETS,
					 (uint64_t)draw() << 32 | draw());
		if (draw() % 8)
			mnl_attr_put_u64(message, CTA_COUNTERS_BYTES,
					 (uint64_t)draw() << 32 | draw());
		mnl_attr_nest_end(message, nest);
	}
}

static struct nlmsghdr *draw_message(void *buf)
{
	static const struct {
		uint16_t type, flags;
	} kinds[] = {
		{IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL},
		{IPCTNL_MSG_CT_NEW, 0},
		{IPCTNL_MSG_CT_NEW, NLM_F_MULTI},
		{IPCTNL_MSG_CT_DELETE, 0},
	};
	struct nf_conntrack *ct = draw_conntrack();
	if (!ct)
		return NULL;
	const size_t kind = draw() % ARRAY_SIZE(kinds);
	struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | kinds[kind].type);
	message->nlmsg_flags = kinds[kind].flags;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	*generic = (struct nfgenmsg){.nfgen_family = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO)};
	if (nfct_nlmsg_build(message, ct) < 0)
		message = NULL;
	else
		draw_counters(message);
	nfct_destroy(ct);
	return message;
}

static uint8_t *capture_load(size_t *ret_len)
{
	_cleanup_fclose_ FILE *file = fopen(capture_path, "re");
	uint8_t *bytes = malloc(CAPTURE_MAX);
	*ret_len = file && bytes ? fread(bytes, 1, CAPTURE_MAX, file) : 0;
	return bytes;
}

TEST(generated_messages_agree_with_the_library)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	unsigned flows = 0, differing = 0;
	for (unsigned i = 0; i < ROUNDS; i++) {
		bool flow = false;
		const struct nlmsghdr *message = draw_message(buf);
		CHECK(message);
		if (!message)
			return;
		if (!agrees_with_oracle(message, &flow) && differing++ == 0)
			printf("# first difference in round %u\n", i);
		flows += flow;
	}
	CHECK_U64(differing, 0);
	CHECK(flows > ROUNDS / 2 && flows < ROUNDS);
}

TEST(captured_messages_agree_with_the_library)
{
	size_t len, flows = 0, others = 0, kinds[3] = {0}, families[2] = {0}, zones = 0;
	_cleanup_free_ uint8_t *bytes = capture_load(&len);
	CHECK(len > 0);
	const void *at = bytes;
	int left = (int)len;
	for (const struct nlmsghdr *message = at; mnl_nlmsg_ok(message, left);
	     message = mnl_nlmsg_next(message, &left)) {
		struct ct_message decoded;
		bool flow = false;
		CHECK(agrees_with_oracle(message, &flow));
		flows += flow;
		others += !flow;
		if (!flow || ct_decode(message, message->nlmsg_len, &decoded) != CT_FLOW)
			continue;
		kinds[decoded.kind]++;
		families[decoded.flow.key.family]++;
		zones += decoded.flow.key.zone != 0;
	}
	CHECK_U64(left, 0);
	/* A capture without them would prove nothing. */
	CHECK(flows > 40 && others > 5 && zones > 5);
	CHECK(kinds[CT_NEW] && kinds[CT_UPDATE] && kinds[CT_DESTROY]);
	CHECK(families[TG_IPV4] && families[TG_IPV6]);
}

/* Whatever damage it came from, what is told must be of the kind that the engine can take. */
static void check_sane(const void *bytes, size_t len)
{
	static const uint8_t zero[12];
	struct ct_message message;
	memset(&message, 0xff, sizeof(message));
	if (ct_decode(bytes, len, &message) != CT_FLOW)
		return;
	CHECK(message.kind <= CT_DESTROY);
	CHECK(message.flow.key.family < TG_FAMILY_COUNT);
	CHECK(message.flow.state <= TG_TCP_UNKNOWN);
	CHECK(message.flow.key.zero == 0 && !message.flow.dumped);
	if (message.flow.key.family == TG_IPV4)
		CHECK(memcmp(message.flow.key.src + 4, zero, 12) == 0 &&
		      memcmp(message.flow.key.dst + 4, zero, 12) == 0);
}

/* In a block of exactly its size, so that a sanitizer sees a read beyond it. */
static void check_copy(const void *bytes, size_t len, bool fix_length)
{
	void *copy = malloc(len ? len : 1);
	if (!copy)
		return;
	memcpy(copy, bytes, len);
	if (fix_length && len >= sizeof(struct nlmsghdr))
		((struct nlmsghdr *)copy)->nlmsg_len = (uint32_t)len;
	check_sane(copy, len);
	free(copy);
}

TEST(truncation_at_every_byte)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	for (unsigned i = 0; i < 100; i++) {
		const struct nlmsghdr *message = draw_message(buf);
		struct ct_message decoded;
		for (size_t len = 0; message && len < message->nlmsg_len; len++) {
			CHECK(ct_decode(message, len, &decoded) == CT_MALFORMED);
			check_copy(message, len, false);
			check_copy(message, len, true);
		}
	}
}

TEST(flipped_bits)
{
	size_t len;
	_cleanup_free_ uint8_t *bytes = capture_load(&len);
	_Alignas(struct nlmsghdr) uint8_t copy[4096];
	const void *at = bytes;
	int left = (int)len;
	for (const struct nlmsghdr *message = at; mnl_nlmsg_ok(message, left);
	     message = mnl_nlmsg_next(message, &left)) {
		const size_t size = message->nlmsg_len;
		for (unsigned i = 0; i < 300; i++) {
			memcpy(copy, message, size);
			for (unsigned flips = 1 + draw() % 4; flips > 0; flips--)
				copy[draw() % size] ^= (uint8_t)(1u << draw() % 8);
			check_copy(copy, size, draw() % 2);
		}
	}
}

TEST(attribute_lengths_that_lie)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	for (unsigned i = 0; i < 200; i++) {
		struct nlmsghdr *message = draw_message(buf);
		struct nlattr *attr;
		struct ct_message decoded;
		if (!message)
			continue;
		/* Every top-level attribute in turn, one at a time. */
		mnl_attr_for_each (attr, message, sizeof(struct nfgenmsg)) {
			const uint16_t right = attr->nla_len;
			static const uint16_t wrong[] = {0, 1, 3, UINT16_MAX};
			for (unsigned w = 0; w < ARRAY_SIZE(wrong); w++) {
				attr->nla_len = wrong[w];
				const enum ct_verdict verdict =
					ct_decode(message, message->nlmsg_len, &decoded);
				/* Another protocol is passed by before its end is seen. */
				CHECK(verdict == CT_MALFORMED || verdict == CT_IGNORED);
				attr->nla_len = right;
			}
		}
	}
}

TEST(other_messages_are_ignored)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	struct nlmsghdr *message;
	struct ct_message decoded;
	do
		message = draw_message(buf);
	while (message && ct_decode(message, message->nlmsg_len, &decoded) != CT_FLOW);
	CHECK(message);
	if (!message)
		return;
	struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);
	const uint16_t type = message->nlmsg_type;
	message->nlmsg_type = NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_CT_NEW;
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_IGNORED);
	message->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS;
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_IGNORED);
	message->nlmsg_type = type;
	/* The family of the header and of the addresses must be one. */
	generic->nfgen_family = generic->nfgen_family == AF_INET ? AF_INET6 : AF_INET;
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_MALFORMED);
	generic->nfgen_family = AF_BRIDGE;
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_IGNORED);
	message->nlmsg_len = NLMSG_HDRLEN + sizeof(*generic);
	generic->nfgen_family = AF_INET;
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_MALFORMED);
}

TEST(counters_are_the_sum_of_both_directions)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	struct nf_conntrack *ct = nfct_new();
	struct ct_message decoded;
	CHECK(ct);
	if (!ct)
		return;
	draw_addresses(ct, true);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u8(ct, ATTR_REPL_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, 1);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, 2);
	struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
	message->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	*generic = (struct nfgenmsg){.nfgen_family = AF_INET};
	CHECK(nfct_nlmsg_build(message, ct) == 0);
	nfct_destroy(ct);
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_FLOW);
	CHECK(!decoded.flow.counted && decoded.flow.packets == 0 && decoded.flow.bytes == 0);
	for (unsigned i = 0; i < 2; i++) {
		struct nlattr *nest =
			mnl_attr_nest_start(message, (uint16_t)(CTA_COUNTERS_ORIG + i));
		mnl_attr_put_u64(message, CTA_COUNTERS_PACKETS, htobe64(UINT32_MAX + 5ull + i));
		mnl_attr_put_u64(message, CTA_COUNTERS_BYTES, htobe64(1000u + i));
		mnl_attr_nest_end(message, nest);
		CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_FLOW);
		/* One direction alone tells nothing. */
		CHECK(decoded.flow.counted == (i == 1));
		CHECK_U64(decoded.flow.packets, i ? 2 * (UINT32_MAX + 5ull) + 1 : 0);
		CHECK_U64(decoded.flow.bytes, i ? 2001 : 0);
	}
	struct nlattr *nest = mnl_attr_nest_start(message, CTA_COUNTERS_ORIG);
	mnl_attr_put_u32(message, CTA_COUNTERS_PACKETS, 1);
	mnl_attr_nest_end(message, nest);
	CHECK(ct_decode(message, message->nlmsg_len, &decoded) == CT_MALFORMED);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: test_ct_decode CAPTURE [SEED]\n");
		return 2;
	}
	capture_path = argv[1];
	random_state = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	printf("# seed %" PRIu64 "\n", random_state);
	RUN(generated_messages_agree_with_the_library);
	RUN(captured_messages_agree_with_the_library);
	RUN(truncation_at_every_byte);
	RUN(flipped_bits);
	RUN(attribute_lengths_that_lie);
	RUN(other_messages_are_ignored);
	RUN(counters_are_the_sum_of_both_directions);
	return DONE();
}
