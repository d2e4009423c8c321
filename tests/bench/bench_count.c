/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_count PID COMMAND…: runs the command and prints how much CPU time another thread took
 * meanwhile, and how many instructions of the kernel's it executed: 'ns=N instructions=N'. The last
 * hardly change from run to run, whatever else the machine does; 0 where it does not count them.
 */
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t cpu_ns(const char *pid)
{
	char path[64];
	uint64_t ns = 0;
	(void)snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
	FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%" SCNu64, &ns) != 1)
		ns = 0;
	if (file)
		(void)fclose(file); /* only read */
	return ns;
}

int main(int argc, char **argv)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.disabled = 1,
		.exclude_user = 1,
		.exclude_hv = 1,
	};
	uint64_t instructions = 0;
	int status;
	if (argc < 3) {
		(void)fprintf(stderr, "usage: bench_count PID COMMAND...\n");
		return 2;
	}
	const int fd = (int)syscall(SYS_perf_event_open, &attr, (pid_t)strtol(argv[1], NULL, 10),
				    -1, -1, PERF_FLAG_FD_CLOEXEC);
	const uint64_t before = cpu_ns(argv[1]);
	if (fd >= 0)
		(void)ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	const pid_t child = fork();
	if (child == 0) {
		(void)execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return 1;
	if (fd >= 0 && read(fd, &instructions, sizeof(instructions)) != sizeof(instructions))
		instructions = 0;
	printf("ns=%" PRIu64 " instructions=%" PRIu64 "\n", cpu_ns(argv[1]) - before, instructions);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
