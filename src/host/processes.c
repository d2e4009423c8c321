/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the table from a socket's inode to the process that has it. One readlink for each
 * descriptor of the host is what it costs: there is no other way from a socket to its process.
 */
#include "host/processes.h"

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
#include "base/util.h"

#define SLOTS_AT_FIRST 4096
static const char link_begin[] = "socket:[";

/* Open addressing, never more than half full; inode 0 is free. Nobody chooses inode numbers: the
   kernel gives them out in turn. */
struct slot {
	uint32_t inode, owner;
};

struct processes {
	struct slot *slots;
	uint32_t slot_count, used; /* slot_count is a power of two */
	struct processes_owner *owners;
	uint32_t owner_count, owner_room;
	bool incomplete;
};

static struct slot *find_slot(struct slot *slots, uint32_t count, uint32_t inode)
{
	uint32_t at = inode * 2654435769u & (count - 1);
	while (slots[at].inode != 0 && slots[at].inode != inode)
		at = (at + 1) & (count - 1);
	return &slots[at];
}

static bool grow_slots(struct processes *all)
{
	const uint32_t count = all->slot_count ? all->slot_count * 2 : SLOTS_AT_FIRST;
	struct slot *slots = calloc(count, sizeof(*slots));
	if (!slots)
		return false;
	for (uint32_t i = 0; i < all->slot_count; i++)
		if (all->slots[i].inode != 0)
			*find_slot(slots, count, all->slots[i].inode) = all->slots[i];
	free(all->slots);
	all->slots = slots;
	all->slot_count = count;
	return true;
}

static bool put(struct processes *all, uint32_t inode, uint32_t owner)
{
	if (all->used * 2 >= all->slot_count && !grow_slots(all))
		return false;
	struct slot *slot = find_slot(all->slots, all->slot_count, inode);
	if (slot->inode != 0 && all->owners[slot->owner].pid <= all->owners[owner].pid)
		return true;
	all->used += slot->inode == 0;
	*slot = (struct slot){.inode = inode, .owner = owner};
	return true;
}

/* The inode of "socket:[N]"; 0 if it is none. */
static uint32_t parse_link(char *text, size_t len)
{
	const size_t begin = sizeof(link_begin) - 1;
	uint64_t inode;
	if (len <= begin + 1 || memcmp(text, link_begin, begin) != 0 || text[len - 1] != ']')
		return 0;
	text[len - 1] = '\0';
	/* As sock_diag tells them: 32 bits. */
	return tg_text_u64(text + begin, &inode) ? (uint32_t)inode : 0;
}

static bool add_owner(struct processes *all, uint32_t pid)
{
	char path[40];
	if (all->owner_count == all->owner_room) {
		const uint32_t room = MAX(all->owner_room * 2, 64u);
		struct processes_owner *owners =
			reallocarray(all->owners, room, sizeof(*all->owners));
		if (!owners)
			return false;
		all->owners = owners;
		all->owner_room = room;
	}
	struct processes_owner *owner = &all->owners[all->owner_count++];
	*owner = (struct processes_owner){.pid = pid};
	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/comm", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, owner->name, sizeof(owner->name));
	/* A process that ended meanwhile has no name any more. */
	owner->name[len > 0 ? len - 1 : 0] = '\0';
	return true;
}

/* 0 or -ENOMEM. What ends while it is looked at is no error. */
static int look_into(struct processes *all, uint32_t pid)
{
	char path[40], text[64];
	bool known = false, room = true;
	struct dirent *entry;
	(void)snprintf(path, sizeof(path), "/proc/%" PRIu32 "/fd", pid);
	DIR *dir = opendir(path);
	if (!dir) {
		all->incomplete |= errno == EACCES || errno == EPERM;
		return errno == ENOMEM ? -ENOMEM : 0;
	}
	while (room && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, text, sizeof(text));
		uint32_t inode = len > 0 ? parse_link(text, (size_t)len) : 0;
		/* Without the right to trace it, the links themselves cannot be read. */
		all->incomplete |= len < 0 && (errno == EACCES || errno == EPERM);
		if (inode == 0)
			continue;
		if (!known)
			room = known = add_owner(all, pid);
		room = room && put(all, inode, all->owner_count - 1);
	}
	(void)closedir(dir); /* only read from */
	return room ? 0 : -ENOMEM;
}

int processes_create(struct processes **ret_processes)
{
	struct processes *all = calloc(1, sizeof(*all));
	struct dirent *entry;
	uint64_t pid;
	int err = 0;
	if (!all)
		return -ENOMEM;
	DIR *dir = opendir("/proc");
	if (!dir || !grow_slots(all))
		err = dir ? -ENOMEM : -errno;
	while (!err && (entry = readdir(dir)))
		if (tg_text_u64(entry->d_name, &pid) && pid > 0 && pid <= INT32_MAX)
			err = look_into(all, (uint32_t)pid);
	if (dir)
		(void)closedir(dir); /* only read from */
	if (err) {
		processes_destroy(all);
		return err;
	}
	*ret_processes = all;
	return 0;
}

void processes_destroy(struct processes *processes)
{
	if (!processes)
		return;
	free(processes->slots);
	free(processes->owners);
	free(processes);
}

const struct processes_owner *processes_find(const struct processes *processes, uint32_t inode)
{
	if (inode == 0)
		return NULL;
	const struct slot *slot = find_slot(processes->slots, processes->slot_count, inode);
	return slot->inode != 0 ? &processes->owners[slot->owner] : NULL;
}

bool processes_is_complete(const struct processes *processes)
{
	return !processes->incomplete;
}
