/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/*
 * SipHash-1-3 with a 128-bit key, for tables whose keys an attacker chooses: without
 * the key nobody can make two of them meet.
 */
uint64_t tg_siphash13(const uint8_t key[16], const void *bytes, size_t len);

struct siphash {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static inline void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = siphash_rotl(s->v1, 13) ^ s->v0;
	s->v0 = siphash_rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = siphash_rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = siphash_rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = siphash_rotl(s->v1, 17) ^ s->v2;
	s->v2 = siphash_rotl(s->v2, 32);
}

static inline void siphash_word(struct siphash *s, uint64_t word)
{
	s->v3 ^= word;
	siphash_round(s);
	s->v0 ^= word;
}

/*
 * The same in parts, for keys of one length that are hashed on every event: a word for each eight
 * bytes, as they lie in memory but little-endian, then what is left of them and the length.
 */
static inline struct siphash siphash_begin(const uint8_t key[16])
{
	const uint64_t k0 = le64toh(load_word(key, 0)), k1 = le64toh(load_word(key, 1));
	return (struct siphash){
		.v0 = k0 ^ 0x736f6d6570736575ULL,
		.v1 = k1 ^ 0x646f72616e646f6dULL,
		.v2 = k0 ^ 0x6c7967656e657261ULL,
		.v3 = k1 ^ 0x7465646279746573ULL,
	};
}

static inline uint64_t siphash_end(struct siphash *s, uint64_t rest, size_t len)
{
	siphash_word(s, rest | (uint64_t)len << 56);
	s->v2 ^= 0xff;
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
