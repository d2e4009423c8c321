/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a ban that the daemon tells of is shown, to people and to programs. */
#include "ban_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "json.h"

static void put_number(struct json *json, const struct tg_record *record, const char *key)
{
	uint64_t value;
	if (tg_record_get_u64(record, key, &value))
		json_number(json, key, value);
	else
		json_string(json, key, NULL);
}

static void put_string(struct json *json, const struct tg_record *record, const char *key)
{
	json_string(json, key, tg_record_get(record, key));
}

bool ban_record_is(const struct tg_record *record, const char *key)
{
	const char *text = tg_record_get(record, key);
	return text && strcmp(text, "true") == 0;
}

void ban_record_json(struct json *json, const struct tg_record *record)
{
	uint64_t since;
	put_string(json, record, "source");
	put_string(json, record, "action");
	put_string(json, record, "to");
	put_string(json, record, "scope");
	put_string(json, record, "policy");
	put_string(json, record, "limit");
	put_string(json, record, "measure");
	put_number(json, record, "measured");
	put_number(json, record, "threshold");
	put_string(json, record, "origin");
	put_number(json, record, "offence");
	if (tg_record_get_u64(record, "since", &since))
		json_time(json, "since", since);
	put_number(json, record, "expires_in");
	json_bool(json, "enforced", ban_record_is(record, "enforced"));
	json_bool(json, "unproven", ban_record_is(record, "unproven"));
	put_number(json, record, "packets");
	put_number(json, record, "bytes");
	put_string(json, record, "reason");
}

void ban_record_action(const struct tg_record *record, char *buf, size_t size)
{
	const char *action = tg_record_get(record, "action"), *to = tg_record_get(record, "to");
	(void)snprintf(buf, size, "%s%s%s", action ? action : "?", to ? " " : "", to ? to : "");
}

void ban_record_why(const struct tg_record *record, char *buf, size_t size)
{
	const char *policy = tg_record_get(record, "policy"),
		   *limit = tg_record_get(record, "limit");
	const char *measured = tg_record_get(record, "measured");
	const char *threshold = tg_record_get(record, "threshold");
	const char *measure = tg_record_get(record, "measure");
	const char *reason = tg_record_get(record, "reason");
	if (policy)
		(void)snprintf(buf, size, "%s/%s: %s %s > %s%s", policy, limit ? limit : "?",
			       measure ? measure : "?", measured ? measured : "?",
			       threshold ? threshold : "?",
			       ban_record_is(record, "unproven") ? "; no witness yet" : "");
	else
		(void)snprintf(buf, size, "by hand%s%s", reason && *reason ? ": " : "",
			       reason ? reason : "");
}
