/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the questions about sources that wait for the sockets' answer, when a walk
 * begins, and when it is given up. Which states prove a measure is said here.
 */
#include "witness.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/siphash.h"
#include "base/util.h"
#include "loop.h"
#include "netfilter/sock_walk.h"
#include "source_index.h"

/* A source that finds no room asks again a second later. */
#define QUESTIONS_MAX 4096
#define WALK_PAUSE (250 * TG_MSEC)
#define RETRY_PAUSE TG_SEC
/* Of a host with very many sockets, walks take a fifth of the time at most. */
#define WALK_SHARE 5
#define WALK_MAX (10 * TG_SEC)
/* Places for hosts seen in a walk, of which so many may be taken; a power of two. */
#define HOSTS 16384
#define HOSTS_TAKEN (HOSTS / 4 * 3)

struct question {
	struct tg_prefix source; /* first: source_index.h */
	const struct tg_config *config;
	uint16_t policy, limit;
	uint32_t states;
	uint32_t idle_ms; /* of a measure of idle ones: since when without payload; else 0 */
	uint32_t proven;
	uint16_t min_hosts, hosts; /* that must be behind it; that were seen, up to so many */
};

/* A host that has a socket; a question of 0 is a free place. */
struct host {
	uint64_t addr;
	uint16_t question; /* its place, from 1 */
};

struct witness {
	struct loop *loop;
	witness_fn *answer;
	void *data;
	const uint16_t *admin_ports;
	size_t admin_port_count;
	witness_saw_fn *saw;
	void *saw_data;
	struct loop_timer *timer; /* of the next walk, or of the end of this one */
	struct loop_fd *readable;
	struct sock_walk *walk; /* NULL: none is under way */
	tg_time begun, pause;   /* of the last walk; from its begin to the next */
	size_t asked;           /* the first so many, sorted, are those of the walk */
	size_t count;
	struct source_index index; /* over those of the walk */
	struct witness_stats stats;
	unsigned host_count;
	uint8_t seed[16]; /* who chooses the addresses must not choose the places */
	struct host hosts[HOSTS];
	struct question questions[QUESTIONS_MAX];
};

#define CLOSING                                                                            \
	(SOCK_STATE(TCP_FIN_WAIT1) | SOCK_STATE(TCP_FIN_WAIT2) | SOCK_STATE(TCP_CLOSING) | \
	 SOCK_STATE(TCP_CLOSE_WAIT) | SOCK_STATE(TCP_LAST_ACK))

/* A request socket never counts: a SYN is all that is behind it. */
static uint32_t proving_states(enum tg_measure measure)
{
	switch (measure) {
	case TG_MEASURE_CONCURRENT:
		return SOCK_STATE(TCP_ESTABLISHED) | CLOSING;
	case TG_MEASURE_NEW:
		return SOCK_STATE(TCP_ESTABLISHED) | CLOSING | SOCK_STATE(TCP_TIME_WAIT);
	case TG_MEASURE_TIME_WAIT:
		return SOCK_STATE(TCP_TIME_WAIT);
	/* conntrack sees a packet that the socket has not, or the other way round. */
	case TG_MEASURE_FIN_WAIT:
	case TG_MEASURE_CLOSE_WAIT:
	case TG_MEASURE_LAST_ACK:
		return CLOSING;
	case TG_MEASURE_IDLE:
		return SOCK_STATE(TCP_ESTABLISHED);
	case TG_MEASURE_HALF_OPEN:
	case TG_MEASURE_FAILED:
	case TG_MEASURE_FAN_OUT:
	case TG_MEASURE_COUNT:
		break;
	}
	return 0;
}

static int question_compare(const void *a, const void *b)
{
	const struct question *x = a, *y = b;
	int order = source_index_compare(&x->source, &y->source);
	if (order == 0)
		order = x->policy - y->policy;
	return order != 0 ? order : x->limit - y->limit;
}

/*
 * With real sockets of one host and forged packets of its neighbours a network must not be held
 * responsible: the hosts, too, are proven by sockets. What finds no place is not counted.
 */
static void count_host(struct witness *witness, struct question *question,
		       const struct sock_diag_socket *socket)
{
	struct host host = {.question = (uint16_t)(question - witness->questions + 1)};
	if (question->hosts >= question->min_hosts || witness->host_count >= HOSTS_TAKEN)
		return;
	/* A host is an IPv4 address or a /64, as the engine has it. */
	memcpy(&host.addr, socket->remote.bytes, socket->remote.family == TG_IPV4 ? 4 : 8);
	uint8_t bytes[sizeof(host.addr) + sizeof(host.question)];
	memcpy(bytes, &host.addr, sizeof(host.addr));
	memcpy(bytes + sizeof(host.addr), &host.question, sizeof(host.question));
	size_t at = tg_siphash13(witness->seed, bytes, sizeof(bytes)) % HOSTS;
	while (witness->hosts[at].question != 0) {
		if (witness->hosts[at].question == host.question &&
		    witness->hosts[at].addr == host.addr)
			return;
		at = (at + 1) % HOSTS;
	}
	witness->hosts[at] = host;
	witness->host_count++;
	question->hosts++;
}

/* A socket, and what came of looking at it. */
struct sight {
	struct witness *witness;
	const struct sock_diag_socket *socket;
	bool asked; /* somebody asked about its source */
};

static void count_socket(void *data, void *item)
{
	struct sight *sight = data;
	const struct sock_diag_socket *socket = sight->socket;
	struct question *question = item;
	sight->asked = true;
	if (!(question->states & SOCK_STATE(socket->state)))
		return;
	if (question->idle_ms > 0 && (!socket->info || socket->received_ms < question->idle_ms))
		return;
	if (!tg_policy_holds(&question->config->policies[question->policy], &socket->local,
			     socket->local_port))
		return;
	question->proven++;
	count_host(sight->witness, question, socket);
}

static bool is_admin(const struct witness *witness, const struct sock_diag_socket *socket)
{
	for (size_t i = 0; i < witness->admin_port_count; i++)
		if (witness->admin_ports[i] == socket->local_port)
			return socket->state == TCP_ESTABLISHED;
	return false;
}

static void found(void *data, const struct sock_diag_socket *socket)
{
	struct witness *witness = data;
	struct sight sight = {.witness = witness, .socket = socket};
	witness->stats.sockets++;
	source_index_find(&witness->index, &socket->remote, count_socket, &sight);
	if (sight.asked && is_admin(witness, socket))
		witness->saw(witness->saw_data, &socket->remote);
}

static void end_walk(struct witness *witness)
{
	if (witness->walk) {
		const tg_time took = loop_clock() - witness->begun;
		witness->pause = MAX(WALK_PAUSE, WALK_SHARE * took);
	}
	loop_remove_fd(witness->readable);
	witness->readable = NULL;
	sock_walk_end(witness->walk);
	witness->walk = NULL;
}

static void schedule(struct witness *witness)
{
	if (witness->walk)
		loop_timer_set(witness->timer, witness->begun + WALK_MAX);
	else if (witness->count == 0)
		loop_timer_set(witness->timer, TG_NEVER);
	else
		loop_timer_set(witness->timer, witness->stats.walks + witness->stats.failed == 0
						       ? loop_now(witness->loop)
						       : witness->begun + witness->pause);
}

/* The walk is answered; questions that came meanwhile move to the front. */
static void leave_asked(struct witness *witness)
{
	witness->count -= witness->asked;
	memmove(witness->questions, witness->questions + witness->asked,
		witness->count * sizeof(*witness->questions));
	witness->asked = 0;
	schedule(witness);
}

/* Nobody else would ask again for a source that keeps to its rate-limit: the questions stay. */
static void fail_walk(struct witness *witness, int error)
{
	witness->stats.error = error;
	witness->stats.failed++;
	end_walk(witness);
	witness->pause = MAX(witness->pause, RETRY_PAUSE);
	witness->asked = 0;
	schedule(witness);
}

static void answer_all(struct witness *witness)
{
	for (size_t i = 0; i < witness->asked; i++) {
		const struct question *question = &witness->questions[i];
		const struct tg_policy *policy = &question->config->policies[question->policy];
		struct tg_witness answer = {.source = question->source, .proven = question->proven};
		if (question->hosts < question->min_hosts)
			answer.proven = 0;
		memcpy(answer.policy, policy->name, strlen(policy->name));
		const char *limit = policy->limits[question->limit].name;
		memcpy(answer.limit, limit, strlen(limit));
		witness->answer(witness->data, &answer);
	}
}

static void walk_readable(void *data, uint32_t events)
{
	struct witness *witness = data;
	(void)events;
	int done = sock_walk_read(witness->walk, found, witness);
	if (done == 0)
		return;
	if (done < 0) {
		fail_walk(witness, -done);
		return;
	}
	witness->stats.error = 0;
	witness->stats.walks++;
	witness->stats.last_us = (loop_clock() - witness->begun) / 1000;
	end_walk(witness);
	answer_all(witness);
	leave_asked(witness);
}

/* Sorted; what was asked again while a walk was under way that failed is there once. */
static void sort_questions(struct witness *witness)
{
	struct question *all = witness->questions;
	size_t kept = 0;
	qsort(all, witness->count, sizeof(*all), question_compare);
	for (size_t i = 0; i < witness->count; i++) {
		if (kept > 0 && question_compare(&all[kept - 1], &all[i]) == 0)
			continue;
		all[kept] = all[i];
		all[kept].proven = all[kept].hosts = 0;
		kept++;
	}
	witness->count = witness->asked = kept;
}

static void prepare(struct witness *witness, struct sock_walk_params *ret_params)
{
	struct sock_walk_params params = {
		.states = witness->admin_port_count > 0 ? SOCK_STATE(TCP_ESTABLISHED) : 0};
	sort_questions(witness);
	source_index_build(&witness->index, witness->questions, witness->asked,
			   sizeof(*witness->questions));
	/* The kernel filters for one source; for more, we do. */
	params.remote = source_index_only(&witness->index);
	memset(witness->hosts, 0, sizeof(witness->hosts));
	witness->host_count = 0;
	for (size_t i = 0; i < witness->asked; i++) {
		const struct question *question = &witness->questions[i];
		params.states |= question->states;
		params.info = params.info || question->idle_ms > 0;
		params.ipv4 = params.ipv4 || question->source.addr.family == TG_IPV4;
		params.ipv6 = params.ipv6 || question->source.addr.family == TG_IPV6;
	}
	*ret_params = params;
}

static void timer_due(void *data)
{
	struct witness *witness = data;
	struct sock_walk_params params;
	if (witness->walk) {
		fail_walk(witness, ETIMEDOUT);
		return;
	}
	if (witness->count == 0)
		return;
	prepare(witness, &params);
	witness->begun = loop_now(witness->loop);
	witness->pause = WALK_PAUSE;
	int err = sock_walk_begin(&params, &witness->walk);
	if (!err)
		err = loop_add_fd(witness->loop, sock_walk_fd(witness->walk), EPOLLIN,
				  walk_readable, witness, &witness->readable);
	if (err)
		fail_walk(witness, -err);
	else
		schedule(witness);
}

int witness_create(struct loop *loop, const uint8_t seed[static 16], witness_fn *answer, void *data,
		   struct witness **ret_witness)
{
	struct witness *witness = calloc(1, sizeof(*witness));
	if (!witness)
		return -ENOMEM;
	witness->loop = loop;
	memcpy(witness->seed, seed, sizeof(witness->seed));
	witness->answer = answer;
	witness->data = data;
	witness->timer = loop_add_timer(loop, timer_due, witness);
	if (!witness->timer) {
		free(witness);
		return -ENOMEM;
	}
	*ret_witness = witness;
	return 0;
}

void witness_set_admins(struct witness *witness, const uint16_t *ports, size_t count,
			witness_saw_fn *saw, void *data)
{
	witness->admin_ports = ports;
	witness->admin_port_count = count;
	witness->saw = saw;
	witness->saw_data = data;
}

void witness_destroy(struct witness *witness)
{
	if (!witness)
		return;
	end_walk(witness);
	loop_remove_timer(witness->timer);
	free(witness);
}

void witness_ask(struct witness *witness, const struct tg_config *config, const struct tg_ban *ban)
{
	if (ban->policy >= config->policy_count ||
	    ban->limit >= config->policies[ban->policy].limit_count ||
	    tg_prefix_is_total(&ban->source))
		return;
	const struct tg_limit *limit = &config->policies[ban->policy].limits[ban->limit];
	const uint32_t states = proving_states(limit->measure);
	if (states == 0)
		return;
	/* First, because looking through a full queue for each of very many would take long. */
	if (witness->count == QUESTIONS_MAX) {
		witness->stats.dropped++;
		return;
	}
	for (size_t i = witness->asked; i < witness->count; i++) {
		const struct question *other = &witness->questions[i];
		if (other->policy == ban->policy && other->limit == ban->limit &&
		    tg_prefix_equal(&other->source, &ban->source))
			return;
	}
	witness->stats.questions++;
	witness->questions[witness->count++] = (struct question){
		.source = ban->source,
		.config = config,
		.policy = ban->policy,
		.limit = ban->limit,
		.states = states,
		.min_hosts = limit->min_hosts,
		.idle_ms = limit->measure == TG_MEASURE_IDLE
				   ? (uint32_t)MIN(config->idle_after_ms, (uint64_t)UINT32_MAX)
				   : 0,
	};
	if (!witness->walk)
		schedule(witness);
}

void witness_forget(struct witness *witness)
{
	end_walk(witness);
	witness->asked = witness->count = 0;
	witness->stats.error = 0;
	schedule(witness);
}

void witness_stats(const struct witness *witness, struct witness_stats *ret_stats)
{
	*ret_stats = witness->stats;
	ret_stats->waiting = (uint32_t)witness->count;
}
