/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds the daemon in the order that leaves no moment unguarded, and ends it with
 * the bans in force. After the start no error of the kernel ends it.
 */
#include "daemon.h"
#include "admins.h"
#include "killer.h"
#include "state.h"
#include "synproxy.h"
#include "truth.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tcpguard/diag.h>
#include <tcpguard/protect.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "control_events.h"
#include "control_requests.h"
#include "netfilter/rt_watch.h"
#include "panic.h"
#include "protected.h"
#include "witness.h"

/* Until there is a control socket. */
#define REOPEN_FIRST (100 * TG_MSEC)
#define REOPEN_LAST (5 * TG_SEC)

/* Bans in the engine's mind and decisions for them, on the way to the kernel or back. */
static void adopt_one(void *data, const struct tg_adopt *adopt)
{
	struct daemon *daemon = data;
	struct tg_event event = {
		.type = TG_EVENT_ADOPT, .at = loop_now(daemon->loop), .adopt = *adopt};
	daemon_step(daemon, &event);
	daemon->adopted++;
}

/* The errors of a policy are for a person: as they are, carets and all. */
static enum daemon_exit policy_failed(struct log *log, const struct tg_diag *diag, int err)
{
	struct tg_strbuf text;
	if (diag->count == 0) {
		log_write(log, LOG_ERROR, "cannot load the policy: %s", strerror(-err));
		return DAEMON_EXIT_FAILED;
	}
	tg_strbuf_init(&text);
	tg_diag_print(diag, &text);
	char *rest = text.text;
	while (*rest) {
		char *line = rest;
		rest += strcspn(rest, "\n");
		if (*rest)
			*rest++ = '\0';
		log_write(log, LOG_ERROR, "%s", line);
	}
	tg_strbuf_finish(&text);
	return DAEMON_EXIT_USAGE;
}

static enum daemon_exit load_first(struct daemon *daemon)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	int err = policy_load(&daemon->options, NULL, &daemon->policy, &diag);
	enum daemon_exit status = err ? policy_failed(daemon->log, &diag, err) : DAEMON_EXIT_OK;
	tg_diag_finish(&diag);
	if (err)
		return status;
	daemon->params =
		(struct tg_engine_params){.max_sources = daemon->policy.config->max_sources,
					  .max_flows = daemon->policy.config->max_flows,
					  .max_bans = daemon->policy.config->max_bans};
	memcpy(daemon->params.seed, daemon->options.seed, sizeof(daemon->params.seed));
	daemon->sources_lowered = !daemon->policy.config->sources_given &&
				  daemon->params.max_sources < TG_MAX_SOURCES_DEFAULT;
	if (daemon->sources_lowered)
		log_write(daemon->log, LOG_NOTE,
			  "max-sources is %" PRIu32 " and not %d, to stay within %d MiB with the "
			  "rates and lists of this policy; set it to have more",
			  daemon->params.max_sources, TG_MAX_SOURCES_DEFAULT,
			  (int)(TG_MEMORY_MAX >> 20));
	daemon->engine = tg_engine_create(&daemon->params);
	if (!daemon->engine) {
		log_write(daemon->log, LOG_ERROR,
			  "not enough memory for max-sources %" PRIu32 " and max-flows %" PRIu32,
			  daemon->params.max_sources, daemon->params.max_flows);
		return DAEMON_EXIT_FAILED;
	}
	return DAEMON_EXIT_OK;
}

static enum daemon_exit kernel_failed(struct log *log, const char *what, int err)
{
	switch (-err) {
	case EPERM:
	case EACCES:
		log_write(log, LOG_ERROR, "cannot %s: CAP_NET_ADMIN is needed", what);
		return DAEMON_EXIT_UNSUPPORTED;
	case EOPNOTSUPP:
	case EPROTONOSUPPORT:
	case EAFNOSUPPORT:
		log_write(log, LOG_ERROR, "cannot %s: this kernel has no support for it", what);
		return DAEMON_EXIT_UNSUPPORTED;
	case EBUSY:
		log_write(log, LOG_ERROR, "cannot %s: another process owns table inet tcpguard",
			  what);
		return DAEMON_EXIT_RUNNING;
	default:
		log_write(log, LOG_ERROR, "cannot %s: %s", what, strerror(-err));
		return DAEMON_EXIT_FAILED;
	}
}

static void step_start(struct daemon *daemon, struct tg_event event)
{
	event.at = loop_now(daemon->loop);
	daemon_step(daemon, &event);
}

/* Own addresses before anything is adopted: an element that covers one must go. */
static int know_host(struct daemon *daemon)
{
	resolvers_init(&daemon->resolvers, NULL);
	(void)resolvers_refresh(&daemon->resolvers); /* the first look always finds a change */
	int err = rt_watch_create(&daemon->watch);
	return err ? err : protected_read(daemon->watch, &daemon->resolvers, &daemon->protected);
}

static void start_engine(struct daemon *daemon)
{
	step_start(daemon,
		   (struct tg_event){.type = TG_EVENT_POLICY, .ruleset = daemon->policy.ruleset});
	step_start(daemon,
		   (struct tg_event){.type = TG_EVENT_PROTECTED, .protected = daemon->protected});
	if (!panic_is_marked(daemon->options.state_dir))
		return;
	step_start(daemon, (struct tg_event){.type = TG_EVENT_PANIC, .panic = true});
	health_set(&daemon->health, HEALTH_PANIC, loop_now(daemon->loop),
		   "%s/panic is there: only observing until 'tcpguard panic --off'",
		   daemon->options.state_dir);
}

static void restore_one(void *data, const struct tg_adopt *adopt)
{
	struct daemon *daemon = data;
	struct tg_event event = {
		.type = TG_EVENT_ADOPT, .at = loop_now(daemon->loop), .adopt = *adopt};
	daemon_step(daemon, &event);
}

/* After a reboot the kernel holds nothing: what the disk remembers. 0 or -ENOMEM. */
static int restore(struct daemon *daemon)
{
	const struct state_params params = {
		.dir = daemon->options.state_dir,
		.engine = daemon->engine,
		.config = (const struct tg_config *const *)&daemon->policy.config,
	};
	struct state_loaded loaded;
	char aside[STATE_ASIDE_MAX];
	int err = state_create(daemon->loop, &params, &daemon->state);
	if (err)
		return err;
	tg_time begin = loop_clock();
	err = state_restore(daemon->state, restore_one, daemon, &loaded, aside);
	if (err)
		log_write(daemon->log, LOG_WARN, "cannot read what %s remembers: %s",
			  daemon->options.state_dir, strerror(-err));
	if (loaded.damaged + loaded.unknown > 0)
		log_write(daemon->log, LOG_WARN,
			  "%s/bans: %" PRIu64 " damaged lines, %" PRIu64
			  " of another version; the rest is used",
			  daemon->options.state_dir, loaded.damaged, loaded.unknown);
	if (aside[0])
		log_write(daemon->log, LOG_WARN, "the file is now %s/%s", daemon->options.state_dir,
			  aside);
	if (loaded.bans + loaded.records > 0)
		log_write(daemon->log, LOG_NOTE,
			  "read bans of before: %" PRIu64 ", and %" PRIu64
			  " offences of bans that are over, in %llu ms",
			  loaded.bans, loaded.records,
			  (unsigned long long)((loop_clock() - begin) / TG_MSEC));
	return 0;
}

static enum daemon_exit take_table(struct daemon *daemon)
{
	struct nft_sink_params params = {
		.plain = daemon->options.plain_table,
		.clock = loop_clock,
		.set_size = MAX(NFT_SINK_SET_SIZE_LEAST, 2 * daemon->policy.config->max_bans)};
	int err = nft_sink_create(&params, &daemon->sink);
	if (err)
		return kernel_failed(daemon->log, "use nf_tables", err);
	start_engine(daemon);
	nft_sink_observe(daemon->sink,
			 daemon->options.observe || panic_is_marked(daemon->options.state_dir));
	tg_time begin = loop_clock();
	err = nft_sink_adopt(daemon->sink, (uint64_t)loop_wall_clock(), adopt_one, daemon);
	if (err) {
		/* They expire by themselves; not starting would leave the host without a guard. */
		health_set(&daemon->health, HEALTH_ADOPTION, loop_now(daemon->loop),
			   "the bans that the kernel holds cannot be read (%s): they end by "
			   "themselves, unlisted, or all at once by 'tcpguard panic'",
			   strerror(-err));
	} else if (daemon->adopted > 0) {
		log_write(daemon->log, LOG_NOTE,
			  "adopted bans that were in force: %" PRIu32 ", in %llu ms",
			  daemon->adopted, (unsigned long long)((loop_clock() - begin) / TG_MSEC));
	}
	if (restore(daemon) < 0)
		return kernel_failed(daemon->log, "keep bans", -ENOMEM);
	err = nft_sink_install(daemon->sink, daemon->policy.config, daemon->protected,
			       daemon->policy.allow, daemon->policy.syn_options);
	if (err < 0)
		return kernel_failed(daemon->log, "install table inet tcpguard", err);
	synproxy_installed(daemon, &daemon->policy);
	/* What an earlier daemon left could not be kept: what was adopted is put in again. */
	if (err > 0)
		step_start(daemon, (struct tg_event){.type = TG_EVENT_SINK_LOST});
	return DAEMON_EXIT_OK;
}

static enum daemon_exit start_feed(struct daemon *daemon)
{
	int err = upkeep_open_feed(daemon);
	if (err)
		return kernel_failed(daemon->log, "follow conntrack", err);
	err = turn_init(daemon);
	if (!err)
		err = turn_attach_feed(daemon);
	if (!err)
		err = upkeep_init(daemon);
	return err ? kernel_failed(daemon->log, "watch the kernel", err) : DAEMON_EXIT_OK;
}

static int make_control(struct daemon *daemon)
{
	struct control_params params = {
		.path = daemon->options.socket, .group = "tcpguard", .data = daemon};
	params.verbs = control_requests(&params.verb_count);
	return daemon->control ? 0 : control_create(daemon->loop, &params, &daemon->control);
}

/* For those who watch and do not steer: one request, another group. */
static int make_metrics(struct daemon *daemon)
{
	struct control_params params = {.path = daemon->options.metrics_socket,
					.group = "tcpguard-metrics",
					.data = daemon};
	params.verbs = control_requests_readable(&params.verb_count);
	return daemon->metrics || !params.path
		       ? 0
		       : control_create(daemon->loop, &params, &daemon->metrics);
}

/* path: the socket that is missing. */
static void control_missing(struct daemon *daemon, const char *path, int err)
{
	tg_time now = loop_now(daemon->loop);
	health_set(&daemon->health, HEALTH_CONTROL, now,
		   "the socket %s cannot be made: %s; guarding without it, tried again", path,
		   err == -EEXIST       ? "something that is no socket stands there"
		   : err == -EADDRINUSE ? "another daemon answers there"
					: strerror(-err));
	daemon->reopen_delay = daemon->reopen_delay == 0
				       ? REOPEN_FIRST
				       : MIN(daemon->reopen_delay * 2, REOPEN_LAST);
	loop_timer_set(daemon->reopen, now + daemon->reopen_delay);
}

static void reopen_control(void *data)
{
	struct daemon *daemon = data;
	int err = make_control(daemon), metrics_err = make_metrics(daemon);
	if (err)
		control_missing(daemon, daemon->options.socket, err);
	else if (metrics_err)
		control_missing(daemon, daemon->options.metrics_socket, metrics_err);
	else
		health_clear(&daemon->health, HEALTH_CONTROL, loop_now(daemon->loop));
}

static enum daemon_exit path_wrong(const struct daemon *daemon, const char *path)
{
	log_write(daemon->log, LOG_ERROR, "the socket '%s' cannot be made: %s", path,
		  path[0] ? "its path is too long, 107 bytes is the most" : "it needs a path");
	return DAEMON_EXIT_USAGE;
}

/* A host without an operator is still guarded: only what no later try can mend ends the start. */
static enum daemon_exit open_control(struct daemon *daemon)
{
	daemon->reopen = loop_add_timer(daemon->loop, reopen_control, daemon);
	if (!daemon->reopen) {
		log_write(daemon->log, LOG_ERROR, "out of memory");
		return DAEMON_EXIT_FAILED;
	}
	int err = make_control(daemon);
	if (err == -EADDRINUSE) {
		log_write(daemon->log, LOG_ERROR, "another daemon answers at %s",
			  daemon->options.socket);
		return DAEMON_EXIT_RUNNING;
	}
	if (err == -ENAMETOOLONG)
		return path_wrong(daemon, daemon->options.socket);
	if (err)
		control_missing(daemon, daemon->options.socket, err);
	err = make_metrics(daemon);
	if (err == -ENAMETOOLONG)
		return path_wrong(daemon, daemon->options.metrics_socket);
	if (err)
		control_missing(daemon, daemon->options.metrics_socket, err);
	return DAEMON_EXIT_OK;
}

static void take_signal(void *data, int signo)
{
	struct daemon *daemon = data;
	if (signo != SIGHUP) {
		log_write(daemon->log, LOG_INFORM, "signal %d: ending", signo);
		loop_stop(daemon->loop);
		return;
	}
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	(void)policy_reload(daemon, "signal", 0, &text); /* what came of it is logged */
	for (char *rest = text.text; *rest;) {
		char *line = rest;
		rest += strcspn(rest, "\n");
		if (*rest)
			*rest++ = '\0';
		log_write(daemon->log, LOG_WARN, "%s", line);
	}
	tg_strbuf_finish(&text);
}

static enum daemon_exit start(struct daemon *daemon)
{
	static const int signals[] = {SIGHUP, SIGTERM, SIGINT};
	int err = loop_create(&daemon->loop);
	if (!err)
		err = loop_set_signals(daemon->loop, signals, ARRAY_SIZE(signals), take_signal,
				       daemon);
	if (err)
		return kernel_failed(daemon->log, "set up the event loop", err);
	daemon->started_at = loop_now(daemon->loop);
	log_set_time(daemon->log, daemon->started_at);
	if (control_is_answered(daemon->options.socket)) {
		log_write(daemon->log, LOG_ERROR, "another daemon answers at %s",
			  daemon->options.socket);
		return DAEMON_EXIT_RUNNING;
	}
	enum daemon_exit status = load_first(daemon);
	if (status)
		return status;
	err = know_host(daemon);
	if (err)
		return kernel_failed(daemon->log, "read this host's addresses", err);
	status = take_table(daemon);
	if (!status)
		status = start_feed(daemon);
	return status ? status : open_control(daemon);
}

enum daemon_exit daemon_create(const struct daemon_options *options, struct log *log,
			       struct daemon **ret_daemon)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	if (!daemon) {
		log_write(log, LOG_ERROR, "out of memory");
		return DAEMON_EXIT_FAILED;
	}
	daemon->options = *options;
	daemon->log = log;
	notify_init(&daemon->notify);
	health_init(&daemon->health, events_tell_health, daemon);
	fuses_init(&daemon->fuses);
	tg_strbuf_init(&daemon->event_line);
	daemon->history = history_create();
	enum daemon_exit status = DAEMON_EXIT_FAILED;
	if (daemon->history)
		status = start(daemon);
	else
		log_write(log, LOG_ERROR, "out of memory");
	if (status) {
		daemon_destroy(daemon);
		return status;
	}
	*ret_daemon = daemon;
	return DAEMON_EXIT_OK;
}

static void announce(struct daemon *daemon)
{
	const struct tg_config *config = daemon->policy.config;
	struct nft_sink_stats sink;
	nft_sink_stats(daemon->sink, &sink);
	bool observes = daemon->options.observe || panic_is_marked(daemon->options.state_dir);
	enum tg_mode mode = observes ? TG_MODE_OBSERVE : config->mode;
	log_write(daemon->log, LOG_NOTE,
		  "tcpguardd " TCPGUARD_VERSION " is at work: mode %s, policies %zu, table %s",
		  tg_mode_name(mode), config->policy_count,
		  sink.owned ? "owned" : "not owned, but watched");
	notify_send(&daemon->notify, "READY=1\nSTATUS=at work, mode %s", tg_mode_name(mode));
}

enum daemon_exit daemon_run(struct daemon *daemon)
{
	/* Bans that were adopted and must go (own addresses, a limit no longer there) go first. */
	turn_finish(daemon);
	/* The timer asks the feed at once: its first dump is due. */
	loop_timer_set(daemon->query, loop_now(daemon->loop));
	announce(daemon);
	int err = loop_run(daemon->loop);
	notify_send(&daemon->notify, "STOPPING=1");
	struct tg_engine_stats stats;
	tg_engine_stats(daemon->engine, &stats);
	if (err)
		log_write(daemon->log, LOG_ERROR, "the event loop failed: %s", strerror(-err));
	log_write(daemon->log, LOG_NOTE,
		  "ended; %" PRIu32 " bans stay in force until they expire ('tcpguard panic' lifts "
		  "them)",
		  stats.bans_active);
	return err ? DAEMON_EXIT_FAILED : DAEMON_EXIT_OK;
}

void daemon_destroy(struct daemon *daemon)
{
	if (!daemon)
		return;
	control_destroy(daemon->metrics);
	control_destroy(daemon->control);
	if (daemon->loop) {
		turn_detach_feed(daemon);
		fuses_finish(&daemon->fuses);
		loop_remove_fd(daemon->sink_watch);
		loop_remove_fd(daemon->watch_source);
	}
	history_destroy(daemon->history);
	tg_strbuf_finish(&daemon->event_line);
	killer_destroy(daemon->killer);
	admins_destroy(daemon->admins);
	truth_destroy(daemon->truth);
	witness_destroy(daemon->witness);
	ct_feed_destroy(daemon->feed);
	nft_sink_destroy(daemon->sink);
	rt_watch_destroy(daemon->watch);
	state_destroy(daemon->state);
	tg_engine_destroy(daemon->engine);
	limit_counts_finish(&daemon->limit_counts);
	policy_forget_before(daemon);
	policy_finish(&daemon->policy);
	tg_prefix_set_destroy(daemon->protected);
	loop_destroy(daemon->loop);
	notify_finish(&daemon->notify);
	free(daemon);
}
