/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns when to look: while it is wanted every second, and less often where a look takes long. */
#include "truth.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "loop.h"
#include "netfilter/syn_look.h"

#define LOOK_PAUSE TG_SEC
/* Of the time, at most one part in so many. */
#define LOOK_SHARE 20
#define LOOK_MAX (5 * TG_SEC)

struct truth {
	struct loop *loop;
	struct truth_params params;
	const struct tg_config *config;
	struct loop_timer *timer; /* of the next look, or of the end of this one */
	struct loop_fd *readable;
	struct syn_look *look; /* NULL: none is under way */
	tg_time begun;
	struct syn_counters counters; /* at the last look */
	tg_time counted;
	struct truth_stats stats;
};

static void stop(struct truth *truth)
{
	loop_remove_fd(truth->readable);
	truth->readable = NULL;
	syn_look_end(truth->look);
	truth->look = NULL;
}

static void end_look(struct truth *truth, bool complete)
{
	const tg_time took = loop_clock() - truth->begun;
	truth->stats.looks += complete;
	truth->stats.failed += !complete;
	truth->stats.last_us = took / 1000;
	if (complete) {
		truth->stats.requests = syn_look_all(truth->look);
		truth->stats.cut = syn_look_is_cut(truth->look);
		for (uint16_t i = 0; i < truth->config->policy_count; i++)
			truth->params.told(truth->params.data, i, syn_look_policy(truth->look, i));
	}
	stop(truth);
	loop_timer_set(truth->timer, truth->begun + MAX(LOOK_PAUSE, LOOK_SHARE * took));
}

static uint64_t rate(uint64_t now, uint64_t before, tg_time span)
{
	return now > before ? (now - before) * TG_SEC / MAX(span, TG_MSEC) : 0;
}

/* The first look has nothing to compare with. */
static void count(struct truth *truth, tg_time now)
{
	struct syn_counters counters;
	syn_counters_read(&counters);
	const bool both = truth->stats.active && counters.known && truth->counters.known;
	const tg_time span = now - truth->counted;
	truth->stats.dropped = both ? rate(counters.dropped, truth->counters.dropped, span) : 0;
	truth->stats.cookies = both ? rate(counters.cookies, truth->counters.cookies, span) : 0;
	truth->counters = counters;
	truth->counted = now;
}

static void look_readable(void *data, uint32_t events)
{
	struct truth *truth = data;
	(void)events;
	int done = syn_look_read(truth->look);
	if (done != 0)
		end_look(truth, done > 0);
}

static void timer_due(void *data)
{
	struct truth *truth = data;
	const tg_time now = loop_now(truth->loop);
	if (truth->look) {
		end_look(truth, false);
		return;
	}
	if (!truth->params.wanted(truth->params.data)) {
		truth->stats.active = truth->stats.cut = false;
		truth->stats.requests = 0;
		truth->stats.dropped = truth->stats.cookies = 0;
		return; /* until somebody sees that something is wrong */
	}
	count(truth, now);
	truth->stats.active = true;
	truth->begun = now;
	loop_timer_set(truth->timer, now + LOOK_MAX);
	int err = syn_look_begin(truth->config, &truth->look);
	if (!err)
		err = loop_add_fd(truth->loop, syn_look_fd(truth->look), EPOLLIN, look_readable,
				  truth, &truth->readable);
	if (err)
		end_look(truth, false);
}

int truth_create(struct loop *loop, const struct truth_params *params, struct truth **ret_truth)
{
	struct truth *truth = calloc(1, sizeof(*truth));
	if (!truth)
		return -ENOMEM;
	truth->loop = loop;
	truth->params = *params;
	truth->timer = loop_add_timer(loop, timer_due, truth);
	if (!truth->timer) {
		free(truth);
		return -ENOMEM;
	}
	*ret_truth = truth;
	return 0;
}

void truth_destroy(struct truth *truth)
{
	if (!truth)
		return;
	stop(truth);
	loop_remove_timer(truth->timer);
	free(truth);
}

void truth_set_config(struct truth *truth, const struct tg_config *config)
{
	truth->config = config;
	if (!truth->look)
		return;
	stop(truth);
	loop_timer_set(truth->timer, loop_now(truth->loop) + LOOK_PAUSE);
}

void truth_look(struct truth *truth)
{
	if (loop_timer_at(truth->timer) == TG_NEVER)
		loop_timer_set(truth->timer, loop_now(truth->loop));
}

void truth_stats(const struct truth *truth, struct truth_stats *ret_stats)
{
	*ret_stats = truth->stats;
}
