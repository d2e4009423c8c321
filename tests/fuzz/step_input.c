/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "step_input.h"

#include <string.h>

#include "base/util.h"

static const char *const policy_names[STEP_POLICIES] = {"web", "ssh", "all"};
static const char *const limit_names[STEP_LIMITS] = {"a", "b", "c", "d", "e", "f"};

struct tg_addr step_addr(uint8_t byte)
{
	if (byte & 0x80)
		return tg_addr_from_ipv6((const uint8_t[16]){0x20, 1, 0x0d, 0xb8, 0, 0, 0,
							     byte >> 5 & 3, [15] = byte & 0x1f});
	return tg_addr_from_ipv4((const uint8_t[]){198, 51, byte >> 5 & 1, byte & 0x1f});
}

struct tg_addr step_own(enum tg_family family, unsigned which)
{
	const uint8_t last = (uint8_t)(1 + which % 2);
	if (family == TG_IPV6)
		return tg_addr_from_ipv6(
			(const uint8_t[16]){0x20, 1, 0x0d, 0xb8, 0xff, 0xff, [15] = last});
	return tg_addr_from_ipv4((const uint8_t[]){203, 0, 113, last});
}

struct tg_flow_key step_key(uint8_t a, uint8_t b)
{
	static const uint16_t ports[] = {80, 22, 443, 8080};
	const struct tg_addr other = step_addr(a);
	const struct tg_addr own = step_own((enum tg_family)other.family, b >> 5 & 1);
	struct tg_flow_key key = {
		.sport = (uint16_t)(1000 + (b & 7)),
		.dport = ports[b >> 3 & 3],
		.zone = b >> 6 & 1,
		.family = other.family,
	};
	const bool outbound = b & 0x80;
	memcpy(key.src, outbound ? own.bytes : other.bytes, 16);
	memcpy(key.dst, outbound ? other.bytes : own.bytes, 16);
	return key;
}

static struct tg_prefix prefix_of(const struct tg_addr addr, uint8_t len)
{
	return tg_addr_mask(&addr, len);
}

struct step_protected step_protected_of(unsigned which)
{
	const struct tg_addr loopback = tg_addr_from_ipv4((const uint8_t[]){127, 0, 0, 0});
	struct step_protected set = {
		.members = {{prefix_of(loopback, 8), TG_PROTECT_LOOPBACK},
			    {prefix_of(step_own(TG_IPV4, 0), 32), TG_PROTECT_OWN},
			    {prefix_of(step_own(TG_IPV6, 0), 64), TG_PROTECT_OWN}},
		.count = 3,
	};
	switch (which) {
	case 1:
		set.members[set.count++] = (struct tg_protected_prefix){
			prefix_of(step_addr(0x03), 32), TG_PROTECT_GATEWAY};
		break;
	case 2:
		set.members[set.count++] = (struct tg_protected_prefix){
			prefix_of(step_addr(0xa0), 64), TG_PROTECT_RESOLVER};
		set.members[set.count++] = (struct tg_protected_prefix){
			prefix_of(step_addr(0x05), 32), TG_PROTECT_OWN};
		break;
	case 3:
		set.count = 0;
		break;
	default:
		break;
	}
	return set;
}

static void read_steps(struct tg_limit *limit, struct tg_step steps[STEP_LADDER], uint8_t byte)
{
	static const struct tg_step rungs[] = {
		{.action = TG_ACTION_OBSERVE, .scope = TG_SCOPE_NEW, .expire_ms = 3000},
		{.action = TG_ACTION_RATE_LIMIT,
		 .scope = TG_SCOPE_NEW,
		 .to = {5, 1000},
		 .expire_ms = 2000},
		{.action = TG_ACTION_RATE_LIMIT,
		 .scope = TG_SCOPE_NEW,
		 .to = {30, 60000},
		 .expire_ms = 60000},
		{.action = TG_ACTION_CAP,
		 .scope = TG_SCOPE_NEW,
		 .to = {5, 1000},
		 .cap = 3,
		 .expire_ms = 60000},
		{.action = TG_ACTION_REJECT,
		 .scope = TG_SCOPE_PORTS,
		 .to = {5, 1000},
		 .expire_ms = 5000},
		{.action = TG_ACTION_DROP,
		 .scope = TG_SCOPE_PORTS,
		 .to = {2, 1000},
		 .expire_ms = 600000},
		{.action = TG_ACTION_DROP,
		 .scope = TG_SCOPE_EVERYTHING,
		 .kill = true,
		 .to = {1, 1000},
		 .expire_ms = TG_DURATION_MAX_MS},
	};
	unsigned first = byte % ARRAY_SIZE(rungs), last = ARRAY_SIZE(rungs) - 1;
	if (tg_measure_evidence(limit->measure) == TG_EVIDENCE_FORGEABLE)
		last = 2;
	if (limit->total) /* a budget at most; of this host's own, nothing */
		last = limit->measure == TG_MEASURE_FAN_OUT ? 0 : MIN(last, 2);
	if (limit->total && last > 0 && first > 4) {
		limit->step_count = 1;
		limit->steps = steps;
		steps[0] = (struct tg_step){.action = TG_ACTION_SYNPROXY,
					    .scope = TG_SCOPE_NEW,
					    .expire_ms = byte & 0x80 ? 60000 : 3000};
		return;
	}
	first = MIN(first, last);
	limit->step_count = MIN(1U + byte / 8 % STEP_LADDER, last - first + 1);
	limit->steps = steps;
	for (unsigned i = 0; i < limit->step_count; i++)
		steps[i] = rungs[first + i];
	/* Beside a cap, in its place. */
	for (unsigned i = 0; byte & 0x40 && i < limit->step_count; i++)
		if (steps[i].action > TG_ACTION_CAP)
			steps[i].scope = TG_SCOPE_NEW;
	if (limit->total && byte & 0x80)
		steps[0].expire_ms = 60000;
}

/* Four bytes. */
static void read_limit(struct step_input *input, struct tg_limit *limit,
		       struct tg_step steps[STEP_LADDER])
{
	static const uint8_t lengths[TG_FAMILY_COUNT][4] = {{32, 24, 30, 28}, {64, 48, 128, 56}};
	static const uint64_t forget[] = {0, 10000, 3600 * 1000, 7 * 24 * 3600 * (uint64_t)1000};
	const uint8_t what = step_byte(input), size = step_byte(input), ladder = step_byte(input),
		      more = step_byte(input);
	limit->measure = (enum tg_measure)((what & 0x0f) % TG_MEASURE_COUNT);
	limit->total = (what >> 4 & 3) == 3 || limit->measure == TG_MEASURE_FAN_OUT;
	limit->threshold = 1 + (size & 0x0f);
	limit->prefix_len[TG_IPV4] = lengths[TG_IPV4][size >> 4 & 3];
	limit->prefix_len[TG_IPV6] = lengths[TG_IPV6][size >> 6 & 3];
	if (!limit->total && limit->prefix_len[TG_IPV4] < 32 && limit->prefix_len[TG_IPV6] < 64)
		limit->min_hosts = what >> 6;
	if (tg_measure_is_rate(limit->measure)) {
		limit->window_ms = more & 1 ? 1000 : 60000;
		limit->burst = more >> 1 & 3;
	}
	limit->mode = more & 8 ? TG_MODE_OBSERVE : TG_MODE_ENFORCE;
	limit->forget_ms = forget[more >> 4 & 3];
	read_steps(limit, steps, ladder);
	limit->ladder = limit->step_count > 1 ? "usual" : NULL;
	limit->file = "policy.yaml";
	limit->line = 1;
}

void step_config_read(struct step_config *config, const uint8_t bytes[STEP_CONFIG_SIZE])
{
	static const struct tg_port_range web[] = {{80, 80}, {443, 443}}, ssh[] = {{22, 22}};
	static const uint64_t idle_after[] = {60000, 1000, 10000, 3600 * 1000};
	static const struct tg_brakes brakes[] = {{0},
						  {.bans_per_minute = 1},
						  {.bans_per_minute = 3, .share_of_sources = 1},
						  {.share_of_flows = 500}};
	struct step_input input = {bytes + 2, bytes + STEP_CONFIG_SIZE};
	const uint8_t head = step_byte(&input), counts = step_byte(&input);
	memset(config, 0, sizeof(*config));
	config->allow[0] = prefix_of(step_addr(0x27), 32);
	config->allow[1] = prefix_of(step_addr(0xc0), 64);
	config->allow[2] = prefix_of(step_addr(0x20), 24);
	config->config = (struct tg_config){
		.mode = TG_MODE_ENFORCE,
		.brakes = brakes[bytes[STEP_CONFIG_SIZE - 1] % ARRAY_SIZE(brakes)],
		.idle_after_ms = idle_after[head >> 2 & 3],
		.allow = config->allow,
		.allow_count = head >> 4 & 3,
		.policies = config->policies,
		.policy_count = 1 + (head & 3) % STEP_POLICIES,
	};
	/* Which policy is which may change from config to config. */
	const unsigned first = head >> 6;
	for (unsigned p = 0; p < config->config.policy_count; p++) {
		struct tg_policy *policy = &config->policies[p];
		const unsigned which = (first + p) % STEP_POLICIES;
		policy->name = policy_names[which];
		policy->ports = which == 0 ? web : which == 1 ? ssh : NULL;
		policy->port_count = which == 0 ? ARRAY_SIZE(web) : which == 1;
		policy->limits = config->limits[p];
		policy->limit_count = 1 + (counts >> (2 * p) & 3);
		for (unsigned i = 0; i < policy->limit_count; i++) {
			read_limit(&input, &config->limits[p][i], config->steps[p][i]);
			config->limits[p][i].name = limit_names[(i + (counts >> 7)) % STEP_LIMITS];
		}
		if (which == 0 && counts & 0x40) {
			config->addresses[p][0] = prefix_of(step_own(TG_IPV4, 0), 32);
			config->addresses[p][1] = prefix_of(step_own(TG_IPV6, 0), 128);
			policy->addresses = config->addresses[p];
			policy->address_count = 2;
		}
	}
}

struct tg_engine_params step_params_read(const uint8_t bytes[STEP_CONFIG_SIZE])
{
	static const uint32_t flows[] = {4096, 256, 24, 6}, sources[] = {512, 64, 16, 8},
			      bans[] = {64, 16, 3, 1};
	return (struct tg_engine_params){
		.max_flows = flows[bytes[0] & 3],
		.max_sources = sources[bytes[0] >> 2 & 3],
		.max_bans = bans[bytes[0] >> 4 & 3],
		.seed = {bytes[1]},
	};
}
