/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what a line of the state file says, and that a damaged one is known for what it is. */
#include "state_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/proto.h>

#include "base/siphash.h"
#include "base/strbuf.h"
#include "base/util.h"

#define SUM_LEN 8

static const char *const kinds[] = {"ban", "record", "lift"};

/* Against disks and hurried editors, not against whoever may write here. */
static uint32_t sum_of(const char *text, size_t len)
{
	static const uint8_t key[16] = "tcpguard state 1";
	return (uint32_t)tg_siphash13(key, text, len);
}

void state_line_describe(const struct tg_config *config, const struct tg_ban *ban, tg_time now,
			 uint64_t now_ms, struct state_line *ret_line)
{
	struct state_line line = {
		.kind = STATE_BAN,
		.ban = {.stored = true,
			.unproven = ban->unproven,
			.source = ban->source,
			.action = ban->action,
			.scope = ban->scope,
			.origin = ban->origin,
			.to = ban->to,
			.measured = ban->measured,
			.threshold = ban->threshold,
			.offence = ban->offence},
		.forget_ms = ban->forget_ms,
	};
	const uint64_t age_ms = now > ban->since ? (now - ban->since) / TG_MSEC : 0;
	line.since_ms = now_ms - MIN(age_ms, now_ms);
	line.until_ms = now_ms + (ban->until > now ? (ban->until - now) / TG_MSEC : 0);
	memcpy(line.ban.reason, ban->reason, sizeof(line.ban.reason));
	if (ban->policy < config->policy_count) {
		const struct tg_policy *policy = &config->policies[ban->policy];
		memcpy(line.ban.policy, policy->name, strlen(policy->name) + 1);
		if (ban->limit < policy->limit_count)
			memcpy(line.ban.limit, policy->limits[ban->limit].name,
			       strlen(policy->limits[ban->limit].name) + 1);
	}
	*ret_line = line;
}

static void put_rest(struct tg_strbuf *out, const struct state_line *line)
{
	const struct tg_adopt *ban = &line->ban;
	char rate[TG_RATE_STRLEN];
	if (ban->limit[0])
		tg_record_put(out, "limit", ban->limit);
	tg_record_put(out, "action", tg_action_name(ban->action));
	if (ban->action == TG_ACTION_RATE_LIMIT)
		tg_record_put(out, "to", tg_rate_format(&ban->to, rate));
	else if (ban->action == TG_ACTION_CAP)
		tg_record_put_u64(out, "cap", ban->to.count);
	tg_record_put(out, "origin", tg_origin_name(ban->origin));
	tg_record_put_u64(out, "offence", ban->offence);
	tg_record_put_u64(out, "measured", ban->measured);
	tg_record_put_u64(out, "threshold", ban->threshold);
	tg_record_put_u64(out, "since", line->since_ms);
	tg_record_put_u64(out, "until", line->until_ms);
	if (line->forget_ms > 0)
		tg_record_put_u64(out, "forget", line->forget_ms);
	if (ban->unproven)
		tg_record_put(out, "unproven", "true");
	if (ban->reason[0])
		tg_record_put(out, "reason", ban->reason);
}

/* What was appended from `from` on becomes a line. */
static void seal(struct tg_strbuf *out, size_t from)
{
	char sum[SUM_LEN + 1];
	if (out->failed)
		return;
	(void)snprintf(sum, sizeof(sum), "%08" PRIx32,
		       sum_of(out->text + from + SUM_LEN + 1, out->len - from - SUM_LEN - 1));
	memcpy(out->text + from, sum, SUM_LEN);
	tg_strbuf_putc(out, '\n');
}

void state_line_put(struct tg_strbuf *out, const struct state_line *line)
{
	const size_t from = out->len;
	char source[TG_PREFIX_STRLEN];
	tg_strbuf_puts(out, "00000000 ");
	tg_record_begin(out, kinds[line->kind]);
	tg_record_put(out, "source", tg_prefix_format(&line->ban.source, source));
	tg_record_put(out, "scope", tg_scope_name(line->ban.scope));
	if (line->ban.policy[0])
		tg_record_put(out, "policy", line->ban.policy);
	if (line->kind != STATE_LIFT)
		put_rest(out, line);
	seal(out, from);
}

void state_line_put_header(struct tg_strbuf *out)
{
	const size_t from = out->len;
	tg_strbuf_puts(out, "00000000 " STATE_LINE_HEADER);
	seal(out, from);
}

static bool get_word(const struct tg_record *record, const char *key, const char *(*name)(int),
		     int count, int *ret_index)
{
	const char *text = tg_record_get(record, key);
	for (int i = 0; text && i < count; i++) {
		if (strcmp(text, name(i)) == 0) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

static const char *scope_name(int i)
{
	return tg_scope_name((enum tg_scope)i);
}

static const char *action_name(int i)
{
	return tg_action_name((enum tg_action)i);
}

static const char *origin_name(int i)
{
	return tg_origin_name((enum tg_origin)i);
}

static bool get_u32(const struct tg_record *record, const char *key, uint32_t *ret_value)
{
	uint64_t value;
	if (!tg_record_get_u64(record, key, &value) || value > UINT32_MAX)
		return false;
	*ret_value = (uint32_t)value;
	return true;
}

/* Of size bytes with its NUL; not there: empty. */
static bool get_text(const struct tg_record *record, const char *key, char *ret_text, size_t size)
{
	const char *text = tg_record_get(record, key);
	if (text && strlen(text) >= size)
		return false;
	if (text)
		memcpy(ret_text, text, strlen(text) + 1);
	return true;
}

static bool get_action(const struct tg_record *record, struct tg_adopt *ban)
{
	int action;
	const char *to = tg_record_get(record, "to");
	if (!get_word(record, "action", action_name, TG_ACTION_COUNT, &action) ||
	    action == TG_ACTION_OBSERVE)
		return false;
	ban->action = (enum tg_action)action;
	if (ban->action == TG_ACTION_RATE_LIMIT)
		return to && !tg_rate_parse(to, &ban->to) && ban->to.per_ms > 0;
	if (ban->action == TG_ACTION_CAP)
		return get_u32(record, "cap", &ban->to.count) && ban->to.count > 0;
	return true;
}

static bool get_rest(const struct tg_record *record, struct state_line *line)
{
	struct tg_adopt *ban = &line->ban;
	int origin;
	const char *unproven = tg_record_get(record, "unproven");
	if (!get_text(record, "limit", ban->limit, sizeof(ban->limit)) ||
	    !get_action(record, ban) ||
	    !get_word(record, "origin", origin_name, TG_ORIGIN_COUNT, &origin) ||
	    !get_u32(record, "offence", &ban->offence) ||
	    !get_u32(record, "measured", &ban->measured) ||
	    !get_u32(record, "threshold", &ban->threshold) ||
	    !tg_record_get_u64(record, "since", &line->since_ms) ||
	    !tg_record_get_u64(record, "until", &line->until_ms) ||
	    !get_text(record, "reason", ban->reason, sizeof(ban->reason)))
		return false;
	if (tg_record_get(record, "forget") &&
	    !tg_record_get_u64(record, "forget", &line->forget_ms))
		return false;
	ban->origin = (enum tg_origin)origin;
	ban->unproven = unproven && strcmp(unproven, "true") == 0;
	return line->since_ms <= line->until_ms &&
	       line->until_ms - line->since_ms <= 2 * TG_DURATION_MAX_MS &&
	       line->forget_ms <= TG_DURATION_MAX_MS;
}

enum state_verdict state_line_parse(char *text, struct state_line *ret_line)
{
	struct state_line line = {.ban = {.stored = true}};
	struct tg_record record;
	char sum[SUM_LEN + 1];
	int scope;
	const size_t len = strlen(text);
	if (len <= SUM_LEN + 1 || text[SUM_LEN] != ' ')
		return STATE_DAMAGED;
	(void)snprintf(sum, sizeof(sum), "%08" PRIx32,
		       sum_of(text + SUM_LEN + 1, len - SUM_LEN - 1));
	if (memcmp(sum, text, SUM_LEN) != 0)
		return STATE_DAMAGED;
	if (strcmp(text + SUM_LEN + 1, STATE_LINE_HEADER) == 0)
		return STATE_HEADER;
	if (!tg_record_parse(text + SUM_LEN + 1, &record))
		return STATE_UNKNOWN;
	size_t kind = 0;
	while (kind < ARRAY_SIZE(kinds) && strcmp(record.name, kinds[kind]) != 0)
		kind++;
	const char *source = tg_record_get(&record, "source");
	if (kind == ARRAY_SIZE(kinds) || !source || tg_prefix_parse(source, &line.ban.source) ||
	    !get_word(&record, "scope", scope_name, TG_SCOPE_COUNT, &scope) ||
	    !get_text(&record, "policy", line.ban.policy, sizeof(line.ban.policy)))
		return STATE_UNKNOWN;
	line.kind = (enum state_kind)kind;
	line.ban.scope = (enum tg_scope)scope;
	line.ban.record = line.kind == STATE_RECORD;
	if (line.kind != STATE_LIFT && !get_rest(&record, &line))
		return STATE_UNKNOWN;
	*ret_line = line;
	return STATE_GOOD;
}
