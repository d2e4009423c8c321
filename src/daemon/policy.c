/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads policies and replaces the running one: as a whole, after everything that can
 * fail has succeeded, or not at all.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>
#include <tcpguard/protect.h>

#include "base/strbuf.h"
#include "daemon.h"
#include "witness.h"
#include "protected.h"

int policy_load(const struct daemon_options *options, const struct tg_engine_params *params,
		struct daemon_policy *ret_policy, struct tg_diag *diag)
{
	static const enum tg_mode observe = TG_MODE_OBSERVE;
	struct daemon_policy policy = {.loaded = loop_wall_clock()};
	policy.config = tg_config_load(options->config, NULL, diag);
	if (!policy.config)
		return -EINVAL;
	struct tg_engine_params sized = {.max_sources = policy.config->max_sources,
					 .max_flows = policy.config->max_flows,
					 .max_bans = policy.config->max_bans};
	memcpy(sized.seed, options->seed, sizeof(sized.seed));
	policy.ruleset = tg_ruleset_create(policy.config, params ? params : &sized,
					   options->observe ? &observe : NULL);
	policy.allow = protected_allow(policy.config);
	if (!policy.ruleset || !policy.allow) {
		policy_finish(&policy);
		return -ENOMEM;
	}
	*ret_policy = policy;
	return 0;
}

void policy_finish(struct daemon_policy *policy)
{
	tg_ruleset_destroy(policy->ruleset);
	tg_prefix_set_destroy(policy->allow);
	tg_config_destroy(policy->config);
	*policy = (struct daemon_policy){0};
}

/* The sizes of tables are fixed at start. */
static void note_sizes(const struct daemon *daemon, const struct tg_config *config,
		       struct tg_strbuf *text)
{
	if (config->max_sources != daemon->params.max_sources)
		tg_strbuf_printf(text,
				 "max-sources is now %" PRIu32 " in the policy; a restart is "
				 "needed, until then %" PRIu32 " stays in force\n",
				 config->max_sources, daemon->params.max_sources);
	if (config->max_flows != daemon->params.max_flows)
		tg_strbuf_printf(text,
				 "max-flows is now %" PRIu32 " in the policy; a restart is "
				 "needed, until then %" PRIu32 " stays in force\n",
				 config->max_flows, daemon->params.max_flows);
	if (config->max_bans != daemon->params.max_bans)
		tg_strbuf_printf(text,
				 "max-bans is now %" PRIu32 " in the policy; a restart is "
				 "needed, until then %" PRIu32 " stays in force\n",
				 config->max_bans, daemon->params.max_bans);
}

static bool replace(struct daemon *daemon, struct daemon_policy *policy, struct tg_strbuf *text)
{
	/* Decisions that wait name limits of the old policy: out with them first. */
	turn_finish(daemon);
	int err = nft_sink_install(daemon->sink, policy->config, daemon->protected, policy->allow);
	if (err < 0) {
		tg_strbuf_printf(text, "the kernel refused the new table: %s\n", strerror(-err));
		return false;
	}
	struct tg_event event = {
		.type = TG_EVENT_POLICY, .at = loop_now(daemon->loop), .ruleset = policy->ruleset};
	daemon_step(daemon, &event);
	if (err > 0) { /* bans that were there are gone with a set that could not be kept */
		event = (struct tg_event){.type = TG_EVENT_SINK_LOST, .at = event.at};
		daemon_step(daemon, &event);
	}
	/* Their questions name limits of the old policy; the engine asks anew. */
	witness_forget(daemon->witness);
	struct daemon_policy old = daemon->policy;
	daemon->policy = *policy;
	upkeep_check_accounting(daemon);
	turn_finish(daemon);
	policy_finish(&old);
	return true;
}

bool policy_reload(struct daemon *daemon, struct tg_strbuf *text)
{
	struct daemon_policy policy;
	struct tg_diag diag;
	tg_diag_init(&diag);
	notify_send(&daemon->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		    (uint64_t)(loop_clock() / 1000));
	int err = policy_load(&daemon->options, &daemon->params, &policy, &diag);
	bool done = false;
	if (err) {
		if (diag.count > 0)
			tg_diag_print(&diag, text);
		else
			tg_strbuf_printf(text, "cannot load the policy: %s\n", strerror(-err));
	} else {
		note_sizes(daemon, policy.config, text);
		done = replace(daemon, &policy, text);
		if (!done)
			policy_finish(&policy);
	}
	tg_diag_finish(&diag);
	if (done) {
		daemon->reloads++;
		log_write(daemon->log, LOG_NOTE, "policy reloaded: policies %zu, files %zu",
			  daemon->policy.config->policy_count, daemon->policy.config->file_count);
	} else {
		daemon->reloads_failed++;
		log_write(daemon->log, LOG_ERROR,
			  "policy not reloaded, the running one stays in force");
	}
	notify_send(&daemon->notify, "READY=1");
	return done;
}
