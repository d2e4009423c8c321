/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from a flow to who opened it: its socket by sock_diag, the user out of
 * /etc/passwd without the name service, which could ask the network, and the process
 * by its descriptors. Those of other users need privileges that the daemon may not have.
 */
#include "opener.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "loop.h"
#include "netfilter/sock_walk.h"

#define PROCESSES_MAX 4000
/* One process alone can have a million descriptors. */
#define LINKS_MAX 16384
#define SEARCH_MAX (5 * TG_MSEC)

static void find_user(struct opener *opener)
{
	_cleanup_fclose_ FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *entry;
	while (file && (entry = fgetpwent(file))) {
		if (entry->pw_uid != opener->uid)
			continue;
		(void)snprintf(opener->user, sizeof(opener->user), "%s", entry->pw_name);
		return;
	}
}

/* Does one of the descriptors in that directory name the socket? *links is how many may be read. */
static bool holds(int proc, const char *pid, const char *socket, unsigned *links)
{
	char path[300], target[64];
	bool found = false;
	(void)snprintf(path, sizeof(path), "%s/fd", pid);
	int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			(void)close(fd); /* nothing was written */
		return false;
	}
	const struct dirent *entry;
	while (!found && *links > 0 && (entry = readdir(dir))) {
		--*links;
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		found = strcmp(target, socket) == 0;
	}
	(void)closedir(dir); /* nothing was written */
	return found;
}

static void read_name(int proc, const char *pid, struct opener *opener)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/comm", pid);
	_cleanup_close_ int fd = openat(proc, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? 0 : read(fd, opener->process, sizeof(opener->process) - 1);
	opener->process[len > 0 ? len : 0] = '\0';
	opener->process[strcspn(opener->process, "\n")] = '\0';
}

static void find_process(uint32_t inode, struct opener *opener)
{
	const tg_time end = loop_clock() + SEARCH_MAX;
	char socket[32];
	unsigned seen = 0, links = LINKS_MAX;
	DIR *proc = opendir("/proc");
	if (!proc)
		return;
	(void)snprintf(socket, sizeof(socket), "socket:[%u]", inode);
	const struct dirent *entry;
	while (opener->pid == 0 && (entry = readdir(proc))) {
		uint64_t pid;
		if (!tg_text_u64(entry->d_name, &pid) || pid == 0 || pid > INT32_MAX)
			continue;
		if (++seen > PROCESSES_MAX || links == 0 || loop_clock() >= end)
			break;
		if (!holds(dirfd(proc), entry->d_name, socket, &links))
			continue;
		opener->pid = (int)pid;
		read_name(dirfd(proc), entry->d_name, opener);
	}
	(void)closedir(proc); /* nothing was written */
}

int opener_find(const struct tg_flow_key *key, struct opener *ret_opener)
{
	struct sock_diag_socket socket;
	int err = sock_walk_find(key, &socket);
	if (err)
		return err;
	struct opener opener = {.uid = socket.uid};
	find_user(&opener);
	if (socket.inode != 0)
		find_process(socket.inode, &opener);
	*ret_opener = opener;
	return 0;
}

void opener_put(struct tg_strbuf *out, const struct opener *opener)
{
	tg_strbuf_printf(out, "user %s (uid %u), ", opener->user[0] ? opener->user : "unknown",
			 opener->uid);
	if (opener->pid == 0)
		tg_strbuf_puts(out, "process not readable");
	else
		tg_strbuf_printf(out, "process %s (pid %d)", opener->process, opener->pid);
}
