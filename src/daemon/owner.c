/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the user and the process behind a flow of this host's own: the socket by its
 * tuple, the process by the socket's inode among the descriptors that we may read.
 * No name service is asked: it may be what is opening the connections.
 */
#include "owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tcpguard/decision.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "log.h"
#include "netfilter/sock_walk.h"
#include "report.h"

/* A link costs 1 us to read. */
#define LINKS_MAX 16384

struct search {
	char wanted[32]; /* what the link of the descriptor says */
	uint32_t uid;
	unsigned links; /* read so far */
};

static void find_user(uint32_t uid, char name[static OWNER_NAME_MAX])
{
	struct passwd entry, *found = NULL;
	char buffer[1024];
	_cleanup_fclose_ FILE *file = fopen("/etc/passwd", "re");
	name[0] = '\0';
	while (file && fgetpwent_r(file, &entry, buffer, sizeof(buffer), &found) == 0) {
		if (found->pw_uid != uid)
			continue;
		(void)snprintf(name, OWNER_NAME_MAX, "%s", found->pw_name);
		return;
	}
}

/* Has the process of this directory the socket open? */
static bool holds(struct search *search, int process)
{
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	DIR *links = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool found = false;
	if (!links) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	while (!found && search->links < LINKS_MAX && (entry = readdir(links))) {
		char target[sizeof(search->wanted) + 1];
		ssize_t len = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);
		search->links++;
		if (len <= 0)
			continue;
		target[len] = '\0';
		found = strcmp(target, search->wanted) == 0;
	}
	(void)closedir(links);
	return found;
}

static void read_name(int process, char name[static OWNER_NAME_MAX])
{
	_cleanup_close_ int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, name, OWNER_NAME_MAX - 1);
	name[len > 0 ? len : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
}

/* Of the processes of the socket's user, or of the others. */
static bool find_process(struct search *search, bool same_user, struct owner *owner)
{
	DIR *all = opendir("/proc");
	const struct dirent *entry;
	bool found = false;
	while (all && !found && search->links < LINKS_MAX && (entry = readdir(all))) {
		struct stat stat;
		uint64_t pid;
		if (!tg_text_u64(entry->d_name, &pid))
			continue;
		_cleanup_close_ int process = openat(
			dirfd(all), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
		if (process < 0 || fstat(process, &stat) < 0 ||
		    (stat.st_uid == search->uid) != same_user || !holds(search, process))
			continue;
		owner->pid = (pid_t)pid;
		read_name(process, owner->process);
		found = true;
	}
	if (all)
		(void)closedir(all);
	return found;
}

void owner_find(const struct tg_flow_key *flow, struct owner *ret_owner)
{
	struct sock_diag_socket socket;
	struct owner owner = {.pid = 0};
	if (sock_walk_find(flow, &socket) == 0) {
		struct search search = {.uid = socket.uid};
		owner.socket = true;
		owner.uid = socket.uid;
		find_user(socket.uid, owner.user);
		(void)snprintf(search.wanted, sizeof(search.wanted), "socket:[%" PRIu32 "]",
			       socket.inode);
		/* Inode 0: no process has it open any more. */
		if (socket.inode != 0 && !find_process(&search, true, &owner))
			(void)find_process(&search, false, &owner);
	}
	*ret_owner = owner;
}

void owner_describe(struct tg_strbuf *out, const struct owner *owner)
{
	if (!owner->socket) {
		tg_strbuf_puts(out, "its socket is gone already, or not of this network namespace");
		return;
	}
	if (owner->user[0])
		tg_strbuf_printf(out, "user %s (uid %" PRIu32 "), ", owner->user, owner->uid);
	else
		tg_strbuf_printf(out, "uid %" PRIu32 ", ", owner->uid);
	if (owner->pid > 0)
		tg_strbuf_printf(out, "process %s (pid %d)", owner->process, (int)owner->pid);
	else
		tg_strbuf_puts(out, "process not readable");
}

void owner_report(struct log *log, const struct tg_config *config,
		  const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	if (decision->type != TG_DECISION_BAN || decision->cause != TG_CAUSE_OFFENCE ||
	    !decision->has_sample || ban->policy >= config->policy_count ||
	    ban->limit >= config->policies[ban->policy].limit_count ||
	    config->policies[ban->policy].limits[ban->limit].measure != TG_MEASURE_FAN_OUT)
		return;
	struct owner owner;
	struct tg_strbuf text;
	owner_find(&decision->sample, &owner);
	tg_strbuf_init(&text);
	tg_strbuf_printf(&text, "fan-out to %" PRIu32 " destinations: ", ban->measured);
	report_flow(&text, &decision->sample);
	tg_strbuf_puts(&text, ": ");
	owner_describe(&text, &owner);
	log_write(log, LOG_WARN, "%s", text.text);
	tg_strbuf_finish(&text);
}
