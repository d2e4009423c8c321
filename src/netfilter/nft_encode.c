/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns how tables, chains, sets and rules are written as nf_tables messages. What
 * a rule is made of follows what nft itself would load for the same line, so that
 * `nft list` can print it back.
 */
#include "netfilter/nft_encode.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_synproxy.h>
#include <linux/netfilter/nf_tables.h>

#include <tcpguard/config.h>

#include "netfilter/nft_batch.h"

#define REG NFT_REG_1
#define STATE_INVALID 1 /* NF_CT_STATE_INVALID_BIT */
#define STATE_NEW 8     /* NF_CT_STATE_BIT(IP_CT_NEW) */
#define STATE_UNTRACKED 64
/* In every network namespace, since there are such. */
#define LOOPBACK_INDEX 1

void nft_encode_table(struct nft_batch *batch, const char *table, uint32_t flags)
{
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	if (!message)
		return;
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, table);
	mnl_attr_put_u32(message, NFTA_TABLE_FLAGS, htonl(flags));
	nft_batch_close(batch, message);
}

/* A message that names a table and perhaps one thing in it: all that a deletion says. */
static void put_names(struct nft_batch *batch, uint8_t type, const char *table, uint16_t attr,
		      const char *name)
{
	struct nlmsghdr *message = nft_batch_open(batch, type, 0);
	if (!message)
		return;
	/* The table's name is attribute 1 in all of these. */
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, table);
	if (name)
		mnl_attr_put_strz(message, attr, name);
	nft_batch_close(batch, message);
}

void nft_encode_delete_table(struct nft_batch *batch, const char *table)
{
	put_names(batch, NFT_MSG_DELTABLE, table, 0, NULL);
}

void nft_encode_delete_chain(struct nft_batch *batch, const char *table, const char *chain)
{
	put_names(batch, NFT_MSG_DELCHAIN, table, NFTA_CHAIN_NAME, chain);
}

void nft_encode_flush_rules(struct nft_batch *batch, const char *table)
{
	put_names(batch, NFT_MSG_DELRULE, table, 0, NULL);
}

void nft_encode_delete_set(struct nft_batch *batch, const char *table, const char *set)
{
	put_names(batch, NFT_MSG_DELSET, table, NFTA_SET_NAME, set);
}

void nft_encode_flush_set(struct nft_batch *batch, const char *table, const char *set)
{
	put_names(batch, NFT_MSG_DELSETELEM, table, NFTA_SET_ELEM_LIST_SET, set);
}

static bool set_hook(struct nftnl_chain *object, const struct nft_chain_spec *spec)
{
	bool ok = nftnl_chain_set_str(object, NFTNL_CHAIN_TYPE, "filter") == 0;
	nftnl_chain_set_u32(object, NFTNL_CHAIN_HOOKNUM, spec->hook);
	nftnl_chain_set_s32(object, NFTNL_CHAIN_PRIO, spec->priority);
	nftnl_chain_set_u32(object, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	if (spec->device_count == 0)
		return ok;
	const char **names = calloc(spec->device_count + 1, sizeof(*names));
	if (!names)
		return false;
	memcpy(names, spec->devices, spec->device_count * sizeof(*names));
	ok = ok && nftnl_chain_set_array(object, NFTNL_CHAIN_DEVICES, names) == 0;
	free(names);
	return ok;
}

void nft_encode_chain(struct nft_batch *batch, const char *table, const struct nft_chain_spec *spec)
{
	struct nftnl_chain *object = nftnl_chain_alloc();
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	if (!object || !message) {
		batch->failed = true;
		if (object)
			nftnl_chain_free(object);
		return;
	}
	bool ok = nftnl_chain_set_str(object, NFTNL_CHAIN_TABLE, table) == 0 &&
		  nftnl_chain_set_str(object, NFTNL_CHAIN_NAME, spec->name) == 0;
	if (spec->base)
		ok = ok && set_hook(object, spec);
	nftnl_chain_nlmsg_build_payload(message, object);
	nftnl_chain_free(object);
	if (!ok)
		batch->failed = true;
	nft_batch_close(batch, message);
}

void nft_encode_set(struct nft_batch *batch, const char *table, const struct nft_set_spec *spec)
{
	struct nftnl_set *object = nftnl_set_alloc();
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWSET, NLM_F_CREATE);
	if (!object || !message) {
		batch->failed = true;
		if (object)
			nftnl_set_free(object);
		return;
	}
	if (nftnl_set_set_str(object, NFTNL_SET_TABLE, table) < 0 ||
	    nftnl_set_set_str(object, NFTNL_SET_NAME, spec->name) < 0)
		batch->failed = true;
	nftnl_set_set_u32(object, NFTNL_SET_FLAGS, spec->flags);
	nftnl_set_set_u32(object, NFTNL_SET_KEY_TYPE, spec->key_type);
	nftnl_set_set_u32(object, NFTNL_SET_KEY_LEN, spec->key_len);
	nftnl_set_set_u32(object, NFTNL_SET_ID, spec->id);
	if (spec->size)
		nftnl_set_set_u32(object, NFTNL_SET_DESC_SIZE, spec->size);
	if (spec->timeout_ms)
		nftnl_set_set_u64(object, NFTNL_SET_TIMEOUT, spec->timeout_ms);
	nftnl_set_nlmsg_build_payload(message, object);
	nftnl_set_free(object);
	nft_batch_close(batch, message);
}

void nft_rule_begin(struct nft_rule *rule, struct nft_batch *batch, const char *table,
		    const char *chain)
{
	*rule = (struct nft_rule){.batch = batch, .rule = nftnl_rule_alloc()};
	rule->failed = !rule->rule || nftnl_rule_set_str(rule->rule, NFTNL_RULE_TABLE, table) < 0 ||
		       nftnl_rule_set_str(rule->rule, NFTNL_RULE_CHAIN, chain) < 0;
}

void nft_rule_end(struct nft_rule *rule)
{
	struct nlmsghdr *message =
		nft_batch_open(rule->batch, NFT_MSG_NEWRULE,
			       rule->first ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_APPEND);
	if (rule->failed || !message) {
		rule->batch->failed = true;
	} else {
		nftnl_rule_nlmsg_build_payload(message, rule->rule);
		nft_batch_close(rule->batch, message);
	}
	if (rule->rule)
		nftnl_rule_free(rule->rule);
	rule->rule = NULL;
}

/* The rule takes it. NULL when memory ran out, which the rule remembers. */
static struct nftnl_expr *rule_add(struct nft_rule *rule, const char *name)
{
	struct nftnl_expr *expr = rule->failed ? NULL : nftnl_expr_alloc(name);
	if (!expr) {
		rule->failed = true;
		return NULL;
	}
	nftnl_rule_add_expr(rule->rule, expr);
	return expr;
}

static void rule_set(struct nft_rule *rule, struct nftnl_expr *expr, uint16_t attr,
		     const void *data, uint32_t len)
{
	if (nftnl_expr_set(expr, attr, data, len) < 0)
		rule->failed = true;
}

static void add_meta(struct nft_rule *rule, uint32_t key)
{
	struct nftnl_expr *expr = rule_add(rule, "meta");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, REG);
}

static void add_compare(struct nft_rule *rule, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *expr = rule_add(rule, "cmp");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, REG);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, op);
	rule_set(rule, expr, NFTNL_EXPR_CMP_DATA, data, len);
}

static void add_payload_into(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
			     uint32_t reg)
{
	struct nftnl_expr *expr = rule_add(rule, "payload");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void add_payload(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t len)
{
	add_payload_into(rule, base, offset, len, REG);
}

static void add_mask_into(struct nft_rule *rule, const void *mask, uint32_t len, uint32_t reg)
{
	static const uint8_t zero[16];
	struct nftnl_expr *expr = rule_add(rule, "bitwise");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, len);
	rule_set(rule, expr, NFTNL_EXPR_BITWISE_MASK, mask, len);
	rule_set(rule, expr, NFTNL_EXPR_BITWISE_XOR, zero, len);
}

static void add_mask(struct nft_rule *rule, const void *mask, uint32_t len)
{
	add_mask_into(rule, mask, len, REG);
}

static void add_lookup(struct nft_rule *rule, const char *set, uint32_t set_id, bool inverse)
{
	struct nftnl_expr *expr = rule_add(rule, "lookup");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SREG, REG);
	if (nftnl_expr_set_str(expr, NFTNL_EXPR_LOOKUP_SET, set) < 0)
		rule->failed = true;
	if (set_id)
		nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SET_ID, set_id);
	if (inverse)
		nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void nft_rule_match_outside(struct nft_rule *rule)
{
	const uint32_t loopback = LOOPBACK_INDEX;
	add_meta(rule, NFT_META_IIF);
	add_compare(rule, NFT_CMP_NEQ, &loopback, sizeof(loopback));
}

void nft_rule_match_tcp(struct nft_rule *rule)
{
	const uint8_t tcp = IPPROTO_TCP;
	add_meta(rule, NFT_META_L4PROTO);
	add_compare(rule, NFT_CMP_EQ, &tcp, sizeof(tcp));
}

static void match_flags(struct nft_rule *rule, uint8_t mask, uint8_t flags)
{
	add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1);
	add_mask(rule, &mask, 1);
	add_compare(rule, NFT_CMP_EQ, &flags, 1);
}

void nft_rule_match_syn(struct nft_rule *rule)
{
	const uint8_t fin_syn_rst_ack = 0x17, syn = 0x02;
	match_flags(rule, fin_syn_rst_ack, syn);
}

void nft_rule_match_ack(struct nft_rule *rule)
{
	const uint8_t syn_rst_ack = 0x16, ack = 0x10;
	match_flags(rule, syn_rst_ack, ack);
}

void nft_rule_match_port(struct nft_rule *rule, uint16_t port)
{
	const uint16_t wire = htons(port);
	add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
	add_compare(rule, NFT_CMP_EQ, &wire, sizeof(wire));
}

void nft_rule_match_port_set(struct nft_rule *rule, const char *set, uint32_t set_id)
{
	add_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
	add_lookup(rule, set, set_id, false);
}

static void match_family(struct nft_rule *rule, enum tg_family family)
{
	const uint8_t nfproto = family == TG_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
	add_meta(rule, NFT_META_NFPROTO);
	add_compare(rule, NFT_CMP_EQ, &nfproto, sizeof(nfproto));
}

/* What sets of sources of that length have as key. */
static void load_source_into(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			     uint32_t reg)
{
	const uint32_t len = tg_family_bits(family) / 8u;
	add_payload_into(rule, NFT_PAYLOAD_NETWORK_HEADER, family == TG_IPV4 ? 12 : 8, len, reg);
	if (prefix_len < tg_family_bits(family)) {
		struct tg_addr ones = {.family = (uint8_t)family};
		memset(ones.bytes, 0xff, len);
		const struct tg_prefix mask = tg_addr_mask(&ones, prefix_len);
		add_mask_into(rule, mask.addr.bytes, len, reg);
	}
}

static void load_source(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len)
{
	load_source_into(rule, family, prefix_len, REG);
}

void nft_rule_match_source(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			   const char *set)
{
	match_family(rule, family);
	if (prefix_len == TG_TOTAL_LEN)
		add_meta(rule, NFT_META_L4PROTO);
	else
		load_source(rule, family, prefix_len);
	add_lookup(rule, set, 0, false);
}

void nft_rule_match_not_source(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			       const char *set)
{
	load_source(rule, family, prefix_len);
	add_lookup(rule, set, 0, true);
}

void nft_rule_match_family(struct nft_rule *rule, enum tg_family family)
{
	match_family(rule, family);
}

static void fill_limit(struct nftnl_expr *limit, const struct nft_limit_spec *spec, bool over)
{
	nftnl_expr_set_u64(limit, NFTNL_EXPR_LIMIT_RATE, spec->count);
	nftnl_expr_set_u64(limit, NFTNL_EXPR_LIMIT_UNIT, spec->unit_s);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_BURST, spec->burst);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_LIMIT_FLAGS, over ? NFT_LIMIT_F_INV : 0);
}

void nft_rule_match_pace(struct nft_rule *rule, const struct nft_limit_spec *spec)
{
	struct nftnl_expr *limit = rule_add(rule, "limit");
	if (limit)
		fill_limit(limit, spec, false);
}

/* What is in the register becomes an element of the set, with a limit of its own. */
static void add_dynset(struct nft_rule *rule, const char *set, uint32_t op,
		       const struct nft_limit_spec *spec, bool over)
{
	struct nftnl_expr *expr = rule_add(rule, "dynset");
	struct nftnl_expr *limit = expr ? nftnl_expr_alloc("limit") : NULL;
	if (!limit) {
		rule->failed = true;
		return;
	}
	fill_limit(limit, spec, over);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY, REG);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_OP, op);
	if (nftnl_expr_set_str(expr, NFTNL_EXPR_DYNSET_SET_NAME, set) < 0)
		rule->failed = true;
	rule_set(rule, expr, NFTNL_EXPR_DYNSET_EXPR, limit, 0);
}

/* As nft has it: the bucket's number stands in the first register, the source in the second. */
static void add_bucket(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
		       uint32_t buckets)
{
	load_source_into(rule, family, prefix_len, NFT_REG_2);
	struct nftnl_expr *hash = rule_add(rule, "hash");
	if (!hash)
		return;
	/* Without a seed the kernel draws one, and keeps it to itself. */
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_SREG, NFT_REG_2);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_DREG, REG);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_LEN, tg_family_bits(family) / 8u);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_MODULUS, buckets);
}

void nft_rule_match_meter(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			  const struct nft_meter_spec *spec)
{
	if (spec->buckets > 0)
		add_bucket(rule, family, prefix_len, spec->buckets);
	else
		load_source(rule, family, prefix_len);
	add_dynset(rule, spec->set, spec->stays ? NFT_DYNSET_OP_UPDATE : NFT_DYNSET_OP_ADD,
		   &spec->over, true);
}

/* Both addresses and ports, each from a register of its own on, as the key of a set. */
static void load_flow(struct nft_rule *rule, enum tg_family family)
{
	const uint32_t len = tg_family_bits(family) / 8u, words = len / 4;
	const uint32_t from = family == TG_IPV4 ? 12 : 8;
	add_payload_into(rule, NFT_PAYLOAD_NETWORK_HEADER, from, len, NFT_REG32_00);
	add_payload_into(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, NFT_REG32_00 + words);
	add_payload_into(rule, NFT_PAYLOAD_NETWORK_HEADER, from + len, len,
			 NFT_REG32_00 + words + 1);
	add_payload_into(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG32_00 + 2 * words + 1);
}

void nft_rule_match_flow(struct nft_rule *rule, enum tg_family family, const char *set)
{
	match_family(rule, family);
	load_flow(rule, family);
	add_lookup(rule, set, 0, false);
}

void nft_rule_add_flow(struct nft_rule *rule, enum tg_family family, const char *set,
		       const struct nft_limit_spec *pace)
{
	match_family(rule, family);
	load_flow(rule, family);
	add_dynset(rule, set, NFT_DYNSET_OP_ADD, pace, false);
}

void nft_rule_log(struct nft_rule *rule, uint16_t group, const char *prefix)
{
	struct nftnl_expr *log = rule_add(rule, "log");
	if (!log)
		return;
	nftnl_expr_set_u16(log, NFTNL_EXPR_LOG_GROUP, group);
	if (nftnl_expr_set_str(log, NFTNL_EXPR_LOG_PREFIX, prefix) < 0)
		rule->failed = true;
}

void nft_rule_match_over(struct nft_rule *rule, enum tg_family family, uint8_t prefix_len,
			 const char *set, uint32_t count)
{
	load_source(rule, family, prefix_len);
	struct nftnl_expr *expr = rule_add(rule, "dynset");
	struct nftnl_expr *limit = expr ? nftnl_expr_alloc("connlimit") : NULL;
	if (!limit) {
		rule->failed = true;
		return;
	}
	nftnl_expr_set_u32(limit, NFTNL_EXPR_CONNLIMIT_COUNT, count);
	nftnl_expr_set_u32(limit, NFTNL_EXPR_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY, REG);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_ADD);
	if (nftnl_expr_set_str(expr, NFTNL_EXPR_DYNSET_SET_NAME, set) < 0)
		rule->failed = true;
	rule_set(rule, expr, NFTNL_EXPR_DYNSET_EXPR, limit, 0);
}

void nft_rule_match_destination(struct nft_rule *rule, enum tg_family family, const char *set,
				uint32_t set_id)
{
	match_family(rule, family);
	add_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, family == TG_IPV4 ? 16 : 24,
		    tg_family_bits(family) / 8u);
	add_lookup(rule, set, set_id, false);
}

/* Any of these states; or none of them. */
static void match_ct_state(struct nft_rule *rule, uint32_t state, bool none_of)
{
	const uint32_t none = 0;
	struct nftnl_expr *expr = rule_add(rule, "ct");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_STATE);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, REG);
	add_mask(rule, &state, sizeof(state));
	add_compare(rule, none_of ? NFT_CMP_EQ : NFT_CMP_NEQ, &none, sizeof(none));
}

void nft_rule_match_ct_new(struct nft_rule *rule)
{
	match_ct_state(rule, STATE_NEW, false);
}

void nft_rule_match_ct_stray(struct nft_rule *rule)
{
	match_ct_state(rule, STATE_INVALID | STATE_UNTRACKED, false);
}

void nft_rule_match_ct_untracked(struct nft_rule *rule)
{
	match_ct_state(rule, STATE_UNTRACKED, false);
}

void nft_rule_match_ct_looks(struct nft_rule *rule)
{
	match_ct_state(rule, STATE_UNTRACKED, true);
}

void nft_rule_match_ct_original(struct nft_rule *rule)
{
	const uint8_t original = IP_CT_DIR_ORIGINAL;
	struct nftnl_expr *expr = rule_add(rule, "ct");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_DIRECTION);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, REG);
	add_compare(rule, NFT_CMP_EQ, &original, sizeof(original));
}

void nft_rule_ct_events(struct nft_rule *rule, uint32_t mask)
{
	struct nftnl_expr *value = rule_add(rule, "immediate");
	struct nftnl_expr *set = rule_add(rule, "ct");
	if (!value || !set)
		return;
	nftnl_expr_set_u32(value, NFTNL_EXPR_IMM_DREG, REG);
	nftnl_expr_set_u32(value, NFTNL_EXPR_IMM_DATA, mask);
	nftnl_expr_set_u32(set, NFTNL_EXPR_CT_KEY, NFT_CT_EVENTMASK);
	nftnl_expr_set_u32(set, NFTNL_EXPR_CT_SREG, REG);
}

void nft_rule_note_protocol(struct nft_rule *rule, const char *set)
{
	add_meta(rule, NFT_META_L4PROTO);
	struct nftnl_expr *expr = rule_add(rule, "dynset");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY, REG);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	if (nftnl_expr_set_str(expr, NFTNL_EXPR_DYNSET_SET_NAME, set) < 0)
		rule->failed = true;
}

void nft_rule_notrack(struct nft_rule *rule)
{
	(void)rule_add(rule, "notrack"); /* the rule remembers a failure */
}

void nft_rule_answer(struct nft_rule *rule, const struct tg_syn_options *options,
		     enum tg_family family)
{
	struct nftnl_expr *expr = rule_add(rule, "synproxy");
	if (!expr)
		return;
	uint32_t flags = NF_SYNPROXY_OPT_MSS | NF_SYNPROXY_OPT_WSCALE;
	if (options->timestamps)
		flags |= NF_SYNPROXY_OPT_TIMESTAMP;
	if (options->sack)
		flags |= NF_SYNPROXY_OPT_SACK_PERM;
	nftnl_expr_set_u16(expr, NFTNL_EXPR_SYNPROXY_MSS, options->mss[family]);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_SYNPROXY_WSCALE, options->window_scale);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_SYNPROXY_FLAGS, flags);
}

void nft_rule_reset(struct nft_rule *rule)
{
	struct nftnl_expr *expr = rule_add(rule, "reject");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
	nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, 0);
}

void nft_rule_verdict(struct nft_rule *rule, int verdict, const char *chain)
{
	struct nftnl_expr *expr = rule_add(rule, "immediate");
	if (!expr)
		return;
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain && nftnl_expr_set_str(expr, NFTNL_EXPR_IMM_CHAIN, chain) < 0)
		rule->failed = true;
}
