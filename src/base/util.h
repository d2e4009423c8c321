/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdint.h>
#include <string.h>

#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member))) /* void: alignment is known */

/*
 * Eight bytes of any alignment. Loads of one width, the one they are stored with, because
 * a processor hands on what it has just stored only to a load that is no wider.
 */
static inline uint64_t load_word(const void *bytes, unsigned index)
{
	uint64_t word;
	memcpy(&word, (const uint8_t *)bytes + index * sizeof(word), sizeof(word));
	return word;
}

#endif
