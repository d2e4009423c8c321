/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the list of admins' addresses and when the sockets are looked at: every two seconds, and
 * less often on a host with so many sockets that a look takes time.
 */
#include "admins.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "loop.h"
#include "netfilter/sock_walk.h"

/* More are no admins. */
#define ADMINS_MAX 4096
#define LOOK_PAUSE (2 * TG_SEC)
/* Of the time, at most one part in so many. */
#define LOOK_SHARE 50
#define LOOK_MAX (10 * TG_SEC)

struct admins {
	struct loop *loop;
	admins_fn *changed;
	void *data;
	const uint16_t *ports;
	size_t port_count;
	struct loop_timer *timer; /* of the next look, or of the end of this one */
	struct loop_fd *readable;
	struct sock_walk *walk; /* NULL: none is under way */
	tg_time begun;
	struct tg_prefix_set *set;
	size_t count; /* seen by this look, or since the last */
	struct tg_protected_prefix seen[ADMINS_MAX];
	struct admins_stats stats;
};

static void note(struct admins *admins, const struct tg_addr *addr)
{
	if (admins->count == ADMINS_MAX)
		return;
	admins->seen[admins->count++] = (struct tg_protected_prefix){
		.prefix = tg_addr_mask(addr, tg_family_bits((enum tg_family)addr->family)),
		.kind = TG_PROTECT_ADMIN};
}

static void found(void *data, const struct sock_diag_socket *socket)
{
	struct admins *admins = data;
	if (socket->state == TCP_ESTABLISHED)
		note(admins, &socket->remote);
}

/* Who is in the list is an admin from now on, and nobody else. Without memory all stays as it was.
 */
static void settle(struct admins *admins, const struct tg_protected_prefix *list, size_t count)
{
	struct tg_prefix_set *set = tg_prefix_set_create(list, count);
	if (!set || tg_prefix_set_equal(set, admins->set)) {
		tg_prefix_set_destroy(set);
		return;
	}
	struct tg_prefix_set *old = admins->set;
	admins->set = set;
	admins->changed(admins->data, set);
	tg_prefix_set_destroy(old);
}

static void stop(struct admins *admins)
{
	loop_remove_fd(admins->readable);
	admins->readable = NULL;
	sock_walk_end(admins->walk);
	admins->walk = NULL;
}

static void end_look(struct admins *admins, bool complete)
{
	const tg_time took = loop_clock() - admins->begun;
	stop(admins);
	admins->stats.looks += complete;
	admins->stats.failed += !complete;
	admins->stats.last_us = took / 1000;
	if (complete)
		settle(admins, admins->seen, admins->count);
	loop_timer_set(admins->timer,
		       admins->begun + MAX(LOOK_PAUSE, LOOK_SHARE * MIN(took, LOOK_MAX)));
}

static void walk_readable(void *data, uint32_t events)
{
	struct admins *admins = data;
	(void)events;
	int done = sock_walk_read(admins->walk, found, admins);
	if (done != 0)
		end_look(admins, done > 0);
}

static void timer_due(void *data)
{
	struct admins *admins = data;
	const struct sock_walk_params params = {.states = SOCK_STATE(TCP_ESTABLISHED),
						.ipv4 = true,
						.ipv6 = true,
						.ports = admins->ports,
						.port_count = admins->port_count};
	if (admins->walk) {
		end_look(admins, false);
		return;
	}
	admins->begun = loop_now(admins->loop);
	admins->count = 0;
	if (admins->port_count == 0) {
		settle(admins, NULL, 0);
		return;
	}
	loop_timer_set(admins->timer, admins->begun + LOOK_MAX);
	int err = sock_walk_begin(&params, &admins->walk);
	if (!err)
		err = loop_add_fd(admins->loop, sock_walk_fd(admins->walk), EPOLLIN, walk_readable,
				  admins, &admins->readable);
	if (err)
		end_look(admins, false);
}

int admins_create(struct loop *loop, admins_fn *changed, void *data, struct admins **ret_admins)
{
	struct admins *admins = calloc(1, sizeof(*admins));
	if (!admins)
		return -ENOMEM;
	admins->loop = loop;
	admins->changed = changed;
	admins->data = data;
	admins->timer = loop_add_timer(loop, timer_due, admins);
	admins->set = tg_prefix_set_create(NULL, 0);
	if (!admins->timer || !admins->set) {
		loop_remove_timer(admins->timer);
		tg_prefix_set_destroy(admins->set);
		free(admins);
		return -ENOMEM;
	}
	*ret_admins = admins;
	return 0;
}

void admins_destroy(struct admins *admins)
{
	if (!admins)
		return;
	stop(admins);
	loop_remove_timer(admins->timer);
	tg_prefix_set_destroy(admins->set);
	free(admins);
}

void admins_set_ports(struct admins *admins, const uint16_t *ports, size_t count)
{
	stop(admins);
	admins->ports = ports;
	admins->port_count = count;
	loop_timer_set(admins->timer, loop_now(admins->loop));
}

void admins_saw(struct admins *admins, const struct tg_addr *addr)
{
	size_t ipv4, ipv6;
	const struct tg_protected_prefix *four = tg_prefix_set_members(admins->set, TG_IPV4, &ipv4);
	const struct tg_protected_prefix *six = tg_prefix_set_members(admins->set, TG_IPV6, &ipv6);
	const size_t count = ipv4 + ipv6;
	/* A look under way may be past that socket. */
	if (admins->walk)
		note(admins, addr);
	if (tg_prefix_set_lookup(admins->set, addr) || count >= ADMINS_MAX)
		return;
	_cleanup_free_ struct tg_protected_prefix *list = calloc(count + 1, sizeof(*list));
	if (!list)
		return; /* the next look sees it */
	memcpy(list, four, ipv4 * sizeof(*list));
	memcpy(list + ipv4, six, ipv6 * sizeof(*list));
	list[count] = (struct tg_protected_prefix){
		.prefix = tg_addr_mask(addr, tg_family_bits((enum tg_family)addr->family)),
		.kind = TG_PROTECT_ADMIN};
	settle(admins, list, count + 1);
}

const struct tg_prefix_set *admins_set(const struct admins *admins)
{
	return admins->set;
}

void admins_stats(const struct admins *admins, struct admins_stats *ret_stats)
{
	size_t ipv4, ipv6;
	*ret_stats = admins->stats;
	(void)tg_prefix_set_members(admins->set, TG_IPV4, &ipv4);
	(void)tg_prefix_set_members(admins->set, TG_IPV6, &ipv6);
	ret_stats->count = (uint32_t)(ipv4 + ipv6);
}
