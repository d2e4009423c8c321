/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_CONNECTION_H
#define TESTS_CONNECTION_H

/* What conntrack tells of an ordinary connection, from its first SYN to its end. */
#include <tcpguard/event.h>

static const struct {
	enum tg_event_type type;
	enum tg_tcp_state state;
	uint32_t timeout_s;
} life[] = {
	{TG_EVENT_FLOW_NEW, TG_TCP_SYN_SENT, 120},
	{TG_EVENT_FLOW_STATE, TG_TCP_SYN_RECV, 60},
	{TG_EVENT_FLOW_STATE, TG_TCP_ESTABLISHED, 432000},
	{TG_EVENT_FLOW_STATE, TG_TCP_FIN_WAIT, 120},
	{TG_EVENT_FLOW_STATE, TG_TCP_LAST_ACK, 30},
	{TG_EVENT_FLOW_STATE, TG_TCP_TIME_WAIT, 120},
	{TG_EVENT_FLOW_END, TG_TCP_UNKNOWN, 0},
};

#endif
