/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the fuses: limits of `new` that stand ahead of conntrack, as a meter of SYNs for each
 * source. Who runs over it is noted in a set of its own, once, which tells the daemon; what the
 * first ban of such a source would let pass passes from then on. What finds no room in the meter
 * falls into one of many buckets that sources share, and is held to what several of them may do.
 */
#include "layout/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "base/util.h"

/*
 * A bucket is for many sources: it may do what so many of them may, and never less than so many
 * SYNs a second, because the sources that a flood forges are no reason to shut out others.
 */
#define SPILL_SHARE 16
#define SPILL_RATE_LEAST 16

static const char near_prefix[] = "near";
const struct layout_pace layout_retry_pace = {.rate = {2, 1000}, .burst = 1};

/* Of what a limit does in the kernel; rates are of the limit itself. */
static struct layout_fuse make_fuse(const struct layout *layout, uint16_t policy, uint16_t index,
				    enum tg_family family)
{
	const struct tg_policy *in = &layout->config->policies[policy];
	const struct tg_limit *limit = &in->limits[index];
	struct layout_fuse fuse = {
		.policy = policy,
		.limit = index,
		.family = (uint8_t)family,
		.prefix_len = limit->prefix_len[family],
		.over = {.rate = {.count = limit->threshold, .per_ms = limit->window_ms},
			 .burst = limit->threshold + limit->burst},
	};
	const char digit = family == TG_IPV4 ? '4' : '6';
	const uint64_t share = (uint64_t)limit->threshold * SPILL_SHARE;
	fuse.drops = tg_limit_fuse_passes(limit, &fuse.to.rate);
	if (!fuse.drops)
		fuse.to.rate = TG_UNPROVEN_RATE; /* only so that the elements have one */
	fuse.to.burst = fuse.to.rate.count;
	fuse.spill_over = (struct layout_pace){
		.rate = {.count = (uint32_t)MIN(share, UINT32_MAX), .per_ms = limit->window_ms},
		.burst = (uint32_t)MIN((uint64_t)fuse.over.burst * SPILL_SHARE, UINT32_MAX)};
	if (share * 1000 < (uint64_t)SPILL_RATE_LEAST * limit->window_ms)
		fuse.spill_over.rate = (struct tg_rate){SPILL_RATE_LEAST, 1000};
	fuse.spill_over.burst = MAX(fuse.spill_over.burst, SPILL_RATE_LEAST);
	(void)snprintf(fuse.fused, sizeof(fuse.fused), "fused.%s.%s.ip%c", in->name, limit->name,
		       digit);
	(void)snprintf(fuse.meter, sizeof(fuse.meter), "meter.%s.%s.ip%c", in->name, limit->name,
		       digit);
	(void)snprintf(fuse.spill, sizeof(fuse.spill), "spill.%s.%s.ip%c", in->name, limit->name,
		       digit);
	(void)snprintf(fuse.tells, sizeof(fuse.tells), LAYOUT_LOG_FUSE "%s/%s %u/%u %u", in->name,
		       limit->name, limit->threshold, limit->window_ms, limit->burst);
	(void)snprintf(fuse.tells_full, sizeof(fuse.tells_full), LAYOUT_LOG_FULL "%s/%s", in->name,
		       limit->name);
	return fuse;
}

/*
 * As nft writes it: the shortest unit in which the rate is a whole number, else the longest, and
 * never less than it: nobody is held back for the rest of a division.
 */
void layout_pace_units(const struct tg_rate *rate, uint64_t *ret_count, uint64_t *ret_unit_s)
{
	static const uint32_t units[] = {1, 60, 3600, 86400, 604800};
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		const uint64_t scaled = (uint64_t)rate->count * units[i] * 1000;
		*ret_count = (scaled + rate->per_ms - 1) / rate->per_ms;
		*ret_unit_s = units[i];
		if (scaled % rate->per_ms == 0)
			return;
	}
}

int layout_fuses_init(struct layout *layout)
{
	size_t count = 0;
	for (size_t p = 0; p < layout->config->policy_count; p++)
		for (size_t i = 0; i < layout->config->policies[p].limit_count; i++)
			count += tg_limit_has_fuse(&layout->config->policies[p].limits[i]);
	if (count == 0)
		return 0;
	layout->fuses = calloc(count * TG_FAMILY_COUNT, sizeof(*layout->fuses));
	if (!layout->fuses)
		return -ENOMEM;
	for (size_t p = 0; p < layout->config->policy_count; p++) {
		const struct tg_policy *policy = &layout->config->policies[p];
		for (size_t i = 0; i < policy->limit_count; i++)
			for (enum tg_family f = 0;
			     f < TG_FAMILY_COUNT && tg_limit_has_fuse(&policy->limits[i]); f++)
				layout->fuses[layout->fuse_count++] =
					make_fuse(layout, (uint16_t)p, (uint16_t)i, f);
	}
	return 0;
}

void layout_fuses_finish(struct layout *layout)
{
	free(layout->fuses);
	layout->fuses = NULL;
	layout->fuse_count = 0;
}

void layout_fuses_omit(struct layout *layout)
{
	layout_fuses_finish(layout);
	layout->no_fuse = true;
}

bool layout_has_fuses(const struct layout *layout, uint16_t policy)
{
	for (size_t i = 0; i < layout->fuse_count; i++)
		if (layout->fuses[i].policy == policy)
			return true;
	return false;
}

bool layout_fuse_is_same(const struct layout_fuse *a, const struct layout_fuse *b)
{
	return strcmp(a->meter, b->meter) == 0 && a->prefix_len == b->prefix_len &&
	       memcmp(&a->over, &b->over, sizeof(a->over)) == 0 &&
	       memcmp(&a->to, &b->to, sizeof(a->to)) == 0;
}

bool layout_fuse_find(const struct layout *layout, const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < layout->fuse_count; i++) {
		const struct layout_fuse *fuse = &layout->fuses[i];
		if (strcmp(fuse->fused, name) != 0 && strcmp(fuse->meter, name) != 0 &&
		    strcmp(fuse->spill, name) != 0)
			continue;
		*ret_index = i;
		return true;
	}
	return false;
}

void layout_retry_name(const struct layout *layout, uint16_t policy, enum tg_family family,
		       char name[static LAYOUT_NAME_MAX])
{
	(void)snprintf(name, LAYOUT_NAME_MAX, "retry.%s.ip%c",
		       layout->config->policies[policy].name, family == TG_IPV4 ? '4' : '6');
}

bool layout_has_retry(const struct layout *layout, const char *name, enum tg_family *ret_family)
{
	char other[LAYOUT_NAME_MAX];
	for (uint16_t i = 0; i < layout->config->policy_count; i++) {
		for (enum tg_family f = 0; f < TG_FAMILY_COUNT && layout_has_fuses(layout, i);
		     f++) {
			layout_retry_name(layout, i, f, other);
			if (strcmp(other, name) != 0)
				continue;
			*ret_family = f;
			return true;
		}
	}
	return false;
}

uint32_t layout_retry_key_len(enum tg_family family)
{
	return 2 * (tg_family_bits(family) / 8u + 4);
}

/* Prefixes that hold a protected address are not held responsible as a whole. */
static bool wants_near(const struct layout_fuse *fuse)
{
	return fuse->prefix_len < tg_family_bits((enum tg_family)fuse->family);
}

static void name_near(const struct layout_near *near, char name[static LAYOUT_NEAR_MAX])
{
	(void)snprintf(name, LAYOUT_NEAR_MAX, "%s%c-%u", near_prefix,
		       near->family == TG_IPV4 ? '4' : '6', near->prefix_len);
}

bool layout_next_near(const struct layout *layout, size_t *at, struct layout_near *ret_near)
{
	for (; *at < layout->fuse_count; (*at)++) {
		const struct layout_fuse *fuse = &layout->fuses[*at];
		bool before = false;
		for (size_t i = 0; i < *at && !before; i++)
			before = layout->fuses[i].family == fuse->family &&
				 layout->fuses[i].prefix_len == fuse->prefix_len;
		if (before || !wants_near(fuse))
			continue;
		*ret_near = (struct layout_near){.family = (enum tg_family)fuse->family,
						 .prefix_len = fuse->prefix_len};
		name_near(ret_near, ret_near->name);
		(*at)++;
		return true;
	}
	return false;
}

bool layout_is_near_name(const char *name, struct layout_near *ret_near)
{
	struct layout_near near = {.family = TG_IPV4};
	const size_t len = strlen(near_prefix);
	if (strncmp(name, near_prefix, len) != 0 || (name[len] != '4' && name[len] != '6') ||
	    name[len + 1] != '-')
		return false;
	near.family = name[len] == '4' ? TG_IPV4 : TG_IPV6;
	const unsigned long prefix_len = strtoul(name + len + 2, NULL, 10);
	if (prefix_len >= tg_family_bits(near.family))
		return false;
	near.prefix_len = (uint8_t)prefix_len;
	name_near(&near, near.name);
	if (strcmp(near.name, name) != 0)
		return false;
	*ret_near = near;
	return true;
}

bool layout_has_near(const struct layout *layout, const char *name)
{
	struct layout_near near;
	size_t at = 0;
	while (layout_next_near(layout, &at, &near))
		if (strcmp(near.name, name) == 0)
			return true;
	return false;
}

struct tg_prefix_set *layout_near_create(const struct layout *layout,
					 const struct layout_near *near)
{
	const struct tg_prefix_set *const sets[] = {layout->protected_set, layout->allow};
	size_t count = 0, room = 1;
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		size_t members = 0;
		if (sets[i])
			(void)tg_prefix_set_members(sets[i], near->family, &members);
		room += members;
	}
	struct tg_protected_prefix *list = calloc(room, sizeof(*list));
	if (!list)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		size_t members = 0;
		const struct tg_protected_prefix *from =
			sets[i] ? tg_prefix_set_members(sets[i], near->family, &members) : NULL;
		for (size_t k = 0; k < members; k++) {
			list[count] = from[k];
			list[count++].prefix = tg_addr_mask(
				&from[k].prefix.addr, MIN(from[k].prefix.len, near->prefix_len));
		}
	}
	struct tg_prefix_set *set = tg_prefix_set_create(list, count);
	free(list);
	return set;
}

/*
 * Looks before it counts: a source that is noted already is neither counted nor told again. What it
 * lets pass its element says, as that of a ban does.
 */
static void fuse_rules(const struct layout *layout, size_t index, const char *chain,
		       layout_rule_fn *rule, void *data)
{
	const struct layout_fuse *fuse = &layout->fuses[index];
	const bool drops = fuse->drops && !layout->observes;
	const struct layout_near near = {.family = (enum tg_family)fuse->family,
					 .prefix_len = fuse->prefix_len};
	char near_name[LAYOUT_NEAR_MAX];
	name_near(&near, near_name);
	const struct layout_rule base = {.chain = chain,
					 .family = (enum tg_family)fuse->family,
					 .prefix_len = fuse->prefix_len};
	struct layout_rule spared = base;
	if (wants_near(fuse))
		spared.not_near = near_name;
	else
		spared.spared = true;

	struct layout_rule it = spared;
	it.source = fuse->fused;
	it.verdict = LAYOUT_VERDICT_DROP;
	if (drops)
		rule(data, &it);
	it = spared;
	it.not_source = fuse->fused;
	it.meter = fuse->meter;
	it.meter_over = &fuse->over;
	it.log = fuse->tells;
	it.adds = fuse->fused;
	it.adds_over = &fuse->to;
	rule(data, &it);
	/* Not in the meter behind that: there was no room. */
	static const struct layout_pace now_and_then = {.rate = {1, 1000}, .burst = 1};
	it = base;
	it.not_source = fuse->meter;
	it.pace = &now_and_then;
	it.log = fuse->tells_full;
	rule(data, &it);
	it = spared;
	it.not_source = fuse->meter;
	it.meter = fuse->spill;
	it.meter_over = &fuse->spill_over;
	it.buckets = LAYOUT_SPILL_BUCKETS;
	it.verdict = LAYOUT_VERDICT_DROP;
	if (drops)
		rule(data, &it);
}

/*
 * A SYN that is sent again is let by, and so does not count; but only what nothing here has held
 * back is remembered, so that conntrack has each of these connections already.
 */
void layout_fuse_rules(const struct layout *layout, uint16_t policy, const char *chain,
		       layout_rule_fn *rule, void *data)
{
	char retry[LAYOUT_NAME_MAX];
	struct layout_rule it = {.chain = chain, .tcp = true};
	for (it.family = 0; it.family < TG_FAMILY_COUNT; it.family++) {
		layout_retry_name(layout, policy, it.family, retry);
		it.known = retry;
		it.verdict = LAYOUT_RETURN;
		rule(data, &it);
	}
	for (size_t i = 0; i < layout->fuse_count; i++)
		if (layout->fuses[i].policy == policy)
			fuse_rules(layout, i, chain, rule, data);
	it = (struct layout_rule){.chain = chain, .tcp = true};
	for (it.family = 0; it.family < TG_FAMILY_COUNT; it.family++) {
		layout_retry_name(layout, policy, it.family, retry);
		it.knows = retry;
		rule(data, &it);
	}
}
