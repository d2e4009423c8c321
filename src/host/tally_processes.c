/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the map from sockets to processes. A process that ends meanwhile is none. */
#include "host/tally_processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

static int add_owner(struct tally_process_map *map, uint32_t inode, uint32_t pid)
{
	/* Grows by doubling: at every power of two. */
	if ((map->count & (map->count - 1)) == 0) {
		const size_t room = map->count ? map->count * 2 : 1;
		struct tally_owner *grown = reallocarray(map->owners, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		map->owners = grown;
	}
	map->owners[map->count++] = (struct tally_owner){.inode = inode, .pid = pid};
	return 0;
}

static int add_link(struct tally_process_map *map, int folder, const char *name, uint32_t pid)
{
	static const char prefix[] = "socket:[";
	char target[64];
	ssize_t len = readlinkat(folder, name, target, sizeof(target) - 1);
	if (len <= (ssize_t)sizeof(prefix))
		return 0;
	target[len] = '\0';
	if (strncmp(target, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	return add_owner(map, (uint32_t)strtoul(target + sizeof(prefix) - 1, NULL, 10), pid);
}

static int add_process(struct tally_process_map *map, uint32_t pid)
{
	char path[48];
	int err = 0;
	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/fd", pid);
	DIR *dir = opendir(path);
	if (!dir) {
		if (errno != ENOENT && errno != ESRCH)
			map->complete = false;
		return 0;
	}
	for (struct dirent *entry = readdir(dir); entry && !err; entry = readdir(dir))
		err = add_link(map, dirfd(dir), entry->d_name, pid);
	(void)closedir(dir); /* nothing was written */
	return err;
}

static int compare_owners(const void *a, const void *b)
{
	const struct tally_owner *left = a, *right = b;
	if (left->inode != right->inode)
		return left->inode < right->inode ? -1 : 1;
	return (left->pid > right->pid) - (left->pid < right->pid);
}

int tally_processes_read(struct tally_process_map *ret_map)
{
	struct tally_process_map map = {.complete = true};
	int err = 0;
	DIR *dir = opendir("/proc");
	if (!dir)
		map.complete = false;
	for (struct dirent *entry = dir ? readdir(dir) : NULL; entry && !err;
	     entry = readdir(dir)) {
		uint64_t pid;
		if (tg_text_u64(entry->d_name, &pid) && pid <= UINT32_MAX)
			err = add_process(&map, (uint32_t)pid);
	}
	if (dir)
		(void)closedir(dir); /* as above */
	if (err) {
		tally_processes_finish(&map);
		return err;
	}
	if (map.count > 0)
		qsort(map.owners, map.count, sizeof(*map.owners), compare_owners);
	*ret_map = map;
	return 0;
}

void tally_processes_finish(struct tally_process_map *map)
{
	free(map->owners);
	*map = (struct tally_process_map){0};
}

uint32_t tally_processes_find(const struct tally_process_map *map, uint32_t inode)
{
	size_t low = 0, high = map->count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (map->owners[middle].inode < inode)
			low = middle + 1;
		else
			high = middle;
	}
	return inode != 0 && low < map->count && map->owners[low].inode == inode
		       ? map->owners[low].pid
		       : 0;
}

const char *tally_processes_format(uint32_t pid, char buf[static TALLY_PROCESS_STRLEN])
{
	char path[48], name[20];
	ssize_t len = -1;
	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/comm", pid);
	_cleanup_close_ int fd = pid ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd >= 0)
		len = read(fd, name, sizeof(name) - 1);
	if (len <= 0)
		return memcpy(buf, "process unknown", 16);
	name[len] = '\0';
	name[strcspn(name, "\n")] = '\0';
	(void)snprintf(buf, TALLY_PROCESS_STRLEN, "%s (pid %" PRIu32 ")", name, pid);
	return buf;
}
