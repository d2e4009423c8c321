/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of ctnetlink to a flow, and nothing else: no allocation, no state, no
 * library. Every event of a flood passes here, so the walk looks at each attribute
 * once and stops at the first sign of another protocol. Nothing is read beyond len,
 * whatever the lengths inside say.
 */
#include "host/ct_decode.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

struct span {
	const uint8_t *at;
	size_t left;
};

struct attr {
	unsigned type;
	struct span value;
};

/* The next attribute of in, which moves on; false at the end, with *ret_bad when that is none. */
static inline bool attr_next(struct span *in, struct attr *ret_attr, bool *ret_bad)
{
	struct nlattr head;
	if (in->left < sizeof(head)) {
		*ret_bad |= in->left > 0;
		return false;
	}
	memcpy(&head, in->at, sizeof(head));
	const size_t len = head.nla_len;
	/* In one: too short even for itself, or longer than what there is. */
	if (len - sizeof(head) > in->left - sizeof(head)) {
		*ret_bad = true;
		return false;
	}
	ret_attr->type = head.nla_type & NLA_TYPE_MASK;
	ret_attr->value = (struct span){in->at + NLA_HDRLEN, len - (size_t)NLA_HDRLEN};
	/* The last one may come without its padding. */
	const size_t step = MIN(NLA_ALIGN(len), in->left);
	in->at += step;
	in->left -= step;
	return true;
}

static inline bool take_u16(const struct span *value, uint16_t *ret)
{
	uint16_t raw;
	if (value->left != sizeof(raw))
		return false;
	memcpy(&raw, value->at, sizeof(raw));
	*ret = ntohs(raw);
	return true;
}

static inline bool take_u32(const struct span *value, uint32_t *ret)
{
	uint32_t raw;
	if (value->left != sizeof(raw))
		return false;
	memcpy(&raw, value->at, sizeof(raw));
	*ret = ntohl(raw);
	return true;
}

static inline bool take_u64(const struct span *value, uint64_t *ret)
{
	uint64_t raw;
	if (value->left != sizeof(raw))
		return false;
	memcpy(&raw, value->at, sizeof(raw));
	*ret = be64toh(raw);
	return true;
}

/* The head of an attribute as it lies in memory, to compare a whole one at once. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HEAD(len, type) ((uint32_t)(len) | (uint32_t)(type) << 16)
#else
#define HEAD(len, type) ((uint32_t)(len) << 16 | (uint32_t)(type))
#endif
#define NEST(len, type) HEAD(len, (type) | NLA_F_NESTED)

static inline uint32_t head_at(const uint8_t *bytes)
{
	uint32_t head;
	memcpy(&head, bytes, sizeof(head));
	return head;
}

static inline uint16_t port_at(const uint8_t *bytes)
{
	uint16_t raw;
	memcpy(&raw, bytes, sizeof(raw));
	return ntohs(raw);
}

/* Ports and protocol of a tuple, written one after the other: number, source, destination. */
static inline bool ports_are_plain(const uint8_t *at)
{
	return head_at(at) == NEST(28, CTA_TUPLE_PROTO) &&
	       head_at(at + 4) == HEAD(5, CTA_PROTO_NUM) && at[8] == IPPROTO_TCP &&
	       head_at(at + 12) == HEAD(6, CTA_PROTO_SRC_PORT) &&
	       head_at(at + 20) == HEAD(6, CTA_PROTO_DST_PORT);
}

/*
 * The order in which every kernel so far writes the tuple of a TCP flow. Then it is a few
 * comparisons instead of a walk; false when anything is otherwise: the walk knows what it means.
 */
static inline bool decode_plain_tuple(const struct span *in, struct tg_flow_key *key)
{
	const uint8_t *at = in->at, *ports;
	if (key->family == TG_IPV4) {
		ports = at + 20;
		if (in->left != 48 || head_at(at) != NEST(20, CTA_TUPLE_IP) ||
		    head_at(at + 4) != HEAD(8, CTA_IP_V4_SRC) ||
		    head_at(at + 12) != HEAD(8, CTA_IP_V4_DST) || !ports_are_plain(ports))
			return false;
		memcpy(key->src, at + 8, 4);
		memcpy(key->dst, at + 16, 4);
	} else {
		ports = at + 44;
		if (in->left != 72 || head_at(at) != NEST(44, CTA_TUPLE_IP) ||
		    head_at(at + 4) != HEAD(20, CTA_IP_V6_SRC) ||
		    head_at(at + 24) != HEAD(20, CTA_IP_V6_DST) || !ports_are_plain(ports))
			return false;
		memcpy(key->src, at + 8, 16);
		memcpy(key->dst, at + 28, 16);
	}
	key->sport = port_at(ports + 16);
	key->dport = port_at(ports + 24);
	return true;
}

static bool decode_ip(struct span in, struct tg_flow_key *key)
{
	const bool ipv4 = key->family == TG_IPV4;
	const size_t size = ipv4 ? 4 : 16;
	const unsigned src = ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC;
	const unsigned dst = ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST;
	unsigned seen = 0;
	bool bad = false;
	struct attr attr;
	while (attr_next(&in, &attr, &bad)) {
		if (attr.type != src && attr.type != dst)
			continue;
		if (attr.value.left != size)
			return false;
		memcpy(attr.type == src ? key->src : key->dst, attr.value.at, size);
		seen |= attr.type == src ? 1 : 2;
	}
	return !bad && seen == 3;
}

static enum ct_verdict decode_proto(struct span in, struct tg_flow_key *key)
{
	enum { NUMBER = 1, SPORT = 2, DPORT = 4 };
	unsigned seen = 0;
	uint8_t number = 0;
	bool bad = false;
	struct attr attr;
	while (attr_next(&in, &attr, &bad)) {
		switch (attr.type) {
		case CTA_PROTO_NUM:
			if (attr.value.left != 1)
				return CT_MALFORMED;
			number = *attr.value.at;
			seen |= NUMBER;
			break;
		case CTA_PROTO_SRC_PORT:
			if (!take_u16(&attr.value, &key->sport))
				return CT_MALFORMED;
			seen |= SPORT;
			break;
		case CTA_PROTO_DST_PORT:
			if (!take_u16(&attr.value, &key->dport))
				return CT_MALFORMED;
			seen |= DPORT;
			break;
		}
	}
	if (bad || !(seen & NUMBER))
		return CT_MALFORMED;
	if (number != IPPROTO_TCP)
		return CT_IGNORED;
	return seen == (NUMBER | SPORT | DPORT) ? CT_FLOW : CT_MALFORMED;
}

static enum ct_verdict decode_tuple(struct span in, struct tg_flow_key *key)
{
	if (decode_plain_tuple(&in, key))
		return CT_FLOW;
	enum ct_verdict proto = CT_MALFORMED;
	bool ip = false, bad = false;
	struct attr attr;
	while (attr_next(&in, &attr, &bad)) {
		switch (attr.type) {
		case CTA_TUPLE_IP:
			if (!decode_ip(attr.value, key))
				return CT_MALFORMED;
			ip = true;
			break;
		case CTA_TUPLE_PROTO:
			proto = decode_proto(attr.value, key);
			break;
		case CTA_TUPLE_ZONE: /* a zone of this direction only */
			if (!take_u16(&attr.value, &key->zone))
				return CT_MALFORMED;
			break;
		}
	}
	return bad || !ip ? CT_MALFORMED : proto;
}

/* The kernel's numbers are not ours, and there are states that are none of a flow. */
static uint8_t state_from_kernel(uint8_t number)
{
	static const uint8_t states[] = {
		TG_TCP_UNKNOWN, /* NONE */
		TG_TCP_SYN_SENT,   TG_TCP_SYN_RECV, TG_TCP_ESTABLISHED, TG_TCP_FIN_WAIT,
		TG_TCP_CLOSE_WAIT, TG_TCP_LAST_ACK, TG_TCP_TIME_WAIT,   TG_TCP_CLOSE,
		TG_TCP_SYN_SENT, /* SYN_SENT2: both ends opened at once */
	};
	return number < ARRAY_SIZE(states) ? states[number] : TG_TCP_UNKNOWN;
}

/* As with the tuple: the order that the kernel writes, state, scales and flags of both sides. */
static inline bool protoinfo_is_plain(const struct span *in)
{
	const uint8_t *at = in->at;
	return in->left == 44 && head_at(at) == NEST(44, CTA_PROTOINFO_TCP) &&
	       head_at(at + 4) == HEAD(5, CTA_PROTOINFO_TCP_STATE) &&
	       head_at(at + 12) == HEAD(5, CTA_PROTOINFO_TCP_WSCALE_ORIGINAL) &&
	       head_at(at + 20) == HEAD(5, CTA_PROTOINFO_TCP_WSCALE_REPLY) &&
	       head_at(at + 28) == HEAD(6, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL) &&
	       head_at(at + 36) == HEAD(6, CTA_PROTOINFO_TCP_FLAGS_REPLY);
}

static bool decode_protoinfo(struct span in, uint8_t *ret_state)
{
	if (protoinfo_is_plain(&in)) {
		*ret_state = state_from_kernel(in.at[8]);
		return true;
	}
	bool bad = false;
	struct attr attr, inner;
	while (attr_next(&in, &attr, &bad)) {
		if (attr.type != CTA_PROTOINFO_TCP)
			continue;
		struct span tcp = attr.value;
		while (attr_next(&tcp, &inner, &bad)) {
			if (inner.type != CTA_PROTOINFO_TCP_STATE)
				continue;
			if (inner.value.left != 1)
				return false;
			*ret_state = state_from_kernel(*inner.value.at);
		}
	}
	return !bad;
}

/* One direction's packets and bytes, added to the flow's. *ret_whole: both were there. */
static bool decode_counters(struct span in, struct tg_flow_event *flow, bool *ret_whole)
{
	enum { PACKETS = 1, BYTES = 2 };
	uint64_t packets = 0, bytes = 0;
	unsigned seen = 0;
	bool bad = false;
	struct attr attr;
	while (attr_next(&in, &attr, &bad)) {
		if (attr.type == CTA_COUNTERS_PACKETS) {
			if (!take_u64(&attr.value, &packets))
				return false;
			seen |= PACKETS;
		} else if (attr.type == CTA_COUNTERS_BYTES) {
			if (!take_u64(&attr.value, &bytes))
				return false;
			seen |= BYTES;
		}
	}
	if (seen == (PACKETS | BYTES)) {
		flow->packets += packets;
		flow->bytes += bytes;
		*ret_whole = true;
	}
	return !bad;
}

static inline uint32_t number_at(const uint8_t *bytes)
{
	return ntohl(head_at(bytes));
}

/*
 * As with the tuple: what an event of TCP begins with, both tuples, id and status, and unless the
 * flow is gone the timeout and the state. in moves on behind what was understood, which
 * may be nothing; the walk does the rest, so that it need not be tried for what is rare. False:
 * not even the tuple.
 */
static inline bool decode_plain_attrs(struct span *in, struct tg_flow_event *flow, bool *dying)
{
	const size_t tuple = flow->key.family == TG_IPV4 ? 52 : 76;
	const size_t begin = 2 * tuple + 16, state = 8 + 48;
	const uint8_t *at = in->at, *rest = at + begin;
	const struct span orig = {at + NLA_HDRLEN, tuple - (size_t)NLA_HDRLEN};
	if (in->left < begin || head_at(at) != NEST(tuple, CTA_TUPLE_ORIG) ||
	    head_at(at + tuple) != NEST(tuple, CTA_TUPLE_REPLY) ||
	    head_at(rest - 16) != HEAD(8, CTA_ID) || head_at(rest - 8) != HEAD(8, CTA_STATUS) ||
	    !decode_plain_tuple(&orig, &flow->key))
		return false;
	*dying = number_at(rest - 4) & IPS_DYING;
	*in = (struct span){rest, in->left - begin};
	if (in->left < state || head_at(rest) != HEAD(8, CTA_TIMEOUT) ||
	    head_at(rest + 8) != NEST(48, CTA_PROTOINFO))
		return true;
	const struct span info = {rest + 8 + NLA_HDRLEN, 48 - (size_t)NLA_HDRLEN};
	if (!protoinfo_is_plain(&info))
		return true;
	const uint32_t timeout = number_at(rest + 4);
	flow->timeout_s = MAX(timeout, 1u);
	flow->state = state_from_kernel(info.at[8]);
	*in = (struct span){rest + state, in->left - state};
	return true;
}

static enum ct_verdict decode_attrs(struct span in, struct tg_flow_event *flow, bool *dying)
{
	enum ct_verdict tuple = decode_plain_attrs(&in, flow, dying) ? CT_FLOW : CT_MALFORMED;
	uint32_t number;
	bool orig = false, reply = false, bad = false;
	struct attr attr;
	while (attr_next(&in, &attr, &bad)) {
		switch (attr.type) {
		case CTA_TUPLE_ORIG:
			tuple = decode_tuple(attr.value, &flow->key);
			if (tuple != CT_FLOW)
				return tuple;
			break;
		case CTA_ZONE:
			if (!take_u16(&attr.value, &flow->key.zone))
				return CT_MALFORMED;
			break;
		case CTA_STATUS:
			if (!take_u32(&attr.value, &number))
				return CT_MALFORMED;
			*dying = number & IPS_DYING;
			break;
		case CTA_TIMEOUT:
			if (!take_u32(&attr.value, &number))
				return CT_MALFORMED;
			flow->timeout_s = MAX(number, 1u);
			break;
		case CTA_PROTOINFO:
			if (!decode_protoinfo(attr.value, &flow->state))
				return CT_MALFORMED;
			break;
		case CTA_COUNTERS_ORIG:
			if (!decode_counters(attr.value, flow, &orig))
				return CT_MALFORMED;
			break;
		case CTA_COUNTERS_REPLY:
			if (!decode_counters(attr.value, flow, &reply))
				return CT_MALFORMED;
			break;
		}
	}
	/* Half of the truth would make a download look idle. */
	flow->counted = orig && reply;
	if (!flow->counted)
		flow->packets = flow->bytes = 0;
	return bad ? CT_MALFORMED : tuple;
}

enum ct_verdict ct_decode_flow(const void *bytes, size_t len, enum ct_kind *kind, bool *dying,
			       struct tg_flow_event *flow)
{
	struct nlmsghdr header;
	struct nfgenmsg generic;
	if (len < NLMSG_HDRLEN + sizeof(generic))
		return CT_MALFORMED;
	memcpy(&header, bytes, sizeof(header));
	memcpy(&generic, (const uint8_t *)bytes + NLMSG_HDRLEN, sizeof(generic));
	if (header.nlmsg_len < NLMSG_HDRLEN + sizeof(generic) || header.nlmsg_len > len)
		return CT_MALFORMED;
	if (NFNL_SUBSYS_ID(header.nlmsg_type) != NFNL_SUBSYS_CTNETLINK)
		return CT_IGNORED;

	switch (NFNL_MSG_TYPE(header.nlmsg_type)) {
	case IPCTNL_MSG_CT_NEW:
		*kind = header.nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL) ? CT_NEW : CT_UPDATE;
		break;
	case IPCTNL_MSG_CT_DELETE:
		*kind = CT_DESTROY;
		break;
	default:
		return CT_IGNORED;
	}
	if (generic.nfgen_family != AF_INET && generic.nfgen_family != AF_INET6)
		return CT_IGNORED;
	*dying = false;
	*flow = (struct tg_flow_event){.state = TG_TCP_UNKNOWN};
	flow->key.family = generic.nfgen_family == AF_INET ? TG_IPV4 : TG_IPV6;
	const struct span attrs = {
		(const uint8_t *)bytes + NLMSG_HDRLEN + sizeof(generic),
		header.nlmsg_len - NLMSG_HDRLEN - sizeof(generic),
	};
	return decode_attrs(attrs, flow, dying);
}

enum ct_verdict ct_decode(const void *bytes, size_t len, struct ct_message *ret_message)
{
	struct ct_message message;
	const enum ct_verdict verdict =
		ct_decode_flow(bytes, len, &message.kind, &message.dying, &message.flow);
	if (verdict == CT_FLOW)
		*ret_message = message;
	return verdict;
}
