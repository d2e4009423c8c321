/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_FLOW_TABLE_H
#define CORE_FLOW_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

#define FLOW_NONE UINT32_MAX

/* Deadlines need no more: the kernel tells timeouts in seconds. */
#define FLOW_TICK (250 * TG_MSEC)

struct flow {
	struct tg_flow_key key;
	uint32_t next;                   /* in its hash bucket, or in the free list */
	uint32_t wheel_prev, wheel_next; /* flow_table.wheel */
	uint32_t deadline;               /* in ticks */
	/* See flow_counted(). Apart from the flags, because a load that is wider than the store
	 * before it would stall. */
	uint32_t counted_low;
	uint16_t counted_high;
	uint16_t state : 4;    /* enum tg_tcp_state */
	uint16_t began : 1;    /* `new` has counted it */
	uint16_t seen : 1;     /* parity of the last resync that knows of it */
	uint16_t ended : 1;    /* gone, kept until the resync is over so that a stale dump cannot
				  revive it */
	uint16_t asked : 1;    /* past its deadline, and the kernel was asked */
	uint16_t idle : 1;     /* established, and no payload for a while */
	uint16_t outbound : 1; /* this host opens it */
	uint16_t alone : 6;    /* by length slot: counted by its single address */
};
_Static_assert(sizeof(struct flow) == 64, "a flow is one cache line");

/*
 * The flows that conntrack holds, by zone and original tuple, each with its own
 * deadline, because DESTROY comes up to a minute late (conntrack's garbage
 * collection is lazy). Owns slots, hash chains and the timer wheel; what a
 * flow counts for is the engine's. Indexes are stable while the flow lives.
 */
/*
 * One turn of the wheel is 1,024 seconds, longer than every timeout but that of
 * ESTABLISHED: such a flow is passed over once a turn, which is cheaper than a second wheel.
 */
#define FLOW_WHEEL_SLOTS 4096

struct flow_table {
	void *memory;
	struct flow *flows; /* in memory, each in a cache line of its own */
	uint32_t *buckets;
	uint32_t bucket_mask;
	uint32_t max_flows;
	uint32_t used; /* slots ever handed out; beyond it all are untouched */
	uint32_t count;
	uint32_t free;
	uint32_t hand; /* of flow_table_least() */
	uint8_t seed[16];
	/* The key hashed last: an event finds, then enters or removes, one and the same. */
	const struct tg_flow_key *hashed_key; /* own_key, or the event's that is being stepped */
	struct tg_flow_key own_key;
	uint64_t hashed;
	uint32_t wheel[FLOW_WHEEL_SLOTS];
	uint32_t tick;   /* the wheel stands here: slots up to it are clean of passed deadlines */
	uint32_t cursor; /* next flow of the slot that is being cleaned */
	bool turning;    /* cursor is in use */
};

/* What a table for so many flows takes. */
size_t flow_table_bytes(uint32_t max_flows);
struct flow_table *flow_table_create(uint32_t max_flows, const uint8_t seed[16]);
void flow_table_destroy(struct flow_table *table);

uint32_t flow_table_find(struct flow_table *table, const struct tg_flow_key *key);
/* FLOW_NONE when the table is full. The new flow is zeroed, has the key and sits in no slot of the
 * wheel. */
uint32_t flow_table_insert(struct flow_table *table, const struct tg_flow_key *key);
/*
 * Of a full table: the flow that is worth least, and of several the one whose deadline comes first,
 * among the few that a hand passes, which moves on from call to call.
 */
uint32_t flow_table_least(struct flow_table *table);
void flow_table_remove(struct flow_table *table, uint32_t index);
static inline struct flow *flow_table_at(struct flow_table *table, uint32_t index)
{
	return &table->flows[index];
}

/* Arms, moves or leaves the deadline, in ticks. */
void flow_table_set_deadline(struct flow_table *table, uint32_t index, uint32_t tick);

/*
 * Turns the wheel to tick and returns one flow whose deadline has passed, or FLOW_NONE when
 * there is no more. The flow's deadline is disarmed: arm it again or remove the flow.
 */
uint32_t flow_table_expire(struct flow_table *table, uint32_t tick);

/*
 * Brings what a later call about this key reads into the cache, in three steps with some time
 * between them: the bucket, its first flow, that one's neighbours. They change nothing, and a key
 * or an index that is not there any more does no harm.
 */
uint64_t flow_table_ahead_bucket(const struct flow_table *table, const struct tg_flow_key *key);
uint32_t flow_table_ahead_flow(const struct flow_table *table, uint64_t hash);
void flow_table_ahead_links(const struct flow_table *table, uint32_t index);
/* The hash of the key that is asked for next, from flow_table_ahead_bucket(). The key is borrowed
 * until the next one, or until flow_table_forget(). */
static inline void flow_table_hashed(struct flow_table *table, const struct tg_flow_key *key,
				     uint64_t hash)
{
	table->hashed_key = key;
	table->hashed = hash;
}
void flow_table_forget(struct flow_table *table);

uint32_t flow_table_count(const struct flow_table *table);
/* The first live flow at or after index; FLOW_NONE at the end. */
uint32_t flow_table_next(const struct flow_table *table, uint32_t index);
size_t flow_table_memory(const struct flow_table *table);

/* The engine's sequence when the flow's sources last learnt of it. */
static inline uint64_t flow_counted(const struct flow *flow)
{
	return (uint64_t)flow->counted_high << 32 | flow->counted_low;
}

static inline void flow_set_counted(struct flow *flow, uint64_t sequence)
{
	flow->counted_low = (uint32_t)sequence;
	flow->counted_high = (uint16_t)(sequence >> 32);
}

/* How much is lost with a flow: of one that closes least, and most of one that is established. */
static inline unsigned flow_state_worth(unsigned state)
{
	if (state == TG_TCP_ESTABLISHED)
		return 2;
	return state == TG_TCP_SYN_SENT || state == TG_TCP_SYN_RECV;
}

static inline unsigned flow_worth(const struct flow *flow)
{
	return flow->ended ? 0 : flow_state_worth(flow->state);
}

#endif
