/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TOP_SEEN_H
#define CLI_TOP_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections more than these are not remembered: 128 MiB for two looks. */
#define TOP_SEEN_MAX (4u << 20)

/* The connections of this look and of the one before, by a hash of their tuples. All zero is none.
 */
struct top_seen {
	struct top_seen_set {
		uint64_t *slots; /* 0: free */
		size_t room, count;
		bool partial; /* too many, or no memory: what is not in it may have been there */
	} now, before;
	unsigned looks; /* begun; two are enough */
};

void top_seen_finish(struct top_seen *seen);
/* A look begins: what was seen until here is what was there before. */
void top_seen_begin(struct top_seen *seen);
/* True if it was not there at the look before; never at the first. */
bool top_seen_add(struct top_seen *seen, uint64_t hash);
/* What the look before knew is enough to tell new ones. */
bool top_seen_can_tell(const struct top_seen *seen);

#endif
