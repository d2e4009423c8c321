/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/proto.h>

#include "base/strbuf.h"
#include "loop.h"

/*
 * The unix socket that operators talk to: who may, how many, how much and how long.
 * Knows no request by itself; a table of verbs says what there is.
 */
struct control;
struct control_client;

#define CONTROL_CLIENTS_MAX 64 /* more is not an operator but a fault */
#define CONTROL_ROOT_SLOTS 1   /* of them for uid 0, so that the others cannot lock it out */
#define CONTROL_UID_QUOTA 8    /* clients of one uid that is not 0 */
#define CONTROL_IDLE (5 * TG_SEC)
/* A chunk is asked for when less than this waits to be read; bounds a client's memory to about
   twice of it. */
#define CONTROL_OUT_LOW 32768

struct control_verb {
	const char *name;
	/* Answers by one of the calls below, at once or later through control_find. */
	void (*begin)(void *data, struct control_client *client, const struct tg_record *request);
};

struct control_params {
	const char *path;
	const char *group; /* may connect beside root, if there is such a group; or NULL */
	const struct control_verb *verbs;
	size_t verb_count;
	void *data;
};

struct control_stats {
	uint64_t accepted, denied, busy, malformed, timed_out;
};

/*
 * 0 or -errno; -EADDRINUSE when somebody answers at path, -EEXIST when what stands
 * there is no socket. A socket that nobody answers at is replaced. Borrows loop and params.
 */
int control_create(struct loop *loop, const struct control_params *params,
		   struct control **ret_control);
/* Closes every client and removes the socket, if it is still ours. NULL is fine. */
void control_destroy(struct control *control);
void control_stats(const struct control *control, struct control_stats *ret_stats);
/* True when a daemon answers at path. */
bool control_is_answered(const char *path);

/* Names a client over time; never 0. Gone clients are not found. */
uint32_t control_client_id(const struct control_client *client);
struct control_client *control_find(const struct control *control, uint32_t id);

/* Where an answer's records go. */
struct tg_strbuf *control_out(struct control_client *client);
/* The answer is complete; it is sent as the client reads, then the connection ends. */
void control_done(struct control_client *client);
/* code is the exit status of the CLI. */
void control_error(struct control_client *client, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The answer is made in pieces as the client reads: more appends at most some KiB and
 * returns false after the last. Takes ownership of state, which free_state (if not NULL) ends.
 */
typedef bool control_more_fn(void *data, void *state, struct tg_strbuf *out);
void control_stream(struct control_client *client, control_more_fn *more, void *state,
		    void (*free_state)(void *state));
/* more has nothing to append now; it is asked again after control_wake. The client may wait
   as long as that takes. */
void control_pause(struct control_client *client);
void control_wake(struct control_client *client);
/* It may read as slowly as it likes, or stop for a while: more must cope with that. */
void control_keep(struct control_client *client);

#endif
