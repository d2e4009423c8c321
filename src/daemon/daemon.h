/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/engine.h>

#include "base/strbuf.h"
#include "control.h"
#include "fuses.h"
#include "health.h"
#include "history.h"
#include "limit_counts.h"
#include "log.h"
#include "loop.h"
#include "netfilter/ct_feed.h"
#include "netfilter/nft_sink.h"
#include "notify.h"
#include "resolvers.h"

struct recorder;
struct rt_watch;
struct admins;
struct killer;
struct state;
struct truth;
struct witness;
struct tg_diag;
struct tg_strbuf;

/* Exit statuses of tcpguardd; docs/tcpguardd.8. */
enum daemon_exit {
	DAEMON_EXIT_OK = 0,
	DAEMON_EXIT_FAILED = 1,
	DAEMON_EXIT_USAGE = 2,       /* options or policy */
	DAEMON_EXIT_UNSUPPORTED = 3, /* privilege or kernel feature */
	DAEMON_EXIT_RUNNING = 4      /* another daemon is at work */
};

struct daemon_options {
	const char *config;
	const char *state_dir;
	const char *socket;
	const char *metrics_socket; /* NULL: none */
	uint32_t event_buffer;      /* bytes; 0: the feed's own choice */
	bool observe;               /* only observe, whatever the policy says */
	bool plain_table;           /* do not own the table */
	uint8_t seed[16];
};

/* So many lifted bans are named to who asked; of the others only the number is told. */
#define DAEMON_REQUEST_NAMED 8

/* A request by hand that waits for the kernel. */
struct daemon_request {
	uint32_t id; /* of the client; 0: free */
	bool unban;
	bool decided; /* a decision came */
	bool refused;
	bool waiting;                              /* for the ACK of ban, version */
	int error;                                 /* what the kernel said */
	unsigned lifted;                           /* by unban */
	struct tg_ban named[DAEMON_REQUEST_NAMED]; /* the first of them, for the answer */
	struct tg_decision decision;               /* the last */
};

/* Clients that record at a time; each costs 3.6 MB while it does. */
#define DAEMON_RECORDERS_MAX 4
/* Clients that wait for events: each looks at every one that comes. */
#define DAEMON_FOLLOWERS_MAX 8

/* A client that records. */
struct daemon_recorder {
	struct daemon *daemon;
	struct recorder *recorder; /* NULL: free */
	uint32_t client;
};

/* A client that reads events; owned by its stream. */
struct daemon_follower {
	struct daemon *daemon;
	uint32_t client;
	uint64_t next; /* number of the event it is told next, if that is wanted */
	bool follows;  /* those to come, too */
	bool filters;  /* only those of source */
	struct tg_prefix source;
};

/* What readers of events know of messages that were lost. */
struct daemon_gap {
	bool open;           /* told, and no dump has made up for it */
	uint64_t gaps, lost; /* of the engine, when all was well */
};

/* A policy in force: what the engine, the sink and the log borrow, freed together. */
struct daemon_policy {
	struct tg_config *config;
	struct tg_ruleset *ruleset;
	struct tg_prefix_set *allow;
	struct tg_syn_options *syn_options; /* of each policy, if any wants SYNPROXY; else NULL */
	bool synproxy_withheld;             /* it only observes: the host is not made for it */
	int64_t loaded;                     /* seconds since the epoch */
};

/*
 * The owner of everything that runs. Its files: daemon.c builds and ends it, policy.c
 * loads and replaces policies, turn.c moves events and decisions, upkeep.c follows the
 * host and heals what broke, control_requests.c answers operators.
 */
struct daemon {
	struct daemon_options options;
	struct log *log;
	struct notify notify;
	struct loop *loop;
	struct control *control; /* NULL: it could not be made yet */
	struct control *metrics; /* the same for who may read numbers only; or not asked for */
	struct tg_engine *engine;
	struct tg_engine_params params;
	bool sources_lowered; /* max_sources, by the rates of the policy at start */
	struct daemon_policy policy;
	struct daemon_policy
		before;             /* comes back unless the running one is confirmed; no ruleset */
	struct loop_timer *confirm; /* when; NULL until it was asked for */
	struct tg_prefix_set *protected;
	struct nft_sink *sink;
	struct ct_feed *feed;
	struct fuses fuses;
	struct rt_watch *watch;
	struct witness *witness;
	struct killer *killer;
	struct state *state;
	struct admins *admins;
	struct truth *truth;
	struct resolvers resolvers;
	struct health health;
	struct limit_counts limit_counts;
	struct loop_fd *feed_event, *feed_query, *sink_watch, *watch_source;
	struct loop_timer *tick, *drain, *query, *repair, *refeed, *reprotect, *upkeep, *watchdog;
	struct loop_timer *reopen;
	unsigned drained_empty;      /* drains in a row that found nothing */
	bool feed_busy;              /* drained by the timer and not by epoll */
	enum tg_feed_step feed_step; /* what conntrack tells, as was last told */
	tg_time repaired_at, repair_delay, refeed_delay, reopen_delay;
	bool table_lost;
	struct daemon_request requests[CONTROL_CLIENTS_MAX];
	unsigned request_count; /* of these with an id */
	struct daemon_recorder recorders[DAEMON_RECORDERS_MAX];
	unsigned recording; /* of them in use */
	struct history *history;
	struct tg_strbuf event_line; /* under construction; its memory is kept */
	struct daemon_follower *followers[DAEMON_FOLLOWERS_MAX]; /* who follows; NULL: free */
	struct daemon_gap gap;
	uint64_t events_missed;                  /* by clients that did not keep up */
	uint64_t events_untold;                  /* for want of memory, or of room in a line */
	uint64_t recorded_events, recorded_lost; /* by those that ended */
	struct ct_feed_stats feed_before;        /* of feeds that were replaced */
	struct tg_engine_stats seen;             /* at the last upkeep, to notice what grew */
	struct tg_engine_stats roomy;            /* before a table was full */
	tg_time room_until;
	tg_time syn_options_at; /* when they were read */
	tg_time started_at;
	uint32_t adopted;
	uint64_t reloads, reloads_failed, feed_restarts;
	uint64_t replaced; /* policies, by reloads and by what takes them back */
	uint64_t sink_adds_failed;
	uint64_t probes, probes_failed;
	enum daemon_exit status;
};

/* Builds all, in the order that leaves no moment unguarded. On failure logs why; *ret_daemon is
   untouched and the status says what to exit with. */
enum daemon_exit daemon_create(const struct daemon_options *options, struct log *log,
			       struct daemon **ret_daemon);
/* Until a signal ends it. */
enum daemon_exit daemon_run(struct daemon *daemon);
/* The bans stay in force. */
void daemon_destroy(struct daemon *daemon);

/* control_record.c */
/* For every recorder, before the engine is told; the call below is what to use. */
void record_event(struct daemon *daemon, const struct tg_event *event);
/* Wakes the clients that something waits for. */
void record_wake(struct daemon *daemon);

/* The engine's one door in. */
static inline void daemon_step(struct daemon *daemon, const struct tg_event *event)
{
	if (daemon->recording > 0)
		record_event(daemon, event);
	tg_engine_step(daemon->engine, event);
}

/* policy.c */
/* Reads and prepares a policy; 0, or -errno with the reason in diag or, without entries there, by
   the errno alone. */
int policy_load(const struct daemon_options *options, const struct tg_engine_params *params,
		struct daemon_policy *ret_policy, struct tg_diag *diag);
void policy_finish(struct daemon_policy *policy);
/*
 * Replaces the running policy, or leaves it as it is. True when done; text becomes the
 * errors, or what there is to say beside success. confirm_ms: the one before comes back
 * after so long, unless another reload is asked for in time; 0: the new one is there to stay.
 * cause: who asks, for those who read of it.
 */
bool policy_reload(struct daemon *daemon, const char *cause, uint64_t confirm_ms,
		   struct tg_strbuf *text);
/* The same policy once more, after what it depends on has changed on this host. */
void policy_renew(struct daemon *daemon);
/* Of the one that waits to come back. */
void policy_forget_before(struct daemon *daemon);
/* In milliseconds; 0: nothing waits. */
uint64_t policy_confirm_left(const struct daemon *daemon);

/* turn.c */
int turn_init(struct daemon *daemon);
/* Tells those who look at sockets and connections what the policy in force says. */
void turn_follow_policy(struct daemon *daemon);
/* Engine and kernel agree again when this returns: decisions out, acknowledgements in. */
void turn_finish(struct daemon *daemon);
/* Hands a request by hand to the engine; the client is answered when the kernel has. */
void turn_request(struct daemon *daemon, struct control_client *client, struct tg_event *event);
void turn_panic(struct daemon *daemon, bool on);
/* Registers a fresh feed with the loop. */
int turn_attach_feed(struct daemon *daemon);
void turn_detach_feed(struct daemon *daemon);

/* upkeep.c */
int upkeep_init(struct daemon *daemon);
/* The kernel does not hold the table as installed: puts it back, at once or soon. */
void upkeep_table_lost(struct daemon *daemon);
/* 0 or -ENOMEM. */
int upkeep_watch_truth(struct daemon *daemon);
/* 0 or -errno. */
int upkeep_open_feed(struct daemon *daemon);
/* The feed failed with error: starts another one, soon. */
void upkeep_feed_failed(struct daemon *daemon, int error);
/* Whether the kernel counts and tells what the policy needs; at every policy and now and then. */
void upkeep_check_sysctls(struct daemon *daemon);
/* Conntrack is asked for more or less than before. */
void upkeep_feed_step(struct daemon *daemon);
/* The feed's counts since start. */
void upkeep_feed_stats(const struct daemon *daemon, struct ct_feed_stats *ret_stats);

#endif
