/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_SIMULATION_H
#define CLI_SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>
#include <tcpguard/trace.h>

/*
 * An engine that is told a trace. What witnesses said is in the trace, unless they are assumed to
 * have said yes: who was never asked then cannot have answered. The kernel's part is played, too:
 * every ban is acknowledged, and a deadline between two events is kept as the daemon's timer keeps
 * it.
 */

typedef void simulation_decision_fn(void *data, const struct tg_decision *decision);

struct simulation {
	struct tg_config *config; /* NULL: it is borrowed */
	struct tg_ruleset *ruleset;
	struct tg_engine *engine;
	tg_time now;
	bool assume_real; /* every connection that is measured counts as proven */
	simulation_decision_fn *decided;
	void *data;
};

/* Reads the policy; 0, or an exit status after complaints. */
int simulation_init(struct simulation *simulation, const char *policy,
		    const struct tg_trace_header *header, simulation_decision_fn *decided,
		    void *data);
/* The same with a policy that is borrowed, and that only observes. False when memory runs out. */
bool simulation_begin(struct simulation *simulation, const struct tg_config *config,
		      const struct tg_trace_header *header, simulation_decision_fn *decided,
		      void *data);
void simulation_finish(struct simulation *simulation);
void simulation_step(struct simulation *simulation, const struct tg_event *events, int count);

/* Index of a limit among all limits of the config, in order; -1 for a ban by hand. */
int simulation_limit_index(const struct tg_config *config, const struct tg_ban *ban);
size_t simulation_limit_count(const struct tg_config *config);
/* NULL when the ban has none. */
const struct tg_policy *simulation_policy(const struct tg_config *config, const struct tg_ban *ban);
const struct tg_limit *simulation_limit(const struct tg_config *config, const struct tg_ban *ban);

#endif
