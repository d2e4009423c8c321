/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CORE_BAN_TABLE_H
#define CORE_BAN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>
#include <tcpguard/decision.h>

/*
 * What the engine wants of the kernel and what the kernel is known to hold. A
 * ban whose two differ, or whose change has not been told yet, is on the dirty list.
 */
enum ban_life {
	BAN_FREE,
	BAN_LIVE,
	BAN_LEAVING, /* lifted; stays until the kernel has said that it is gone */
	BAN_OVER,    /* its time is over; stays until that has been told */
	BAN_RECORD   /* nothing but the number of its offence, until `until` */
};

/* What is known of the packets that a ban's element meets; insist.c. */
enum ban_probe {
	BAN_PROBE_NONE,
	BAN_PROBE_FIRST_ASKED,
	BAN_PROBE_FIRST_KNOWN,
	BAN_PROBE_LAST_ASKED
};

struct ban {
	struct tg_prefix source;
	uint8_t life;                  /* enum ban_life */
	uint8_t action, scope, origin; /* enums of ban.h */
	uint8_t cause;                 /* enum tg_cause of the last change */
	uint8_t probe;                 /* enum ban_probe */
	bool enforced : 1;
	bool installed : 1; /* the kernel may hold an element */
	bool confirmed : 1; /* and does hold this one; nothing but its end changed since */
	bool dirty : 1;
	bool remember : 1; /* leaves a record behind */
	bool insists : 1;  /* its source sent so much lately that it is to stay */
	bool proven : 1;   /* a witness has proven what it does, which is more than a rate-limit */
	bool kill : 1;     /* its step says so */
	bool kill_due : 1; /* when the kernel confirms it */
	bool braked : 1;   /* a brake has held back what it stands in for */
	uint16_t policy, limit;
	uint16_t witness; /* the limit that waits for a witness to do more; TG_NO_INDEX */
	uint32_t asked;   /* tick of the last question for one, and one; 0: none yet */
	uint32_t probe_packets, probe_tick; /* the first answer */
	struct tg_rate to;
	uint32_t measured, threshold, offence;
	uint32_t version;    /* grows with every change */
	uint32_t acked;      /* the version that the kernel has confirmed */
	uint32_t request;    /* operator's, of the last change */
	uint32_t next;       /* in its hash bucket or in the free list */
	uint32_t heap;       /* position in the heap; of a record: the one before it */
	uint32_t dirty_next; /* of a record: the one behind it */
	uint32_t ends;       /* position in the heap of ends; BAN_NOWHERE: not in it */
	uint32_t reason;     /* in the pool; BAN_NO_REASON */
	tg_time since, until;
	tg_time wake;    /* when it wants to be looked at: its end, or before; order of the heap */
	tg_time changed; /* when the last change was decided */
};
/* A hundred thousand of them. */
_Static_assert(sizeof(struct ban) == 128, "a ban is two cache lines");

/*
 * Owns the bans, their index by key, the heaps of their wakes and ends, and the dirty list. Indexes
 * are ids. There are more of them than live bans: one that made room stays until the kernel has
 * let go of it.
 */
struct ban_table;

struct ban_table *ban_table_create(uint32_t max_bans, const uint8_t seed[16]);
void ban_table_destroy(struct ban_table *table);

/* TG_BAN_NONE. */
uint32_t ban_table_find(const struct ban_table *table, uint16_t policy, enum tg_scope scope,
			const struct tg_prefix *source);
/*
 * TG_BAN_NONE when there is no id left; the oldest record makes room. The ban has its key, is LIVE
 * and not in the heap yet: whether another may live the caller has asked.
 */
uint32_t ban_table_insert(struct ban_table *table, uint16_t policy, enum tg_scope scope,
			  const struct tg_prefix *source);
/* The ban must not be dirty. */
void ban_table_remove(struct ban_table *table, uint32_t id);
/* The policy's index changed: the key with it. */
void ban_table_rekey(struct ban_table *table, uint32_t id, uint16_t policy);
struct ban *ban_table_at(struct ban_table *table, uint32_t id);
/* The first ban that is not free at or after id; TG_BAN_NONE at the end. */
uint32_t ban_table_next(const struct ban_table *table, uint32_t id);

/* Puts the ban into the heaps, or to its new place there; it wakes at its end. What it does, and
 * whether that is enforced, is settled before. */
void ban_table_set_until(struct ban_table *table, uint32_t id, tg_time until);
/* Before its end, of a ban in the heap. */
void ban_table_set_wake(struct ban_table *table, uint32_t id, tg_time wake);
void ban_table_drop_until(struct ban_table *table, uint32_t id);
/* The ban that wakes first; TG_BAN_NONE. */
uint32_t ban_table_first(const struct ban_table *table);
/*
 * Of the bans by policies, other than that of a whole service and than one that is to stay, the one
 * that ends first; one that is only observed before any that is in force. TG_BAN_NONE.
 */
uint32_t ban_table_soonest(const struct ban_table *table, uint32_t stays);

/* Nothing is left of the ban but its offence, until then. It must not be dirty. */
void ban_table_remember(struct ban_table *table, uint32_t id, tg_time until);
/* A record becomes a ban again: LIVE, and not in the heap. */
void ban_table_recall(struct ban_table *table, uint32_t id);
/* The record that has been one for longest; TG_BAN_NONE. */
uint32_t ban_table_oldest_record(const struct ban_table *table);
uint32_t ban_table_records(const struct ban_table *table);

void ban_table_mark(struct ban_table *table, uint32_t id);
/* Oldest mark first; TG_BAN_NONE. */
uint32_t ban_table_take_dirty(struct ban_table *table);
bool ban_table_has_dirty(const struct ban_table *table);

void ban_table_set_reason(struct ban_table *table, uint32_t id, const char *reason);
const char *ban_table_reason(const struct ban_table *table, uint32_t id);

/* Those in the heap. */
uint32_t ban_table_live(const struct ban_table *table);
/* How many may be. */
uint32_t ban_table_capacity(const struct ban_table *table);
/* Ids are below this. */
uint32_t ban_table_ids(const struct ban_table *table);
/* Is there an id for another one? */
bool ban_table_has_spare(const struct ban_table *table);
size_t ban_table_memory(const struct ban_table *table);

#endif
