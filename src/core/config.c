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

static struct tg_follows measure_follows(enum tg_measure measure)
{
	switch (measure) {
	case TG_MEASURE_HALF_OPEN:
	case TG_MEASURE_FAILED:
		/* An answered SYN is given up sooner than one that is not. */
		return (struct tg_follows){.answers = true};
	case TG_MEASURE_CONCURRENT:
	case TG_MEASURE_TIME_WAIT:
	case TG_MEASURE_CLOSE_WAIT:
	case TG_MEASURE_FIN_WAIT:
	case TG_MEASURE_LAST_ACK:
	case TG_MEASURE_IDLE:
		return (struct tg_follows){.answers = true, .closing = true};
	case TG_MEASURE_NEW:
	case TG_MEASURE_FAN_OUT:
	case TG_MEASURE_COUNT:
		break;
	}
	return (struct tg_follows){0};
}

static bool share_a_port(const struct tg_policy *a, const struct tg_policy *b)
{
	for (size_t i = 0; i < a->port_count; i++)
		for (size_t k = 0; k < b->port_count; k++)
			if (a->ports[i].first <= b->ports[k].last &&
			    b->ports[k].first <= a->ports[i].last)
				return true;
	return a->port_count == 0 || b->port_count == 0;
}

struct tg_follows tg_config_follows(const struct tg_config *config, size_t policy)
{
	struct tg_follows all = {0};
	for (size_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *other = &config->policies[p];
		if (!share_a_port(&config->policies[policy], other))
			continue;
		for (size_t i = 0; i < other->limit_count; i++) {
			const struct tg_follows one = measure_follows(other->limits[i].measure);
			all.answers |= one.answers;
			all.closing |= one.closing;
		}
	}
	return all;
}

bool tg_config_follows_closing(const struct tg_config *config)
{
	bool follows = true;
	for (size_t p = 0; p < config->policy_count && !config->all_events; p++)
		follows = follows && tg_config_follows(config, p).closing;
	return follows;
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

bool tg_limit_has_fuse(const struct tg_limit *limit)
{
	return limit->measure == TG_MEASURE_NEW && !limit->total && limit->min_hosts == 0;
}

bool tg_limit_fuse_passes(const struct tg_limit *limit, struct tg_rate *ret_rate)
{
	const struct tg_step *first = &limit->steps[0];
	if (limit->mode != TG_MODE_ENFORCE || first->action == TG_ACTION_OBSERVE)
		return false;
	*ret_rate = first->to.count > 0 ? first->to : TG_UNPROVEN_RATE;
	return true;
}

bool tg_limit_has(const struct tg_limit *limit, enum tg_action action)
{
	for (size_t i = 0; i < limit->step_count; i++)
		if (limit->steps[i].action == action)
			return true;
	return false;
}

bool tg_policy_has_synproxy(const struct tg_policy *policy)
{
	for (size_t i = 0; i < policy->limit_count; i++)
		if (tg_limit_has(&policy->limits[i], TG_ACTION_SYNPROXY))
			return true;
	return false;
}

bool tg_config_has_synproxy(const struct tg_config *config)
{
	for (size_t i = 0; i < config->policy_count; i++)
		if (tg_policy_has_synproxy(&config->policies[i]))
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
