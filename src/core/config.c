/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions about a config that more than one reader asks. */
#include <tcpguard/config.h>

bool tg_config_measures(const struct tg_config *config, enum tg_measure measure)
{
	for (size_t p = 0; p < config->policy_count; p++)
		for (size_t i = 0; i < config->policies[p].limit_count; i++)
			if (config->policies[p].limits[i].measure == measure)
				return true;
	return false;
}
