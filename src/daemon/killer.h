/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_KILLER_H
#define DAEMON_KILLER_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/ban.h>

struct loop;
struct tg_config;

/*
 * Ends what sources have: this host's sockets first, so that the other side hears of it, then the
 * entries of conntrack. Owns the orders that wait and the one pass over sockets and entries that
 * serves all of them; passes come one after another and are under way half of the time at most.
 */
struct killer;

struct killer_order {
	struct tg_prefix source;
	enum tg_scope scope;          /* EVERYTHING: also what this host opened to the source */
	char policy[TG_NAME_MAX + 1]; /* only what it is about; empty: whatever the source opened */
	uint16_t port;                /* only to this one of this side; 0: any */
	uint32_t token;               /* comes back */
};

struct killer_result {
	uint32_t sockets, flows; /* that are no more */
	int error;               /* 0; or -errno: something could not be looked at or ended */
};

struct killer_stats {
	uint64_t orders, dropped; /* that were taken; that found no room */
	uint64_t passes, failed;  /* that were complete; in which something went wrong */
	uint64_t sockets, flows;  /* ended */
	uint64_t last_us;         /* how long the last pass was under way */
	uint32_t waiting;         /* orders */
};

typedef void killer_fn(void *data, const struct killer_order *order,
		       const struct killer_result *result);

/* done is called in the loop, once for each order. 0 or -ENOMEM. */
int killer_create(struct loop *loop, killer_fn *done, void *data, struct killer **ret_killer);
void killer_destroy(struct killer *killer);

/* What policies mean, until the next call; borrowed. An order of one that is gone ends nothing. */
void killer_set_config(struct killer *killer, const struct tg_config *config);
/* False: there is no room. */
bool killer_add(struct killer *killer, const struct killer_order *order);

void killer_stats(const struct killer *killer, struct killer_stats *ret_stats);

#endif
