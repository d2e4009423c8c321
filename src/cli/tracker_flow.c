/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a packet means to its connection, as Linux's connection tracking judges it: the states of
 * nf_conntrack_proto_tcp and what an observer sees of them. Windows are looked at where a forged
 * packet would count most, in the handshake and at a reset, and nowhere else: a capture may have
 * lost what they would be measured by.
 */
#include "tracker_flow.h"

#include <string.h>

/* An acknowledgement further back than this is nobody's. The kernel's MAXACKWINDOW. */
#define ACK_WINDOW 66000

enum segment { SEGMENT_NONE, SEGMENT_SYN, SEGMENT_SYNACK, SEGMENT_ACK, SEGMENT_FIN, SEGMENT_RST };

/* PSH is free to come with everything, ECN's bits were never read. */
static enum segment segment_of(const struct packet *packet)
{
	switch (packet->flags & ~PACKET_PSH & 0xff) {
	case PACKET_SYN:
	case PACKET_SYN | PACKET_URG:
		return SEGMENT_SYN;
	case PACKET_SYN | PACKET_ACK:
		return SEGMENT_SYNACK;
	case PACKET_ACK:
	case PACKET_ACK | PACKET_URG:
		return SEGMENT_ACK;
	case PACKET_FIN | PACKET_ACK:
	case PACKET_FIN | PACKET_ACK | PACKET_URG:
		return SEGMENT_FIN;
	case PACKET_RST:
	case PACKET_RST | PACKET_ACK:
		return SEGMENT_RST;
	default:
		return SEGMENT_NONE;
	}
}

static bool is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static uint32_t end_of(const struct packet *packet)
{
	return packet->seq + packet->payload + ((packet->flags & PACKET_SYN) != 0) +
	       ((packet->flags & PACKET_FIN) != 0);
}

bool tracker_flow_may_begin(const struct packet *packet)
{
	return segment_of(packet) == SEGMENT_SYN;
}

void tracker_flow_begin(struct tracker_flow *flow, const struct packet *packet)
{
	*flow = (struct tracker_flow){.key = packet->key,
				      .state = TG_TCP_SYN_SENT,
				      .end = {end_of(packet)},
				      .has_end = {true}};
}

bool tracker_flow_unacked(const struct tracker_flow *flow)
{
	for (int dir = 0; dir < 2; dir++)
		if (flow->has_end[dir] && flow->has_acked[!dir] &&
		    is_before(flow->acked[!dir], flow->end[dir]))
			return true;
	return false;
}

/* Does it acknowledge what the other side has sent? */
static bool acks_handshake(const struct tracker_flow *flow, int dir, const struct packet *packet)
{
	return flow->has_end[!dir] && flow->end[!dir] - packet->ack < ACK_WINDOW;
}

/* TG_TCP_UNKNOWN, here and below: the packet is not for this state. */
static enum tg_tcp_state after_syn(const struct tracker_flow *flow)
{
	/* From both sides at once it is still half a handshake. */
	return flow->state == TG_TCP_SYN_SENT ? TG_TCP_SYN_SENT : TG_TCP_UNKNOWN;
}

static enum tg_tcp_state after_synack(const struct tracker_flow *flow, int dir,
				      const struct packet *packet)
{
	if (flow->state != TG_TCP_SYN_SENT || (dir == 0 && !flow->both_open))
		return TG_TCP_UNKNOWN;
	return acks_handshake(flow, dir, packet) ? TG_TCP_SYN_RECV : TG_TCP_UNKNOWN;
}

static enum tg_tcp_state after_ack(const struct tracker_flow *flow, int dir,
				   const struct packet *packet)
{
	switch (flow->state) {
	case TG_TCP_SYN_SENT:
		return TG_TCP_UNKNOWN;
	case TG_TCP_SYN_RECV:
		if (dir == 1)
			return TG_TCP_SYN_RECV;
		return acks_handshake(flow, dir, packet) ? TG_TCP_ESTABLISHED : TG_TCP_UNKNOWN;
	case TG_TCP_FIN_WAIT:
		return TG_TCP_CLOSE_WAIT;
	case TG_TCP_LAST_ACK:
		return TG_TCP_TIME_WAIT;
	case TG_TCP_ESTABLISHED:
	case TG_TCP_CLOSE_WAIT:
	case TG_TCP_TIME_WAIT:
	case TG_TCP_CLOSE:
	case TG_TCP_UNKNOWN:
		break;
	}
	return flow->state;
}

static enum tg_tcp_state after_fin(const struct tracker_flow *flow)
{
	switch (flow->state) {
	case TG_TCP_SYN_SENT:
		return TG_TCP_UNKNOWN;
	case TG_TCP_SYN_RECV:
	case TG_TCP_ESTABLISHED:
		return TG_TCP_FIN_WAIT;
	case TG_TCP_FIN_WAIT: /* the other side's, or the same again: the kernel does not ask */
	case TG_TCP_CLOSE_WAIT:
		return TG_TCP_LAST_ACK;
	case TG_TCP_LAST_ACK:
	case TG_TCP_TIME_WAIT:
	case TG_TCP_CLOSE:
	case TG_TCP_UNKNOWN:
		break;
	}
	return flow->state;
}

/*
 * A reset is for who expects its sequence number. In an open connection it must be that to the
 * byte, or follow what was just sent from there; else the other side asks back, and the connection
 * goes on.
 */
static enum tg_tcp_state after_rst(const struct tracker_flow *flow, int dir,
				   const struct packet *packet)
{
	switch (flow->state) {
	case TG_TCP_SYN_SENT:
		return !(packet->flags & PACKET_ACK) || acks_handshake(flow, dir, packet)
			       ? TG_TCP_CLOSE
			       : TG_TCP_UNKNOWN;
	case TG_TCP_SYN_RECV:
	case TG_TCP_ESTABLISHED:
		break;
	case TG_TCP_FIN_WAIT:
	case TG_TCP_CLOSE_WAIT:
	case TG_TCP_LAST_ACK:
	case TG_TCP_TIME_WAIT:
	case TG_TCP_CLOSE:
	case TG_TCP_UNKNOWN:
		return TG_TCP_CLOSE; /* hardly anything is expected any more */
	}
	/* What is expected is not known, if this may be the answer to a SYN let pass. */
	if (!flow->has_acked[!dir] || flow->ignored)
		return TG_TCP_CLOSE;
	if (is_before(packet->seq, flow->acked[!dir]))
		return TG_TCP_UNKNOWN; /* a blind guess, or late */
	if (flow->state == TG_TCP_ESTABLISHED && packet->seq != flow->acked[!dir] &&
	    !(flow->last_ack[dir] && packet->seq == flow->last_end))
		return TG_TCP_ESTABLISHED;
	return TG_TCP_CLOSE;
}

static void note_sequence(struct tracker_flow *flow, int dir, const struct packet *packet,
			  bool anew)
{
	const uint32_t end = end_of(packet);
	if (anew || !flow->has_end[dir] || is_before(flow->end[dir], end))
		flow->end[dir] = end;
	flow->has_end[dir] = true;
	if (!(packet->flags & PACKET_ACK))
		return;
	if (anew || !flow->has_acked[dir] || is_before(flow->acked[dir], packet->ack))
		flow->acked[dir] = packet->ack;
	flow->has_acked[dir] = true;
}

/*
 * A client's SYN into a connection is let pass without belief: whether the tracking is wrong about
 * the connection, the answer shows. A SYN-ACK to it proves the client right.
 */
static enum tracker_step step_pass(struct tracker_flow *flow, int dir, const struct packet *packet,
				   enum segment segment)
{
	if (segment == SEGMENT_SYN && dir == 0) {
		flow->ignored = true;
		flow->ignored_end = end_of(packet);
		return TRACKER_PASSED;
	}
	/* An acknowledgement too early is an answer, too: a reset is then not the only one. */
	if (segment == SEGMENT_ACK && dir == 1 && flow->state == TG_TCP_SYN_SENT) {
		flow->replied = true;
		note_sequence(flow, dir, packet, true);
		return TRACKER_PASSED;
	}
	if (segment != SEGMENT_SYNACK || dir == 0)
		return TRACKER_INVALID;
	if (!flow->ignored || packet->ack != flow->ignored_end)
		return TRACKER_PASSED;
	*flow = (struct tracker_flow){.key = flow->key,
				      .state = TG_TCP_SYN_RECV,
				      .end = {flow->ignored_end},
				      .has_end = {true},
				      .replied = true};
	note_sequence(flow, dir, packet, true);
	return TRACKER_TAKEN;
}

static bool is_reopened(const struct tracker_flow *flow, int dir, enum segment segment)
{
	if (segment != SEGMENT_SYN)
		return false;
	/* Either side may begin again; after a reset only who was the client. */
	return (flow->state == TG_TCP_TIME_WAIT || (flow->state == TG_TCP_CLOSE && dir == 0)) &&
	       (flow->fin_seen || flow->last_rst[dir]);
}

static enum tg_tcp_state next_state(const struct tracker_flow *flow, int dir,
				    const struct packet *packet, enum segment segment)
{
	switch (segment) {
	case SEGMENT_SYN:
		return after_syn(flow);
	case SEGMENT_SYNACK:
		return after_synack(flow, dir, packet);
	case SEGMENT_ACK:
		return after_ack(flow, dir, packet);
	case SEGMENT_FIN:
		return after_fin(flow);
	case SEGMENT_RST:
		return after_rst(flow, dir, packet);
	case SEGMENT_NONE:
		break;
	}
	return TG_TCP_UNKNOWN;
}

enum tracker_step tracker_flow_step(struct tracker_flow *flow, int dir, const struct packet *packet)
{
	const enum segment segment = segment_of(packet);
	if (is_reopened(flow, dir, segment))
		return TRACKER_REOPEN;
	const enum tg_tcp_state next = next_state(flow, dir, packet, segment);
	if (next == TG_TCP_UNKNOWN) {
		const enum tracker_step step = step_pass(flow, dir, packet, segment);
		if (step == TRACKER_PASSED)
			flow->last_rst[0] = flow->last_rst[1] = false;
		return step;
	}
	if (segment == SEGMENT_RST && flow->state == TG_TCP_SYN_SENT && !flow->replied) {
		flow->state = TG_TCP_CLOSE;
		return TRACKER_REFUSED;
	}
	/* A SYN that is sent again may be another one, and before its answer nothing counts. */
	note_sequence(flow, dir, packet, segment == SEGMENT_SYN || segment == SEGMENT_SYNACK);
	flow->both_open |= segment == SEGMENT_SYN && dir == 1;
	flow->replied |= dir == 1;
	flow->fin_seen |= segment == SEGMENT_FIN && next == TG_TCP_FIN_WAIT;
	flow->last_rst[dir] = segment == SEGMENT_RST;
	flow->last_rst[!dir] = false;
	flow->last_ack[dir] = segment == SEGMENT_ACK;
	flow->last_ack[!dir] = false;
	flow->last_end = end_of(packet);
	flow->ignored = false;
	flow->state = next;
	return TRACKER_TAKEN;
}
