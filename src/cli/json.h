/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Written as it comes, so that a list of any length needs no memory. key is NULL in an array. */
#define JSON_DEPTH_MAX 8

struct json {
	FILE *out;
	bool line; /* all of it on one */
	unsigned depth;
	struct {
		char end;
		bool filled;
	} levels[JSON_DEPTH_MAX];
};

/* The one object of a run; with "schema": 1. */
void json_begin(struct json *json, FILE *out);
/* The same on one line: one object of many, each complete. */
void json_begin_line(struct json *json, FILE *out);
void json_finish(struct json *json);

void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_end(struct json *json);
/* text NULL: null. */
void json_string(struct json *json, const char *key, const char *text);
void json_number(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
/* Seconds since the epoch as RFC 3339. */
void json_time(struct json *json, const char *key, uint64_t seconds);

#endif
