/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_RT_WATCH_H
#define NETFILTER_RT_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include <tcpguard/protect.h>

/* This host's own addresses and its default gateways, read and followed by rtnetlink. */
struct rt_watch;

int rt_watch_create(struct rt_watch **ret_watch);
void rt_watch_destroy(struct rt_watch *watch);
/* Readable when an address or a route may have changed. */
int rt_watch_fd(const struct rt_watch *watch);
/* Drains the notifications; true when anything of interest was among them, or some were lost. */
bool rt_watch_dispatch(struct rt_watch *watch);
/* OWN and GATEWAY prefixes as they are now; the caller frees *ret_prefixes. 0 or -errno. */
int rt_watch_read(struct rt_watch *watch, struct tg_protected_prefix **ret_prefixes,
		  size_t *ret_count);

#endif
