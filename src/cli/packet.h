/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_PACKET_H
#define CLI_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

/* A captured frame, read as far as the header of TCP. */

enum packet_link {
	PACKET_LINK_ETHERNET,
	PACKET_LINK_SLL,  /* Linux "cooked" */
	PACKET_LINK_SLL2, /* its second version */
	PACKET_LINK_RAW,  /* begins with the IP header */
	PACKET_LINK_NULL, /* four bytes of address family before it */
	PACKET_LINK_COUNT
};

enum packet_kind {
	PACKET_TCP,
	PACKET_OTHER,    /* no TCP over IP */
	PACKET_FRAGMENT, /* not the first of its datagram: has no ports */
	PACKET_CUT,      /* the capture ends within the headers */
	PACKET_BROKEN,   /* headers that contradict themselves */
	PACKET_KIND_COUNT
};

enum {
	PACKET_FIN = 0x01,
	PACKET_SYN = 0x02,
	PACKET_RST = 0x04,
	PACKET_PSH = 0x08,
	PACKET_ACK = 0x10,
	PACKET_URG = 0x20
};

struct packet {
	struct tg_flow_key key; /* src is who sent this packet */
	uint32_t seq, ack;
	uint32_t bytes;   /* with the IP header, as conntrack counts */
	uint32_t payload; /* of TCP */
	uint8_t flags;
};

/*
 * bytes are the len that were captured of wire_len. *ret_packet is written for PACKET_TCP only. No
 * byte beyond len is read.
 */
enum packet_kind packet_decode(enum packet_link link, const uint8_t *bytes, size_t len,
			       size_t wire_len, struct packet *ret_packet);

#endif
