/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The notification protocol of sd_notify(3), spoken directly: one datagram per message. */
#include "notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/util.h"

/* The watchdog is for this process only if no other is named. */
static tg_time watchdog_interval(void)
{
	const char *usec_text = getenv("WATCHDOG_USEC"), *pid_text = getenv("WATCHDOG_PID");
	uint64_t usec, pid;
	if (!usec_text || !tg_text_u64(usec_text, &usec) || usec > UINT64_MAX / 1000)
		return 0;
	if (pid_text && (!tg_text_u64(pid_text, &pid) || pid != (uint64_t)getpid()))
		return 0;
	return usec * 1000 / 2;
}

void notify_init(struct notify *notify)
{
	*notify = (struct notify){.fd = -1, .addr.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || (path[0] != '/' && path[0] != '@') || !path[1])
		return;
	size_t len = strlen(path);
	if (len >= sizeof(notify->addr.sun_path))
		return;
	memcpy(notify->addr.sun_path, path, len);
	if (path[0] == '@')
		notify->addr.sun_path[0] = '\0';
	notify->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	notify->watchdog = watchdog_interval();
}

void notify_finish(struct notify *notify)
{
	if (notify->fd >= 0)
		(void)close(notify->fd); /* datagrams are sent or not; nothing is buffered */
	notify->fd = -1;
}

void notify_send(struct notify *notify, const char *format, ...)
{
	char text[512];
	if (notify->fd < 0)
		return;
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len <= 0)
		return;
	/* A manager that went away is no reason to stop guarding. */
	(void)sendto(notify->fd, text, MIN((size_t)len, sizeof(text) - 1), MSG_NOSIGNAL,
		     (struct sockaddr *)&notify->addr, notify->addr_len);
}
