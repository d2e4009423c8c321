/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop: timers in order, removal from inside callbacks, signals. */
#include "daemon/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

struct world {
	struct loop *loop;
	struct loop_timer *timers[3];
	struct loop_fd *sources[2];
	int fds[2];
	char order[16];
	int calls, signo;
};

static void setup(struct world *world)
{
	*world = (struct world){0};
	CHECK(loop_create(&world->loop) == 0);
}

static void note(struct world *world, char c)
{
	size_t len = strlen(world->order);
	if (len + 1 < sizeof(world->order))
		world->order[len] = c; /* the rest is zero */
}

static void note_a(void *data)
{
	note(data, 'a');
}

static void note_b_and_stop(void *data)
{
	struct world *world = data;
	note(world, 'b');
	loop_stop(world->loop);
}

TEST(timers_fire_in_order)
{
	struct world world;
	setup(&world);
	world.timers[0] = loop_add_timer(world.loop, note_b_and_stop, &world);
	world.timers[1] = loop_add_timer(world.loop, note_a, &world);
	tg_time now = loop_clock();
	loop_timer_set(world.timers[0], now + 20 * TG_MSEC);
	loop_timer_set(world.timers[1], now + 5 * TG_MSEC);
	CHECK(loop_run(world.loop) == 0);
	CHECK_STR(world.order, "ab");
	CHECK(loop_clock() >= now + 20 * TG_MSEC);
	CHECK(loop_timer_at(world.timers[1]) == TG_NEVER);
	loop_destroy(world.loop);
}

TEST(past_timer_fires_at_once)
{
	struct world world;
	setup(&world);
	world.timers[0] = loop_add_timer(world.loop, note_b_and_stop, &world);
	loop_timer_set(world.timers[0], 0);
	CHECK(loop_run(world.loop) == 0);
	CHECK_STR(world.order, "b");
	loop_destroy(world.loop);
}

static void remove_timers(void *data)
{
	struct world *world = data;
	world->calls++;
	for (int i = 0; i < 3; i++)
		loop_remove_timer(world->timers[i]);
	loop_stop(world->loop);
}

TEST(timer_removes_itself_and_others)
{
	struct world world;
	setup(&world);
	for (int i = 0; i < 3; i++) {
		world.timers[i] = loop_add_timer(world.loop, remove_timers, &world);
		loop_timer_set(world.timers[i], 0);
	}
	CHECK(loop_run(world.loop) == 0);
	CHECK_U64(world.calls, 1);
	loop_destroy(world.loop);
}

static void remove_fds(void *data, uint32_t events)
{
	struct world *world = data;
	(void)events;
	world->calls++;
	for (int i = 0; i < 2; i++) {
		loop_remove_fd(world->sources[i]);
		close(world->fds[i]);
	}
	loop_stop(world->loop);
}

TEST(fd_removes_itself_and_others)
{
	struct world world;
	setup(&world);
	for (int i = 0; i < 2; i++) {
		world.fds[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		CHECK(loop_add_fd(world.loop, world.fds[i], EPOLLIN, remove_fds, &world,
				  &world.sources[i]) == 0);
	}
	CHECK(loop_run(world.loop) == 0);
	CHECK_U64(world.calls, 1); /* the second was in the same batch of events */
	loop_destroy(world.loop);
}

static void stop_on_signal(void *data, int signo)
{
	struct world *world = data;
	world->signo = signo;
	loop_stop(world->loop);
}

TEST(signals_come_through_the_loop)
{
	static const int signals[] = {SIGUSR1, SIGUSR2};
	struct world world;
	setup(&world);
	CHECK(loop_set_signals(world.loop, signals, 2, stop_on_signal, &world) == 0);
	CHECK(kill(getpid(), SIGUSR2) == 0);
	CHECK(loop_run(world.loop) == 0);
	CHECK_U64(world.signo, SIGUSR2);
	loop_destroy(world.loop);
}

static void count_begin(void *data)
{
	note(data, '(');
}

static void count_end(void *data)
{
	note(data, ')');
}

TEST(hooks_surround_a_turn)
{
	struct world world;
	setup(&world);
	loop_set_hooks(world.loop, count_begin, count_end, &world);
	world.timers[0] = loop_add_timer(world.loop, note_b_and_stop, &world);
	loop_timer_set(world.timers[0], 0);
	CHECK(loop_run(world.loop) == 0);
	CHECK_STR(world.order, "(b)");
	loop_destroy(world.loop);
}

TEST(silenced_fd_stays_silent)
{
	struct world world;
	setup(&world);
	world.fds[0] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	world.fds[1] = -1;
	CHECK(loop_add_fd(world.loop, world.fds[0], EPOLLIN, remove_fds, &world,
			  &world.sources[0]) == 0);
	CHECK(loop_fd_set_events(world.sources[0], 0) == 0);
	CHECK(loop_turn(world.loop, loop_clock() + 2 * TG_MSEC) == 0);
	CHECK_U64(world.calls, 0);
	CHECK(loop_fd_set_events(world.sources[0], EPOLLIN) == 0);
	CHECK(loop_turn(world.loop, TG_NEVER) == 0);
	CHECK_U64(world.calls, 1);
	loop_destroy(world.loop);
}

/* A moment has one second, whenever it is asked for. */
TEST(wall_time_of_a_moment_is_steady)
{
	struct timespec wall;
	CHECK(clock_gettime(CLOCK_REALTIME, &wall) == 0);
	tg_time second = loop_clock() - (tg_time)wall.tv_nsec;
	for (tg_time off = 0; off <= 800 * TG_MSEC; off += 50 * TG_MSEC)
		CHECK_U64((uint64_t)loop_wall_at(second - 400 * TG_MSEC + off),
			  (uint64_t)wall.tv_sec);
	CHECK_U64((uint64_t)loop_wall_at(second + 3600 * TG_SEC), (uint64_t)wall.tv_sec + 3600);
}

int main(void)
{
	RUN(timers_fire_in_order);
	RUN(past_timer_fires_at_once);
	RUN(timer_removes_itself_and_others);
	RUN(fd_removes_itself_and_others);
	RUN(signals_come_through_the_loop);
	RUN(hooks_surround_a_turn);
	RUN(silenced_fd_stays_silent);
	RUN(wall_time_of_a_moment_is_steady);
	return DONE();
}
