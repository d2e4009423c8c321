/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_SOURCE_INDEX_H
#define DAEMON_SOURCE_INDEX_H

#include <stddef.h>

#include <tcpguard/addr.h>

/*
 * Finds, among things that are each about a source, those that are about an address. The things
 * stand in an array, borrowed, and each begins with its struct tg_prefix.
 */
struct source_index {
	char *items;
	size_t count, size;
	uint8_t lens[TG_FAMILY_COUNT][129]; /* of prefixes that there are, each once */
	unsigned len_count[TG_FAMILY_COUNT];
};

/* The order of sources that the index sorts by. */
int source_index_compare(const struct tg_prefix *a, const struct tg_prefix *b);
/* Sorts the array. */
void source_index_build(struct source_index *index, void *items, size_t count, size_t size);
/* Calls found for every item whose source holds the address. */
void source_index_find(const struct source_index *index, const struct tg_addr *addr,
		       void (*found)(void *data, void *item), void *data);
/* The source that all are about; NULL: they are about several, or there is none. */
const struct tg_prefix *source_index_only(const struct source_index *index);

#endif
