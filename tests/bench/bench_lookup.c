/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a lookup costs when an attacker chose the keys, against random ones, in one run: keys that
 * collide in hashes without a secret, addresses one after the other, keys equal in all but a few
 * bits. And the two sets of a source at their worst: a full table in which each new source has to
 * push out another.
 *
 *   bench_lookup [LOOKUPS]
 */
#include <stdlib.h>

#include "base/util.h"
#include "clocks.h"
#include "core/flow_table.h"
#include "core/source_table.h"

#define KEYS 4096u
#define COLLISION_MASK 4095u /* of the hash: all keys fall into one bucket of so many */
#define ROUNDS 5             /* the best one counts: the machine may be shared */

static const uint8_t seed[16] = "bench";

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(*state >> 32);
}

static uint32_t hash_fnv(const uint8_t *bytes, size_t len)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash;
}

/* Jenkins' one at a time. */
static uint32_t hash_jenkins(const uint8_t *bytes, size_t len)
{
	uint32_t hash = 0;
	for (size_t i = 0; i < len; i++) {
		hash += bytes[i];
		hash += hash << 10;
		hash ^= hash >> 6;
	}
	hash += hash << 3;
	hash ^= hash >> 11;
	return hash + (hash << 15);
}

static uint32_t hash_crc(const uint8_t *bytes, size_t len)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

/* Sixteen bytes, which are the source of a flow and the address of a source. */
typedef void keys_fn(uint8_t keys[KEYS][16], uint64_t *random);
typedef uint32_t hash_fn(const uint8_t *bytes, size_t len);

static void draw(uint8_t key[16], uint64_t *random)
{
	for (unsigned i = 0; i < 4; i++) {
		const uint32_t word = next_random(random);
		memcpy(key + 4 * i, &word, sizeof(word));
	}
}

static void keys_random(uint8_t keys[KEYS][16], uint64_t *random)
{
	for (uint32_t i = 0; i < KEYS; i++)
		draw(keys[i], random);
}

static void keys_sequence(uint8_t keys[KEYS][16], uint64_t *random)
{
	(void)random;
	for (uint32_t i = 0; i < KEYS; i++) {
		keys[i][14] = (uint8_t)(i >> 8);
		keys[i][15] = (uint8_t)i;
	}
}

/* Twelve bits that differ, far apart. */
static void keys_few_bits(uint8_t keys[KEYS][16], uint64_t *random)
{
	uint8_t same[16];
	draw(same, random);
	for (uint32_t i = 0; i < KEYS; i++) {
		memcpy(keys[i], same, sizeof(same));
		for (unsigned bit = 0; bit < 12; bit++)
			keys[i][bit] ^= (uint8_t)((i >> bit & 1) << bit % 8);
	}
}

static void keys_colliding(uint8_t keys[KEYS][16], uint64_t *random, hash_fn *hash)
{
	for (uint32_t i = 0; i < KEYS; i++)
		do
			draw(keys[i], random);
		while ((hash(keys[i], 16) & COLLISION_MASK) != 0);
}

static void keys_fnv(uint8_t keys[KEYS][16], uint64_t *random)
{
	keys_colliding(keys, random, hash_fnv);
}

static void keys_jenkins(uint8_t keys[KEYS][16], uint64_t *random)
{
	keys_colliding(keys, random, hash_jenkins);
}

static void keys_crc(uint8_t keys[KEYS][16], uint64_t *random)
{
	keys_colliding(keys, random, hash_crc);
}

static void flow_key(struct tg_flow_key *key, const uint8_t bytes[16])
{
	*key = (struct tg_flow_key){.dport = 443, .family = TG_IPV6};
	memcpy(key->src, bytes, 16);
}

struct figure {
	double flow_ns, source_ns, instructions;
};

static void measure_flows(uint8_t keys[KEYS][16], uint64_t lookups, struct clocks *clocks,
			  struct figure *figure)
{
	struct flow_table *table = flow_table_create(KEYS, seed);
	struct tg_flow_key key;
	uint64_t found = 0, random = 7;
	for (uint32_t i = 0; i < KEYS; i++) {
		flow_key(&key, keys[i]);
		(void)flow_table_insert(table, &key); /* room for all */
	}
	clocks_reset(clocks);
	clocks_start(clocks);
	for (uint64_t n = 0; n < lookups; n++) {
		flow_key(&key, keys[next_random(&random) % KEYS]);
		found += flow_table_find(table, &key) != FLOW_NONE;
	}
	clocks_stop(clocks);
	const double ns = clocks->ns / (double)lookups;
	if (figure->flow_ns == 0 || ns < figure->flow_ns)
		figure->flow_ns = ns;
	figure->instructions = clocks_instructions(clocks) / (double)lookups;
	if (found != lookups)
		printf("# some flows were not found\n");
	flow_table_destroy(table);
}

static void measure_sources(uint8_t keys[KEYS][16], uint64_t lookups, struct clocks *clocks,
			    struct figure *figure)
{
	struct source_table *table = source_table_create(2 * KEYS, seed);
	uint64_t found = 0, random = 7;
	bool made;
	for (uint32_t i = 0; i < KEYS; i++)
		(void)source_table_get(table, keys[i], 0, 0, &made); /* never fails */
	clocks_reset(clocks);
	clocks_start(clocks);
	for (uint64_t n = 0; n < lookups; n++)
		found += source_table_find(table, keys[next_random(&random) % KEYS], 0) !=
			 SOURCE_NONE;
	clocks_stop(clocks);
	const double ns = clocks->ns / (double)lookups;
	if (figure->source_ns == 0 || ns < figure->source_ns)
		figure->source_ns = ns;
	if (found != lookups)
		printf("# some sources were not found\n");
	source_table_destroy(table);
}

/* New sources into a table of 2,048: half full at most, and full of sources that all have flows. */
static double measure_new(bool full, uint64_t lookups, struct clocks *clocks)
{
	struct source_table *table = source_table_create(2048, seed);
	uint64_t random = 9;
	uint8_t key[16];
	bool made;
	clocks_reset(clocks);
	for (uint32_t i = 0; full && i < 65536; i++) {
		draw(key, &random);
		source_table_at(table, source_table_get(table, key, 0, 0, &made))->states[0] = 1;
	}
	for (uint64_t n = 0; n < lookups; n += 1024) {
		if (!full)
			source_table_clear(table);
		clocks_start(clocks);
		for (unsigned i = 0; i < 1024; i++) {
			draw(key, &random);
			source_table_at(table, source_table_get(table, key, 0, 0, &made))
				->states[0] = 1;
		}
		clocks_stop(clocks);
	}
	source_table_destroy(table);
	return clocks->ns / (double)lookups;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		keys_fn *make;
	} kinds[] = {
		{"random", keys_random},       {"one after the other", keys_sequence},
		{"few bits", keys_few_bits},   {"colliding in FNV-1a", keys_fnv},
		{"in Jenkins'", keys_jenkins}, {"in CRC-32", keys_crc},
	};
	static uint8_t keys[ARRAY_SIZE(kinds)][KEYS][16];
	const uint64_t lookups = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
	struct figure figures[ARRAY_SIZE(kinds)] = {0};
	struct clocks clocks;
	uint64_t random = 1;
	clocks_init(&clocks);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		kinds[k].make(keys[k], &random);
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			measure_flows(keys[k], lookups, &clocks, &figures[k]);
			measure_sources(keys[k], lookups, &clocks, &figures[k]);
		}
	}
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		printf("%-20s flow %5.1f ns %4.2fx %4.0f instr.   source %5.1f ns %4.2fx\n",
		       kinds[k].name, figures[k].flow_ns, figures[k].flow_ns / figures[0].flow_ns,
		       figures[k].instructions, figures[k].source_ns,
		       figures[k].source_ns / figures[0].source_ns);
	const double room = measure_new(false, lookups, &clocks);
	const double full = measure_new(true, lookups, &clocks);
	printf("a new source: %.1f ns with room, %.1f ns in place of another, %.2fx\n", room, full,
	       full / room);
	clocks_finish(&clocks);
	return 0;
}
