/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_TRUTH_H
#define DAEMON_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct tg_config;

/*
 * What this host's own queues and sockets say of a flood, once a second while something is wrong:
 * conntrack may have stopped telling by then, or see none of it.
 */
struct truth;

struct truth_stats {
	bool active;       /* something is wrong: what follows is of the last look */
	uint32_t requests; /* handshakes that sockets wait for */
	bool cut;          /* more than these */
	uint64_t dropped;  /* a second: SYNs and handshakes without room in a listener's queue */
	uint64_t cookies;  /* a second: SYNs answered by a cookie */
	uint64_t looks, failed; /* that were complete; that were given up */
	uint64_t last_us;       /* how long the last one was under way */
};

struct truth_params {
	bool (*wanted)(void *data); /* something is wrong still */
	/* So many handshakes to the policy are waited for. */
	void (*told)(void *data, uint16_t policy, uint32_t requests);
	void *data;
};

/* 0 or -ENOMEM. */
int truth_create(struct loop *loop, const struct truth_params *params, struct truth **ret_truth);
void truth_destroy(struct truth *truth);
/* Borrowed until the next call; a look at sockets for the one before is given up. */
void truth_set_config(struct truth *truth, const struct tg_config *config);
/* Something may be wrong: looks now, if so and if it does not look already. */
void truth_look(struct truth *truth);
void truth_stats(const struct truth *truth, struct truth_stats *ret_stats);

#endif
