/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SipHash with one round for a block and three to finish, from the paper by Aumasson and Bernstein
 * (2012). */
#include "siphash.h"

uint64_t tg_siphash13(const uint8_t key[16], const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	struct siphash s = siphash_begin(key);
	uint64_t rest = 0;
	for (unsigned i = 0; i < len / 8; i++)
		siphash_word(&s, le64toh(load_word(p, i)));
	for (unsigned i = 0; i < len % 8; i++)
		rest |= (uint64_t)p[len / 8 * 8 + i] << (8 * i);
	return siphash_end(&s, rest, len);
}
