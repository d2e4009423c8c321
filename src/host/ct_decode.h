/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_CT_DECODE_H
#define HOST_CT_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include <tcpguard/event.h>

enum ct_kind {
	CT_NEW,    /* the entry was made */
	CT_UPDATE, /* it changed; also what dumps and answers carry */
	CT_DESTROY /* it is gone */
};

struct ct_message {
	enum ct_kind kind;
	bool dying; /* IPS_DYING: out of the table already, its DESTROY is under way */
	struct tg_flow_event flow;
};

enum ct_verdict {
	CT_FLOW,     /* a TCP flow */
	CT_IGNORED,  /* sound as far as looked at, and not about a TCP flow over IPv4 or IPv6 */
	CT_MALFORMED /* cannot be from ctnetlink */
};

/*
 * One netlink message of len bytes, as ctnetlink writes it. *ret_message is written for CT_FLOW
 * only; what the message does not say is TG_TCP_UNKNOWN, timeout 0, zone 0. A timeout
 * under one second is told as 1, because 0 says that none was told. Packets and bytes are the sum
 * of both directions, and told only if the message has both: in dumps, answers and DESTROY, of a
 * flow that began while accounting was on.
 */
enum ct_verdict ct_decode(const void *bytes, size_t len, struct ct_message *ret_message);
/*
 * The same for a stream of events: straight to where they belong, because copying what
 * was only just written byte by byte costs as much as decoding it. All three are written to
 * whatever the verdict, and mean something for CT_FLOW only.
 */
enum ct_verdict ct_decode_flow(const void *bytes, size_t len, enum ct_kind *kind, bool *dying,
			       struct tg_flow_event *flow);

#endif
