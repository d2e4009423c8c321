/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a conntrack entry is named to the kernel: its zone and its original tuple. */
#include "netfilter/ct_encode.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

static size_t encode(void *buf, uint8_t type, uint32_t seq, const struct tg_flow_key *key)
{
	const bool ipv4 = key->family == TG_IPV4;
	const size_t size = ipv4 ? 4 : 16;
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
	header->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	header->nlmsg_flags = NLM_F_REQUEST;
	header->nlmsg_seq = seq;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	*generic = (struct nfgenmsg){
		.nfgen_family = ipv4 ? AF_INET : AF_INET6,
		.version = NFNETLINK_V0,
	};
	if (key->zone != 0)
		mnl_attr_put_u16(header, CTA_ZONE, htons(key->zone));
	struct nlattr *tuple = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
	struct nlattr *nest = mnl_attr_nest_start(header, CTA_TUPLE_IP);
	mnl_attr_put(header, ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, size, key->src);
	mnl_attr_put(header, ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, size, key->dst);
	mnl_attr_nest_end(header, nest);
	nest = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(header, CTA_PROTO_NUM, IPPROTO_TCP);
	mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(key->sport));
	mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(key->dport));
	mnl_attr_nest_end(header, nest);
	mnl_attr_nest_end(header, tuple);
	assert(header->nlmsg_len <= CT_ENCODE_MAX);
	return NLMSG_ALIGN(header->nlmsg_len);
}

size_t ct_encode_get(void *buf, uint32_t seq, const struct tg_flow_key *key)
{
	return encode(buf, IPCTNL_MSG_CT_GET, seq, key);
}

size_t ct_encode_delete(void *buf, uint32_t seq, const struct tg_flow_key *key)
{
	return encode(buf, IPCTNL_MSG_CT_DELETE, seq, key);
}
