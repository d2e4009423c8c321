/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A writer that cannot produce broken JSON: commas and closing brackets are its own. */
#include "json.h"

#include <assert.h>
#include <inttypes.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "output.h"

static void put_quoted(struct json *json, const char *text)
{
	struct tg_strbuf escaped;
	tg_strbuf_init(&escaped);
	tg_text_escape_json(&escaped, text);
	(void)fprintf(json->out, "\"%s\"", escaped.text);
	tg_strbuf_finish(&escaped);
}

/* One line for each member down to the elements of a list, which stay on theirs. */
static void put_key(struct json *json, const char *key)
{
	if (json->depth > 0) {
		bool filled = json->levels[json->depth - 1].filled;
		json->levels[json->depth - 1].filled = true;
		if (filled)
			(void)fputc(',', json->out);
		if (json->depth <= 2 && !json->line)
			(void)fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
		else if (filled)
			(void)fputc(' ', json->out);
	}
	if (key) {
		put_quoted(json, key);
		(void)fputs(": ", json->out);
	}
}

static void open_level(struct json *json, const char *key, char begin, char end)
{
	assert(json->depth < JSON_DEPTH_MAX);
	put_key(json, key);
	(void)fputc(begin, json->out);
	json->levels[json->depth].end = end;
	json->levels[json->depth++].filled = false;
}

void json_begin(struct json *json, FILE *out)
{
	*json = (struct json){.out = out};
	json_object(json, NULL);
	json_number(json, "schema", 1);
}

void json_begin_line(struct json *json, FILE *out)
{
	*json = (struct json){.out = out, .line = true};
	json_object(json, NULL);
	json_number(json, "schema", 1);
}

void json_finish(struct json *json)
{
	while (json->depth > 0)
		json_end(json);
	(void)fputc('\n', json->out);
}

void json_object(struct json *json, const char *key)
{
	open_level(json, key, '{', '}');
}

void json_array(struct json *json, const char *key)
{
	open_level(json, key, '[', ']');
}

void json_end(struct json *json)
{
	assert(json->depth > 0);
	json->depth--;
	if (json->depth < 2 && json->levels[json->depth].filled && !json->line)
		(void)fprintf(json->out, "\n%*s", (int)json->depth * 2, "");
	(void)fputc(json->levels[json->depth].end, json->out);
}

void json_string(struct json *json, const char *key, const char *text)
{
	put_key(json, key);
	if (text)
		put_quoted(json, text);
	else
		(void)fputs("null", json->out);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
	put_key(json, key);
	(void)fprintf(json->out, "%" PRIu64, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	put_key(json, key);
	(void)fputs(value ? "true" : "false", json->out);
}

void json_time(struct json *json, const char *key, uint64_t seconds)
{
	char text[OUTPUT_TIME_STRLEN];
	json_string(json, key, output_time(seconds, text));
}
