/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_FUZZ_STEP_WORLD_H
#define TESTS_FUZZ_STEP_WORLD_H

/*
 * An engine, told what the bytes of an input mean, and watched: what it decides, what it
 * counts, and whether a kernel that does as it is told ends up with what the engine believes. The
 * fuzzer and the unit test share it.
 */
#include <stdio.h>

#include "step_input.h"

/* Does the engine ask for witnesses, and end totals by itself? */
#define STEP_EVIDENCE 1

#define STEP_FLOWS_MAX 4096
#define STEP_SOURCES_MAX 8192
#define STEP_ELEMENTS_MAX 512
#define STEP_PENDING_MAX 256
#define STEP_ASKED_MAX 16
#define STEP_PROOFS_MAX 256
#define STEP_BRAKED 4
#define STEP_BANS_MAX 160

/* What the kernel holds: names instead of indexes, which a policy may change. */
struct step_element {
	const char *policy; /* NULL: by hand */
	struct tg_prefix source;
	enum tg_scope scope;
	enum tg_action action;
	struct tg_rate to;
	tg_time until;
	bool wild; /* put there in the middle of the engine's life: it may not know of it */
};

/* A change on its way to the kernel. */
struct step_pending {
	uint32_t id, version;
	bool lift;
	struct step_element element;
};

/* A drop may stand on it. */
struct step_proof {
	const char *policy;
	struct tg_prefix source;
	bool adopted; /* to another daemon */
};

/* A ban that the engine has told of. */
struct step_told {
	bool live;
	uint32_t version;
	struct tg_prefix source;
	enum tg_scope scope;
	const char *policy;
	bool proven; /* enforced, by a policy, and more than a rate-limit */
};

struct step_world {
	struct tg_engine_params params;
	struct step_config configs[STEP_CONFIGS];
	const struct step_config *config;
	struct tg_ruleset *ruleset;
	struct step_protected members[STEP_PROTECTED];
	struct tg_prefix_set *sets[STEP_PROTECTED];
	unsigned protected;
	struct tg_prefix_set *admin_sets[STEP_ADMINS];
	const struct tg_prefix_set *admins;
	tg_time braked[STEP_BRAKED]; /* when bans counted for bans-per-minute, under this policy */
	uint64_t braked_count;
	struct tg_engine *engine;
	struct tg_engine_stats stats; /* after the last event */
	tg_time now;
	bool acks_at_once;
	uint64_t told_events;
	unsigned policies; /* that were put into force */
	uint64_t flows_at; /* event after which flows were read */
	bool inexact;      /* a source was pushed out, and nothing was counted anew since */
	uint64_t memory;   /* that the engine had at first under this policy */
	struct tg_event last;

	struct step_element elements[STEP_ELEMENTS_MAX];
	size_t element_count;
	struct step_pending pending[STEP_PENDING_MAX];
	size_t pending_count;
	bool overflow; /* more than a table here has room for: some checks are off */
	struct step_told told[STEP_BANS_MAX];
	struct step_proof proofs[STEP_PROOFS_MAX];
	size_t proof_count;

	struct tg_flow_key verify[STEP_ASKED_MAX];
	struct tg_ban witness[STEP_ASKED_MAX], probe[STEP_ASKED_MAX];
	size_t verify_count, witness_count, probe_count;

	uint64_t hash;                                                       /* of all decisions */
	uint64_t decisions[TG_DECISION_COUNT];                               /* by type */
	uint64_t actions[TG_ACTION_COUNT], unproven, totals, again, renewed; /* bans told */
	const char *wrong; /* the first expectation that did not hold */
	unsigned wrong_line;
	const char *wrong_file;
	FILE *trace; /* NULL, or tells every event and decision */

	/* That the engine follows and counts, as it says; not cleared between runs. */
	size_t flow_count;
	struct tg_flow_event flows[STEP_FLOWS_MAX];
	struct tg_source_count sources[STEP_SOURCES_MAX];
};

#define STEP_REQUIRE(w, condition) step_require(w, condition, #condition, __FILE__, __LINE__)
void step_require(struct step_world *w, bool holds, const char *what, const char *file,
		  unsigned line);

/* Feeds a new engine with the input. False when something does not hold, see wrong. */
bool step_run(struct step_world *w, const uint8_t *data, size_t size, FILE *trace);
/* The same twice: what is decided must not depend on anything else. */
bool step_run_twice(struct step_world *w, const uint8_t *data, size_t size);

/* step_random.c */
/* An input made from a seed; cap is more than STEP_HEAD_SIZE. */
size_t step_random(uint64_t seed, uint8_t *out, size_t cap);

/* step_kernel.c */
struct step_element step_element_of(const struct step_world *w, const struct tg_ban *ban);
void step_kernel_take(struct step_world *w, const struct tg_decision *decision);
/* What became of the oldest change: it is there, or the kernel refused it. */
struct tg_event step_kernel_answer(struct step_world *w, int error);
/* False when it has such an element already. */
bool step_kernel_add(struct step_world *w, const struct step_element *element);
void step_kernel_policy(struct step_world *w, const struct tg_config *config);
void step_kernel_expire(struct step_world *w);
/* Does it hold this one, whatever its end? */
bool step_kernel_holds(struct step_world *w, const struct tg_ban *ban);
/* Once all is settled. */
void step_kernel_check(struct step_world *w);

/* step_check.c */
void step_check_decision(struct step_world *w, const struct tg_decision *decision,
			 const struct tg_event *event);
/* What the engine follows now, if that was not looked at since the last event. */
void step_read_flows(struct step_world *w);
/* After each event and its decisions, if there were any. */
void step_check(struct step_world *w, const struct tg_event *event, bool decided);
/* Every count against a naive one. */
void step_check_counts(struct step_world *w);
/* The flow belongs to the policy's counts. */
bool step_flow_matches(const struct step_world *w, const struct tg_flow_key *key, unsigned policy);
bool step_is_own(const struct step_world *w, const struct tg_addr *addr);
/* What must not be banned. */
bool step_is_covered(const struct step_world *w, const struct tg_prefix *source);
struct tg_addr step_key_addr(const struct tg_flow_key *key, const uint8_t bytes[16]);

#endif
