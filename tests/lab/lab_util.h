/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_LAB_LAB_UTIL_H
#define TESTS_LAB_LAB_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* What the lab's tools share: addresses, numbers, pace, signals. Nothing here is installed. */

#define LAB_SEC UINT64_C(1000000000)
#define LAB_MSEC UINT64_C(1000000)

/* CLOCK_MONOTONIC in nanoseconds: one clock for every namespace, and the daemon's own. */
uint64_t lab_now(void);

/* Decimal, all of text, at most max. On failure says so on stderr, naming the option. */
bool lab_number(const char *option, const char *text, uint64_t max, uint64_t *ret_value);

/* ADDR or ADDR:PORT, with brackets around an IPv6 address that has a port. Says on stderr what is
 * wrong. */
bool lab_address(const char *option, const char *text, struct sockaddr_storage *ret_address);
bool lab_endpoint(const char *option, const char *text, struct sockaddr_storage *ret_address);
socklen_t lab_address_len(const struct sockaddr_storage *address);
uint16_t lab_address_port(const struct sockaddr_storage *address);

/* The n-th address after base; with len under the family's bits, the n-th network of that length.
 */
struct sockaddr_storage lab_address_nth(const struct sockaddr_storage *base, unsigned int len,
					uint64_t n);

/* A socket that may be bound to source although no interface has it; source may be NULL. -errno. */
int lab_socket(const struct sockaddr_storage *source, const struct sockaddr_storage *to);

/* How many of count may have been sent at now, when `rate` a second is wanted; rate 0 is no limit.
 */
uint64_t lab_paced(uint64_t start, uint64_t now, uint64_t rate, uint64_t count);

/* Blocks SIGTERM, SIGINT and SIGUSR1 and returns a signalfd for them, or -errno. */
int lab_signals(void);
/* The signal that is waiting, or 0. */
int lab_signal_take(int fd);

/* As many descriptors as the hard limit allows, up to a million. Returns how many. */
size_t lab_raise_files(void);

#endif
