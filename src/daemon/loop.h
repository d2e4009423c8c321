/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/clock.h>

/*
 * One thread waiting for descriptors, timers and signals. A callback may remove any
 * source, its own too: memory goes when the turn is over.
 */
struct loop;
struct loop_fd;
struct loop_timer;

typedef void loop_fd_fn(void *data, uint32_t events);
typedef void loop_fn(void *data);
typedef void loop_signal_fn(void *data, int signo);

/* 0 or -errno. */
int loop_create(struct loop **ret_loop);
/* NULL is fine; sources still there are freed, their descriptors are not closed. */
void loop_destroy(struct loop *loop);

/* events as of epoll(7), level triggered. Borrows fd: remove the source before closing it. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
		struct loop_fd **ret_source);
/* 0 leaves only EPOLLHUP and EPOLLERR, which cannot be turned off. */
int loop_fd_set_events(struct loop_fd *source, uint32_t events);
/* NULL is fine. */
void loop_remove_fd(struct loop_fd *source);

/* Not armed. NULL when memory runs out. */
struct loop_timer *loop_add_timer(struct loop *loop, loop_fn *fn, void *data);
/* One shot; TG_NEVER disarms. A time gone by fires in the next turn. */
void loop_timer_set(struct loop_timer *timer, tg_time at);
tg_time loop_timer_at(const struct loop_timer *timer);
void loop_remove_timer(struct loop_timer *timer);

/* Blocks the signals and delivers them through the loop. Once. */
int loop_set_signals(struct loop *loop, const int *signals, unsigned count, loop_signal_fn *fn,
		     void *data);
/* Before and after the callbacks of every turn. */
void loop_set_hooks(struct loop *loop, loop_fn *begin, loop_fn *end, void *data);

/* Until loop_stop; 0 or -errno. */
int loop_run(struct loop *loop);
/* One turn, waiting at most until `until`. 0 or -errno. */
int loop_turn(struct loop *loop, tg_time until);
void loop_stop(struct loop *loop);

/* The time at which this turn began. */
tg_time loop_now(const struct loop *loop);
/* Read again: for what must be exact within a long turn. */
tg_time loop_clock(void);
/* Seconds since the epoch, for people: now, and at another time, as the clock is set now. */
int64_t loop_wall_clock(void);
int64_t loop_wall_at(tg_time at);

#endif
