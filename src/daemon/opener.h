/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_OPENER_H
#define DAEMON_OPENER_H

#include <stdint.h>

#include <tcpguard/event.h>

struct tg_strbuf;

/* The process of this host that a connection belongs to. */
struct opener {
	uint32_t uid;
	char user[33]; /* empty: not in /etc/passwd */
	int pid;       /* 0: its process could not be read, or is gone */
	char process[17];
};

/*
 * Who opened this flow, by its socket. 0, -ENOENT when the socket is gone, or another -errno.
 * Looks at a bounded part of /proc: some milliseconds at most.
 */
int opener_find(const struct tg_flow_key *key, struct opener *ret_opener);
/* "user NAME (uid N), process NAME (pid N)", or what there is of it. */
void opener_put(struct tg_strbuf *out, const struct opener *opener);

#endif
