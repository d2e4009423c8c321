/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the orders to end connections and the pass that carries them out: walks over the sockets
 * until one finds nothing to end, then a dump of conntrack. Sockets go first: without its entry a
 * connection's next packet would make a new one.
 */
#include "killer.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "loop.h"
#include "netfilter/ct_dump.h"
#include "netfilter/ct_encode.h"
#include "netfilter/nl_order.h"
#include "netfilter/sock_walk.h"
#include "source_index.h"

/* A flood's bans may come by the thousand. */
#define ORDERS_MAX 4096
#define PASS_PAUSE (20 * TG_MSEC)
#define PASS_MAX (10 * TG_SEC)
/* What is ended while the kernel walks moves what it has not told of yet: it walks again. */
#define WALKS_MAX 8
/* Parts of a dump in one turn of the loop: some 10 ms. */
#define DUMP_PARTS 8

#define STATES                                                                                \
	(SOCK_STATE(TCP_ESTABLISHED) | SOCK_STATE(TCP_SYN_SENT) | SOCK_STATE(TCP_SYN_RECV) |  \
	 SOCK_STATE(TCP_FIN_WAIT1) | SOCK_STATE(TCP_FIN_WAIT2) | SOCK_STATE(TCP_CLOSE_WAIT) | \
	 SOCK_STATE(TCP_LAST_ACK) | SOCK_STATE(TCP_CLOSING))

struct job {
	struct tg_prefix source; /* first: source_index.h */
	struct killer_order order;
	struct killer_result result;
};

struct killer {
	struct loop *loop;
	const struct tg_config *config;
	killer_fn *done;
	void *data;
	struct loop_timer *timer; /* of the next pass, or of the end of this one */
	struct loop_fd *readable;
	struct sock_walk *walk; /* NULL: none is under way */
	struct ct_dump dump;
	struct nl_order sockets, flows;
	bool running;
	unsigned walks;
	uint64_t found; /* by this walk */
	tg_time begun, next;
	size_t passing; /* the first so many, sorted, are those of the pass */
	size_t count;
	struct source_index index;
	int error; /* of the pass */
	struct killer_stats stats;
	struct job jobs[ORDERS_MAX];
};

/* One connection, as whoever opened it sees it. */
struct target {
	const struct tg_config *config;
	const struct tg_addr *local;
	uint16_t local_port;
	bool opened_there; /* by the source, not by this host */
	bool is_flow;
	bool matches;
};

static const struct tg_policy *find_policy(const struct tg_config *config, const char *name)
{
	for (size_t i = 0; config && i < config->policy_count; i++)
		if (strcmp(config->policies[i].name, name) == 0)
			return &config->policies[i];
	return NULL;
}

static void match(void *data, void *item)
{
	struct target *target = data;
	struct job *job = item;
	const struct killer_order *order = &job->order;
	if (order->scope != TG_SCOPE_EVERYTHING) {
		const struct tg_policy *policy =
			order->policy[0] ? find_policy(target->config, order->policy) : NULL;
		if (!target->opened_there ||
		    (order->policy[0] &&
		     (!policy || !tg_policy_holds(policy, target->local, target->local_port))) ||
		    (order->port != 0 && order->port != target->local_port))
			return;
	}
	target->matches = true;
	if (target->is_flow)
		job->result.flows++;
	else
		job->result.sockets++;
}

static void found_socket(void *data, const struct sock_diag_socket *socket)
{
	struct killer *killer = data;
	struct target target = {.config = killer->config,
				.local = &socket->local,
				.local_port = socket->local_port,
				.opened_there = socket->accepted};
	source_index_find(&killer->index, &socket->remote, match, &target);
	if (!target.matches)
		return;
	killer->found++;
	void *at = nl_order_next(&killer->sockets);
	nl_order_put(&killer->sockets,
		     sock_diag_encode_destroy(at, nl_order_seq(&killer->sockets), socket));
}

static void found_flow(struct killer *killer, const struct tg_flow_key *key)
{
	struct tg_addr from = {.family = key->family}, to = {.family = key->family};
	memcpy(from.bytes, key->src, sizeof(from.bytes));
	memcpy(to.bytes, key->dst, sizeof(to.bytes));
	struct target target = {.config = killer->config,
				.local = &to,
				.local_port = key->dport,
				.opened_there = true,
				.is_flow = true};
	source_index_find(&killer->index, &from, match, &target);
	if (!target.matches) {
		target.local = &from;
		target.local_port = key->sport;
		target.opened_there = false;
		source_index_find(&killer->index, &to, match, &target);
	}
	if (!target.matches)
		return;
	void *at = nl_order_next(&killer->flows);
	nl_order_put(&killer->flows, ct_encode_delete(at, nl_order_seq(&killer->flows), key));
}

static void schedule(struct killer *killer)
{
	if (killer->running)
		loop_timer_set(killer->timer, killer->begun + PASS_MAX);
	else
		loop_timer_set(killer->timer, killer->count == 0 ? TG_NEVER : killer->next);
}

static void stop_reading(struct killer *killer)
{
	loop_remove_fd(killer->readable);
	killer->readable = NULL;
	sock_walk_end(killer->walk);
	killer->walk = NULL;
	if (ct_dump_is_running(&killer->dump))
		ct_dump_abandon(&killer->dump);
}

static void end_pass(struct killer *killer)
{
	const tg_time now = loop_clock();
	stop_reading(killer);
	nl_order_flush(&killer->sockets);
	nl_order_flush(&killer->flows);
	if (killer->sockets.failed + killer->flows.failed > 0 && !killer->error)
		killer->error =
			killer->sockets.failed ? killer->sockets.error : killer->flows.error;
	killer->stats.sockets += killer->sockets.done;
	killer->stats.flows += killer->flows.done;
	killer->stats.passes += killer->error == 0;
	killer->stats.failed += killer->error != 0;
	killer->stats.last_us = (now - killer->begun) / 1000;
	nl_order_finish(&killer->sockets);
	nl_order_finish(&killer->flows);
	killer->running = false;
	killer->next = now + MAX(PASS_PAUSE, now - killer->begun);
	for (size_t i = 0; i < killer->passing; i++) {
		killer->jobs[i].result.error = killer->error;
		killer->done(killer->data, &killer->jobs[i].order, &killer->jobs[i].result);
	}
	killer->count -= killer->passing;
	memmove(killer->jobs, killer->jobs + killer->passing,
		killer->count * sizeof(killer->jobs[0]));
	killer->passing = 0;
	schedule(killer);
}

static void fail_pass(struct killer *killer, int err)
{
	killer->error = err;
	end_pass(killer);
}

static void dump_readable(void *data, uint32_t events)
{
	struct killer *killer = data;
	struct ct_message message;
	int parts = 0;
	(void)events;
	while (parts < DUMP_PARTS) {
		switch (ct_dump_next(&killer->dump, loop_now(killer->loop), &message)) {
		case CT_DUMP_ENTRY:
			if (!message.dying)
				found_flow(killer, &message.flow.key);
			break;
		case CT_DUMP_PART:
			parts++;
			break;
		case CT_DUMP_IGNORED:
		case CT_DUMP_MALFORMED:
			break;
		case CT_DUMP_WAIT:
			return;
		case CT_DUMP_END:
			end_pass(killer);
			return;
		case CT_DUMP_FAILED:
			fail_pass(killer, -EIO);
			return;
		}
	}
}

static void begin_dump(struct killer *killer)
{
	const struct tg_prefix *only = source_index_only(&killer->index);
	struct ct_dump_filter filter = {0};
	/* The kernel compares whole addresses, and of the original direction only. */
	if (only && only->len == tg_family_bits((enum tg_family)only->addr.family) &&
	    killer->passing == 1 && killer->jobs[0].order.scope != TG_SCOPE_EVERYTHING) {
		filter.source = &only->addr;
		filter.port = killer->jobs[0].order.port;
	}
	int err = ct_dump_begin(&killer->dump, loop_now(killer->loop), &filter);
	if (!err)
		err = loop_add_fd(killer->loop, killer->dump.sock.fd, EPOLLIN, dump_readable,
				  killer, &killer->readable);
	if (err)
		fail_pass(killer, err);
}

static void begin_walk(struct killer *killer);

static void walk_readable(void *data, uint32_t events)
{
	struct killer *killer = data;
	(void)events;
	int done = sock_walk_read(killer->walk, found_socket, killer);
	nl_order_flush(&killer->sockets);
	if (done == 0)
		return;
	if (done < 0) {
		fail_pass(killer, done);
		return;
	}
	stop_reading(killer);
	if (killer->found > 0 && killer->sockets.failed == 0 && killer->walks < WALKS_MAX)
		begin_walk(killer);
	else
		begin_dump(killer);
}

static void begin_walk(struct killer *killer)
{
	struct sock_walk_params params = {.states = STATES,
					  .remote = source_index_only(&killer->index)};
	for (size_t i = 0; i < killer->passing; i++) {
		const struct job *job = &killer->jobs[i];
		params.ipv4 = params.ipv4 || job->source.addr.family == TG_IPV4;
		params.ipv6 = params.ipv6 || job->source.addr.family == TG_IPV6;
		params.ours = params.ours || job->order.scope == TG_SCOPE_EVERYTHING;
	}
	killer->walks++;
	killer->found = 0;
	int err = sock_walk_begin(&params, &killer->walk);
	if (!err)
		err = loop_add_fd(killer->loop, sock_walk_fd(killer->walk), EPOLLIN, walk_readable,
				  killer, &killer->readable);
	if (err)
		fail_pass(killer, err);
}

static void timer_due(void *data)
{
	struct killer *killer = data;
	if (killer->running) {
		fail_pass(killer, -ETIMEDOUT);
		return;
	}
	if (killer->count == 0)
		return;
	killer->running = true;
	killer->begun = loop_now(killer->loop);
	killer->walks = 0;
	killer->error = 0;
	killer->passing = killer->count;
	source_index_build(&killer->index, killer->jobs, killer->passing, sizeof(killer->jobs[0]));
	schedule(killer);
	int err = nl_order_init(&killer->sockets, NETLINK_SOCK_DIAG);
	if (!err)
		err = nl_order_init(&killer->flows, NETLINK_NETFILTER);
	if (err)
		fail_pass(killer, err);
	else
		begin_walk(killer);
}

int killer_create(struct loop *loop, killer_fn *done, void *data, struct killer **ret_killer)
{
	struct killer *killer = calloc(1, sizeof(*killer));
	if (!killer)
		return -ENOMEM;
	killer->loop = loop;
	killer->done = done;
	killer->data = data;
	killer->sockets.sock = killer->flows.sock = NLSOCK_CLOSED;
	killer->timer = loop_add_timer(loop, timer_due, killer);
	if (!killer->timer || ct_dump_init(&killer->dump) < 0) {
		loop_remove_timer(killer->timer);
		free(killer);
		return -ENOMEM;
	}
	*ret_killer = killer;
	return 0;
}

void killer_destroy(struct killer *killer)
{
	if (!killer)
		return;
	stop_reading(killer);
	ct_dump_finish(&killer->dump);
	nl_order_finish(&killer->sockets);
	nl_order_finish(&killer->flows);
	loop_remove_timer(killer->timer);
	free(killer);
}

void killer_set_config(struct killer *killer, const struct tg_config *config)
{
	killer->config = config;
}

bool killer_add(struct killer *killer, const struct killer_order *order)
{
	for (size_t i = killer->passing; i < killer->count; i++) {
		const struct killer_order *other = &killer->jobs[i].order;
		if (other->token == order->token && other->scope == order->scope &&
		    other->port == order->port && strcmp(other->policy, order->policy) == 0 &&
		    tg_prefix_equal(&other->source, &order->source))
			return true;
	}
	if (killer->count == ORDERS_MAX) {
		killer->stats.dropped++;
		return false;
	}
	killer->stats.orders++;
	killer->jobs[killer->count++] = (struct job){.source = order->source, .order = *order};
	if (!killer->running) {
		killer->next = MAX(killer->next, loop_now(killer->loop));
		schedule(killer);
	}
	return true;
}

void killer_stats(const struct killer *killer, struct killer_stats *ret_stats)
{
	*ret_stats = killer->stats;
	ret_stats->waiting = (uint32_t)killer->count;
}
