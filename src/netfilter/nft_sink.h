/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_NFT_SINK_H
#define NETFILTER_NFT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/decision.h>

#include "base/histogram.h"

struct tg_config;
struct tg_prefix_set;

/*
 * The kernel's table `inet tcpguard`, ours alone. Owns the socket through which
 * every change goes (ownership of the table hangs on it), the queue of the turn's
 * changes, and the table's description. It does not decide and does not keep the
 * bans: the engine does, and is asked to repeat them when the table was lost.
 */
struct nft_sink;

struct nft_sink_params {
	bool plain; /* do not own the table, although the kernel could: an operator who edits it
		       with nft */
	bool no_synproxy; /* as if the kernel had been built without SYNPROXY; for tests */
	bool no_update;   /* never move the end of an element in place, as on old kernels; for tests
			   */
	bool no_destroy;  /* do without DESTROYSETELEM, as on a kernel before 6.3; for tests */
	tg_time (*clock)(void); /* to time transactions by; NULL: they are not timed */
	uint32_t set_size;      /* room of a set of bans; 0: the least. Less is for tests */
};

/*
 * A set may be more than full for a moment, when one transaction replaces all that is in it, and
 * expired elements keep their places for a second: twice as many as there may be bans, or this.
 */
#define NFT_SINK_SET_SIZE_LEAST 262144u

struct nft_sink_stats {
	bool owned;                    /* OWNER|PERSIST is in force */
	bool destroy;                  /* the kernel knows DESTROYSETELEM */
	bool update;                   /* it moves the end of an element in place */
	bool ingress;                  /* drops stand at the interfaces that the config names */
	uint64_t fuses;                /* in force: of each limit that has one, two */
	bool no_fuse;                  /* it takes none, although the policy asks for some */
	bool synproxy;                 /* SYNPROXY stands for the policies that ask for it */
	uint64_t transactions, failed; /* batches sent; batches the kernel refused as a whole */
	uint64_t elements_added, elements_removed;
	uint64_t elements_failed;  /* alone refused, after the batch was taken apart */
	uint64_t repairs;          /* times the table was found changed or gone and put back */
	uint64_t verified;         /* sources that were let pass by a budget */
	uint64_t verified_refused; /* and that were not, for want of room: they share it */
	struct tg_histogram took;  /* from sending a batch to the kernel's answer, errors too */
};

/*
 * Opens the socket and finds out what the kernel can do. 0, or -errno: -EPERM without
 * CAP_NET_ADMIN, -EBUSY when another process owns the table, -EOPNOTSUPP without nf_tables.
 * *ret_sink is written on success only. Changes nothing that is in the kernel, but for taking
 * over a table that an earlier daemon left.
 */
int nft_sink_create(const struct nft_sink_params *params, struct nft_sink **ret_sink);
/* The table and its bans stay in force. */
void nft_sink_destroy(struct nft_sink *sink);

/*
 * Every ban that the kernel holds, in no order. wall_s: now, in seconds since the epoch. 0 or
 * -errno; a table that is not there yet is 0 bans. An element of unknown making is a ban by hand;
 * one in a policy's set keeps that policy's name. Call before install.
 */
int nft_sink_adopt(struct nft_sink *sink, uint64_t wall_s,
		   void (*found)(void *data, const struct tg_adopt *adopt), void *data);

/*
 * Makes the table what config asks for, in one transaction: chains, rules, sets and
 * allow lists. Elements in sets that stay are not touched. syn_options: of each policy, what
 * SYNPROXY answers with; NULL: Linux's own. All are borrowed until the next call. 1: done, but bans
 * that the kernel held are gone, because their set or the table was lost or beyond repair:
 * SINK_LOST to the engine. 0: done. Or -errno, and nothing changed: -EBUSY when another process
 * owns the table, or when changes are queued (commit them first: their policy is an index into the
 * config of the last install).
 */
int nft_sink_install(struct nft_sink *sink, const struct tg_config *config,
		     const struct tg_prefix_set *protected, const struct tg_prefix_set *allow,
		     const struct tg_syn_options *syn_options);

/* From the next install on, nothing that the packet path decides by itself drops. */
void nft_sink_observe(struct nft_sink *sink, bool observes);

/* The meters of the fuses: how many sources they count now. */
struct nft_meters {
	uint64_t fuses;   /* in force: of each limit that has one, two */
	bool known;       /* the kernel tells; else both of these are 0 */
	uint64_t sources; /* in all of them */
	uint32_t most;    /* in the fullest */
	uint32_t room;    /* of each */
};
void nft_sink_meters(struct nft_sink *sink, struct nft_meters *ret_meters);

/* The protected addresses changed: replaces their sets in one transaction. Borrowed as above. */
int nft_sink_protect(struct nft_sink *sink, const struct tg_prefix_set *protected);

/*
 * Queues a BAN (with its end as the time left from now on) or a LIFT; others are -EINVAL, and so is
 * what only observes. wall_s:
 * now, in seconds since the epoch. A BAN that no set of the layout fits is queued, too, and acked
 * with EINVAL; such a LIFT with 0. 0, -ENOMEM, or -ENOENT before the first install.
 */
int nft_sink_add(struct nft_sink *sink, const struct tg_decision *decision, tg_time now,
		 uint64_t wall_s);

/* Queues a source that is to pass by the policy's budget of SYNs; the next commit sends it. */
void nft_sink_pass(struct nft_sink *sink, uint16_t policy, const struct tg_addr *source);

/*
 * Sends what was queued as one transaction and reads what the kernel says. When it refuses
 * the batch, finds the elements that are to blame, so that one bad element costs no other; a
 * set without room is ENOSPC for what did not fit. Of several decisions about one element in one
 * turn the last counts, and all get its result. ack is called for every queued decision, in any
 * order, with 0 or an errno; it must not call the sink. Returns 0, or -ENOENT when
 * the table (or a set) is not there: then install, and SINK_LOST to the engine.
 */
int nft_sink_commit(struct nft_sink *sink,
		    void (*ack)(void *data, uint32_t ban, uint32_t version, int error), void *data);

/*
 * Since the element was put in; a changed element begins anew. Of a drop: every packet of the
 * source that it met, all of them dropped. Of a rate-limit: the SYNs over the limit, which were
 * dropped; those that passed are not counted. Of a cap: nothing is counted, and found is false.
 */
struct nft_counters {
	uint64_t packets, bytes;
	bool found;
};
/* What the kernel counted for these bans; asks for single elements, never dumps a set. */
int nft_sink_counters(struct nft_sink *sink, const struct tg_ban *bans, size_t count,
		      struct nft_counters *ret_counters);

/* Readable when somebody else may have changed the table; -1 when nobody can. */
int nft_sink_watch_fd(const struct nft_sink *sink);
/* Reads the watch; true when the table is no longer as installed: then install and SINK_LOST. */
bool nft_sink_watch_dispatch(struct nft_sink *sink);

/* Takes the table out, with everything in it: for panic when no daemon runs. 0 or -errno; gone
 * already is 0; -EBUSY when a running daemon owns it. */
int nft_sink_remove_table(void);

void nft_sink_stats(const struct nft_sink *sink, struct nft_sink_stats *ret_stats);

#endif
