/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the bytes of a frame to the TCP header in it. Owns nothing and knows no file format. Reads
 * what conntrack would look at: tunnels stay closed, checksums are not verified, because a capture
 * of the sender's side is taken before the card fills them in.
 */
#include "packet.h"

#include <stdbool.h>
#include <string.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define IP_TCP 6
#define TCP_HEADER 20

/* What is left of a frame: captured bytes, and how many there were on the wire. */
struct rest {
	const uint8_t *at;
	size_t len, wire;
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static bool skip(struct rest *rest, size_t count)
{
	if (rest->len < count)
		return false;
	rest->at += count;
	rest->len -= count;
	rest->wire = rest->wire > count ? rest->wire - count : 0;
	return true;
}

/* length is of the TCP segment, as the IP header says. */
static enum packet_kind decode_tcp(const struct rest *rest, size_t length, struct packet *packet)
{
	const uint8_t *at = rest->at;
	if (length < TCP_HEADER)
		return PACKET_BROKEN;
	if (rest->len < TCP_HEADER)
		return PACKET_CUT;
	const size_t header = (size_t)(at[12] >> 4) * 4;
	if (header < TCP_HEADER || header > length)
		return PACKET_BROKEN;
	packet->key.sport = get16(at);
	packet->key.dport = get16(at + 2);
	packet->seq = get32(at + 4);
	packet->ack = get32(at + 8);
	packet->flags = at[13] & 0x3f;
	packet->payload = (uint32_t)(length - header);
	return PACKET_TCP;
}

static enum packet_kind decode_ipv4(struct rest rest, struct packet *packet)
{
	if (rest.len < 20)
		return PACKET_CUT;
	const uint8_t *at = rest.at;
	const size_t header = (size_t)(at[0] & 15) * 4;
	size_t length = get16(at + 2);
	const unsigned fragment = get16(at + 6) & 0x1fff;
	if (length == 0)
		length = rest.wire; /* a segment over 64 KiB that the card was to cut up */
	if (at[0] >> 4 != 4 || header < 20 || length < header)
		return PACKET_BROKEN;
	if (at[9] != IP_TCP)
		return PACKET_OTHER;
	if (fragment > 0)
		return PACKET_FRAGMENT;
	packet->key.family = TG_IPV4;
	memcpy(packet->key.src, at + 12, 4);
	memcpy(packet->key.dst, at + 16, 4);
	packet->bytes = (uint32_t)length;
	if (!skip(&rest, header))
		return PACKET_CUT;
	return decode_tcp(&rest, length - header, packet);
}

/* The size of an IPv6 extension header, 0 if next is none that may stand before TCP. */
static size_t extension_size(unsigned next, const uint8_t *at)
{
	switch (next) {
	case 0:   /* hop by hop */
	case 43:  /* routing */
	case 60:  /* destination options */
	case 135: /* mobility */
		return ((size_t)at[1] + 1) * 8;
	case 44: /* fragment */
		return 8;
	case 51: /* authentication, which counts in fours */
		return ((size_t)at[1] + 2) * 4;
	default:
		return 0;
	}
}

static enum packet_kind decode_extensions(struct rest *rest, unsigned next, size_t *length)
{
	while (next != IP_TCP) {
		/* Every one of them has at least eight bytes, so that this comes to an end. */
		static const uint8_t none[2];
		size_t size = extension_size(next, rest->len >= 2 ? rest->at : none);
		if (size == 0)
			return PACKET_OTHER;
		if (rest->len < 8)
			return PACKET_CUT;
		if (size > *length)
			return PACKET_BROKEN;
		if (next == 44 && (get16(rest->at + 2) & 0xfff8) != 0)
			return rest->at[0] == IP_TCP ? PACKET_FRAGMENT : PACKET_OTHER;
		next = rest->at[0];
		*length -= size;
		if (!skip(rest, size))
			return PACKET_CUT;
	}
	return PACKET_TCP;
}

static enum packet_kind decode_ipv6(struct rest rest, struct packet *packet)
{
	if (rest.len < 40)
		return PACKET_CUT;
	const uint8_t *at = rest.at;
	size_t length = get16(at + 4);
	if (at[0] >> 4 != 6)
		return PACKET_BROKEN;
	const struct tg_addr src = tg_addr_from_ipv6(at + 8), dst = tg_addr_from_ipv6(at + 24);
	(void)skip(&rest, 40); /* there are as many */
	if (length == 0)
		length = rest.wire; /* as for IPv4 */
	packet->bytes = (uint32_t)(length + 40);
	enum packet_kind kind = decode_extensions(&rest, at[6], &length);
	if (kind != PACKET_TCP)
		return kind;
	/* An IPv4-mapped address is for a host's inside: on a wire it is forged. */
	if (src.family != TG_IPV6 || dst.family != TG_IPV6)
		return PACKET_BROKEN;
	packet->key.family = TG_IPV6;
	memcpy(packet->key.src, src.bytes, 16);
	memcpy(packet->key.dst, dst.bytes, 16);
	return decode_tcp(&rest, length, packet);
}

static enum packet_kind decode_ip(struct rest rest, struct packet *packet)
{
	if (rest.len == 0)
		return PACKET_CUT;
	switch (rest.at[0] >> 4) {
	case 4:
		return decode_ipv4(rest, packet);
	case 6:
		return decode_ipv6(rest, packet);
	default:
		return PACKET_OTHER;
	}
}

static enum packet_kind decode_ethertype(struct rest rest, unsigned type, struct packet *packet)
{
	/* VLAN tags, one in the other as they come: their own type names them all. */
	while (type == 0x8100 || type == 0x88a8 || type == 0x9100) {
		const uint8_t *tag = rest.at;
		if (!skip(&rest, 4))
			return PACKET_CUT;
		type = get16(tag + 2);
	}
	switch (type) {
	case ETHERTYPE_IPV4:
		return decode_ipv4(rest, packet);
	case ETHERTYPE_IPV6:
		return decode_ipv6(rest, packet);
	default:
		return PACKET_OTHER;
	}
}

enum packet_kind packet_decode(enum packet_link link, const uint8_t *bytes, size_t len,
			       size_t wire_len, struct packet *ret_packet)
{
	static const struct {
		uint8_t size, type; /* of the header, and where its ethertype stands */
	} links[PACKET_LINK_COUNT] = {[PACKET_LINK_ETHERNET] = {14, 12},
				      [PACKET_LINK_SLL] = {16, 14},
				      [PACKET_LINK_SLL2] = {20, 0},
				      [PACKET_LINK_RAW] = {0, 0},
				      [PACKET_LINK_NULL] = {4, 0}};
	struct rest rest = {bytes, len, wire_len};
	struct packet packet = {0};
	if (!skip(&rest, links[link].size))
		return PACKET_CUT;
	enum packet_kind kind;
	/* The numbers of address families differ from system to system, the IP version does not. */
	if (link == PACKET_LINK_RAW || link == PACKET_LINK_NULL)
		kind = decode_ip(rest, &packet);
	else
		kind = decode_ethertype(rest, get16(bytes + links[link].type), &packet);
	if (kind == PACKET_TCP)
		*ret_packet = packet;
	return kind;
}
