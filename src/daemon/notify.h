/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include <tcpguard/clock.h>

/* What a service manager is told, over the datagram socket that $NOTIFY_SOCKET names. */
struct notify {
	int fd; /* -1: nobody asked */
	struct sockaddr_un addr;
	socklen_t addr_len;
	tg_time watchdog; /* how often a ping is due: half of what was asked for; 0: never */
};

/* Reads the environment. Without a manager every call does nothing. */
void notify_init(struct notify *notify);
void notify_finish(struct notify *notify);

/* Lines of KEY=value; a manager that does not listen holds nobody up. */
void notify_send(struct notify *notify, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
