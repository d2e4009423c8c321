/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns set elements as bytes, in both directions. Pure. Written with libmnl alone:
 * bans come by the ten thousand, and libnftnl would allocate several objects for
 * each and does not notice when a list grows beyond what its length field holds.
 */
#include "netfilter/nft_elem.h"

#include <endian.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>

#include <libmnl/libmnl.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "base/util.h"
#include "netfilter/nft_batch.h"

/* The list's length is 16 bits wide and nobody checks it; the widest element is under 512 bytes. */
#define LIST_BYTES_MAX (65535 - 1024)
#define LIST_ELEMENTS_MAX 1000

/* User data: type, length, value. Types up to NFTNL_UDATA_SET_ELEM_MAX are nft's, and nft skips
 * those it does not know. */
#define UDATA_OURS 0x74
#define UDATA_VERSION 1
#define UDATA_MAX 256 /* NFT_USERDATA_MAXLEN */

/* The value of UDATA_OURS, big-endian, unaligned; grows at its end only. */
struct elem_udata {
	uint8_t version;
	uint8_t origin;
	uint8_t since_s[8];
	uint8_t measured[4], threshold[4], offence[4];
	uint8_t to_count[4], to_per_ms[4];
	uint8_t unproven; /* since the second edition: may be missing */
};
_Static_assert(sizeof(struct elem_udata) == 31, "no padding in what is stored");
#define UDATA_LEAST offsetof(struct elem_udata, unproven)

static const char by_hand[] = "by hand";

static size_t key_len(unsigned family)
{
	return family == NFT_ELEM_PROTOCOL ? 1 : tg_family_bits((enum tg_family)family) / 8u;
}

struct tg_addr nft_elem_key(const struct tg_prefix *source)
{
	return tg_prefix_is_total(source)
		       ? (struct tg_addr){.family = NFT_ELEM_PROTOCOL, .bytes = {IPPROTO_TCP}}
		       : source->addr;
}

static void put_be32(uint8_t at[4], uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, 4);
}

static uint32_t get_be32(const uint8_t at[4])
{
	uint32_t value;
	memcpy(&value, at, 4);
	return be32toh(value);
}

static size_t udata_build(const struct nft_elem *elem, uint8_t *out)
{
	char comment[128];
	if (elem->origin == TG_ORIGIN_OPERATOR && elem->reason && elem->reason[0])
		(void)snprintf(comment, sizeof(comment), "%s: %s", by_hand, elem->reason);
	else if (elem->origin == TG_ORIGIN_OPERATOR || !elem->policy)
		(void)snprintf(comment, sizeof(comment), "%s", by_hand);
	else
		(void)snprintf(comment, sizeof(comment), "%s/%s", elem->policy,
			       elem->limit ? elem->limit : "");
	const size_t comment_len = strlen(comment) + 1;
	out[0] = NFTNL_UDATA_SET_ELEM_COMMENT;
	out[1] = (uint8_t)comment_len;
	memcpy(out + 2, comment, comment_len);

	struct elem_udata ours = {.version = UDATA_VERSION, .origin = (uint8_t)elem->origin};
	const uint64_t since = htobe64(elem->since_s);
	memcpy(ours.since_s, &since, 8);
	put_be32(ours.measured, elem->measured);
	put_be32(ours.threshold, elem->threshold);
	put_be32(ours.offence, elem->offence);
	put_be32(ours.to_count, elem->to.count);
	put_be32(ours.to_per_ms, elem->to.per_ms);
	ours.unproven = elem->unproven;
	out[2 + comment_len] = UDATA_OURS;
	out[3 + comment_len] = sizeof(ours);
	memcpy(out + 4 + comment_len, &ours, sizeof(ours));
	return 4 + comment_len + sizeof(ours);
}

/*
 * nft prints a limit per second, minute, hour, day or week and no other: takes the
 * shortest of these in which the rate is a whole number, else the longest, rounded.
 */
static void limit_from_rate(const struct tg_rate *rate, uint64_t *ret_count, uint64_t *ret_unit_s)
{
	static const uint32_t units[] = {1, 60, 3600, 86400, 604800};
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		const uint64_t scaled = (uint64_t)rate->count * units[i] * 1000;
		const uint64_t count = scaled / MAX(rate->per_ms, 1u);
		*ret_count = MAX(count, 1u);
		*ret_unit_s = units[i];
		if (count > 0 && scaled % MAX(rate->per_ms, 1u) == 0)
			return;
	}
}

/* With zeros up to the next attribute: this libmnl leaves there what was in the buffer. */
static void put_bytes(struct nlmsghdr *message, uint16_t type, const void *data, size_t len)
{
	mnl_attr_put(message, type, len, data);
	memset((char *)mnl_nlmsg_get_payload_tail(message) - (MNL_ALIGN(len) - len), 0,
	       MNL_ALIGN(len) - len);
}

static void put_text(struct nlmsghdr *message, uint16_t type, const char *text)
{
	put_bytes(message, type, text, strlen(text) + 1);
}

static struct nlattr *expr_begin(struct nlmsghdr *message, uint16_t type, const char *name,
				 struct nlattr **ret_data)
{
	struct nlattr *expr = mnl_attr_nest_start(message, type);
	put_text(message, NFTA_EXPR_NAME, name);
	*ret_data = mnl_attr_nest_start(message, NFTA_EXPR_DATA);
	return expr;
}

static void expr_end(struct nlmsghdr *message, struct nlattr *expr, struct nlattr *data)
{
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, expr);
}

static void put_counter(struct nlmsghdr *message, uint16_t type)
{
	struct nlattr *data, *expr = expr_begin(message, type, "counter", &data);
	mnl_attr_put_u64(message, NFTA_COUNTER_BYTES, 0);
	mnl_attr_put_u64(message, NFTA_COUNTER_PACKETS, 0);
	expr_end(message, expr, data);
}

/* flags: with NFT_LIMIT_F_INV what is over the rate matches, else what is not. */
static void put_limit(struct nlmsghdr *message, uint16_t type, const struct tg_rate *to,
		      uint32_t flags)
{
	uint64_t count, unit_s;
	limit_from_rate(to, &count, &unit_s);
	struct nlattr *data, *expr = expr_begin(message, type, "limit", &data);
	mnl_attr_put_u64(message, NFTA_LIMIT_RATE, htobe64(count));
	mnl_attr_put_u64(message, NFTA_LIMIT_UNIT, htobe64(unit_s));
	/* As many at once as the rate allows in its time: 5/1s is five, at any moment of a second.
	 */
	mnl_attr_put_u32(message, NFTA_LIMIT_BURST, htobe32(MAX(to->count, 1u)));
	mnl_attr_put_u32(message, NFTA_LIMIT_TYPE, htobe32(NFT_LIMIT_PKTS));
	mnl_attr_put_u32(message, NFTA_LIMIT_FLAGS, htobe32(flags));
	expr_end(message, expr, data);
}

/* An element's expressions run one after the other until one says "no match": what the limit
 * lets pass is not counted, and the rule's drop is not reached. */
static void put_expressions(struct nlmsghdr *message, const struct nft_elem *elem)
{
	/* Every packet of a capped source is looked up, and most pass: a count would mislead. */
	if (elem->action == TG_ACTION_CAP)
		return;
	if (elem->verified) {
		put_limit(message, NFTA_SET_ELEM_EXPR, &elem->to, 0);
		return;
	}
	if (elem->action != TG_ACTION_RATE_LIMIT) {
		put_counter(message, NFTA_SET_ELEM_EXPR);
		return;
	}
	struct nlattr *list = mnl_attr_nest_start(message, NFTA_SET_ELEM_EXPRESSIONS);
	put_limit(message, NFTA_LIST_ELEM, &elem->to, NFT_LIMIT_F_INV);
	put_counter(message, NFTA_LIST_ELEM);
	mnl_attr_nest_end(message, list);
}

static void put_key(struct nlmsghdr *message, const void *key, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(message, NFTA_SET_ELEM_KEY);
	put_bytes(message, NFTA_DATA_VALUE, key, len);
	mnl_attr_nest_end(message, nest);
}

/* What an element gets: its key alone, its key and a timeout, or all it has. */
enum put_what { PUT_KEY, PUT_PLACEHOLDER, PUT_ALL };

static void put_elem(struct nlmsghdr *message, const struct nft_elem *elem, enum put_what what)
{
	struct nlattr *nest = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
	put_key(message, elem->key.bytes, key_len(elem->key.family));
	if (what != PUT_KEY) {
		/* Both, always: a timeout alone does not move the end of an element that exists. */
		const uint64_t left = htobe64(MAX(elem->left_ms, NFT_ELEM_LEFT_MIN_MS));
		mnl_attr_put_u64(message, NFTA_SET_ELEM_TIMEOUT, left);
		mnl_attr_put_u64(message, NFTA_SET_ELEM_EXPIRATION, left);
	}
	if (what == PUT_ALL && !elem->verified) {
		uint8_t udata[UDATA_MAX];
		put_bytes(message, NFTA_SET_ELEM_USERDATA, udata, udata_build(elem, udata));
	}
	if (what == PUT_ALL) {
		put_expressions(message, elem);
	}
	mnl_attr_nest_end(message, nest);
}

static struct nlmsghdr *list_open(struct nft_batch *batch, uint8_t type, uint16_t flags,
				  const char *table, const char *set, uint32_t set_id,
				  struct nlattr **ret_list)
{
	struct nlmsghdr *message = nft_batch_open(batch, type, flags);
	if (!message)
		return NULL;
	put_text(message, NFTA_SET_ELEM_LIST_TABLE, table);
	put_text(message, NFTA_SET_ELEM_LIST_SET, set);
	if (set_id)
		mnl_attr_put_u32(message, NFTA_SET_ELEM_LIST_SET_ID, htobe32(set_id));
	*ret_list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
	return message;
}

static void list_close(struct nft_batch *batch, struct nlmsghdr *message, struct nlattr *list)
{
	mnl_attr_nest_end(message, list);
	nft_batch_close(batch, message);
}

static bool list_is_full(const struct nlmsghdr *message, const struct nlattr *list, size_t count)
{
	return count >= LIST_ELEMENTS_MAX ||
	       (const char *)mnl_nlmsg_get_payload_tail(message) - (const char *)list >
		       LIST_BYTES_MAX;
}

static void put_lists(struct nft_batch *batch, uint8_t type, const char *table, const char *set,
		      enum put_what what, nft_elem_next next, void *data, size_t count)
{
	const uint16_t flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;
	for (size_t done = 0; done < count;) {
		struct nlattr *list;
		struct nlmsghdr *message = list_open(batch, type, flags, table, set, 0, &list);
		if (!message)
			return;
		for (size_t n = 0; done < count && !list_is_full(message, list, n); n++)
			put_elem(message, next(data, done++), what);
		list_close(batch, message, list);
	}
}

void nft_elem_encode_remove(struct nft_batch *batch, const char *table, const char *set,
			    bool destroy, nft_elem_next next, void *data, size_t count)
{
	if (destroy) {
		put_lists(batch, NFT_BATCH_DESTROYSETELEM, table, set, PUT_KEY, next, data, count);
		return;
	}
	put_lists(batch, NFT_MSG_NEWSETELEM, table, set, PUT_PLACEHOLDER, next, data, count);
	put_lists(batch, NFT_MSG_DELSETELEM, table, set, PUT_KEY, next, data, count);
}

void nft_elem_encode_add(struct nft_batch *batch, const char *table, const char *set,
			 nft_elem_next next, void *data, size_t count)
{
	put_lists(batch, NFT_MSG_NEWSETELEM, table, set, PUT_ALL, next, data, count);
}

static void put_bound(struct nlmsghdr *message, const void *key, uint32_t key_len, uint32_t flags)
{
	struct nlattr *nest = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
	put_key(message, key, key_len);
	if (flags)
		mnl_attr_put_u32(message, NFTA_SET_ELEM_FLAGS, htobe32(flags));
	mnl_attr_nest_end(message, nest);
}

void nft_elem_encode_intervals(struct nft_batch *batch, const char *table, const char *set,
			       uint32_t set_id, uint32_t key_len,
			       const struct nft_interval *intervals, size_t count)
{
	for (size_t done = 0; done < count;) {
		struct nlattr *list;
		struct nlmsghdr *message = list_open(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE, table,
						     set, set_id, &list);
		if (!message)
			return;
		for (size_t n = 0; done < count && !list_is_full(message, list, n + 1); n += 2) {
			const struct nft_interval *interval = &intervals[done++];
			put_bound(message, interval->first, key_len, 0);
			if (!interval->open)
				put_bound(message, interval->end, key_len,
					  NFT_SET_ELEM_INTERVAL_END);
		}
		list_close(batch, message, list);
	}
}

void nft_elem_encode_get(struct nft_batch *batch, const char *table, const char *set,
			 const struct tg_addr *key)
{
	const struct nft_elem elem = {.key = *key};
	struct nlattr *list;
	struct nlmsghdr *message = list_open(batch, NFT_MSG_GETSETELEM, 0, table, set, 0, &list);
	if (!message)
		return;
	put_elem(message, &elem, PUT_KEY);
	list_close(batch, message, list);
}

static void decode_udata(const uint8_t *data, size_t len, struct nft_elem_found *found)
{
	const char *comment = NULL;
	struct elem_udata ours = {0};
	for (size_t at = 0; at + 2 <= len && at + 2 + data[at + 1] <= len;
	     at += 2u + data[at + 1]) {
		const uint8_t *value = data + at + 2;
		const size_t size = data[at + 1];
		if (data[at] == NFTNL_UDATA_SET_ELEM_COMMENT && size > 0 && !value[size - 1])
			comment = (const char *)value;
		if (data[at] != UDATA_OURS || size < UDATA_LEAST || value[0] != UDATA_VERSION)
			continue;
		memcpy(&ours, value, MIN(size, sizeof(ours)));
		found->known = true;
	}
	if (!found->known) {
		/* Somebody's comment is the best reason there is. */
		if (comment)
			(void)snprintf(found->reason, sizeof(found->reason), "%s", comment);
		return;
	}
	uint64_t since;
	memcpy(&since, ours.since_s, 8);
	found->since_s = be64toh(since);
	found->origin = ours.origin == TG_ORIGIN_AUTO ? TG_ORIGIN_AUTO : TG_ORIGIN_OPERATOR;
	found->measured = get_be32(ours.measured);
	found->threshold = get_be32(ours.threshold);
	found->offence = get_be32(ours.offence);
	found->unproven = ours.unproven != 0;
	if (get_be32(ours.to_count) && get_be32(ours.to_per_ms)) {
		found->to.count = get_be32(ours.to_count);
		found->to.per_ms = get_be32(ours.to_per_ms);
	}
	if (!comment)
		return;
	const char *slash = strrchr(comment, '/');
	const size_t skip = sizeof(by_hand) - 1;
	if (found->origin == TG_ORIGIN_AUTO && slash && strlen(slash + 1) <= TG_NAME_MAX)
		(void)snprintf(found->limit, sizeof(found->limit), "%.*s", TG_NAME_MAX, slash + 1);
	else if (found->origin == TG_ORIGIN_OPERATOR && strncmp(comment, by_hand, skip) == 0 &&
		 strncmp(comment + skip, ": ", 2) == 0)
		(void)snprintf(found->reason, sizeof(found->reason), "%s", comment + skip + 2);
}

static uint64_t attr_be64(const struct nlattr *attr)
{
	uint64_t value = 0;
	if (mnl_attr_get_payload_len(attr) == sizeof(value))
		memcpy(&value, mnl_attr_get_payload(attr), sizeof(value));
	return be64toh(value);
}

static void decode_limit(const struct nlattr *data, struct nft_elem_found *found)
{
	uint64_t count = 0, unit_s = 0;
	const struct nlattr *attr;
	mnl_attr_for_each_nested (attr, data) {
		if (mnl_attr_get_type(attr) == NFTA_LIMIT_RATE)
			count = attr_be64(attr);
		else if (mnl_attr_get_type(attr) == NFTA_LIMIT_UNIT)
			unit_s = attr_be64(attr);
	}
	found->limited = true;
	if (found->to.count) /* the user data knew it as it was written */
		return;
	found->to.count = (uint32_t)MIN(MAX(count, 1u), UINT32_MAX);
	found->to.per_ms = (uint32_t)MIN(MAX(unit_s, 1u), UINT32_MAX / 1000) * 1000;
}

static void decode_expression(const struct nlattr *expr, struct nft_elem_found *found)
{
	const struct nlattr *attr, *data = NULL;
	const char *name = "";
	mnl_attr_for_each_nested (attr, expr) {
		if (mnl_attr_get_type(attr) == NFTA_EXPR_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA)
			data = attr;
	}
	if (data && strcmp(name, "limit") == 0)
		decode_limit(data, found);
	if (!data || strcmp(name, "counter") != 0)
		return;
	found->counted = true;
	mnl_attr_for_each_nested (attr, data) {
		if (mnl_attr_get_type(attr) == NFTA_COUNTER_PACKETS)
			found->packets = attr_be64(attr);
		else if (mnl_attr_get_type(attr) == NFTA_COUNTER_BYTES)
			found->bytes = attr_be64(attr);
	}
}

static bool decode_key(const struct nlattr *nest, enum tg_family family, struct tg_addr *ret_key)
{
	const struct nlattr *attr;
	mnl_attr_for_each_nested (attr, nest) {
		if (mnl_attr_get_type(attr) != NFTA_DATA_VALUE ||
		    mnl_attr_get_payload_len(attr) != key_len(family))
			continue;
		/* Not tg_addr_from_ipv6(): what stands in the kernel is not folded. */
		*ret_key = (struct tg_addr){.family = (uint8_t)family};
		memcpy(ret_key->bytes, mnl_attr_get_payload(attr), key_len(family));
		return true;
	}
	return false;
}

bool nft_elem_decode(const struct nlattr *list_elem, enum tg_family family,
		     struct nft_elem_found *ret_found)
{
	struct nft_elem_found found = {.origin = TG_ORIGIN_OPERATOR};
	const struct nlattr *attr, *expr = NULL, *list = NULL, *udata = NULL;
	bool has_key = false;
	mnl_attr_for_each_nested (attr, list_elem) {
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			has_key = decode_key(attr, family, &found.key);
			break;
		case NFTA_SET_ELEM_EXPIRATION:
			/* Zero is not "no end": it ends within this tick. */
			found.left_ms = MAX(attr_be64(attr), 1u);
			break;
		case NFTA_SET_ELEM_USERDATA:
			udata = attr;
			break;
		case NFTA_SET_ELEM_EXPR:
			expr = attr;
			break;
		case NFTA_SET_ELEM_EXPRESSIONS:
			list = attr;
			break;
		}
	}
	if (!has_key)
		return false;
	if (udata)
		decode_udata(mnl_attr_get_payload(udata), mnl_attr_get_payload_len(udata), &found);
	if (expr)
		decode_expression(expr, &found);
	if (list)
		mnl_attr_for_each_nested (attr, list)
			decode_expression(attr, &found);
	*ret_found = found;
	return true;
}

void nft_elem_decode_message(const struct nlmsghdr *message, enum tg_family family,
			     void (*found)(void *data, const struct nft_elem_found *elem),
			     void *data)
{
	const struct nlattr *attr, *list_elem;
	mnl_attr_for_each (attr, message, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested (list_elem, attr) {
			struct nft_elem_found elem;
			if (nft_elem_decode(list_elem, family, &elem))
				found(data, &elem);
		}
	}
}
