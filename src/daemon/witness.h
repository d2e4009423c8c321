/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_WITNESS_H
#define DAEMON_WITNESS_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/ban.h>

struct loop;
struct tg_config;

/*
 * Asks the host's sockets what a source really holds. Owns the questions that wait
 * and the one walk that answers all of them; walks come one after another, 250 ms apart
 * or more, and are under way a fifth of the time at most. Who passes traffic on has no socket of
 * it: then 0 is proven, and so it is of a network with sockets of fewer hosts than its limit's
 * min_hosts.
 */
struct witness;

struct witness_stats {
	uint64_t questions, dropped; /* that were taken; that found no room */
	uint64_t walks, failed;      /* that were complete; given up: their questions wait on */
	uint64_t sockets;            /* looked at */
	uint64_t last_us;            /* how long the last walk was under way */
	uint32_t waiting;            /* questions */
	int error;                   /* why the last walk failed; 0: it did not */
};

typedef void witness_fn(void *data, const struct tg_witness *answer);

/*
 * While it looks at what a source has it also looks whether that holds a session of an admin: saw
 * is called for each, before the answers. ports are borrowed until the next call.
 */
typedef void witness_saw_fn(void *data, const struct tg_addr *admin);
void witness_set_admins(struct witness *witness, const uint16_t *ports, size_t count,
			witness_saw_fn *saw, void *data);

/* answer is called in the loop, once for each question that a walk answers. 0 or -ENOMEM. */
int witness_create(struct loop *loop, const uint8_t seed[static 16], witness_fn *answer, void *data,
		   struct witness **ret_witness);
void witness_destroy(struct witness *witness);

/* ban is of a limit of config, which stays until witness_forget. */
void witness_ask(struct witness *witness, const struct tg_config *config, const struct tg_ban *ban);
/* The policy changes: nobody waits for these answers any more. */
void witness_forget(struct witness *witness);

void witness_stats(const struct witness *witness, struct witness_stats *ret_stats);

#endif
