/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_BAN_RECORD_H
#define CLI_BAN_RECORD_H

#include <stdbool.h>
#include <stddef.h>

struct json;
struct tg_record;

/* The daemon's record `ban`, as list and explain show it. */

/* The members of a JSON object that has been begun. */
void ban_record_json(struct json *json, const struct tg_record *record);
/* "rate-limit 5/1s" */
void ban_record_action(const struct tg_record *record, char *buf, size_t size);
/* "web/open-per-ip: concurrent 251 > 200" */
void ban_record_why(const struct tg_record *record, char *buf, size_t size);
bool ban_record_is(const struct tg_record *record, const char *key);

#endif
