/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the daemon's process without its help, by what /proc says of its listening socket. */
#include "listener.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

/* In the column of flags of /proc/net/unix; connections that nobody accepted lack it. */
#define FLAG_LISTENS 0x10000

bool listener_is_daemon(pid_t pid)
{
	char path[40], name[32];
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
	if (len <= 0)
		return false;
	name[len] = '\0';
	return strcmp(name, "tcpguardd\n") == 0;
}

/* Num: RefCount Protocol Flags Type St Inode Path */
static bool parse_line(char *line, const char *path, uint64_t *ret_inode)
{
	unsigned flags;
	uint64_t inode;
	int at = 0;
	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%*s %*x %*x %x %*x %*x %" SCNu64 " %n", &flags, &inode, &at) != 2 ||
	    at == 0 || !(flags & FLAG_LISTENS) || strcmp(line + at, path) != 0)
		return false;
	*ret_inode = inode;
	return true;
}

static bool find_inode(const char *path, uint64_t *ret_inode)
{
	char line[512]; /* a path has at most 107 bytes */
	bool found = false;
	FILE *file = fopen("/proc/net/unix", "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = parse_line(line, path, ret_inode);
	if (file)
		(void)fclose(file); /* only read from */
	return found;
}

static bool has_socket(pid_t pid, uint64_t inode)
{
	char path[40], want[40], got[40];
	bool found = false;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	(void)snprintf(want, sizeof(want), "socket:[%" PRIu64 "]", inode);
	DIR *dir = opendir(path);
	struct dirent *entry;
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, got, sizeof(got));
		found = len == (ssize_t)strlen(want) && memcmp(got, want, (size_t)len) == 0;
	}
	if (dir)
		(void)closedir(dir); /* only read from */
	return found;
}

pid_t listener_find(const char *path)
{
	uint64_t inode, number;
	pid_t found = 0;
	if (!find_inode(path, &inode))
		return 0;
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	while (dir && found == 0 && (entry = readdir(dir))) {
		if (!tg_text_u64(entry->d_name, &number) || number <= 1 || number > INT32_MAX)
			continue;
		if (listener_is_daemon((pid_t)number) && has_socket((pid_t)number, inode))
			found = (pid_t)number;
	}
	if (dir)
		(void)closedir(dir); /* only read from */
	return found;
}
