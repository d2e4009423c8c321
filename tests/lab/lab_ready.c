/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-ready: starts a daemon the way systemd does and returns when it says
 * READY=1, or when it ended or said nothing for too long. Leaves it running.
 */
#include "lab_util.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: lab-ready SOCKET SECONDS PIDFILE COMMAND [ARGUMENT…]\n"
	"Runs COMMAND in the background with NOTIFY_SOCKET=SOCKET and waits until it says\n"
	"READY=1. Writes its process id to PIDFILE. Exit status 1 when it ended or was not\n"
	"ready in time.\n";

static bool is_ready(int fd)
{
	char text[1024];
	ssize_t len = recv(fd, text, sizeof(text) - 1, 0);

	if (len <= 0)
		return false;
	text[len] = '\0';
	for (char *at = strstr(text, "READY=1"); at; at = strstr(at + 1, "READY=1"))
		if (at == text || at[-1] == '\n')
			return true;
	return false;
}

static int wait_ready(int fd, pid_t child, uint64_t seconds)
{
	uint64_t end = lab_now() + seconds * LAB_SEC;
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int status;

	while (lab_now() < end) {
		if (poll(&pfd, 1, 10) > 0 && is_ready(fd))
			return 0;
		if (waitpid(child, &status, WNOHANG) == child) {
			fprintf(stderr, "lab-ready: it ended before it was ready (status %d)\n",
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
			return 1;
		}
	}
	fprintf(stderr, "lab-ready: not ready after %llu seconds\n", (unsigned long long)seconds);
	return 1;
}

static bool write_pid(const char *path, pid_t pid)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return false;
	fprintf(file, "%d\n", (int)pid);
	return fclose(file) == 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint64_t seconds;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(usage_text, stdout), 0;
	if (argc < 5 || strlen(argv[1]) >= sizeof(address.sun_path) ||
	    !lab_number("seconds", argv[2], 3600, &seconds))
		return fputs(usage_text, stderr), 2;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	(void)unlink(argv[1]);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror("lab-ready");
		return 1;
	}
	pid_t child = fork();
	if (child == 0) {
		setenv("NOTIFY_SOCKET", argv[1], 1);
		(void)setsid();
		execvp(argv[4], argv + 4);
		perror(argv[4]);
		_exit(127);
	}
	if (child < 0 || !write_pid(argv[3], child)) {
		perror("lab-ready");
		return 1;
	}
	int status = wait_ready(fd, child, seconds);
	(void)unlink(argv[1]);
	return status;
}
