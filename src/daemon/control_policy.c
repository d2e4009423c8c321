/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells the policy in force, so that another can be compared with it. Changes nothing. */
#include "control_policy.h"

#include <stdlib.h>

#include <tcpguard/config.h>

#include "daemon.h"

/* Prefixes of the allow list in one piece: some 30 KiB. */
#define ALLOW_PIECE 512

struct telling {
	struct daemon *daemon;
	uint64_t replaced; /* the policy that it began with */
	size_t policy, prefix;
	bool begun;
};

static void put_setting(void *data, const char *section, const char *key, const char *value)
{
	struct tg_strbuf *out = data;
	tg_record_begin(out, "setting");
	tg_record_put(out, "section", section);
	tg_record_put(out, "key", key);
	tg_record_put(out, "value", value);
	tg_record_end(out);
}

static void put_head(const struct daemon *daemon, struct tg_strbuf *out)
{
	const struct tg_config *config = daemon->policy.config;
	struct tg_engine_stats stats;
	tg_engine_stats(daemon->engine, &stats);
	tg_record_begin(out, "policy");
	tg_record_put(out, "file", config->files[0]);
	tg_record_put_u64(out, "loaded", (uint64_t)daemon->policy.loaded);
	/* Whatever a policy says, these keep it from being enforced. */
	tg_record_put(out, "observe", daemon->options.observe ? "true" : "false");
	tg_record_put(out, "panic", stats.panic ? "true" : "false");
	tg_record_put_u64(out, "confirm_in", (policy_confirm_left(daemon) + 999) / 1000);
	tg_record_put_u64(out, "max_sources", daemon->params.max_sources);
	tg_record_put_u64(out, "max_flows", daemon->params.max_flows);
	tg_record_put_u64(out, "max_bans", daemon->params.max_bans);
	tg_record_end(out);
}

static bool put_allow(struct telling *it, struct tg_strbuf *out)
{
	const struct tg_config *config = it->daemon->policy.config;
	char text[TG_PREFIX_STRLEN];
	for (int i = 0; i < ALLOW_PIECE && it->prefix < config->allow_count; i++)
		put_setting(out, "allow", "prefix",
			    tg_prefix_format(&config->allow[it->prefix++], text));
	return it->prefix < config->allow_count;
}

static bool policy_more(void *data, void *state, struct tg_strbuf *out)
{
	struct telling *it = state;
	const struct tg_config *config = it->daemon->policy.config;
	(void)data;
	if (it->begun && it->replaced != it->daemon->replaced) {
		/* What was told is of the one before: the client begins anew. */
		it->begun = false;
		it->policy = it->prefix = 0;
	}
	if (!it->begun) {
		it->begun = true;
		it->replaced = it->daemon->replaced;
		put_head(it->daemon, out);
		tg_config_describe(config, put_setting, out);
		return true;
	}
	if (it->policy < config->policy_count) {
		tg_policy_describe(&config->policies[it->policy++], put_setting, out);
		return true;
	}
	return put_allow(it, out);
}

void control_policy(void *data, struct control_client *client, const struct tg_record *request)
{
	struct telling *it = calloc(1, sizeof(*it));
	(void)request;
	if (!it) {
		control_error(client, 1, "out of memory");
		return;
	}
	it->daemon = data;
	control_stream(client, policy_more, it, free);
}
