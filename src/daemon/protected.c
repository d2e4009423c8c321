/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the sources of protected prefixes together; keeps nothing. */
#include "protected.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "base/cleanup.h"
#include "netfilter/rt_watch.h"
#include "resolvers.h"

int protected_read(struct rt_watch *watch, const struct resolvers *resolvers,
		   struct tg_prefix_set **ret_set)
{
	_cleanup_free_ struct tg_protected_prefix *own = NULL;
	size_t own_count = 0, always_count = 0;
	int err = rt_watch_read(watch, &own, &own_count);
	if (err)
		return err;
	const struct tg_protected_prefix *always = tg_protect_always(&always_count);
	size_t count = always_count + own_count;
	_cleanup_free_ struct tg_protected_prefix *all =
		calloc(count + resolvers->count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memcpy(all, always, always_count * sizeof(*all));
	if (own_count > 0)
		memcpy(all + always_count, own, own_count * sizeof(*all));
	for (size_t i = 0; i < resolvers->count; i++) {
		const struct tg_addr *addr = &resolvers->servers[i];
		all[count++] = (struct tg_protected_prefix){
			.prefix = tg_addr_mask(addr, tg_family_bits(addr->family)),
			.kind = TG_PROTECT_RESOLVER};
	}
	struct tg_prefix_set *set = tg_prefix_set_create(all, count);
	if (!set)
		return -ENOMEM;
	*ret_set = set;
	return 0;
}

struct tg_prefix_set *protected_allow(const struct tg_config *config)
{
	_cleanup_free_ struct tg_protected_prefix *all =
		calloc(config->allow_count + 1, sizeof(*all));
	if (!all)
		return NULL;
	for (size_t i = 0; i < config->allow_count; i++)
		all[i] = (struct tg_protected_prefix){.prefix = config->allow[i],
						      .kind = TG_PROTECT_ALLOWED};
	return tg_prefix_set_create(all, config->allow_count);
}
