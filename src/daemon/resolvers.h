/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_RESOLVERS_H
#define DAEMON_RESOLVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <tcpguard/addr.h>

/* The C library reads 3; systemd-resolved lists every link's. */
#define RESOLVERS_MAX 64
#define RESOLVERS_FILES 2

/*
 * The name servers that this host asks, from /etc/resolv.conf and, because that may
 * name a local stub only, from systemd-resolved's list of real ones. Followed by the
 * files' identity and time, looked at when asked: a rename, a write and a link
 * turned elsewhere all change one of them.
 */
struct resolvers {
	struct resolvers_file {
		const char *path;
		uint64_t device, inode, size;
		struct timespec modified;
	} files[RESOLVERS_FILES];
	struct tg_addr servers[RESOLVERS_MAX];
	size_t count;
	bool incomplete; /* a file could not be read, or named more than fit */
};

/* paths: NULL for the two of the host. Borrowed. */
void resolvers_init(struct resolvers *resolvers, const char *const paths[RESOLVERS_FILES]);
/* Reads the files if one changed since the last time, or could not be read then; true if the
   servers may have changed. What cannot be read leaves the servers as they are. */
bool resolvers_refresh(struct resolvers *resolvers);

/* The addresses of the nameserver lines, appended to servers[*count]; false if cap is too small. */
bool resolvers_parse(const char *text, struct tg_addr *servers, size_t *count, size_t cap);

#endif
