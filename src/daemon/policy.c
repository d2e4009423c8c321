/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads policies and replaces the running one: as a whole, after everything that can
 * fail has succeeded, or not at all.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>
#include <tcpguard/protect.h>

#include "base/strbuf.h"
#include "control_events.h"
#include "daemon.h"
#include "state.h"
#include "synproxy.h"
#include "witness.h"
#include "protected.h"

/* Putting the policy before back is tried again after this. */
#define RETRY_PAUSE TG_SEC

static struct tg_ruleset *ruleset_create(const struct daemon_options *options,
					 const struct tg_config *config,
					 const struct tg_engine_params *params)
{
	static const enum tg_mode observe = TG_MODE_OBSERVE;
	return tg_ruleset_create(config, params, options->observe ? &observe : NULL);
}

/* What a policy has beside its config, and loses with its place. */
static void drop_tables(struct daemon_policy *policy)
{
	tg_ruleset_destroy(policy->ruleset);
	free(policy->syn_options);
	policy->ruleset = NULL;
	policy->syn_options = NULL;
}

int policy_load(const struct daemon_options *options, const struct tg_engine_params *params,
		struct daemon_policy *ret_policy, struct tg_diag *diag)
{
	struct daemon_policy policy = {.loaded = loop_wall_clock()};
	policy.config = tg_config_load(options->config, NULL, diag);
	if (!policy.config)
		return -EINVAL;
	struct tg_engine_params sized = {.max_sources = policy.config->max_sources,
					 .max_flows = policy.config->max_flows,
					 .max_bans = policy.config->max_bans};
	memcpy(sized.seed, options->seed, sizeof(sized.seed));
	policy.ruleset = ruleset_create(options, policy.config, params ? params : &sized);
	policy.allow = protected_allow(policy.config);
	if (!policy.ruleset || !policy.allow || synproxy_prepare(&policy) < 0) {
		policy_finish(&policy);
		return -ENOMEM;
	}
	*ret_policy = policy;
	return 0;
}

void policy_finish(struct daemon_policy *policy)
{
	drop_tables(policy);
	tg_prefix_set_destroy(policy->allow);
	tg_config_destroy(policy->config);
	*policy = (struct daemon_policy){0};
}

/* For people. */
static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

/*
 * Tables that are in use cannot be made smaller, so that a policy with more rates may not have room
 * beside them. One that names max-sources has what it says.
 */
static bool fits(const struct daemon *daemon, const struct daemon_policy *policy,
		 struct tg_strbuf *text)
{
	struct tg_engine_stats stats;
	const uint64_t grows = tg_engine_grows(daemon->engine, policy->ruleset);
	tg_engine_stats(daemon->engine, &stats);
	if (grows == 0 || policy->config->sources_given ||
	    daemon->params.max_flows > TG_MAX_FLOWS_DEFAULT ||
	    daemon->params.max_bans > TG_MAX_BANS_DEFAULT ||
	    stats.memory + grows + TG_MEMORY_PROCESS <= TG_MEMORY_MAX)
		return true;
	tg_strbuf_printf(text,
			 "its rates and idle limits want %.1f MiB more, and the tables hold %.1f "
			 "MiB of %.1f already, made for the policy at start: restart tcpguardd, "
			 "which then has room for %" PRIu32 " sources of each family, or set "
			 "max-sources in the policy, which says that there is memory for it\n",
			 mib(grows), mib(stats.memory), mib(TG_MEMORY_MAX - TG_MEMORY_PROCESS),
			 policy->config->max_sources);
	return false;
}

/* The sizes of tables are fixed at start. */
static void note_sizes(const struct daemon *daemon, const struct tg_config *config,
		       struct tg_strbuf *text)
{
	if (config->max_sources != daemon->params.max_sources)
		tg_strbuf_printf(text,
				 "max-sources is now %" PRIu32 " %s; a restart is "
				 "needed, until then %" PRIu32 " stays in force\n",
				 config->max_sources,
				 config->sources_given ? "in the policy" : "by the policy's rates",
				 daemon->params.max_sources);
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

/* *ret_old is what was in force; on failure it still is. */
static bool replace(struct daemon *daemon, struct daemon_policy *policy, struct tg_strbuf *text,
		    struct daemon_policy *ret_old)
{
	/* Decisions that wait name limits of the old policy: out with them first. */
	turn_finish(daemon);
	int err = nft_sink_install(daemon->sink, policy->config, daemon->protected, policy->allow,
				   policy->syn_options);
	if (err < 0) {
		tg_strbuf_printf(text, "the kernel refused the new table: %s\n", strerror(-err));
		return false;
	}
	synproxy_installed(daemon, policy);
	struct tg_event event = {
		.type = TG_EVENT_POLICY, .at = loop_now(daemon->loop), .ruleset = policy->ruleset};
	daemon_step(daemon, &event);
	if (err > 0) { /* bans that were there are gone with a set that could not be kept */
		event = (struct tg_event){.type = TG_EVENT_SINK_LOST, .at = event.at};
		daemon_step(daemon, &event);
	}
	/* Their questions name limits of the old policy; the engine asks anew. */
	witness_forget(daemon->witness);
	*ret_old = daemon->policy;
	daemon->policy = *policy;
	daemon->replaced++;
	turn_follow_policy(daemon);
	upkeep_check_sysctls(daemon);
	fuses_check(daemon);
	state_refresh(daemon->state); /* bans of a policy that is gone must not come back with it */
	turn_finish(daemon);
	return true;
}

void policy_forget_before(struct daemon *daemon)
{
	policy_finish(&daemon->before);
	loop_remove_timer(daemon->confirm);
	daemon->confirm = NULL;
}

uint64_t policy_confirm_left(const struct daemon *daemon)
{
	if (!daemon->confirm)
		return 0;
	const tg_time now = loop_now(daemon->loop), at = loop_timer_at(daemon->confirm);
	return at > now ? (at - now) / TG_MSEC + 1 : 1;
}

/* The same config in force with tables of its own, which it has not when this fails. */
static bool replace_anew(struct daemon *daemon, struct daemon_policy *policy,
			 struct tg_strbuf *text, struct daemon_policy *ret_old)
{
	policy->syn_options = NULL;
	policy->ruleset = ruleset_create(&daemon->options, policy->config, &daemon->params);
	if (!policy->ruleset || synproxy_prepare(policy) < 0)
		tg_strbuf_puts(text, "out of memory\n");
	else if (replace(daemon, policy, text, ret_old))
		return true;
	drop_tables(policy);
	return false;
}

/* Nobody has confirmed the running policy: perhaps nobody can. */
static void take_back(void *data)
{
	struct daemon *daemon = data;
	struct daemon_policy before = daemon->before, unwanted;
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	if (!replace_anew(daemon, &before, &text, &unwanted)) {
		log_write(daemon->log, LOG_ERROR,
			  "the policy was not confirmed, and the one before cannot be put back "
			  "yet: %s",
			  text.text);
		loop_timer_set(daemon->confirm, loop_now(daemon->loop) + RETRY_PAUSE);
	} else {
		policy_finish(&unwanted);
		daemon->before = (struct daemon_policy){0};
		policy_forget_before(daemon);
		events_tell(daemon, HAPPENING_ROLLBACK, "unconfirmed",
			    "nobody confirmed it in time; policies %zu, files %zu",
			    daemon->policy.config->policy_count, daemon->policy.config->file_count);
		health_set(&daemon->health, HEALTH_POLICY, loop_now(daemon->loop),
			   "nobody confirmed the policy in time: the one before is in force, while "
			   "the files hold the other");
	}
	tg_strbuf_finish(&text);
}

void policy_renew(struct daemon *daemon)
{
	struct daemon_policy again = daemon->policy, before;
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	/* Else upkeep comes back to it. */
	if (replace_anew(daemon, &again, &text, &before))
		drop_tables(&before);
	tg_strbuf_finish(&text);
}

/* What was in force becomes what comes back, unless something waits for that already. */
static bool keep_before(struct daemon *daemon, struct daemon_policy *old, uint64_t confirm_ms)
{
	if (!daemon->confirm)
		daemon->confirm = loop_add_timer(daemon->loop, take_back, daemon);
	if (!daemon->confirm)
		return false;
	if (!daemon->before.config) {
		daemon->before = *old;
		/* Its tables are made anew when they are needed. */
		drop_tables(&daemon->before);
		*old = (struct daemon_policy){0};
	}
	loop_timer_set(daemon->confirm, loop_now(daemon->loop) + confirm_ms * TG_MSEC);
	return true;
}

/* Into the place of the running one; on failure policy is freed. */
static bool put_in_force(struct daemon *daemon, struct daemon_policy *policy, uint64_t confirm_ms,
			 struct tg_strbuf *text)
{
	struct daemon_policy old;
	if (!fits(daemon, policy, text) || !replace(daemon, policy, text, &old)) {
		policy_finish(policy);
		return false;
	}
	note_sizes(daemon, daemon->policy.config, text);
	if (confirm_ms == 0)
		policy_forget_before(daemon);
	else if (!keep_before(daemon, &old, confirm_ms))
		tg_strbuf_puts(text, "out of memory: it will not be taken back\n");
	policy_finish(&old);
	return true;
}

/* waited: another policy did, for somebody to confirm it. */
static void tell_reload(struct daemon *daemon, const char *cause, uint64_t confirm_ms, bool waited)
{
	char duration[TG_DURATION_STRLEN];
	events_tell(daemon, HAPPENING_RELOAD, cause, "policies %zu, files %zu%s%s",
		    daemon->policy.config->policy_count, daemon->policy.config->file_count,
		    daemon->confirm ? "; unless it is confirmed, the one before comes back in "
				    : "",
		    daemon->confirm ? tg_duration_format(confirm_ms, duration) : "");
	if (waited && !daemon->confirm)
		events_tell(daemon, HAPPENING_CONFIRM, cause, "the one before is forgotten");
}

bool policy_reload(struct daemon *daemon, const char *cause, uint64_t confirm_ms,
		   struct tg_strbuf *text)
{
	struct daemon_policy policy;
	struct tg_diag diag;
	const bool waited = daemon->confirm != NULL;
	bool done = false;
	tg_diag_init(&diag);
	notify_send(&daemon->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		    (uint64_t)(loop_clock() / 1000));
	int err = policy_load(&daemon->options, &daemon->params, &policy, &diag);
	if (!err)
		done = put_in_force(daemon, &policy, confirm_ms, text);
	else if (diag.count > 0)
		tg_diag_print(&diag, text);
	else
		tg_strbuf_printf(text, "cannot load the policy: %s\n", strerror(-err));
	tg_diag_finish(&diag);
	if (done) {
		daemon->reloads++;
		tell_reload(daemon, cause, confirm_ms, waited);
		health_clear(&daemon->health, HEALTH_POLICY, loop_now(daemon->loop));
	} else {
		daemon->reloads_failed++;
		/* The first of its lines names the place. */
		events_tell(daemon, HAPPENING_RELOAD_FAILED, cause, "%.*s",
			    (int)strcspn(text->text, "\n"), text->text);
	}
	notify_send(&daemon->notify, "READY=1");
	return done;
}
