/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_NETNS_NS_H
#define TESTS_NETNS_NS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/clock.h>
#include <tcpguard/event.h>

/* What the namespace tests need of a kernel: a network of their own, traffic and conntrack entries
 * in it. */

tg_time ns_now(void);

/* Moves the process into a new network namespace with lo up. False without the privilege. */
bool ns_enter(void);
/* What main returns then. A skip is said in TAP, where an exit status of 77 counts as a failure; in
 * CI it is one. */
int ns_skip(void);
bool ns_run(const char *command);
/* A ct rule, without which the namespace tracks nothing. */
bool ns_track(void);

/* A TCP socket that listens on a free port of ::1 or 127.0.0.1; -1 on failure. */
int ns_listen(int family, uint16_t *ret_port);
/* Nonblocking connect to a port of the same; -1 on failure. */
int ns_connect(int family, uint16_t port);

/* The n-th of a great many flows, and its reply; zone 0, IPv4 or IPv6. */
struct tg_flow_key ns_key(enum tg_family family, uint32_t n);
uint32_t ns_key_number(const struct tg_flow_key *key);

/*
 * Makes or deletes conntrack entries without traffic: those of ns_key from first on. As
 * ESTABLISHED for an hour. False if the kernel refused one.
 */
bool ns_entries_make(enum tg_family family, uint16_t zone, uint32_t first, uint32_t count);
bool ns_entries_delete(enum tg_family family, uint16_t zone, uint32_t first, uint32_t count);
/* Deletes all. */
bool ns_flush(void);
/* How many the namespace holds. */
long ns_count(void);
/* And how many it may. */
long ns_max(void);

#endif
