/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what SYNPROXY needs of this host: sysctls without which it would turn clients away, and what
 * the sockets that listen here answer a SYN with, because it has to say the same.
 */
#include "synproxy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "daemon.h"
#include "host/counters.h"
#include "host/syn_options.h"
#include "host/sysctl.h"

/* Services start and stop; a walk over the listeners costs some ten microseconds each. */
#define OPTIONS_PAUSE (10 * TG_SEC)

static const struct {
	enum sysctl_key key;
	int64_t least, most;
	const char *wanted;
} needs[] = {
	/* Else the client's answer looks like an established connection, and never comes to it. */
	{SYSCTL_CT_LOOSE, 0, 0, "0"},
	/* What the client offered travels in the timestamp. */
	{SYSCTL_TIMESTAMPS, 1, 2, "1"},
	{SYSCTL_SYNCOOKIES, 1, 2, "1"},
	/* A connection that it opens is in conntrack before its rule could ask for events. */
	{SYSCTL_CT_EVENTS, 1, 2, "1"},
};

/* Names what is missing; empty: nothing. */
static void name_missing(struct tg_strbuf *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		int64_t number;
		if (sysctl_read_number(needs[i].key, &number) && number >= needs[i].least &&
		    number <= needs[i].most)
			continue;
		tg_strbuf_printf(text, "%s%s=%s", text->len > 0 ? " " : "",
				 sysctl_name(needs[i].key), needs[i].wanted);
	}
}

/* And enforced: what only observes needs nothing. */
static bool would_act(const struct tg_config *config)
{
	for (size_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *policy = &config->policies[p];
		for (size_t i = 0; i < policy->limit_count; i++)
			if (policy->limits[i].mode == TG_MODE_ENFORCE &&
			    tg_limit_has(&policy->limits[i], TG_ACTION_SYNPROXY))
				return true;
	}
	return false;
}

int synproxy_prepare(struct daemon_policy *policy)
{
	struct tg_strbuf text;
	if (!tg_config_has_synproxy(policy->config))
		return 0;
	struct tg_syn_options *options = calloc(policy->config->policy_count, sizeof(*options));
	if (!options)
		return -ENOMEM;
	policy->syn_options = options;
	/* What could not be read stays what is in the file, or Linux's own: upkeep tries again. */
	if (syn_options_read(policy->config, options) < 0) {
		free(options);
		policy->syn_options = NULL;
	}
	tg_strbuf_init(&text);
	if (would_act(policy->config))
		name_missing(&text);
	const bool failed = text.failed;
	policy->synproxy_withheld = text.len > 0;
	tg_strbuf_finish(&text);
	if (policy->synproxy_withheld)
		tg_ruleset_withhold(policy->ruleset, TG_ACTION_SYNPROXY);
	return failed ? -ENOMEM : 0;
}

static bool kernel_has_it(const struct daemon *daemon)
{
	struct nft_sink_stats stats;
	nft_sink_stats(daemon->sink, &stats);
	return stats.synproxy;
}

void synproxy_installed(const struct daemon *daemon, struct daemon_policy *policy)
{
	if (kernel_has_it(daemon))
		return;
	policy->synproxy_withheld = true;
	tg_ruleset_withhold(policy->ruleset, TG_ACTION_SYNPROXY);
}

static bool options_changed(struct daemon *daemon)
{
	const tg_time now = loop_now(daemon->loop);
	const struct daemon_policy *policy = &daemon->policy;
	if (now < daemon->syn_options_at + OPTIONS_PAUSE)
		return false;
	daemon->syn_options_at = now;
	const size_t size = policy->config->policy_count * sizeof(struct tg_syn_options);
	struct tg_syn_options *options = calloc(1, size);
	const bool read = options && syn_options_read(policy->config, options) == 0;
	const bool changed =
		read && (!policy->syn_options || memcmp(options, policy->syn_options, size) != 0);
	free(options);
	return changed;
}

/* What holds it back, as it is now; empty: nothing. */
static void explain(const struct daemon *daemon, struct tg_strbuf *text)
{
	if (!would_act(daemon->policy.config))
		return;
	if (!kernel_has_it(daemon)) {
		tg_strbuf_puts(text,
			       "this kernel was built without SYNPROXY (CONFIG_NFT_SYNPROXY): "
			       "the limits with it only observe");
		return;
	}
	name_missing(text);
}

void synproxy_follow(struct daemon *daemon)
{
	const tg_time now = loop_now(daemon->loop);
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	explain(daemon, &text);
	if (text.len == 0)
		health_clear(&daemon->health, HEALTH_SYNPROXY, now);
	else if (!kernel_has_it(daemon))
		health_set(&daemon->health, HEALTH_SYNPROXY, now, "%s", text.text);
	else
		health_set(&daemon->health, HEALTH_SYNPROXY, now,
			   "SYNPROXY would turn clients away and only observes: sysctl -w %s",
			   text.text);
	if (tg_config_has_synproxy(daemon->policy.config) && !text.failed &&
	    ((text.len > 0) != daemon->policy.synproxy_withheld || options_changed(daemon)))
		policy_renew(daemon);
	tg_strbuf_finish(&text);
}

uint32_t synproxy_finished(void)
{
	struct counter_value values[COUNTER_COUNT];
	counters_read(values);
	return (uint32_t)values[COUNTER_SYNPROXY_FINISHED].value;
}
