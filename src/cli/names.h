/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include <stddef.h>

#include <tcpguard/addr.h>

/*
 * Names of addresses for people, as far as they can be had in a short time: name servers are slow
 * under a flood, or gone. Whoever owns the address wrote the name: it proves nothing, and is
 * escaped where it is printed.
 */
#define NAMES_WAIT_MS 1000
#define NAMES_MAX 256 /* of a list; the others stay numbers */
#define NAMES_LEN 256

struct names {
	struct tg_addr addrs[NAMES_MAX];
	char texts[NAMES_MAX][NAMES_LEN]; /* empty: none, or not in time */
	size_t count;
	size_t asked; /* of them, from the first: they are not asked for again */
};

/* A prefix as text; only single addresses (IPv6: of a /64 none) have a name. Once each. */
void names_want(struct names *names, const char *source);
/* Of a table that is looked at again and again: makes room if there is little. */
void names_make_room(struct names *names);
/* Asks for all that were not asked for at once, and waits NAMES_WAIT_MS at most. */
void names_resolve(struct names *names);
/* NULL: not known. */
const char *names_find(const struct names *names, const char *source);
/* At most so many bytes: of a longer name the end, which says whose it is. */
const char *names_cut(const char *name, size_t most, char buf[static NAMES_LEN]);

#endif
