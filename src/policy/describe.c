/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells a config in the words of the policy's language: two that tell the same mean the same,
 * however their files are written. What has no effect, such as a ladder's name, is not told.
 */
#include <inttypes.h>
#include <stdio.h>

#include <tcpguard/config.h>

#include "base/util.h"

#define SECTION_STRLEN (2 * TG_NAME_MAX + 32)
/* Of all ports of a policy, each range with its comma. */
#define PORTS_STRLEN (TG_PORTS_MAX * 13 + 1)

struct teller {
	tg_setting_fn *tell;
	void *data;
	const char *section;
};

static void tell(const struct teller *teller, const char *key, const char *value)
{
	teller->tell(teller->data, teller->section, key, value);
}

static void tell_number(const struct teller *teller, const char *key, uint64_t number)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%" PRIu64, number);
	tell(teller, key, text);
}

static void tell_share(const struct teller *teller, const char *key, uint32_t thousandths)
{
	char text[16];
	if (thousandths % 10)
		(void)snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu32 "%%", thousandths / 10,
			       thousandths % 10);
	else
		(void)snprintf(text, sizeof(text), "%" PRIu32 "%%", thousandths / 10);
	tell(teller, key, thousandths ? text : "none");
}

void tg_config_describe(const struct tg_config *config, tg_setting_fn *fn, void *data)
{
	struct teller teller = {.tell = fn, .data = data, .section = "host"};
	char text[TG_DURATION_STRLEN];
	tell(&teller, "mode", tg_mode_name(config->mode));
	for (size_t i = 0; i < config->admin_port_count; i++)
		tell_number(&teller, "admin-port", config->admin_ports[i]);
	tell(&teller, "hook", config->ingress_count > 0 ? "ingress" : "prerouting");
	for (size_t i = 0; i < config->ingress_count; i++)
		tell(&teller, "interface", config->ingress[i]);
	tell(&teller, "event-mask", config->all_events ? "none" : "limits");
	teller.section = "defaults";
	tell(&teller, "idle-after", tg_duration_format(config->idle_after_ms, text));
	tell_number(&teller, "max-sources", config->max_sources);
	tell_number(&teller, "max-flows", config->max_flows);
	tell_number(&teller, "max-bans", config->max_bans);
	teller.section = "brakes";
	if (config->brakes.bans_per_minute > 0)
		tell_number(&teller, "max-bans-per-minute", config->brakes.bans_per_minute);
	else
		tell(&teller, "max-bans-per-minute", "none");
	tell_share(&teller, "max-share-of-sources", config->brakes.share_of_sources);
	tell_share(&teller, "max-share-of-flows", config->brakes.share_of_flows);
}

static void tell_ports(const struct teller *teller, const struct tg_policy *policy)
{
	char text[PORTS_STRLEN] = "every port";
	size_t len = 0;
	for (size_t i = 0; i < MIN(policy->port_count, (size_t)TG_PORTS_MAX); i++) {
		const struct tg_port_range *range = &policy->ports[i];
		const char *comma = i > 0 ? ", " : "";
		const int more = range->first == range->last
					 ? snprintf(text + len, sizeof(text) - len, "%s%u", comma,
						    range->first)
					 : snprintf(text + len, sizeof(text) - len, "%s%u-%u",
						    comma, range->first, range->last);
		len += (size_t)more;
	}
	tell(teller, "ports", text);
}

static void tell_step(const struct teller *teller, const struct tg_step *step, size_t number)
{
	char key[32], text[160], rate[TG_RATE_STRLEN], expire[TG_DURATION_STRLEN], to[64] = "";
	(void)snprintf(key, sizeof(key), "step-%02zu", number);
	if (step->action == TG_ACTION_RATE_LIMIT)
		(void)snprintf(to, sizeof(to), ", to: %s", tg_rate_format(&step->to, rate));
	if (step->action == TG_ACTION_CAP)
		(void)snprintf(to, sizeof(to), ", to: %" PRIu32, step->cap);
	const bool scoped = step->action >= TG_ACTION_REJECT;
	(void)snprintf(text, sizeof(text), "{action: %s%s%s%s%s, expire: %s}",
		       tg_action_name(step->action), to, scoped ? ", scope: " : "",
		       scoped ? tg_scope_name(step->scope) : "", step->kill ? ", kill: true" : "",
		       tg_duration_format(step->expire_ms, expire));
	tell(teller, key, text);
}

static void tell_limit(const struct teller *teller, const struct tg_limit *limit)
{
	char text[TG_RATE_STRLEN + TG_DURATION_STRLEN];
	const bool rate = tg_measure_is_rate(limit->measure);
	(void)snprintf(text, sizeof(text), "%" PRIu32, limit->threshold);
	if (rate)
		(void)tg_rate_format(
			&(struct tg_rate){.count = limit->threshold, .per_ms = limit->window_ms},
			text);
	tell(teller, tg_measure_name(limit->measure), text);
	if (rate)
		tell_number(teller, "burst", limit->burst);
	(void)snprintf(text, sizeof(text), "{ipv4: %u, ipv6: %u}", limit->prefix_len[TG_IPV4],
		       limit->prefix_len[TG_IPV6]);
	tell(teller, "source", limit->total ? "total" : text);
	if (limit->min_hosts > 0)
		tell_number(teller, "min-hosts", limit->min_hosts);
	for (size_t i = 0; i < limit->step_count; i++)
		tell_step(teller, &limit->steps[i], i + 1);
	tell(teller, "forget-after",
	     limit->forget_ms > 0 ? tg_duration_format(limit->forget_ms, text) : "at once");
	tell(teller, "mode", tg_mode_name(limit->mode));
}

static void tell_syn_options(const struct teller *teller, const struct tg_syn_options *options)
{
	char text[96];
	(void)snprintf(text, sizeof(text), "{mss: %u, window-scale: %u, timestamps: %s, sack: %s}",
		       options->mss[TG_IPV4], options->window_scale,
		       options->timestamps ? "true" : "false", options->sack ? "true" : "false");
	tell(teller, "synproxy", text);
}

void tg_policy_describe(const struct tg_policy *policy, tg_setting_fn *fn, void *data)
{
	char section[SECTION_STRLEN], text[TG_PREFIX_STRLEN];
	const struct teller teller = {.tell = fn, .data = data, .section = section};
	(void)snprintf(section, sizeof(section), "policy %s", policy->name);
	tell_ports(&teller, policy);
	for (size_t i = 0; i < policy->address_count; i++)
		tell(&teller, "address", tg_prefix_format(&policy->addresses[i], text));
	if (policy->syn_options)
		tell_syn_options(&teller, policy->syn_options);
	for (size_t i = 0; i < policy->limit_count; i++) {
		(void)snprintf(section, sizeof(section), "policy %s limit %s", policy->name,
			       policy->limits[i].name);
		tell_limit(&teller, &policy->limits[i]);
	}
}
