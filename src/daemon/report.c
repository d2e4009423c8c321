/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for decisions. Holds nothing and decides nothing. */
#include "report.h"

#include <tcpguard/decision.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "log.h"

static const struct tg_policy *find_policy(const struct tg_config *config, const struct tg_ban *ban)
{
	return ban->policy < config->policy_count ? &config->policies[ban->policy] : NULL;
}

static const struct tg_limit *find_limit(const struct tg_config *config, const struct tg_ban *ban)
{
	const struct tg_policy *policy = find_policy(config, ban);
	return policy && ban->limit < policy->limit_count ? &policy->limits[ban->limit] : NULL;
}

static void put_action(struct tg_strbuf *out, const struct tg_ban *ban)
{
	char rate[TG_RATE_STRLEN];
	tg_strbuf_puts(out, tg_action_name(ban->action));
	const char *to = tg_ban_to_format(ban, rate);
	if (to)
		tg_strbuf_printf(out, " to %s", to);
	tg_strbuf_printf(out, " (scope %s)", tg_scope_name(ban->scope));
}

static void put_why(struct tg_strbuf *out, const struct tg_config *config, const struct tg_ban *ban)
{
	const struct tg_policy *policy = find_policy(config, ban);
	const struct tg_limit *limit = find_limit(config, ban);
	if (ban->origin == TG_ORIGIN_OPERATOR) {
		tg_strbuf_puts(out, "by hand");
		if (ban->reason[0])
			tg_strbuf_printf(out, " (%s)", ban->reason);
		return;
	}
	if (!policy || !limit) {
		tg_strbuf_printf(out, "%u > %u of a limit that is no longer in the policy",
				 ban->measured, ban->threshold);
		return;
	}
	tg_strbuf_printf(out, "%s %s: %s %u > %u", policy->name, limit->name,
			 tg_measure_name(limit->measure), ban->measured, ban->threshold);
	if (limit->window_ms > 0) {
		char window[TG_DURATION_STRLEN];
		tg_strbuf_printf(out, " in %s", tg_duration_format(limit->window_ms, window));
	}
}

static void put_where(struct tg_strbuf *out, const struct tg_config *config,
		      const struct tg_ban *ban)
{
	const struct tg_limit *limit = find_limit(config, ban);
	if (limit && limit->file && ban->origin == TG_ORIGIN_AUTO)
		tg_strbuf_printf(out, " [%s:%u]", limit->file, limit->line);
}

/* To whole seconds: nobody reads the rest. */
static const char *left(const struct tg_decision *decision, char buf[static TG_DURATION_STRLEN])
{
	uint64_t ms = decision->ban.until > decision->at
			      ? (decision->ban.until - decision->at) / TG_MSEC
			      : 0;
	return tg_duration_format(ms < 1000 ? 1000 : (ms + 500) / 1000 * 1000, buf);
}

/* Not a source, but a service. */
static void put_service(struct tg_strbuf *out, const struct tg_config *config,
			const struct tg_decision *decision)
{
	char src[TG_ADDR_STRLEN], dst[TG_ADDR_STRLEN];
	const struct tg_flow_key *key = &decision->sample;
	const struct tg_ban *ban = &decision->ban;
	char duration[TG_DURATION_STRLEN];
	tg_strbuf_puts(out, decision->cause == TG_CAUSE_EXTENDED ? "still over its limit in all: "
								 : "over its limit in all: ");
	put_why(out, config, ban);
	if (ban->action != TG_ACTION_OBSERVE) {
		tg_strbuf_puts(out, "; ");
		put_action(out, ban);
		tg_strbuf_printf(
			out, " of the SYNs of all who are not known to be real, for %s, %s",
			left(decision, duration), ban->enforced ? "enforced" : "only observed");
	}
	if (decision->has_sample) {
		const bool ipv4 = key->family == TG_IPV4;
		const struct tg_addr from =
			ipv4 ? tg_addr_from_ipv4(key->src) : tg_addr_from_ipv6(key->src);
		const struct tg_addr to =
			ipv4 ? tg_addr_from_ipv4(key->dst) : tg_addr_from_ipv6(key->dst);
		tg_strbuf_printf(out, "; crossed by %s port %u to %s port %u",
				 tg_addr_format(&from, src), key->sport, tg_addr_format(&to, dst),
				 key->dport);
	}
	put_where(out, config, &decision->ban);
}

static void put_ban(struct tg_strbuf *out, const struct tg_config *config,
		    const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	char source[TG_PREFIX_STRLEN], duration[TG_DURATION_STRLEN];
	if (tg_prefix_is_total(&ban->source)) {
		put_service(out, config, decision);
		return;
	}
	const char *verb =
		decision->cause == TG_CAUSE_EXTENDED || decision->cause == TG_CAUSE_INSISTS
			? (ban->enforced ? "extend" : "would extend")
			: (ban->enforced ? "ban" : "would ban");
	tg_strbuf_printf(out, "%s %s: ", verb, tg_prefix_format(&ban->source, source));
	put_why(out, config, ban);
	tg_strbuf_puts(out, "; ");
	put_action(out, ban);
	tg_strbuf_printf(out, " for %s, ", left(decision, duration));
	if (ban->origin == TG_ORIGIN_AUTO)
		tg_strbuf_printf(out, "offence %u, ", ban->offence);
	tg_strbuf_puts(out, ban->enforced ? "enforced" : "only observed");
	if (ban->unproven)
		tg_strbuf_puts(out, "; rate-limit in place of a drop: no witness yet");
	else if (decision->cause == TG_CAUSE_WITNESSED)
		tg_strbuf_puts(out, "; the sockets prove it");
	else if (decision->cause == TG_CAUSE_INSISTS)
		tg_strbuf_puts(out, "; it goes on sending");
	put_where(out, config, ban);
}

static void put_end(struct tg_strbuf *out, const struct tg_config *config,
		    const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	char source[TG_PREFIX_STRLEN];
	if (tg_prefix_is_total(&ban->source)) {
		if (decision->type == TG_DECISION_LIFT && decision->cause != TG_CAUSE_EXPIRED)
			tg_strbuf_printf(out, "%s; it was: ", tg_cause_name(decision->cause));
		else
			tg_strbuf_puts(out, "no longer over its limit in all: ");
		put_why(out, config, ban);
		return;
	}
	tg_strbuf_printf(
		out, "%s %s%s: ", decision->type == TG_DECISION_EXPIRE ? "expired" : "lift",
		tg_prefix_format(&ban->source, source), ban->enforced ? "" : " (only observed)");
	if (decision->type == TG_DECISION_LIFT)
		tg_strbuf_printf(out, "%s; it was: ", tg_cause_name(decision->cause));
	put_why(out, config, ban);
	tg_strbuf_puts(out, ", ");
	put_action(out, ban);
}

static const char *relation(const struct tg_prefix *source, const struct tg_prefix *covers)
{
	return source->len < covers->len ? "covers" : "lies in";
}

void report_refusal(struct tg_strbuf *out, const struct tg_decision *decision)
{
	char source[TG_PREFIX_STRLEN], covers[TG_PREFIX_STRLEN];
	tg_prefix_format(&decision->ban.source, source);
	switch (decision->cause) {
	case TG_CAUSE_PROTECTED:
		if (tg_prefix_equal(&decision->ban.source, &decision->covers))
			tg_strbuf_printf(out, "%s is %s", source,
					 tg_protect_kind_name(decision->covers_kind));
		else
			tg_strbuf_printf(out, "%s %s %s, %s", source,
					 relation(&decision->ban.source, &decision->covers),
					 tg_prefix_format(&decision->covers, covers),
					 tg_protect_kind_name(decision->covers_kind));
		tg_strbuf_puts(out, decision->covers_kind == TG_PROTECT_ADMIN
					    ? ", which is not banned unless by hand with --force"
					    : ", which is never banned");
		return;
	case TG_CAUSE_TABLE_FULL:
		tg_strbuf_printf(out,
				 "no room for a ban of %s: the table of bans is full; a larger "
				 "max-bans takes a restart",
				 source);
		return;
	case TG_CAUSE_NOT_FOUND:
		tg_strbuf_puts(out, "nothing is banned there; 'tcpguard list' shows what is");
		return;
	case TG_CAUSE_PANIC_MODE:
		tg_strbuf_puts(out,
			       "panic is on: nothing is enforced until 'tcpguard panic --off'");
		return;
	case TG_CAUSE_NONE:
	case TG_CAUSE_OFFENCE:
	case TG_CAUSE_OPERATOR:
	case TG_CAUSE_EXTENDED:
	case TG_CAUSE_INSISTS:
	case TG_CAUSE_WITNESSED:
	case TG_CAUSE_AGAIN:
	case TG_CAUSE_EXPIRED:
	case TG_CAUSE_UNBAN:
	case TG_CAUSE_RELOAD:
	case TG_CAUSE_PANIC:
		break;
	case TG_CAUSE_EVICTED:
	case TG_CAUSE_BRAKE_RATE:
	case TG_CAUSE_BRAKE_SOURCES:
	case TG_CAUSE_BRAKE_FLOWS:
	case TG_CAUSE_COUNT:
	case TG_CAUSE_FLOOD:
		tg_strbuf_printf(out, "%s is a small part of a wide flood", source);
		return;
	}
	tg_strbuf_printf(out, "%s: refused (%s)", source, tg_cause_name(decision->cause));
}

/* The names of decisions, and who says what they mean: systemd/tcpguard.catalog. */
struct naming {
	const char *event, *message_id;
};

static const struct naming ban_naming = {"ban", "4d9b0423894f4dd494dfe9871753704c"};
static const struct naming extend_naming = {"extend", "4d9b0423894f4dd494dfe9871753704c"};
static const struct naming lift_naming = {"lift", "9bd9feae6f344d1d817ea7311cce3bb9"};
static const struct naming expire_naming = {"expire", "e4153815b8414ecda030e8636e55558a"};
static const struct naming refuse_naming = {"refuse", "bef3ec72617644d5bddc61275dfbc6d5"};
/* Of a service, which nobody is banned from. */
static const struct naming over_naming = {"over", "b8d31891d33e4783ba392e5f51d6772a"};
static const struct naming ok_naming = {"ok", "a8996461ea1f4a0b86337cfe0315d6d4"};

static const struct naming *naming_of(const struct tg_decision *decision)
{
	const bool total = tg_prefix_is_total(&decision->ban.source);
	switch (decision->type) {
	case TG_DECISION_BAN:
		if (decision->cause == TG_CAUSE_EXTENDED || decision->cause == TG_CAUSE_INSISTS)
			return &extend_naming;
		return total ? &over_naming : &ban_naming;
	case TG_DECISION_LIFT:
		/* Its time was over, and the kernel is only told. */
		return total && decision->cause == TG_CAUSE_EXPIRED ? &ok_naming : &lift_naming;
	case TG_DECISION_EXPIRE:
		return total ? &ok_naming : &expire_naming;
	case TG_DECISION_REFUSE:
		return &refuse_naming;
	case TG_DECISION_VERIFY:
	case TG_DECISION_WITNESS:
	case TG_DECISION_PROBE:
	case TG_DECISION_PASS:
	case TG_DECISION_KILL:
	case TG_DECISION_COUNT:
		break;
	}
	return NULL;
}

const char *report_event(const struct tg_decision *decision)
{
	const bool told =
		decision->cause != TG_CAUSE_AGAIN && decision->cause != TG_CAUSE_NOT_FOUND;
	const struct naming *naming = told ? naming_of(decision) : NULL;
	return naming ? naming->event : NULL;
}

static void put_field(struct tg_strbuf *out, const char *name, const char *value)
{
	tg_strbuf_printf(out, "%s=", name);
	tg_text_escape(out, value);
	tg_strbuf_putc(out, '\n');
}

static void put_fields(struct tg_strbuf *out, const struct tg_config *config,
		       const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	const struct tg_policy *policy = find_policy(config, ban);
	const struct tg_limit *limit = find_limit(config, ban);
	char source[TG_PREFIX_STRLEN];
	const struct naming *naming = naming_of(decision);
	put_field(out, "MESSAGE_ID", naming->message_id);
	put_field(out, "TCPGUARD_EVENT", naming->event);
	put_field(out, "TCPGUARD_SOURCE", tg_prefix_format(&ban->source, source));
	put_field(out, "TCPGUARD_ACTION", tg_action_name(ban->action));
	put_field(out, "TCPGUARD_CAUSE", tg_cause_name(decision->cause));
	put_field(out, "TCPGUARD_ENFORCED", ban->enforced ? "true" : "false");
	if (policy)
		put_field(out, "TCPGUARD_POLICY", policy->name);
	if (limit) {
		put_field(out, "TCPGUARD_LIMIT", limit->name);
		put_field(out, "TCPGUARD_MEASURE", tg_measure_name(limit->measure));
		tg_strbuf_printf(out, "TCPGUARD_MEASURED=%u\nTCPGUARD_THRESHOLD=%u\n",
				 ban->measured, ban->threshold);
	}
	if (ban->origin == TG_ORIGIN_AUTO)
		tg_strbuf_printf(out, "TCPGUARD_OFFENCE=%u\n", ban->offence);
	if (ban->reason[0])
		put_field(out, "TCPGUARD_REASON", ban->reason);
}

void report_decision(struct log *log, const struct tg_config *config,
		     const struct tg_decision *decision)
{
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	enum log_level level = LOG_INFORM;
	switch (decision->type) {
	case TG_DECISION_BAN:
		if (decision->cause == TG_CAUSE_AGAIN)
			level = LOG_DEBUGGING;
		else if (decision->cause != TG_CAUSE_EXTENDED &&
			 decision->cause != TG_CAUSE_INSISTS)
			level = LOG_NOTE;
		put_ban(&text, config, decision);
		break;
	case TG_DECISION_LIFT:
	case TG_DECISION_EXPIRE:
		if (decision->cause == TG_CAUSE_AGAIN)
			level = LOG_DEBUGGING;
		put_end(&text, config, decision);
		break;
	case TG_DECISION_REFUSE:
		if (decision->cause == TG_CAUSE_NOT_FOUND)
			level = LOG_DEBUGGING;
		tg_strbuf_puts(&text, "no ban: ");
		report_refusal(&text, decision);
		if (decision->ban.origin == TG_ORIGIN_AUTO) {
			tg_strbuf_puts(&text, "; ");
			put_why(&text, config, &decision->ban);
			put_where(&text, config, &decision->ban);
		}
		break;
	case TG_DECISION_VERIFY:
	case TG_DECISION_WITNESS:
	case TG_DECISION_PROBE:
	case TG_DECISION_PASS:
	case TG_DECISION_KILL:
	case TG_DECISION_COUNT:
		return;
	}
	struct tg_strbuf fields;
	tg_strbuf_init(&fields);
	if (log->journal_fd >= 0)
		put_fields(&fields, config, decision);
	log_write_fields(log, level, fields.len > 0 && !fields.failed ? fields.text : NULL, "%s",
			 text.text);
	tg_strbuf_finish(&fields);
	tg_strbuf_finish(&text);
}
