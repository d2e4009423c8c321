/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sums up the sockets in two walks: the listeners first, because a socket on a port of theirs was
 * opened by a peer, and any other by this host.
 */
#include "host/tally.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/processes.h"
#include "host/sockets.h"

#define PORTS 65536
/* Sockets after which somebody who waits is told. */
#define WALKING_EVERY 1024
/* A socket whose process is looked up when all are known. */
struct pending {
	uint32_t inode;
	uint16_t port; /* of the listener that accepted it; 0: this host opened it */
	bool close_wait;
	uint64_t ms;
};

struct tallying {
	struct tally tally;
	struct tally_params params;
	uint32_t *half_open;       /* by port */
	uint32_t *listening;       /* by port: how many listeners */
	uint32_t *listener_inodes; /* by listener */
	struct pending *pending;
	size_t pending_count;
	size_t outgoing; /* entries of destinations until they are grouped */
	uint64_t seen;   /* sockets that do not listen */
	bool failed;     /* no memory */
};

/* One more at the end of a list that grows at every power of two; NULL: no memory. */
static void *grow(void *list, size_t count, size_t size)
{
	if (count & (count - 1))
		return list;
	return reallocarray(list, count ? count * 2 : 1, size);
}

static bool is_loopback(const struct tg_addr *addr)
{
	static const uint8_t v6[16] = {[15] = 1};
	return addr->family == TG_IPV4 ? addr->bytes[0] == 127
				       : memcmp(addr->bytes, v6, sizeof(v6)) == 0;
}

static void add_listener(void *data, const struct sock_diag_socket *socket)
{
	struct tallying *tallying = data;
	struct tally *tally = &tallying->tally;
	struct tally_listener *listeners =
		grow(tally->listeners, tally->listener_count, sizeof(*listeners));
	if (listeners)
		tally->listeners = listeners;
	uint32_t *inodes = grow(tallying->listener_inodes, tally->listener_count, sizeof(*inodes));
	if (inodes)
		tallying->listener_inodes = inodes;
	if (!listeners || !inodes) {
		tallying->failed = true;
		return;
	}
	inodes[tally->listener_count] = socket->inode;
	listeners[tally->listener_count++] = (struct tally_listener){
		.address = socket->local,
		.port = socket->local_port,
		.queued = socket->rqueue,
		.backlog = socket->wqueue,
	};
	tallying->listening[socket->local_port]++;
}

static void add_pending(struct tallying *tallying, const struct sock_diag_socket *socket,
			bool close_wait, uint64_t ms)
{
	struct pending *pending =
		grow(tallying->pending, tallying->pending_count, sizeof(*pending));
	if (!pending) {
		tallying->failed = true;
		return;
	}
	tallying->pending = pending;
	pending[tallying->pending_count++] = (struct pending){
		.inode = socket->inode,
		.port = tallying->listening[socket->local_port] ? socket->local_port : 0,
		.close_wait = close_wait,
		.ms = ms,
	};
}

static void add_outgoing(struct tallying *tallying, const struct sock_diag_socket *socket)
{
	if (socket->local_port < tallying->params.first_port ||
	    socket->local_port > tallying->params.last_port)
		return;
	struct tally_destination *grown =
		grow(tallying->tally.destinations, tallying->outgoing, sizeof(*grown));
	if (!grown) {
		tallying->failed = true;
		return;
	}
	tallying->tally.destinations = grown;
	grown[tallying->outgoing++] = (struct tally_destination){
		.local = socket->local,
		.remote = socket->remote,
		.port = socket->remote_port,
		.used = 1,
		.time_wait = socket->state == TCP_TIME_WAIT,
	};
}

static void add_established(struct tallying *tallying, const struct sock_diag_socket *socket)
{
	const uint64_t silent = MIN(socket->received_ms, socket->sent_ms);
	tallying->tally.established++;
	tallying->tally.ports[socket->local_port].established++;
	if (socket->timer == SOCK_TIMER_KEEPALIVE)
		tallying->tally.keepalive++;
	/* With something to send, its own retransmissions find a dead peer. One on this host cannot
	   die unnoticed. */
	if (socket->timer == SOCK_TIMER_NONE && socket->wqueue == 0 && socket->info &&
	    silent >= tallying->params.idle_ms && !is_loopback(&socket->remote))
		add_pending(tallying, socket, false, silent);
}

static void add_socket(void *data, const struct sock_diag_socket *socket)
{
	struct tallying *tallying = data;
	struct tally *tally = &tallying->tally;
	if (++tallying->seen % WALKING_EVERY == 0 && tallying->params.walking)
		tallying->params.walking(tallying->params.data, tallying->seen);
	const bool accepted = tallying->listening[socket->local_port] > 0;
	if (socket->state == TCP_SYN_RECV)
		tallying->half_open[socket->local_port]++;
	if (socket->state == TCP_TIME_WAIT) {
		tally->time_wait++;
		tally->time_wait_out += !accepted;
		tally->ports[socket->local_port].time_wait++;
	}
	if (socket->state == TCP_FIN_WAIT2)
		tally->fin_wait2++;
	if (socket->state == TCP_ESTABLISHED)
		add_established(tallying, socket);
	/* The peer's FIN had an ACK with it: it is at least as old as the last one. */
	if (socket->state == TCP_CLOSE_WAIT)
		add_pending(tallying, socket, true, socket->info ? socket->heard_ms : 0);
	if (!accepted && socket->state != TCP_SYN_RECV && socket->state != TCP_CLOSE)
		add_outgoing(tallying, socket);
}

static int compare_destinations(const void *a, const void *b)
{
	const struct tally_destination *left = a, *right = b;
	int order = memcmp(&left->remote, &right->remote, sizeof(left->remote));
	if (order == 0)
		order = (left->port > right->port) - (left->port < right->port);
	return order != 0 ? order : memcmp(&left->local, &right->local, sizeof(left->local));
}

static int compare_fullness(const void *a, const void *b)
{
	const struct tally_destination *left = a, *right = b;
	if (left->used != right->used)
		return left->used < right->used ? 1 : -1;
	return compare_destinations(a, b);
}

static void group_destinations(struct tallying *tallying)
{
	struct tally *tally = &tallying->tally;
	struct tally_destination *list = tally->destinations;
	if (tallying->outgoing == 0)
		return;
	qsort(list, tallying->outgoing, sizeof(*list), compare_destinations);
	for (size_t i = 0; i < tallying->outgoing; i++) {
		struct tally_destination *last =
			tally->destination_count ? &list[tally->destination_count - 1] : NULL;
		if (last && compare_destinations(last, &list[i]) == 0) {
			last->used += list[i].used;
			last->time_wait += list[i].time_wait;
		} else {
			list[tally->destination_count++] = list[i];
		}
	}
	qsort(list, tally->destination_count, sizeof(*list), compare_fullness);
}

static void format_owner(const struct processes_owner *owner,
			 char name[static TALLY_PROCESS_STRLEN])
{
	if (owner)
		(void)snprintf(name, TALLY_PROCESS_STRLEN, "%s (pid %" PRIu32 ")", owner->name,
			       owner->pid);
	else
		(void)snprintf(name, TALLY_PROCESS_STRLEN, "process unknown");
}

static struct tally_process *process_of(struct tallying *tallying,
					const struct processes_owner *owner)
{
	struct tally *tally = &tallying->tally;
	char name[TALLY_PROCESS_STRLEN];
	format_owner(owner, name);
	for (size_t i = 0; i < tally->process_count; i++)
		if (strcmp(tally->processes[i].process, name) == 0)
			return &tally->processes[i];
	struct tally_process *grown = grow(tally->processes, tally->process_count, sizeof(*grown));
	if (!grown)
		return NULL;
	tally->processes = grown;
	struct tally_process *process = &grown[tally->process_count++];
	*process = (struct tally_process){0};
	memcpy(process->process, name, sizeof(name));
	return process;
}

/* What no process has yet waits to be accepted: it is the listener's. */
static const struct processes_owner *owner_of(const struct tallying *tallying,
					      const struct processes *map,
					      const struct pending *pending)
{
	const struct tally *tally = &tallying->tally;
	for (size_t i = 0; pending->inode == 0 && i < tally->listener_count; i++)
		if (tally->listeners[i].port == pending->port)
			return processes_find(map, tallying->listener_inodes[i]);
	return processes_find(map, pending->inode);
}

static void add_to_process(struct tallying *tallying, const struct processes *map,
			   const struct pending *pending)
{
	struct tally_process *process = process_of(tallying, owner_of(tallying, map, pending));
	if (!process) {
		tallying->failed = true;
	} else if (pending->close_wait) {
		process->close_wait++;
		process->close_wait_ms = MAX(process->close_wait_ms, pending->ms);
	} else {
		process->mute++;
		process->mute_ms = MAX(process->mute_ms, pending->ms);
		if (process->mute_port == 0)
			process->mute_port = pending->port;
	}
}

static int name_processes(struct tallying *tallying)
{
	struct processes *map;
	struct tally *tally = &tallying->tally;
	int err = processes_create(&map);
	if (err)
		return err;
	tally->processes_known = processes_is_complete(map);
	for (size_t i = 0; i < tally->listener_count; i++) {
		struct tally_listener *listener = &tally->listeners[i];
		format_owner(processes_find(map, tallying->listener_inodes[i]), listener->process);
		/* Which of several listeners a request is for, the kernel does not tell. */
		if (tallying->listening[listener->port] == 1)
			listener->half_open = tallying->half_open[listener->port];
	}
	for (size_t i = 0; i < tallying->pending_count && !tallying->failed; i++)
		add_to_process(tallying, map, &tallying->pending[i]);
	processes_destroy(map);
	return 0;
}

static int walk_all(struct tallying *tallying)
{
	struct tally *tally = &tallying->tally;
	const struct sockets_query listeners = {.states = SOCK_STATE(TCP_LISTEN)};
	const struct sockets_query others = {.states = SOCKETS_STATES & ~SOCK_STATE(TCP_LISTEN),
					     .info = true};
	tally->error = sockets_walk(&listeners, add_listener, tallying);
	if (!tally->error)
		tally->error = sockets_walk(&others, add_socket, tallying);
	tally->known = tally->error == 0;
	for (size_t port = 0; port < PORTS; port++)
		if (tallying->listening[port] == 0)
			tally->ports[port] = (struct tally_port){0};
	group_destinations(tallying);
	return tallying->failed ? -ENOMEM : name_processes(tallying);
}

int tally_read(const struct tally_params *params, struct tally *ret_tally)
{
	struct tallying tallying = {.params = *params};
	tallying.tally.ports = calloc(PORTS, sizeof(*tallying.tally.ports));
	tallying.half_open = calloc(PORTS, sizeof(*tallying.half_open));
	tallying.listening = calloc(PORTS, sizeof(*tallying.listening));
	int err = -ENOMEM;
	if (tallying.tally.ports && tallying.half_open && tallying.listening)
		err = walk_all(&tallying);
	if (!err && tallying.failed)
		err = -ENOMEM;
	free(tallying.half_open);
	free(tallying.listening);
	free(tallying.listener_inodes);
	free(tallying.pending);
	if (err)
		tally_finish(&tallying.tally);
	else
		*ret_tally = tallying.tally;
	return err;
}

void tally_finish(struct tally *tally)
{
	free(tally->listeners);
	free(tally->processes);
	free(tally->destinations);
	free(tally->ports);
	*tally = (struct tally){0};
}
