/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_FUZZ_STEP_INPUT_H
#define TESTS_FUZZ_STEP_INPUT_H

/* What the bytes of a step test mean: the addresses, the policies, the flows. */
#include <stddef.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#define STEP_POLICIES 3
#define STEP_LIMITS 6
#define STEP_LADDER 3
#define STEP_CONFIGS 3   /* that the POLICY events of an input choose from */
#define STEP_PROTECTED 4 /* and sets that PROTECTED events choose from */
#define STEP_ADMINS 3    /* and sets of admins */
#define STEP_MEMBERS 5
/* An input begins with so many bytes of a config, and two for each change that makes another. */
#define STEP_CONFIG_SIZE 40
#define STEP_CHANGES 3
#define STEP_HEAD_SIZE (STEP_CONFIG_SIZE + 2 * STEP_CHANGES * (STEP_CONFIGS - 1))

/* Beyond its end everything reads as zero. */
struct step_input {
	const uint8_t *next, *end;
};

static inline uint8_t step_byte(struct step_input *input)
{
	return input->next < input->end ? *input->next++ : 0;
}

/* A config and all that it points to. */
struct step_config {
	struct tg_config config;
	struct tg_policy policies[STEP_POLICIES];
	struct tg_limit limits[STEP_POLICIES][STEP_LIMITS];
	struct tg_step steps[STEP_POLICIES][STEP_LIMITS][STEP_LADDER];
	struct tg_prefix addresses[STEP_POLICIES][2];
	struct tg_prefix allow[3];
};

/* As the loader would make it: the rules of docs/policy.md hold. */
void step_config_read(struct step_config *config, const uint8_t bytes[STEP_CONFIG_SIZE]);
struct tg_engine_params step_params_read(const uint8_t bytes[STEP_CONFIG_SIZE]);

struct step_protected {
	struct tg_protected_prefix members[STEP_MEMBERS];
	size_t count;
};
struct step_protected step_protected_of(unsigned which);

/* One of two IPv4 networks of 32 hosts and four IPv6 networks. */
struct tg_addr step_addr(uint8_t byte);
/* One of two addresses of this host in each family. */
struct tg_addr step_own(enum tg_family family, unsigned which);
/* The other end is a's, the ports are b's; outbound is bit 7 of b. */
struct tg_flow_key step_key(uint8_t a, uint8_t b);

#endif
