/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the writing of traces. A flow is named in full once and by its slot from then
 * on, as long as no other flow took the slot: which slot is the writer's choice alone,
 * so that keys that meet cost bytes and nothing else.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/protect.h>

#include "base/util.h"
#include "trace_format.h"

struct endpoint {
	uint8_t addr[16];
	uint16_t port, zone;
	uint8_t family;
	bool used;
};

struct tg_trace_writer {
	struct tg_trace_header header;
	tg_time now;
	struct endpoint endpoints[TRACE_ENDPOINTS];
	uint8_t used[TRACE_FLOWS / 8];
	struct tg_flow_key flows[TRACE_FLOWS];
};

struct tg_trace_writer *tg_trace_writer_create(const struct tg_trace_header *header)
{
	struct tg_trace_writer *writer = calloc(1, sizeof(*writer));
	if (!writer)
		return NULL;
	writer->header = *header;
	writer->now = header->start;
	return writer;
}

void tg_trace_writer_destroy(struct tg_trace_writer *writer)
{
	free(writer);
}

static uint8_t *put_bytes(uint8_t *out, const void *bytes, size_t len)
{
	memcpy(out, bytes, len);
	return out + len;
}

static uint8_t *put_u8(uint8_t *out, uint8_t value)
{
	*out = value;
	return out + 1;
}

static uint8_t *put_u16(uint8_t *out, uint16_t value)
{
	out[0] = (uint8_t)value;
	out[1] = (uint8_t)(value >> 8);
	return out + 2;
}

static uint8_t *put_u64(uint8_t *out, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(value >> (8 * i));
	return out + 8;
}

static uint8_t *put_varint(uint8_t *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*out++ = (uint8_t)(value | 0x80);
	*out = (uint8_t)value;
	return out + 1;
}

static uint8_t *put_text(uint8_t *out, const char *text)
{
	const size_t len = strlen(text);
	return put_bytes(put_u8(out, (uint8_t)len), text, len);
}

static size_t family_size(unsigned family)
{
	return family == TG_IPV4 ? 4 : 16;
}

static uint8_t *put_prefix(uint8_t *out, const struct tg_prefix *prefix)
{
	out = put_u8(out, prefix->addr.family);
	out = put_u8(out, prefix->len);
	return put_bytes(out, prefix->addr.bytes, family_size(prefix->addr.family));
}

void tg_trace_write_header(const struct tg_trace_writer *writer,
			   uint8_t out[static TG_TRACE_HEADER_SIZE])
{
	out = put_bytes(out, TRACE_MAGIC, TRACE_MAGIC_SIZE);
	out = put_u16(out, TG_TRACE_VERSION);
	out = put_u16(out, 0);
	out = put_bytes(out, writer->header.seed, sizeof(writer->header.seed));
	/* A capture's clock may say anything; what the reader refuses must not be written. */
	out = put_u64(out, MIN(writer->header.start, TRACE_TIME_MAX));
	(void)put_u64(out, MIN(writer->header.wall_ms, TRACE_WALL_MAX));
}

/* No secret: keys made to meet only make the trace longer. */
static uint32_t key_slot(const struct tg_flow_key *key)
{
	uint64_t words[5], hash = 0;
	_Static_assert(sizeof(words) == sizeof(*key), "a key is five words");
	memcpy(words, key, sizeof(words));
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		hash = ((hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15)) ^ (hash >> 29);
	return (uint32_t)((hash ^ (hash >> 32)) * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

static uint8_t *put_key(struct tg_trace_writer *writer, const struct tg_flow_key *key, uint8_t *out)
{
	uint32_t hash = key->dport + key->zone * UINT32_C(31);
	for (unsigned i = 0; i < 16; i++)
		hash = hash * 33 + key->dst[i];
	const uint8_t index = (uint8_t)(hash ^ (hash >> 8));
	struct endpoint *endpoint = &writer->endpoints[index];
	const size_t size = family_size(key->family);
	const bool known = endpoint->used && endpoint->family == key->family &&
			   endpoint->port == key->dport && endpoint->zone == key->zone &&
			   memcmp(endpoint->addr, key->dst, 16) == 0;
	out = put_u8(out, (uint8_t)((key->family == TG_IPV6 ? TRACE_KEY_IPV6 : 0) |
				    (known ? 0 : TRACE_KEY_HAS_ENDPOINT)));
	out = put_bytes(out, key->src, size);
	out = put_u16(out, key->sport);
	out = put_u8(out, index);
	if (known)
		return out;
	*endpoint = (struct endpoint){
		.port = key->dport, .zone = key->zone, .family = key->family, .used = true};
	memcpy(endpoint->addr, key->dst, 16);
	out = put_bytes(out, key->dst, size);
	out = put_u16(out, key->dport);
	return put_u16(out, key->zone);
}

/* begin is the record's first byte: whether the key stands in the record is a bit of it. */
static uint8_t *put_flow(struct tg_trace_writer *writer, const struct tg_flow_event *flow,
			 uint8_t *begin, uint8_t *out)
{
	const uint32_t slot = key_slot(&flow->key);
	out = put_u8(out, (uint8_t)(flow->state | (flow->dumped ? TRACE_DUMPED : 0) |
				    (flow->answered ? TRACE_ANSWERED : 0) |
				    (flow->timeout_s ? TRACE_HAS_TIMEOUT : 0) |
				    (flow->counted ? TRACE_HAS_COUNTERS : 0)));
	if (flow->timeout_s)
		out = put_varint(out, flow->timeout_s);
	if (flow->counted)
		out = put_varint(put_varint(out, flow->packets), flow->bytes);
	out = put_u16(out, (uint16_t)slot);
	uint8_t *used = &writer->used[slot / 8];
	const uint8_t bit = (uint8_t)(1 << slot % 8);
	if ((*used & bit) && memcmp(&writer->flows[slot], &flow->key, sizeof(flow->key)) == 0)
		return out;
	*used |= bit;
	writer->flows[slot] = flow->key;
	*begin |= TRACE_HAS_KEY;
	return put_key(writer, &flow->key, out);
}

static uint8_t *put_rate(uint8_t *out, const struct tg_rate *rate)
{
	return put_varint(put_varint(out, rate->count), rate->per_ms);
}

static uint8_t *put_request(uint8_t *out, const struct tg_ban_request *request)
{
	out = put_varint(out, request->request);
	out = put_u8(out, request->all);
	out = put_prefix(out, &request->source);
	out = put_u8(out, trace_action(request->action));
	out = put_u8(out, (uint8_t)request->scope);
	out = put_rate(out, &request->to);
	out = put_varint(out, request->expire_ms);
	out = put_u8(out, request->force);
	return put_text(out, request->reason);
}

static uint8_t *put_adopt(uint8_t *out, const struct tg_adopt *adopt)
{
	out = put_u8(out, (uint8_t)((adopt->stored ? TRACE_STORED : 0) |
				    (adopt->record ? TRACE_RECORD : 0) |
				    (adopt->unproven ? TRACE_UNPROVEN : 0)));
	out = put_prefix(out, &adopt->source);
	out = put_u8(out, trace_action(adopt->action));
	out = put_u8(out, (uint8_t)adopt->scope);
	out = put_u8(out, (uint8_t)adopt->origin);
	out = put_text(out, adopt->policy);
	out = put_text(out, adopt->limit);
	out = put_rate(out, &adopt->to);
	out = put_varint(out, adopt->measured);
	out = put_varint(out, adopt->threshold);
	out = put_varint(out, adopt->offence);
	out = put_varint(out, adopt->age_ms);
	out = put_varint(out, adopt->left_ms);
	return put_text(out, adopt->reason);
}

static uint8_t *put_witness(uint8_t *out, const struct tg_witness *witness)
{
	out = put_prefix(out, &witness->source);
	out = put_text(out, witness->policy);
	out = put_text(out, witness->limit);
	return put_varint(out, witness->proven);
}

static uint8_t *put_traffic(uint8_t *out, const struct tg_traffic *traffic)
{
	out = put_prefix(out, &traffic->source);
	out = put_u8(out, (uint8_t)traffic->scope);
	out = put_text(out, traffic->policy);
	out = put_varint(out, traffic->packets);
	return traffic->proxied ? put_varint(out, traffic->finished) : out;
}

static uint8_t *put_fuse(uint8_t *out, const struct tg_fuse *fuse)
{
	out = put_u8(out, fuse->source.family);
	out = put_bytes(out, fuse->source.bytes, family_size(fuse->source.family));
	out = put_text(out, fuse->policy);
	out = put_text(out, fuse->limit);
	out = put_varint(out, fuse->threshold);
	return put_varint(put_varint(out, fuse->window_ms), fuse->burst);
}

static size_t protected_count(const struct tg_prefix_set *set)
{
	size_t ipv4, ipv6;
	(void)tg_prefix_set_members(set, TG_IPV4, &ipv4);
	(void)tg_prefix_set_members(set, TG_IPV6, &ipv6);
	return ipv4 + ipv6;
}

static uint8_t *put_protected(uint8_t *out, const struct tg_prefix_set *set)
{
	out = put_varint(out, protected_count(set));
	for (unsigned f = 0; f < TG_FAMILY_COUNT; f++) {
		size_t count;
		const struct tg_protected_prefix *members =
			tg_prefix_set_members(set, (enum tg_family)f, &count);
		for (size_t i = 0; i < count; i++) {
			out = put_prefix(out, &members[i].prefix);
			out = put_u8(out, (uint8_t)members[i].kind);
		}
	}
	return out;
}

/* 0: no trace holds it. */
static unsigned trace_type(enum tg_event_type type)
{
	switch (type) {
	case TG_EVENT_FLOW_NEW:
		return TRACE_FLOW_NEW;
	case TG_EVENT_FLOW_STATE:
		return TRACE_FLOW_STATE;
	case TG_EVENT_FLOW_END:
		return TRACE_FLOW_END;
	case TG_EVENT_GAP:
		return TRACE_GAP;
	case TG_EVENT_RESYNC_BEGIN:
		return TRACE_RESYNC_BEGIN;
	case TG_EVENT_RESYNC_END:
		return TRACE_RESYNC_END;
	case TG_EVENT_RESYNC_FAILED:
		return TRACE_RESYNC_FAILED;
	case TG_EVENT_TICK:
		return TRACE_TICK;
	case TG_EVENT_ADOPT:
		return TRACE_ADOPT;
	case TG_EVENT_SINK_LOST:
		return TRACE_SINK_LOST;
	case TG_EVENT_WITNESS:
		return TRACE_WITNESS;
	case TG_EVENT_TRAFFIC:
		return TRACE_TRAFFIC;
	case TG_EVENT_FUSE:
		return TRACE_FUSE;
	case TG_EVENT_OPERATOR_BAN:
		return TRACE_OPERATOR_BAN;
	case TG_EVENT_OPERATOR_UNBAN:
		return TRACE_OPERATOR_UNBAN;
	case TG_EVENT_PANIC:
		return TRACE_PANIC;
	case TG_EVENT_PROTECTED:
		return TRACE_PROTECTED;
	case TG_EVENT_ADMINS:
		return TRACE_ADMINS;
	case TG_EVENT_FEED:
		return TRACE_FEED;
	case TG_EVENT_REQUESTS:
		return TRACE_REQUESTS;
	case TG_EVENT_POLICY:
		return TRACE_POLICY;
	case TG_EVENT_ACK:
		break; /* of a kernel that a replay does not have */
	}
	return 0;
}

static uint8_t *put_body(struct tg_trace_writer *writer, const struct tg_event *event,
			 unsigned type, uint8_t *begin, uint8_t *out)
{
	switch ((enum trace_type)type) {
	case TRACE_FLOW_NEW:
	case TRACE_FLOW_STATE:
	case TRACE_FLOW_END:
		return put_flow(writer, &event->flow, begin, out);
	case TRACE_GAP:
		return put_varint(out, event->lost);
	case TRACE_ADOPT:
		return put_adopt(out, &event->adopt);
	case TRACE_OPERATOR_BAN:
	case TRACE_OPERATOR_UNBAN:
		return put_request(out, &event->request);
	case TRACE_WITNESS:
		return put_witness(out, &event->witness);
	case TRACE_TRAFFIC:
	case TRACE_TRAFFIC_PROXIED:
		return put_traffic(out, &event->traffic);
	case TRACE_FUSE:
		return put_fuse(out, &event->fuse);
	case TRACE_PANIC:
		return put_u8(out, event->panic);
	case TRACE_FEED:
		return put_u8(out, (uint8_t)event->feed);
	case TRACE_REQUESTS:
		return put_varint(put_text(out, event->requests.policy), event->requests.count);
	case TRACE_PROTECTED:
		return put_protected(out, event->protected);
	case TRACE_ADMINS:
		return put_protected(out, event->admins);
	case TRACE_RESYNC_BEGIN:
	case TRACE_RESYNC_END:
	case TRACE_RESYNC_FAILED:
	case TRACE_TICK:
	case TRACE_SINK_LOST:
	case TRACE_POLICY:
		break;
	}
	return out;
}

int tg_trace_write(struct tg_trace_writer *writer, const struct tg_event *event, uint8_t *out,
		   size_t cap)
{
	unsigned type = trace_type(event->type);
	if (type == TRACE_TRAFFIC && event->traffic.proxied)
		type = TRACE_TRAFFIC_PROXIED;
	size_t bound = TG_TRACE_EVENT_MAX;
	if (type == 0)
		return 0;
	if (type == TRACE_PROTECTED || type == TRACE_ADMINS) {
		const size_t count =
			protected_count(type == TRACE_ADMINS ? event->admins : event->protected);
		if (count > TG_TRACE_PROTECTED_MAX)
			return -E2BIG;
		bound += 19 * count;
	}
	if (cap < MIN(bound, TG_TRACE_RECORD_MAX))
		return -ENOBUFS;
	const tg_time at = MIN(MAX(event->at, writer->now), TRACE_TIME_MAX);
	uint8_t *end = put_u8(out, (uint8_t)type);
	if (at > writer->now) {
		*out |= TRACE_HAS_TIME;
		end = put_varint(end, at - writer->now);
		writer->now = at;
	}
	return (int)(put_body(writer, event, type, out, end) - out);
}
