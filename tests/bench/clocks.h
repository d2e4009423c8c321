/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_BENCH_CLOCKS_H
#define TESTS_BENCH_CLOCKS_H

/*
 * What a piece of work costs: time of this thread, and instructions of this program, which another
 * run repeats to the last digits while the time depends on what else the machine does.
 */
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct clocks {
	int fd; /* counts instructions; negative: the machine does not let us */
	double ns;
	struct timespec began;
};

static inline void clocks_init(struct clocks *clocks)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.disabled = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	*clocks = (struct clocks){0};
	clocks->fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (clocks->fd < 0)
		printf("# no instruction counter here\n");
}

static inline void clocks_finish(struct clocks *clocks)
{
	if (clocks->fd >= 0)
		(void)close(clocks->fd); /* nothing in it is wanted any more */
}

static inline void clocks_reset(struct clocks *clocks)
{
	clocks->ns = 0;
	if (clocks->fd >= 0)
		(void)ioctl(clocks->fd, PERF_EVENT_IOC_RESET, 0); /* cannot fail on our own */
}

static inline void clocks_start(struct clocks *clocks)
{
	if (clocks->fd >= 0)
		(void)ioctl(clocks->fd, PERF_EVENT_IOC_ENABLE, 0);    /* cannot fail on our own */
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &clocks->began); /* cannot fail for it */
}

static inline void clocks_stop(struct clocks *clocks)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* cannot fail for it */
	if (clocks->fd >= 0)
		(void)ioctl(clocks->fd, PERF_EVENT_IOC_DISABLE, 0); /* cannot fail on our own */
	clocks->ns += (double)(now.tv_sec - clocks->began.tv_sec) * 1e9 +
		      (double)(now.tv_nsec - clocks->began.tv_nsec);
}

static inline double clocks_instructions(const struct clocks *clocks)
{
	uint64_t count = 0;
	if (clocks->fd < 0 || read(clocks->fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return (double)count;
}

#endif
