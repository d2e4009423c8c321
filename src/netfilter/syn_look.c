/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the counts of one walk. Of how many sockets a flood makes it depends on the host's backlogs
 * what there is to walk: a bound of our own holds beside them. */
#include "netfilter/syn_look.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include <tcpguard/config.h>

#include "host/counters.h"
#include "netfilter/sock_walk.h"

/* 30 ms of our time. More is a flood, however many more. */
#define LOOK_MOST 131072

struct syn_look {
	const struct tg_config *config;
	struct sock_walk *walk;
	uint32_t all, policies[TG_POLICIES_MAX];
};

int syn_look_begin(const struct tg_config *config, struct syn_look **ret_look)
{
	const struct sock_walk_params params = {
		.states = SOCK_STATE(TCP_SYN_RECV), .ipv4 = true, .ipv6 = true};
	struct syn_look *look = calloc(1, sizeof(*look));
	if (!look)
		return -ENOMEM;
	look->config = config;
	int err = sock_walk_begin(&params, &look->walk);
	if (err) {
		syn_look_end(look);
		return err;
	}
	*ret_look = look;
	return 0;
}

void syn_look_end(struct syn_look *look)
{
	if (!look)
		return;
	sock_walk_end(look->walk);
	free(look);
}

int syn_look_fd(const struct syn_look *look)
{
	return sock_walk_fd(look->walk);
}

static void found(void *data, const struct sock_diag_socket *socket)
{
	struct syn_look *look = data;
	look->all++;
	for (size_t i = 0; i < look->config->policy_count; i++)
		look->policies[i] += tg_policy_holds(&look->config->policies[i], &socket->local,
						     socket->local_port);
}

int syn_look_read(struct syn_look *look)
{
	int done = sock_walk_read(look->walk, found, look);
	return done == 0 && syn_look_is_cut(look) ? 1 : done;
}

uint32_t syn_look_policy(const struct syn_look *look, uint16_t policy)
{
	return look->policies[policy];
}

uint32_t syn_look_all(const struct syn_look *look)
{
	return look->all;
}

bool syn_look_is_cut(const struct syn_look *look)
{
	return look->all >= LOOK_MOST;
}

void syn_counters_read(struct syn_counters *ret_counters)
{
	struct counter_value values[COUNTER_COUNT];
	counters_read(values);
	*ret_counters = (struct syn_counters){
		.known =
			values[COUNTER_LISTEN_DROPS].known && values[COUNTER_SYNCOOKIES_SENT].known,
		.dropped = values[COUNTER_LISTEN_DROPS].value,
		.cookies = values[COUNTER_SYNCOOKIES_SENT].value,
	};
}
