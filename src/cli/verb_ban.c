/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard ban and unban. What can be judged here is, so that a typing mistake needs no daemon. */
#include <inttypes.h>
#include <string.h>

#include <tcpguard/addr.h>
#include <tcpguard/ban.h>
#include <tcpguard/units.h>

#include "base/strbuf.h"
#include "cli.h"
#include "client.h"
#include "output.h"

#define BAN_DEFAULT_MS (3600 * (uint64_t)1000)

enum { BAN_FOR, BAN_ACTION, BAN_TO, BAN_REASON };

/* Which prefix was meant by one with host bits? */
static void suggest(const char *text)
{
	char address[TG_ADDR_STRLEN], network[TG_PREFIX_STRLEN], host[TG_PREFIX_STRLEN];
	const char *slash = strchr(text, '/');
	struct tg_addr addr;
	unsigned len = 0;
	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    sscanf(slash + 1, "%3u", &len) != 1)
		return;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (!tg_addr_parse(address, &addr) || len > tg_family_bits(addr.family))
		return;
	struct tg_prefix wide = tg_addr_mask(&addr, (uint8_t)len);
	struct tg_prefix narrow = tg_addr_mask(&addr, tg_family_bits(addr.family));
	cli_complain("did you mean %s or %s?", tg_prefix_format(&wide, network),
		     tg_prefix_format(&narrow, host));
}

static bool read_source(const char *text, struct tg_prefix *ret_source)
{
	const char *wrong = tg_prefix_parse(text, ret_source);
	if (!wrong)
		return true;
	cli_complain("'%s': %s", text, wrong);
	suggest(text);
	return false;
}

struct changed {
	bool color;
	char source[TG_PREFIX_STRLEN];
	uint64_t lifted;
};

static void say_banned(void *data, const struct tg_record *record)
{
	const struct changed *changed = data;
	char time[OUTPUT_TIME_STRLEN];
	uint64_t until;
	const char *action = tg_record_get(record, "action");
	const char *enforced = tg_record_get(record, "enforced");
	if (strcmp(record->name, "changed") != 0 || !action ||
	    !tg_record_get_u64(record, "until", &until))
		return;
	(void)printf("%s: ", changed->source);
	output_text(stdout, action);
	(void)printf(" until %s%s\n", output_time(until, time),
		     enforced && strcmp(enforced, "true") == 0 ? ", in the kernel now"
							       : ", only observed");
}

static bool put_options(const struct cli_args *args, struct tg_strbuf *request)
{
	uint64_t ms = BAN_DEFAULT_MS;
	struct tg_rate rate;
	const char *action = args->values[BAN_ACTION], *to = args->values[BAN_TO];
	const char *duration = args->values[BAN_FOR], *reason = args->values[BAN_REASON];
	const char *wrong = duration ? tg_duration_parse(duration, &ms) : NULL;
	if (!action)
		action = to ? "rate-limit" : "drop";
	if (!wrong && ms > TG_DURATION_MAX_MS)
		wrong = "a ban ends after 365 days at the latest";
	if (!wrong && strcmp(action, "drop") != 0 && strcmp(action, "rate-limit") != 0)
		wrong = "an action is drop or rate-limit";
	if (!wrong && to)
		wrong = tg_rate_parse(to, &rate);
	if (!wrong && to && strcmp(action, "drop") == 0)
		wrong = "--to belongs to --action rate-limit";
	if (!wrong && !to && strcmp(action, "rate-limit") == 0)
		wrong = "--action rate-limit needs --to COUNT/TIME, such as --to 5/1s";
	if (!wrong && reason && strlen(reason) >= TG_REASON_MAX)
		wrong = "a reason has at most 95 bytes";
	if (wrong) {
		cli_complain("%s", wrong);
		return false;
	}
	tg_record_put_u64(request, "for", ms);
	tg_record_put(request, "action", action);
	if (to)
		tg_record_put(request, "to", to);
	if (reason)
		tg_record_put(request, "reason", reason);
	return true;
}

static int run_ban(const struct cli *cli, const struct cli_args *args)
{
	struct tg_prefix source;
	struct changed changed = {.color = cli->color};
	if (!read_source(args->operands[0], &source))
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

static void count_lifted(void *data, const struct tg_record *record)
{
	struct changed *changed = data;
	if (strcmp(record->name, "changed") == 0)
		/* Without the figure it stays 0. */
		(void)tg_record_get_u64(record, "lifted", &changed->lifted);
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
	if (!all && !read_source(args->operands[0], &source))
		return CLI_USAGE;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "unban");
	if (all)
		tg_record_put(&request, "all", "true");
	else
		tg_record_put(&request, "source", tg_prefix_format(&source, changed.source));
	tg_record_end(&request);
	int status = client_ask(cli, &request, count_lifted, &changed);
	tg_strbuf_finish(&request);
	if (status == CLI_OK)
		(void)printf("%" PRIu64 " lifted\n", changed.lifted);
	return status;
}

const struct cli_verb verb_ban = {
	.name = "ban",
	.operands = "ADDR[/LEN]",
	.summary = "Drop everything from a source, or hold back its new connections, for a time",
	.options = {[BAN_FOR] = {"for", "TIME", "how long: 10m, 2h, 7d (1h; at most 365d)"},
		    [BAN_ACTION] = {"action", "ACTION", "drop (default) or rate-limit"},
		    [BAN_TO] = {"to", "COUNT/TIME", "new connections that a rate-limit lets pass"},
		    [BAN_REASON] = {"reason", "TEXT", "shown in list and log"}},
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
