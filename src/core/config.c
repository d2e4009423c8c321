/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions about a config that more than one reader asks. */
#include <tcpguard/config.h>

#include "base/util.h"

bool tg_policy_holds(const struct tg_policy *policy, const struct tg_addr *addr, uint16_t port)
{
	bool has_port = policy->port_count == 0, has_address = policy->address_count == 0;
	for (size_t i = 0; !has_port && i < policy->port_count; i++)
		has_port = policy->ports[i].first <= port && port <= policy->ports[i].last;
	for (size_t i = 0; has_port && !has_address && i < policy->address_count; i++)
		has_address = tg_prefix_contains(&policy->addresses[i], addr);
	return has_port && has_address;
}

bool tg_config_measures(const struct tg_config *config, enum tg_measure measure)
{
	for (size_t p = 0; p < config->policy_count; p++)
		for (size_t i = 0; i < config->policies[p].limit_count; i++)
			if (config->policies[p].limits[i].measure == measure)
				return true;
	return false;
}

bool tg_config_follows_closing(const struct tg_config *config)
{
	static const enum tg_measure measures[] = {
		TG_MEASURE_CONCURRENT, TG_MEASURE_TIME_WAIT, TG_MEASURE_CLOSE_WAIT,
		TG_MEASURE_FIN_WAIT,   TG_MEASURE_LAST_ACK,  TG_MEASURE_IDLE,
	};
	for (size_t i = 0; i < ARRAY_SIZE(measures); i++)
		if (tg_config_measures(config, measures[i]))
			return true;
	return false;
}

enum tg_evidence tg_measure_evidence(enum tg_measure measure)
{
	switch (measure) {
	case TG_MEASURE_HALF_OPEN:
	case TG_MEASURE_FAILED:
		return TG_EVIDENCE_FORGEABLE;
	case TG_MEASURE_FAN_OUT:
		return TG_EVIDENCE_OWN;
	case TG_MEASURE_CONCURRENT:
	case TG_MEASURE_NEW:
	case TG_MEASURE_TIME_WAIT:
	case TG_MEASURE_CLOSE_WAIT:
	case TG_MEASURE_FIN_WAIT:
	case TG_MEASURE_LAST_ACK:
	case TG_MEASURE_IDLE:
	case TG_MEASURE_COUNT:
		break;
	}
	return TG_EVIDENCE_WITNESSABLE;
}

bool tg_measure_is_rate(enum tg_measure measure)
{
	return measure == TG_MEASURE_NEW || measure == TG_MEASURE_FAILED;
}

bool tg_limit_acts(const struct tg_limit *limit)
{
	for (size_t i = 0; i < limit->step_count; i++)
		if (limit->steps[i].action != TG_ACTION_OBSERVE)
			return true;
	return false;
}

bool tg_limit_uses_scope(const struct tg_limit *limit, enum tg_scope scope)
{
	for (size_t i = 0; i < limit->step_count; i++) {
		const struct tg_step *step = &limit->steps[i];
		if (step->action != TG_ACTION_OBSERVE &&
		    (step->scope == scope ||
		     (step->action > TG_ACTION_RATE_LIMIT && scope == TG_SCOPE_NEW)))
			return true;
	}
	return false;
}
