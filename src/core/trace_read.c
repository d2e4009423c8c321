/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the reading of traces, which come from anywhere: every length is bounded, every
 * number checked, and nothing is remembered of a record that is not complete.
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

struct tg_trace_reader {
	struct tg_trace_header header;
	bool begun; /* the header was read */
	tg_time now;
	uint64_t offset; /* of the bytes that are offered */
	uint64_t fault_at;
	const char *fault;
	/* Of PROTECTED, and of ADMINS: the last and the one before it. */
	struct tg_prefix_set *sets[2][2];
	struct tg_protected_prefix *prefixes;
	struct endpoint endpoints[TRACE_ENDPOINTS];
	uint8_t used[TRACE_FLOWS / 8];
	struct tg_flow_key flows[TRACE_FLOWS];
};

/* As much of an event as one of a flow uses. */
#define FLOW_EVENT_SIZE (offsetof(struct tg_event, flow) + sizeof(struct tg_flow_event))

/* Bytes of one record. Past the end or after a fault everything reads as zero. */
struct cursor {
	const uint8_t *next, *end;
	const uint8_t *fault_at;
	const char *fault;
	bool cut; /* the bytes end within the record */
};

struct tg_trace_reader *tg_trace_reader_create(void)
{
	return calloc(1, sizeof(struct tg_trace_reader));
}

void tg_trace_reader_destroy(struct tg_trace_reader *reader)
{
	if (!reader)
		return;
	for (unsigned i = 0; i < 2; i++) {
		tg_prefix_set_destroy(reader->sets[i][0]);
		tg_prefix_set_destroy(reader->sets[i][1]);
	}
	free(reader->prefixes);
	free(reader);
}

const struct tg_trace_header *tg_trace_reader_header(const struct tg_trace_reader *reader)
{
	return reader->begun ? &reader->header : NULL;
}

const char *tg_trace_reader_error(const struct tg_trace_reader *reader, uint64_t *ret_offset)
{
	*ret_offset = reader->fault ? reader->fault_at : reader->offset;
	return reader->fault;
}

static bool is_sound(const struct cursor *c)
{
	return !c->cut && !c->fault;
}

static void fail(struct cursor *c, const uint8_t *at, const char *what)
{
	if (!is_sound(c))
		return;
	c->fault = what;
	c->fault_at = at;
}

static const uint8_t *get_bytes(struct cursor *c, size_t len)
{
	static const uint8_t zeros[256];
	const uint8_t *at = c->next;
	if (is_sound(c) && (size_t)(c->end - c->next) < len)
		c->cut = true;
	if (!is_sound(c))
		return zeros;
	c->next += len;
	return at;
}

static uint8_t get_u8(struct cursor *c)
{
	return *get_bytes(c, 1);
}

/* One of the numbers below count. */
static uint8_t get_choice(struct cursor *c, unsigned count, const char *what)
{
	const uint8_t *at = c->next;
	const uint8_t value = get_u8(c);
	if (value >= count)
		fail(c, at, what);
	return value < count ? value : 0;
}

static uint16_t get_u16(struct cursor *c)
{
	const uint8_t *at = get_bytes(c, 2);
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint64_t get_u64(struct cursor *c)
{
	const uint8_t *at = get_bytes(c, 8);
	uint64_t value = 0;
	for (unsigned i = 0; i < 8; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

/* A number has one form only: the shortest. */
static uint64_t get_varint(struct cursor *c, uint64_t max)
{
	const uint8_t *at = c->next;
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t byte = get_u8(c);
		if (!is_sound(c))
			return 0;
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (byte == 0 && shift > 0)
			break;
		if (value > max)
			fail(c, at, "a number is too large");
		return value <= max ? value : 0;
	}
	fail(c, at, "a number is malformed");
	return 0;
}

static void get_text(struct cursor *c, char *text, size_t size)
{
	const uint8_t *at = c->next;
	const uint8_t len = get_choice(c, (unsigned)size, "a text is too long");
	const uint8_t *bytes = get_bytes(c, len);
	if (memchr(bytes, '\0', len) && is_sound(c))
		fail(c, at, "a text holds a NUL");
	memcpy(text, bytes, len);
	text[len] = '\0';
}

static size_t family_size(unsigned family)
{
	return family == TG_IPV4 ? 4 : 16;
}

/* Within the program such an address is an IPv4 address: two names for one host would count apart.
 */
static void check_mapped(struct cursor *c, const uint8_t *at, unsigned family,
			 const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (family == TG_IPV6 && memcmp(addr, mapped, sizeof(mapped)) == 0)
		fail(c, at, "an IPv4 address written as IPv6");
}

/* The caller's prefix is zero beyond the address. */
static void get_prefix(struct cursor *c, struct tg_prefix *prefix)
{
	const uint8_t *at = c->next;
	prefix->addr.family = get_choice(c, TG_FAMILY_COUNT, "no such address family");
	const unsigned bits = tg_family_bits((enum tg_family)prefix->addr.family);
	prefix->len = get_choice(c, bits + 1, "a prefix is longer than an address");
	const size_t size = family_size(prefix->addr.family);
	memcpy(prefix->addr.bytes, get_bytes(c, size), size);
	const struct tg_prefix masked = tg_addr_mask(&prefix->addr, prefix->len);
	if (!tg_prefix_equal(prefix, &masked))
		fail(c, at, "a prefix has bits beyond its length");
	check_mapped(c, at, prefix->addr.family, prefix->addr.bytes);
}

/* Who is banned: a prefix, or a total. */
static void get_source(struct cursor *c, struct tg_prefix *source)
{
	if (c->end - c->next < 2 || c->next[0] != TG_IPV6 || c->next[1] != TG_TOTAL_LEN) {
		get_prefix(c, source);
		return;
	}
	source->addr.family = get_u8(c);
	source->len = get_u8(c);
	memcpy(source->addr.bytes, get_bytes(c, 16), 16);
}

static void get_key(const struct tg_trace_reader *reader, struct cursor *c, struct tg_flow_key *key,
		    struct endpoint *endpoint, uint8_t *index)
{
	const uint8_t *at = c->next;
	const uint8_t flags = get_u8(c);
	if (flags & ~(TRACE_KEY_IPV6 | TRACE_KEY_HAS_ENDPOINT))
		fail(c, at, "unknown bits in a flow's key");
	key->family = flags & TRACE_KEY_IPV6 ? TG_IPV6 : TG_IPV4;
	const size_t size = family_size(key->family);
	memcpy(key->src, get_bytes(c, size), size);
	check_mapped(c, at, key->family, key->src);
	key->sport = get_u16(c);
	*index = get_u8(c);
	if (flags & TRACE_KEY_HAS_ENDPOINT) {
		*endpoint = (struct endpoint){.family = key->family, .used = true};
		memcpy(endpoint->addr, get_bytes(c, size), size);
		check_mapped(c, at, key->family, endpoint->addr);
		endpoint->port = get_u16(c);
		endpoint->zone = get_u16(c);
	} else {
		*endpoint = reader->endpoints[*index];
		if (!endpoint->used || endpoint->family != key->family)
			fail(c, at, "a flow names an endpoint that is not known");
	}
	memcpy(key->dst, endpoint->addr, 16);
	key->dport = endpoint->port;
	key->zone = endpoint->zone;
}

static void get_flow(struct tg_trace_reader *reader, struct cursor *c, bool has_key,
		     struct tg_flow_event *flow)
{
	const uint8_t *at = c->next;
	const uint8_t head = get_u8(c);
	flow->state = head & TRACE_STATE_MASK;
	if (flow->state > TG_TCP_UNKNOWN)
		fail(c, at, "unknown state of a flow");
	flow->dumped = head & TRACE_DUMPED;
	flow->answered = head & TRACE_ANSWERED;
	if (head & TRACE_HAS_TIMEOUT) {
		flow->timeout_s = (uint32_t)get_varint(c, UINT32_MAX);
		if (flow->timeout_s == 0)
			fail(c, at, "a timeout of zero");
	}
	flow->counted = head & TRACE_HAS_COUNTERS;
	if (flow->counted) {
		flow->packets = get_varint(c, UINT64_MAX);
		flow->bytes = get_varint(c, UINT64_MAX);
	}
	at = c->next;
	const uint16_t slot = get_u16(c);
	const uint8_t bit = (uint8_t)(1 << slot % 8);
	if (!has_key) {
		if (!(reader->used[slot / 8] & bit))
			fail(c, at, "a flow that was not named before");
		flow->key = reader->flows[slot];
		return;
	}
	struct endpoint endpoint = {0};
	uint8_t index = 0;
	get_key(reader, c, &flow->key, &endpoint, &index);
	if (!is_sound(c))
		return;
	reader->endpoints[index] = endpoint;
	reader->used[slot / 8] |= bit;
	reader->flows[slot] = flow->key;
}

static void get_rate(struct cursor *c, struct tg_rate *rate)
{
	rate->count = (uint32_t)get_varint(c, UINT32_MAX);
	rate->per_ms = (uint32_t)get_varint(c, UINT32_MAX);
}

static enum tg_action get_action(struct cursor *c)
{
	return trace_actions[get_choice(c, ARRAY_SIZE(trace_actions), "no such action")];
}

static void get_request(struct cursor *c, bool ban, struct tg_ban_request *request)
{
	request->request = (uint32_t)get_varint(c, UINT32_MAX);
	request->all = get_choice(c, 2, "neither yes nor no");
	get_prefix(c, &request->source);
	request->action = get_action(c);
	request->scope = (enum tg_scope)get_choice(c, TG_SCOPE_COUNT, "no such scope");
	get_rate(c, &request->to);
	request->expire_ms = get_varint(c, TG_DURATION_MAX_MS);
	request->force = get_choice(c, 2, "neither yes nor no");
	get_text(c, request->reason, sizeof(request->reason));
	if (!ban)
		return;
	if (request->action == TG_ACTION_SYNPROXY)
		fail(c, c->next, "no action of a hand");
	if (request->action == TG_ACTION_RATE_LIMIT &&
	    (request->to.count == 0 || request->to.per_ms == 0))
		fail(c, c->next, "a rate-limit without a rate");
	if (request->action == TG_ACTION_CAP && request->to.count == 0)
		fail(c, c->next, "a cap of nothing");
	if (request->expire_ms == 0)
		fail(c, c->next, "a ban without an end");
}

static void get_adopt(struct cursor *c, struct tg_adopt *adopt)
{
	const uint8_t *at = c->next;
	const uint8_t flags = get_u8(c);
	if (flags & ~(TRACE_STORED | TRACE_RECORD | TRACE_UNPROVEN))
		fail(c, at, "unknown bits in an adopted ban");
	adopt->stored = flags & TRACE_STORED;
	adopt->record = flags & TRACE_RECORD;
	adopt->unproven = flags & TRACE_UNPROVEN;
	get_source(c, &adopt->source);
	adopt->action = get_action(c);
	adopt->scope = (enum tg_scope)get_choice(c, TG_SCOPE_COUNT, "no such scope");
	adopt->origin = (enum tg_origin)get_choice(c, TG_ORIGIN_COUNT, "no such origin");
	get_text(c, adopt->policy, sizeof(adopt->policy));
	get_text(c, adopt->limit, sizeof(adopt->limit));
	get_rate(c, &adopt->to);
	adopt->measured = (uint32_t)get_varint(c, UINT32_MAX);
	adopt->threshold = (uint32_t)get_varint(c, UINT32_MAX);
	adopt->offence = (uint32_t)get_varint(c, UINT32_MAX);
	adopt->age_ms = get_varint(c, UINT32_MAX * UINT64_C(1000));
	adopt->left_ms = get_varint(c, TG_DURATION_MAX_MS);
	get_text(c, adopt->reason, sizeof(adopt->reason));
}

static void get_witness(struct cursor *c, struct tg_witness *witness)
{
	get_prefix(c, &witness->source);
	get_text(c, witness->policy, sizeof(witness->policy));
	get_text(c, witness->limit, sizeof(witness->limit));
	witness->proven = (uint32_t)get_varint(c, UINT32_MAX);
}

static void get_traffic(struct cursor *c, bool proxied, struct tg_traffic *traffic)
{
	get_source(c, &traffic->source);
	traffic->scope = (enum tg_scope)get_choice(c, TG_SCOPE_COUNT, "no such scope");
	get_text(c, traffic->policy, sizeof(traffic->policy));
	traffic->packets = get_varint(c, UINT64_MAX);
	traffic->proxied = proxied;
	if (proxied)
		traffic->finished = (uint32_t)get_varint(c, UINT32_MAX);
}

static void get_fuse(struct cursor *c, struct tg_fuse *fuse)
{
	const uint8_t *at = c->next;
	fuse->source.family = get_choice(c, TG_FAMILY_COUNT, "no such address family");
	const size_t size = family_size(fuse->source.family);
	memcpy(fuse->source.bytes, get_bytes(c, size), size);
	check_mapped(c, at, fuse->source.family, fuse->source.bytes);
	get_text(c, fuse->policy, sizeof(fuse->policy));
	get_text(c, fuse->limit, sizeof(fuse->limit));
	fuse->threshold = (uint32_t)get_varint(c, UINT32_MAX);
	fuse->window_ms = (uint32_t)get_varint(c, UINT32_MAX);
	fuse->burst = (uint32_t)get_varint(c, UINT32_MAX);
}

/* 0 or -ENOMEM. */
static int get_protected(struct tg_trace_reader *reader, struct cursor *c, bool admins,
			 const struct tg_prefix_set **ret_set)
{
	const size_t count = get_varint(c, TG_TRACE_PROTECTED_MAX);
	if (!reader->prefixes)
		reader->prefixes = malloc(TG_TRACE_PROTECTED_MAX * sizeof(*reader->prefixes));
	if (!reader->prefixes)
		return -ENOMEM;
	for (size_t i = 0; i < count && is_sound(c); i++) {
		struct tg_protected_prefix *entry = &reader->prefixes[i];
		*entry = (struct tg_protected_prefix){0};
		get_prefix(c, &entry->prefix);
		entry->kind = (enum tg_protect_kind)get_choice(c, TG_PROTECT_KIND_COUNT,
							       "no such kind of protection");
	}
	if (!is_sound(c))
		return 0;
	struct tg_prefix_set *set = tg_prefix_set_create(reader->prefixes, count);
	if (!set)
		return -ENOMEM;
	struct tg_prefix_set **sets = reader->sets[admins];
	tg_prefix_set_destroy(sets[1]);
	sets[1] = sets[0];
	sets[0] = set;
	*ret_set = set;
	return 0;
}

/* By record. */
static const enum tg_event_type event_types[] = {
	[TRACE_FLOW_NEW] = TG_EVENT_FLOW_NEW,
	[TRACE_FLOW_STATE] = TG_EVENT_FLOW_STATE,
	[TRACE_FLOW_END] = TG_EVENT_FLOW_END,
	[TRACE_GAP] = TG_EVENT_GAP,
	[TRACE_RESYNC_BEGIN] = TG_EVENT_RESYNC_BEGIN,
	[TRACE_RESYNC_END] = TG_EVENT_RESYNC_END,
	[TRACE_RESYNC_FAILED] = TG_EVENT_RESYNC_FAILED,
	[TRACE_TICK] = TG_EVENT_TICK,
	[TRACE_ADOPT] = TG_EVENT_ADOPT,
	[TRACE_SINK_LOST] = TG_EVENT_SINK_LOST,
	[TRACE_OPERATOR_BAN] = TG_EVENT_OPERATOR_BAN,
	[TRACE_OPERATOR_UNBAN] = TG_EVENT_OPERATOR_UNBAN,
	[TRACE_PANIC] = TG_EVENT_PANIC,
	[TRACE_PROTECTED] = TG_EVENT_PROTECTED,
	[TRACE_POLICY] = TG_EVENT_POLICY,
	[TRACE_WITNESS] = TG_EVENT_WITNESS,
	[TRACE_TRAFFIC] = TG_EVENT_TRAFFIC,
	[TRACE_ADMINS] = TG_EVENT_ADMINS,
	[TRACE_FUSE] = TG_EVENT_FUSE,
	[TRACE_FEED] = TG_EVENT_FEED,
	[TRACE_REQUESTS] = TG_EVENT_REQUESTS,
	[TRACE_TRAFFIC_PROXIED] = TG_EVENT_TRAFFIC,
};

/* What follows the type: as put_body() wrote it. */
static int get_body(struct tg_trace_reader *reader, struct cursor *c, uint8_t head,
		    struct tg_event *event)
{
	const unsigned type = head & TRACE_TYPE_MASK;
	if (type == 0 || type >= ARRAY_SIZE(event_types)) {
		fail(c, c->next - 1, "unknown record");
		return 0;
	}
	event->type = event_types[type];
	switch ((enum trace_type)type) {
	case TRACE_FLOW_NEW:
	case TRACE_FLOW_STATE:
	case TRACE_FLOW_END:
		get_flow(reader, c, head & TRACE_HAS_KEY, &event->flow);
		break;
	case TRACE_GAP:
		event->lost = get_varint(c, UINT64_MAX);
		break;
	case TRACE_ADOPT:
		get_adopt(c, &event->adopt);
		break;
	case TRACE_OPERATOR_BAN:
	case TRACE_OPERATOR_UNBAN:
		get_request(c, type == TRACE_OPERATOR_BAN, &event->request);
		break;
	case TRACE_WITNESS:
		get_witness(c, &event->witness);
		break;
	case TRACE_TRAFFIC:
	case TRACE_TRAFFIC_PROXIED:
		get_traffic(c, type == TRACE_TRAFFIC_PROXIED, &event->traffic);
		break;
	case TRACE_FUSE:
		get_fuse(c, &event->fuse);
		break;
	case TRACE_PANIC:
		event->panic = get_choice(c, 2, "neither on nor off");
		break;
	case TRACE_FEED:
		event->feed = (enum tg_feed_step)get_choice(c, TG_FEED_STEP_COUNT, "no such step");
		break;
	case TRACE_REQUESTS:
		get_text(c, event->requests.policy, sizeof(event->requests.policy));
		event->requests.count = (uint32_t)get_varint(c, UINT32_MAX);
		break;
	case TRACE_PROTECTED:
		return get_protected(reader, c, false, &event->protected);
	case TRACE_ADMINS:
		return get_protected(reader, c, true, &event->admins);
	case TRACE_RESYNC_BEGIN:
	case TRACE_RESYNC_END:
	case TRACE_RESYNC_FAILED:
	case TRACE_TICK:
	case TRACE_SINK_LOST:
	case TRACE_POLICY:
		break;
	}
	return 0;
}

static void get_header(struct cursor *c, struct tg_trace_header *header)
{
	const uint8_t *at = c->next;
	/* Told at once when the first bytes are not those of a trace, however few there are. */
	const size_t have = MIN((size_t)(c->end - c->next), TRACE_MAGIC_SIZE);
	if (memcmp(at, TRACE_MAGIC, have) != 0)
		fail(c, at, "this is no trace");
	(void)get_bytes(c, TRACE_MAGIC_SIZE);
	at = c->next;
	if (get_u16(c) != TG_TRACE_VERSION)
		fail(c, at, "a version of the format that this program does not know");
	at = c->next;
	if (get_u16(c) != 0)
		fail(c, at, "unknown bits in the header");
	memcpy(header->seed, get_bytes(c, sizeof(header->seed)), sizeof(header->seed));
	at = c->next;
	header->start = get_u64(c);
	if (header->start > TRACE_TIME_MAX)
		fail(c, at, "a time is too large");
	at = c->next;
	header->wall_ms = get_u64(c);
	if (header->wall_ms > TRACE_WALL_MAX)
		fail(c, at, "a time is too large");
}

/* 1 sound, 0 cut, -EBADMSG. */
static int settle(struct tg_trace_reader *reader, const struct cursor *c, const uint8_t *bytes)
{
	if (c->fault) {
		reader->fault = c->fault;
		reader->fault_at = reader->offset + (uint64_t)(c->fault_at - bytes);
		return -EBADMSG;
	}
	return c->cut ? 0 : 1;
}

int tg_trace_read(struct tg_trace_reader *reader, const uint8_t *bytes, size_t len,
		  size_t *ret_used, struct tg_event *ret_event)
{
	struct cursor c = {.next = bytes, .end = bytes + len};
	*ret_used = 0;
	if (reader->fault)
		return -EBADMSG;
	if (len == 0)
		return 0;
	if (!reader->begun) {
		struct tg_trace_header header;
		get_header(&c, &header);
		int result = settle(reader, &c, bytes);
		if (result <= 0)
			return result;
		reader->header = header;
		reader->now = header.start;
		reader->begun = true;
		reader->offset = *ret_used = TG_TRACE_HEADER_SIZE;
		if (len == TG_TRACE_HEADER_SIZE)
			return 0;
		bytes = c.next;
	}
	struct tg_event event;
	const uint8_t head = get_u8(&c);
	const unsigned type = head & TRACE_TYPE_MASK;
	/* Nearly all are of flows, which need a fifth of the whole. */
	const bool small = type <= TRACE_FLOW_END;
	if (small)
		memset(&event, 0, FLOW_EVENT_SIZE);
	else
		memset(&event, 0, sizeof(event));
	if ((head & 0x80) || ((head & TRACE_HAS_KEY) && type > TRACE_FLOW_END))
		fail(&c, c.next - 1, "unknown bits of a record");
	event.at = reader->now;
	if (head & TRACE_HAS_TIME)
		event.at += get_varint(&c, TRACE_TIME_MAX - reader->now);
	if ((head & TRACE_HAS_TIME) && event.at == reader->now)
		fail(&c, c.next - 1, "a time that does not go on");
	int result = get_body(reader, &c, head, &event);
	if (result == 0)
		result = settle(reader, &c, bytes);
	if (result <= 0)
		return result;
	reader->now = event.at;
	reader->offset += (uint64_t)(c.next - bytes);
	*ret_used += (size_t)(c.next - bytes);
	if (small)
		memcpy(ret_event, &event, FLOW_EVENT_SIZE);
	else
		*ret_event = event;
	return 1;
}
