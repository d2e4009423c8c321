/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

static inline uint64_t siphash_load(const uint8_t *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

/* The same where the compiler knows len: what is hashed on every event has one length. */
static inline __attribute__((always_inline)) uint64_t
siphash13_inline(const uint8_t key[16], const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	const uint64_t k0 = siphash_load(key), k1 = siphash_load(key + 8);
	struct siphash s = {
		.v0 = k0 ^ 0x736f6d6570736575ULL,
		.v1 = k1 ^ 0x646f72616e646f6dULL,
		.v2 = k0 ^ 0x6c7967656e657261ULL,
		.v3 = k1 ^ 0x7465646279746573ULL,
	};
	size_t left = len;
	for (; left >= 8; left -= 8, p += 8) {
		const uint64_t block = siphash_load(p);
		s.v3 ^= block;
		siphash_round(&s);
		s.v0 ^= block;
	}
	uint8_t tail[8] = {0};
	memcpy(tail, p, left);
	const uint64_t last = siphash_load(tail) | (uint64_t)len << 56;
	s.v3 ^= last;
	siphash_round(&s);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	siphash_round(&s);
	siphash_round(&s);
	siphash_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
