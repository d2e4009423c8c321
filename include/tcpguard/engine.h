/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_ENGINE_H
#define TCPGUARD_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>
#include <tcpguard/clock.h>
#include <tcpguard/decision.h>
#include <tcpguard/event.h>

/*
 * The engine: events in, decisions out. No system call, no clock, no
 * allocation after create; what does not fit is counted.
 */
struct tg_engine;

struct tg_engine_params {
	uint32_t max_sources; /* of each family; rounded up to a multiple of eight */
	uint32_t max_flows;
	uint32_t max_bans;
	uint8_t seed[16]; /* of every hash */
};

/*
 * A config made ready for the engine: which port belongs to which policies, which
 * limits share a count. Borrows config. NULL when memory runs out. mode_override, if
 * not NULL, replaces every mode of the config.
 */
struct tg_ruleset *tg_ruleset_create(const struct tg_config *config,
				     const struct tg_engine_params *params,
				     const enum tg_mode *mode_override);
void tg_ruleset_destroy(struct tg_ruleset *ruleset);
/* Limits with this action only observe, whatever the config says: the host cannot do it. */
void tg_ruleset_withhold(struct tg_ruleset *ruleset, enum tg_action action);
const struct tg_config *tg_ruleset_config(const struct tg_ruleset *ruleset);

/*
 * A policy that leaves max-sources open has so many that the daemon stays within this, as a whole
 * process, as long as max-flows and max-bans are not raised.
 */
#define TG_MEMORY_MAX (UINT64_C(128) << 20)
/* Of these for what is no table: program, libraries, buffers. Some 5 MiB were measured. */
#define TG_MEMORY_PROCESS (UINT64_C(8) << 20)
/* What an engine of this size reserves, its ruleset included. 0: memory ran out. */
uint64_t tg_engine_memory(const struct tg_config *config, const struct tg_engine_params *params);
/* The max-sources of a config that leaves it open, by its rates. 0: memory ran out. */
uint32_t tg_engine_fitting_sources(const struct tg_config *config);
/* What the engine would reserve beside what it has while it takes this into use: more rates, marks
 * of idle flows. */
uint64_t tg_engine_grows(const struct tg_engine *engine, const struct tg_ruleset *ruleset);

/* NULL when memory runs out. The first event must be POLICY. */
struct tg_engine *tg_engine_create(const struct tg_engine_params *params);
void tg_engine_destroy(struct tg_engine *engine);

void tg_engine_step(struct tg_engine *engine, const struct tg_event *event);
/*
 * One step for each event, in order, and nothing else: but it asks for the memory of those to come
 * ahead, so that many at once cost less than one by one.
 */
void tg_engine_step_batch(struct tg_engine *engine, const struct tg_event *events, size_t count);

/* Moves up to cap decisions to out, oldest first; call until it returns less than cap. */
size_t tg_engine_take(struct tg_engine *engine, struct tg_decision *out, size_t cap);

/* When the engine wants its next TICK; TG_NEVER if only an event can change anything. */
tg_time tg_engine_deadline(const struct tg_engine *engine);

struct tg_engine_stats {
	uint32_t flows, max_flows;
	uint32_t states[TG_TCP_STATE_COUNT];            /* flows by state */
	uint32_t sources[TG_FAMILY_COUNT], max_sources; /* counts in use, and room of each family */
	uint32_t bans_active;                           /* enforced */
	uint32_t bans_observed;
	uint32_t bans_pending; /* enforced, and not acknowledged by the kernel yet */
	uint32_t max_bans;
	uint64_t memory; /* bytes reserved at create and by the ruleset */
	/* since start */
	uint64_t events;
	uint64_t lost, gaps, resyncs, resyncs_failed;
	uint64_t offences;
	uint64_t bans, lifts, expiries, extensions, adopted;
	uint64_t refused_protected, refused_full;
	uint64_t sources_evicted;
	uint64_t flows_evicted; /* the flow table was full: the least made room */
	uint64_t flows_refused; /* the flow table was full of better ones */
	uint64_t verified;      /* questions asked about flows past their deadline */
	uint64_t sink_errors;
	uint64_t decisions_lost; /* notes that did not fit between two takes; never a ban */
	uint64_t witness_asked, witness_proven, witness_denied;
	uint64_t fuses; /* offences that the packet path told of */
	uint64_t
		fuses_unknown; /* of a limit that the policy does not have, or has looser, by now */
	uint64_t insisting;    /* bans kept because their source went on sending */
	uint64_t suppressed;   /* offences left to the state of their service in a wide flood */
	uint64_t uncounted;    /* answers about flows that told no packets: accounting is off */
	uint32_t bans_unproven; /* live, a rate-limit in the place of a drop */
	uint32_t services;      /* totals that are over their limit, or were until lately */
	uint32_t records;       /* offences remembered after the end of their ban */
	uint64_t bans_evicted;  /* the ban table was full: the one that ended soonest made room */
	uint64_t restored;      /* bans that the state directory brought back */
	uint64_t kills;         /* bans after which connections were ended */
	uint64_t braked_rate, braked_sources,
		braked_flows;   /* proven bans that stayed rate-limits */
	uint64_t refused_admin; /* because of a live session of an admin */
	bool braked;            /* a brake held in the last minute */
	enum tg_feed_step feed; /* what conntrack tells; below all of it, stale */
	bool stale;             /* a gap has not been healed by a resync yet */
	bool resyncing;
	bool panic;
};
void tg_engine_stats(const struct tg_engine *engine, struct tg_engine_stats *ret_stats);

/* The ids of bans are below this: a ban that made room for another keeps its own for a while. */
uint32_t tg_engine_ban_ids(const struct tg_engine *engine);

/* Bans in the order of their ids. *cursor is 0 at first; false at the end. Survives changes between
 * calls. */
bool tg_engine_next_ban(const struct tg_engine *engine, uint32_t *cursor, struct tg_ban *ret_ban);

/* As above, of offences that are remembered after their ban's end; until: when they are forgotten.
 */
bool tg_engine_next_record(const struct tg_engine *engine, uint32_t *cursor,
			   struct tg_ban *ret_record);

/* The flows that it follows, as a dump would tell them; a cursor as above. */
bool tg_engine_next_flow(const struct tg_engine *engine, uint32_t *cursor,
			 struct tg_flow_event *ret_flow);

/* What one limit compares of one address. */
struct tg_limit_count {
	uint16_t policy, limit;  /* indexes into the config */
	struct tg_prefix source; /* that the address is counted in; or the total */
	bool counted;            /* there is a count; else measured is 0 */
	uint32_t measured;  /* of a rate: in flows, rounded up; what was forgiven is left out */
	uint32_t threshold; /* with the burst of a rate */
};
/* Every limit of the policy in the order of the config; a cursor as above. */
bool tg_engine_next_limit(const struct tg_engine *engine, const struct tg_addr *addr,
			  uint32_t *cursor, struct tg_limit_count *ret_count);

/* One count of one source: what a limit compares. Totals come last. */
struct tg_source_count {
	struct tg_prefix source;
	uint16_t policy;                     /* index into the config's policies */
	uint32_t states[TG_TCP_STATE_COUNT]; /* CLOSE is not counted by source */
	uint32_t idle;                       /* of those in ESTABLISHED */
	uint32_t hosts;     /* distinct addresses in it, if a limit wants to know; else 0 */
	uint32_t new_level; /* fullest of its `new` buckets, in flows */
};
bool tg_engine_next_source(const struct tg_engine *engine, uint32_t *cursor,
			   struct tg_source_count *ret_source);

#endif
