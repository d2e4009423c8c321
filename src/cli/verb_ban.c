/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard ban and unban. What can be judged here is, so that a typing mistake needs no daemon. */
#include <inttypes.h>
#include <string.h>

#include <tcpguard/addr.h>
#include <tcpguard/ban.h>
#include <tcpguard/units.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "cli.h"
#include "client.h"
#include "output.h"

/* Long enough to look into it, short enough to be forgotten. */
#define BAN_DEFAULT_MS (600 * (uint64_t)1000)
#define BAN_DEFAULT_TO "5/1s"
#define BAN_DEFAULT_CAP "10"
#define BAN_CAP_MAX 1000

enum { BAN_FOR, BAN_ACTION, BAN_TO, BAN_SCOPE, BAN_REASON, BAN_FORCE };

struct changed {
	char source[TG_PREFIX_STRLEN];
	uint64_t lifted, named;
};

static void say_banned(void *data, const struct tg_record *record)
{
	const struct changed *changed = data;
	char time[OUTPUT_TIME_STRLEN];
	uint64_t until;
	const char *action = tg_record_get(record, "action");
	const char *enforced = tg_record_get(record, "enforced");
	const char *to = tg_record_get(record, "to");
	if (strcmp(record->name, "changed") != 0 || !action ||
	    !tg_record_get_u64(record, "until", &until))
		return;
	(void)printf("%s: ", changed->source);
	output_text(stdout, action);
	if (to) {
		(void)printf(" to ");
		output_text(stdout, to);
	}
	(void)printf(" until %s%s\n", output_time(until, time),
		     enforced && strcmp(enforced, "true") == 0 ? ", in the kernel now"
							       : ", only observed");
}

/* What is wrong with an option's value, and with which; false if something is. */
static bool is_right(const char *option, const char *text, const char *wrong)
{
	if (wrong)
		cli_complain("--%s %s: %s", option, text, wrong);
	return !wrong;
}

/* The action that was named, or that the other options are for; COUNT after a complaint. */
static enum tg_action read_action(const char *action, const char *to)
{
	if (!action)
		return to ? TG_ACTION_RATE_LIMIT : TG_ACTION_DROP;
	for (enum tg_action a = TG_ACTION_RATE_LIMIT; a < TG_ACTION_COUNT; a++)
		if (strcmp(action, tg_action_name(a)) == 0)
			return a;
	(void)is_right("action", action, "an action is drop, reject, cap or rate-limit");
	return TG_ACTION_COUNT;
}

/* What is wrong with it for that action, or NULL; *ret_to is what the daemon is told. */
static const char *read_to(enum tg_action action, const char *to, const char **ret_to)
{
	struct tg_rate rate;
	uint64_t cap;
	*ret_to = to;
	switch (action) {
	case TG_ACTION_RATE_LIMIT:
		*ret_to = to ? to : BAN_DEFAULT_TO;
		return tg_rate_parse(*ret_to, &rate);
	case TG_ACTION_CAP:
		*ret_to = to ? to : BAN_DEFAULT_CAP;
		return tg_text_u64(*ret_to, &cap) && cap > 0 && cap <= BAN_CAP_MAX
			       ? NULL
			       : "a cap is a number of connections, from 1 to 1000";
	case TG_ACTION_OBSERVE:
	case TG_ACTION_SYNPROXY:
	case TG_ACTION_REJECT:
	case TG_ACTION_DROP:
	case TG_ACTION_COUNT:
		break;
	}
	return to ? "belongs to --action rate-limit or cap" : NULL;
}

static bool put_options(const struct cli_args *args, struct tg_strbuf *request)
{
	uint64_t ms = BAN_DEFAULT_MS;
	const char *duration = args->values[BAN_FOR], *reason = args->values[BAN_REASON];
	const char *scope = args->values[BAN_SCOPE], *to = args->values[BAN_TO];
	const enum tg_action action = read_action(args->values[BAN_ACTION], to);
	if (action == TG_ACTION_COUNT)
		return false;
	if (duration && !is_right("for", duration, tg_duration_parse(duration, &ms)))
		return false;
	if (ms > TG_DURATION_MAX_MS)
		return is_right("for", duration, "a ban ends after 365 days at the latest");
	if (!is_right("to", to ? to : "", read_to(action, to, &to)))
		return false;
	if (scope && strcmp(scope, "new") != 0 &&
	    (strcmp(scope, "everything") != 0 || action < TG_ACTION_REJECT))
		return is_right("scope", scope,
				"a scope is new, or with drop and reject everything");
	if (reason && strlen(reason) >= TG_REASON_MAX)
		return is_right("reason", reason, "a reason has at most 95 bytes");
	tg_record_put_u64(request, "for", ms);
	tg_record_put(request, "action", tg_action_name(action));
	if (to)
		tg_record_put(request, "to", to);
	if (scope)
		tg_record_put(request, "scope", scope);
	if (reason)
		tg_record_put(request, "reason", reason);
	if (args->values[BAN_FORCE])
		tg_record_put(request, "force", "true");
	return true;
}

static int run_ban(const struct cli *cli, const struct cli_args *args)
{
	struct tg_prefix source;
	struct changed changed = {0};
	if (!cli_read_source(args->operands[0], &source))
		return CLI_USAGE;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "ban");
	tg_record_put(&request, "source", tg_prefix_format(&source, changed.source));
	int status = CLI_USAGE;
	if (put_options(args, &request)) {
		tg_record_end(&request);
		status = client_ask(cli, &request, say_banned, &changed);
	}
	tg_strbuf_finish(&request);
	return status;
}

/* Each by name when they are few: what held an address back may be its network. */
static void say_lifted(void *data, const struct tg_record *record)
{
	struct changed *changed = data;
	const char *source = tg_record_get(record, "source");
	const char *action = tg_record_get(record, "action");
	if (strcmp(record->name, "changed") == 0) {
		/* Without the figure it stays 0. */
		(void)tg_record_get_u64(record, "lifted", &changed->lifted);
	} else if (strcmp(record->name, "lifted") == 0 && source && action) {
		output_text(stdout, source);
		(void)printf(": ");
		output_text(stdout, action);
		(void)printf(" lifted\n");
		changed->named++;
	}
}

static int run_unban(const struct cli *cli, const struct cli_args *args)
{
	bool all = args->values[0] != NULL;
	struct tg_prefix source;
	struct changed changed = {0};
	if (all == (args->operand_count == 1)) {
		cli_complain("unban takes either an address or --all");
		return CLI_USAGE;
	}
	if (!all && !cli_read_source(args->operands[0], &source))
		return CLI_USAGE;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "unban");
	if (all)
		tg_record_put(&request, "all", "true");
	else
		tg_record_put(&request, "source", tg_prefix_format(&source, changed.source));
	tg_record_end(&request);
	int status = client_ask(cli, &request, say_lifted, &changed);
	tg_strbuf_finish(&request);
	if (status == CLI_OK && changed.named < changed.lifted)
		(void)printf("%" PRIu64 " lifted in all\n", changed.lifted);
	else if (status == CLI_OK && changed.lifted == 0)
		(void)printf("nothing was banned\n");
	return status;
}

const struct cli_verb verb_ban = {
	.name = "ban",
	.operands = "ADDR[/LEN]",
	.summary = "Drop everything from a source, or hold back its new connections, for a time",
	.options =
		{[BAN_FOR] = {"for", "TIME", "how long: 30m, 2h, 7d (10m; at most 365d)"},
		 [BAN_ACTION] = {"action", "ACTION", "drop (default), reject, cap or rate-limit"},
		 [BAN_TO] = {"to", "COUNT[/TIME]",
			     "new connections that a rate-limit lets pass (" BAN_DEFAULT_TO
			     "), connections at once of a cap (" BAN_DEFAULT_CAP ")"},
		 [BAN_SCOPE] = {"scope", "SCOPE",
				"new: only new connections; everything: every packet (default of "
				"drop and reject)"},
		 [BAN_REASON] = {"reason", "TEXT", "shown in list and log"},
		 [BAN_FORCE] = {"force", NULL, "also an address with a live session of an admin"}},
	.operands_min = 1,
	.operands_max = 1,
	.run = run_ban,
};

const struct cli_verb verb_unban = {
	.name = "unban",
	.operands = "ADDR[/LEN]|--all",
	.summary = "Lift every ban of a source, or all",
	.options = {{"all", NULL, "lift everything"}},
	.operands_max = 1,
	.run = run_unban,
};
