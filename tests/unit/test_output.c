/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the CLI prints: tables, times and JSON, byte for byte. */
#include "cli/output.h"

#include <stdlib.h>

#include "cli/json.h"
#include "test.h"

TEST(times)
{
	char time[OUTPUT_TIME_STRLEN], span[OUTPUT_SPAN_STRLEN];
	CHECK_STR(output_time(0, time), "1970-01-01T00:00:00Z");
	CHECK_STR(output_time(1795226108, time), "2026-11-21T01:55:08Z");
	CHECK_STR(output_span(0, span), "0 s");
	CHECK_STR(output_span(59, span), "59 s");
	CHECK_STR(output_span(600, span), "10 min");
	CHECK_STR(output_span(3661, span), "1 h 1 min");
	CHECK_STR(output_span(90000, span), "1 d 1 h");
}

TEST(table)
{
	static const struct output_column columns[] = {
		{"SOURCE", false}, {"N", true}, {"WHY", false}};
	static const char *const rows[][3] = {{"192.0.2.1/32", "7", "a\033b"},
					      {"\xc3\xa4", "1234", NULL}};
	char *text = NULL;
	size_t len = 0;
	struct output_table table;
	FILE *out = open_memstream(&text, &len);
	output_table_init(&table, out, false, columns, 3);
	output_table_row(&table, rows[0]);
	output_table_row(&table, rows[1]);
	output_table_finish(&table);
	CHECK(fclose(out) == 0);
	CHECK_STR(text, "SOURCE           N  WHY\n"
			"192.0.2.1/32     7  a\\x1bb\n"
			"\xc3\xa4             1234  -\n");
	free(text);
}

TEST(long_table_streams)
{
	static const struct output_column columns[] = {{"A", false}};
	static const char *const row[] = {"x"};
	char *text = NULL;
	size_t len = 0;
	struct output_table table;
	FILE *out = open_memstream(&text, &len);
	output_table_init(&table, out, false, columns, 1);
	for (int i = 0; i < OUTPUT_ROWS_MAX + 5; i++)
		output_table_row(&table, row);
	CHECK(fflush(out) == 0);
	CHECK_U64(len, 2 + 2 * (OUTPUT_ROWS_MAX + 5));
	output_table_finish(&table);
	CHECK(fclose(out) == 0);
	CHECK_U64(len, 2 + 2 * (OUTPUT_ROWS_MAX + 5));
	free(text);
}

TEST(json)
{
	char *text = NULL;
	size_t len = 0;
	struct json json;
	FILE *out = open_memstream(&text, &len);
	json_begin(&json, out);
	json_string(&json, "q\"", "a\nb\\\xff");
	json_array(&json, "empty");
	json_end(&json);
	json_array(&json, "bans");
	json_object(&json, NULL);
	json_string(&json, "source", NULL);
	json_bool(&json, "enforced", true);
	json_object(&json, "states");
	json_number(&json, "close", 3);
	json_end(&json);
	json_end(&json);
	json_finish(&json);
	CHECK(fclose(out) == 0);
	CHECK_STR(text, "{\n"
			"  \"schema\": 1,\n"
			"  \"q\\\"\": \"a\\u000ab\\\\\\ufffd\",\n"
			"  \"empty\": [],\n"
			"  \"bans\": [\n"
			"    {\"source\": null, \"enforced\": true, \"states\": {\"close\": 3}}\n"
			"  ]\n"
			"}\n");
	free(text);
}

int main(void)
{
	RUN(times);
	RUN(table);
	RUN(long_table_streams);
	RUN(json);
	return DONE();
}
