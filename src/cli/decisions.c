/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for what a replay decides. */
#include "decisions.h"

#include <inttypes.h>

#include "json.h"
#include "output.h"
#include "simulation.h"

const char *decisions_kind(const struct tg_decision *decision)
{
	switch (decision->type) {
	case TG_DECISION_BAN:
		return decision->cause == TG_CAUSE_EXTENDED || decision->cause == TG_CAUSE_INSISTS
			       ? "extend"
			       : "ban";
	case TG_DECISION_LIFT:
		return "lift";
	case TG_DECISION_EXPIRE:
		return "expire";
	case TG_DECISION_REFUSE:
		return "refuse";
	case TG_DECISION_VERIFY:
	case TG_DECISION_WITNESS:
	case TG_DECISION_PROBE:
	case TG_DECISION_PASS:
	case TG_DECISION_KILL:
	case TG_DECISION_COUNT:
		break;
	}
	return "ask";
}

static tg_time since_start(const struct tg_trace_header *header, tg_time at)
{
	return at > header->start ? at - header->start : 0;
}

uint64_t decisions_wall(const struct tg_trace_header *header, tg_time at)
{
	const uint64_t after_ms = since_start(header, at) / TG_MSEC;
	const uint64_t before_ms = at < header->start ? (header->start - at) / TG_MSEC : 0;
	return (header->wall_ms + after_ms - (before_ms < header->wall_ms ? before_ms : 0)) / 1000;
}

static void print_why(const struct tg_config *config, const struct tg_ban *ban)
{
	const struct tg_policy *policy = simulation_policy(config, ban);
	const struct tg_limit *limit = simulation_limit(config, ban);
	char text[TG_DURATION_STRLEN];
	if (!policy) {
		(void)printf("by hand%s", ban->reason[0] ? ": " : "");
		output_text(stdout, ban->reason);
		return;
	}
	(void)printf("%s/%s: %s %" PRIu32 " > %" PRIu32, policy->name, limit ? limit->name : "?",
		     limit ? tg_measure_name(limit->measure) : "?", ban->measured, ban->threshold);
	if (limit && limit->window_ms > 0)
		(void)printf(" in %s", tg_duration_format(limit->window_ms, text));
}

static void print_action(const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	char rate[TG_RATE_STRLEN], text[TG_DURATION_STRLEN];
	(void)printf("%s", tg_action_name(ban->action));
	const char *to = tg_ban_to_format(ban, rate);
	if (to)
		(void)printf(" to %s", to);
	if (ban->unproven)
		(void)printf(" (a drop, once a witness proves the source)");
	if (decision->type != TG_DECISION_BAN)
		return;
	const uint64_t left = ban->until > decision->at ? (ban->until - decision->at) / TG_MSEC : 0;
	(void)printf(" for %s, offence %" PRIu32,
		     tg_duration_format(left < 1000 ? 1000 : (left + 500) / 1000 * 1000, text),
		     ban->offence);
}

void decisions_print(const struct tg_config *config, const struct tg_trace_header *header,
		     const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	const struct tg_limit *limit = simulation_limit(config, ban);
	const tg_time after = since_start(header, decision->at);
	char when[OUTPUT_TIME_STRLEN], source[TG_PREFIX_STRLEN];
	(void)printf("+%" PRIu64 ".%03u %s %s %s", after / TG_SEC,
		     (unsigned)(after % TG_SEC / TG_MSEC),
		     output_time(decisions_wall(header, decision->at), when),
		     decisions_kind(decision), tg_prefix_format(&ban->source, source));
	if (decision->type != TG_DECISION_BAN && decision->cause != TG_CAUSE_NONE)
		(void)printf(" (%s)", tg_cause_name(decision->cause));
	if (decision->cause == TG_CAUSE_PROTECTED)
		(void)printf(" touches %s, %s", tg_prefix_format(&decision->covers, source),
			     tg_protect_kind_name(decision->covers_kind));
	(void)printf(": ");
	print_why(config, ban);
	if (decision->type != TG_DECISION_REFUSE) {
		(void)printf("; ");
		print_action(decision);
		(void)printf(", %s", ban->enforced ? "enforced" : "only observed");
	}
	if (limit && decision->type == TG_DECISION_BAN && ban->origin == TG_ORIGIN_AUTO) {
		(void)printf(" [");
		output_text(stdout, limit->file);
		(void)printf(":%" PRIu32 "]", limit->line);
	}
	(void)fputc('\n', stdout);
}

void decisions_json(struct json *json, const struct tg_config *config,
		    const struct tg_trace_header *header, const struct tg_decision *decision)
{
	const struct tg_ban *ban = &decision->ban;
	const struct tg_policy *policy = simulation_policy(config, ban);
	const struct tg_limit *limit = simulation_limit(config, ban);
	char text[TG_PREFIX_STRLEN], rate[TG_RATE_STRLEN];
	json_object(json, NULL);
	json_time(json, "at", decisions_wall(header, decision->at));
	json_number(json, "after_ms", since_start(header, decision->at) / TG_MSEC);
	json_string(json, "decision", decisions_kind(decision));
	json_string(json, "cause",
		    decision->cause == TG_CAUSE_NONE ? NULL : tg_cause_name(decision->cause));
	json_string(json, "source", tg_prefix_format(&ban->source, text));
	json_string(json, "action", tg_action_name(ban->action));
	json_string(json, "to", tg_ban_to_format(ban, rate));
	json_string(json, "scope", tg_scope_name(ban->scope));
	json_string(json, "policy", policy ? policy->name : NULL);
	json_string(json, "limit", limit ? limit->name : NULL);
	json_string(json, "measure", limit ? tg_measure_name(limit->measure) : NULL);
	json_number(json, "measured", ban->measured);
	json_number(json, "threshold", ban->threshold);
	json_string(json, "origin", tg_origin_name(ban->origin));
	json_number(json, "offence", ban->offence);
	json_bool(json, "enforced", ban->enforced);
	json_bool(json, "unproven", ban->unproven);
	json_time(json, "until", decisions_wall(header, ban->until));
	json_string(json, "covers",
		    decision->cause == TG_CAUSE_PROTECTED
			    ? tg_prefix_format(&decision->covers, text)
			    : NULL);
	json_string(json, "reason", ban->reason[0] ? ban->reason : NULL);
	json_end(json);
}
