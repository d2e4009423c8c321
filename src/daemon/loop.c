/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * epoll, one timerfd and one signalfd. The only place that reads a clock. Timers are
 * a plain list: there are as many as the daemon has parts, fewer than ten.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Events taken from the kernel in one turn: all there can be with 64 clients. */
#define LOOP_EVENTS 96

struct loop_fd {
	struct loop *loop;
	struct loop_fd *next; /* loop.fds or loop.dead */
	int fd;
	bool dead;
	loop_fd_fn *fn;
	void *data;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next; /* loop.timers */
	tg_time at;
	bool dead;
	loop_fn *fn;
	void *data;
};

struct loop {
	int epoll_fd, timer_fd, signal_fd;
	struct loop_fd *fds, *dead;
	struct loop_fd *timer_source, *signal_source;
	struct loop_timer *timers;
	bool timers_dead; /* some are; swept when the turn is over */
	bool running, stop;
	tg_time now, armed;
	loop_signal_fn *signal_fn;
	void *signal_data;
	loop_fn *begin, *end;
	void *hook_data;
};

tg_time loop_clock(void)
{
	struct timespec ts = {0};
	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (tg_time)ts.tv_sec * TG_SEC + (tg_time)ts.tv_nsec;
}

int64_t loop_wall_clock(void)
{
	return (int64_t)time(NULL);
}

/* Both clocks to the nanosecond: of whole seconds, the same time would be another at each look. */
int64_t loop_wall_at(tg_time at)
{
	struct timespec ts = {0};
	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail for this clock */
	int64_t wall = (int64_t)ts.tv_sec * (int64_t)TG_SEC + ts.tv_nsec;
	return (wall + ((int64_t)at - (int64_t)loop_clock()) + (int64_t)TG_SEC / 2) /
	       (int64_t)TG_SEC;
}

tg_time loop_now(const struct loop *loop)
{
	return loop->now;
}

static void timer_readable(void *data, uint32_t events)
{
	struct loop *loop = data;
	uint64_t fired;
	(void)events;
	(void)!read(loop->timer_fd, &fired, sizeof(fired)); /* only to make it unreadable */
	loop->armed = TG_NEVER;
}

static void signal_readable(void *data, uint32_t events)
{
	struct loop *loop = data;
	struct signalfd_siginfo info;
	(void)events;
	while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		loop->signal_fn(loop->signal_data, (int)info.ssi_signo);
}

int loop_create(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	int err;
	loop->signal_fd = -1;
	loop->armed = TG_NEVER;
	loop->now = loop_clock();
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->timer_fd < 0 || loop->epoll_fd < 0) {
		err = -errno;
		goto err_loop;
	}
	err = loop_add_fd(loop, loop->timer_fd, EPOLLIN, timer_readable, loop, &loop->timer_source);
	if (err)
		goto err_loop;
	*ret_loop = loop;
	return 0;
err_loop:
	loop_destroy(loop);
	return err;
}

static void free_fds(struct loop_fd *source)
{
	while (source) {
		struct loop_fd *next = source->next;
		free(source);
		source = next;
	}
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	free_fds(loop->fds);
	free_fds(loop->dead);
	while (loop->timers) {
		struct loop_timer *next = loop->timers->next;
		free(loop->timers);
		loop->timers = next;
	}
	int fds[] = {loop->signal_fd, loop->timer_fd, loop->epoll_fd};
	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]); /* nothing was written */
	free(loop);
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
		struct loop_fd **ret_source)
{
	struct loop_fd *source = malloc(sizeof(*source));
	if (!source)
		return -ENOMEM;
	*source =
		(struct loop_fd){.loop = loop, .next = loop->fds, .fd = fd, .fn = fn, .data = data};
	struct epoll_event event = {.events = events, .data.ptr = source};
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		int err = -errno;
		free(source);
		return err;
	}
	loop->fds = source;
	*ret_source = source;
	return 0;
}

int loop_fd_set_events(struct loop_fd *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	return epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno
											: 0;
}

void loop_remove_fd(struct loop_fd *source)
{
	if (!source)
		return;
	struct loop *loop = source->loop;
	assert(!source->dead);
	/* Fails only if the descriptor was closed before, and then epoll let it go. */
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	struct loop_fd **link = &loop->fds;
	while (*link != source)
		link = &(*link)->next;
	*link = source->next;
	if (!loop->running) {
		free(source);
		return;
	}
	/* This turn's event list may still name it. */
	source->dead = true;
	source->next = loop->dead;
	loop->dead = source;
}

struct loop_timer *loop_add_timer(struct loop *loop, loop_fn *fn, void *data)
{
	struct loop_timer *timer = malloc(sizeof(*timer));
	if (!timer)
		return NULL;
	*timer = (struct loop_timer){
		.loop = loop, .next = loop->timers, .at = TG_NEVER, .fn = fn, .data = data};
	loop->timers = timer;
	return timer;
}

void loop_timer_set(struct loop_timer *timer, tg_time at)
{
	timer->at = at;
}

tg_time loop_timer_at(const struct loop_timer *timer)
{
	return timer->at;
}

static void sweep_timers(struct loop *loop)
{
	struct loop_timer **link = &loop->timers;
	while (*link) {
		struct loop_timer *timer = *link;
		if (timer->dead) {
			*link = timer->next;
			free(timer);
		} else {
			link = &timer->next;
		}
	}
	loop->timers_dead = false;
}

void loop_remove_timer(struct loop_timer *timer)
{
	if (!timer)
		return;
	struct loop *loop = timer->loop;
	timer->dead = true;
	timer->at = TG_NEVER;
	loop->timers_dead = true;
	if (!loop->running)
		sweep_timers(loop);
}

int loop_set_signals(struct loop *loop, const int *signals, unsigned count, loop_signal_fn *fn,
		     void *data)
{
	sigset_t set;
	(void)sigemptyset(&set); /* fails for a bad pointer only, as does the next */
	for (unsigned i = 0; i < count; i++)
		(void)sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->signal_fd < 0)
		return -errno;
	loop->signal_fn = fn;
	loop->signal_data = data;
	return loop_add_fd(loop, loop->signal_fd, EPOLLIN, signal_readable, loop,
			   &loop->signal_source);
}

void loop_set_hooks(struct loop *loop, loop_fn *begin, loop_fn *end, void *data)
{
	loop->begin = begin;
	loop->end = end;
	loop->hook_data = data;
}

/* Sets the timerfd to the earliest deadline, if that changed. */
static int arm(struct loop *loop, tg_time until)
{
	tg_time at = until;
	for (struct loop_timer *timer = loop->timers; timer; timer = timer->next)
		if (timer->at < at)
			at = timer->at;
	if (at == loop->armed)
		return 0;
	/* Zero would disarm it; one nanosecond after boot is as much in the past. */
	tg_time set = at == TG_NEVER ? 0 : at > 0 ? at : 1;
	struct itimerspec spec = {
		.it_value = {.tv_sec = (time_t)(set / TG_SEC), .tv_nsec = (long)(set % TG_SEC)}};
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		return -errno;
	loop->armed = at;
	return 0;
}

static void fire_timers(struct loop *loop)
{
	/* Only what is due now: a callback that arms a timer in the past waits for the next turn.
	 */
	for (struct loop_timer *timer = loop->timers; timer; timer = timer->next) {
		if (timer->dead || timer->at > loop->now)
			continue;
		timer->at = TG_NEVER;
		timer->fn(timer->data);
	}
}

static void dispatch(struct loop *loop, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct loop_fd *source = events[i].data.ptr;
		if (!source->dead)
			source->fn(source->data, events[i].events);
	}
	fire_timers(loop);
}

int loop_turn(struct loop *loop, tg_time until)
{
	struct epoll_event events[LOOP_EVENTS];
	int err = arm(loop, until);
	if (err)
		return err;
	int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, -1);
	if (count < 0 && errno != EINTR)
		return -errno;
	loop->now = loop_clock();
	loop->running = true;
	if (loop->begin)
		loop->begin(loop->hook_data);
	dispatch(loop, events, count);
	if (loop->end)
		loop->end(loop->hook_data);
	loop->running = false;
	free_fds(loop->dead);
	loop->dead = NULL;
	if (loop->timers_dead)
		sweep_timers(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	loop->stop = false;
	while (!loop->stop) {
		int err = loop_turn(loop, TG_NEVER);
		if (err)
			return err;
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
