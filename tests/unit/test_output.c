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

/* As `list` has it: where the last column has its place, and where the others leave it none. */
static char *list_within(size_t fit, const char *source)
{
	static const struct output_column columns[] = {{"SOURCE", false},   {"ACTION", false},
						       {"ENFORCED", false}, {"EXPIRES IN", true},
						       {"PACKETS", true},   {"WHY", false}};
	const char *const rows[][6] = {{source, "drop", "yes", "9 min 59 s", "12", "by hand"},
				       {source, "rate-limit 5/1s", "observed", "15 s", NULL,
					"web/open-per-ip: concurrent 101 > 100; no witness yet"}};
	char *text = NULL;
	size_t len = 0;
	struct output_table table;
	FILE *out = open_memstream(&text, &len);
	output_table_init(&table, out, false, columns, 6);
	table.fit = fit;
	output_table_row(&table, rows[0]);
	output_table_row(&table, rows[1]);
	output_table_finish(&table);
	CHECK(fclose(out) == 0);
	return text;
}

TEST(table_within_a_terminal)
{
	char *text = list_within(100, "192.0.2.1/32");
	CHECK_STR(text,
		  "SOURCE        ACTION           ENFORCED  EXPIRES IN  PACKETS  WHY\n"
		  "192.0.2.1/32  drop             yes       9 min 59 s       12  by hand\n"
		  "192.0.2.1/32  rate-limit 5/1s  observed        15 s        -  web/open-per-ip: "
		  "concurrent 101 > 100;\n"
		  "                                                              no witness yet\n");
	free(text);
	text = list_within(80, "2001:db8:aaaa:bbbb::/64");
	CHECK_STR(
		text,
		"SOURCE                   ACTION           ENFORCED  EXPIRES IN  PACKETS  WHY\n"
		"2001:db8:aaaa:bbbb::/64  drop             yes       9 min 59 s       12  by hand\n"
		"2001:db8:aaaa:bbbb::/64  rate-limit 5/1s  observed        15 s        -\n"
		"    web/open-per-ip: concurrent 101 > 100; no witness yet\n");
	free(text);
	text = list_within(0, "192.0.2.1/32");
	CHECK(strstr(text, "  web/open-per-ip: concurrent 101 > 100; no witness yet\n"));
	free(text);
}

TEST(wrapped_lines)
{
	static const char page[] = "tcpguardd 1: \033[1mhealth\033[0m ok, running\n"
				   "losses      1 of \xc3\xa4\xc3\xa4\xc3\xa4 lost\n"
				   "            /a/word/that/is/too/long/to/be/broken in two\n";
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	output_wrap(out, page, 0);
	CHECK(fflush(out) == 0);
	CHECK_STR(text, page);
	rewind(out);
	output_wrap(out, page, 23);
	CHECK(fclose(out) == 0);
	CHECK_STR(text, "tcpguardd 1: \033[1mhealth\033[0m ok,\n"
			"    running\n"
			"losses      1 of \xc3\xa4\xc3\xa4\xc3\xa4\n"
			"            lost\n"
			"            /a/word/that/is/too/long/to/be/broken\n"
			"            in two\n");
	free(text);
}

TEST(text_that_fits)
{
	CHECK_U64(output_fit("abc", 0), 3);
	CHECK_U64(output_fit("abc", 2), 2);
	CHECK_U64(output_fit("abc", 9), 3);
	CHECK_U64(output_fit("\xc3\xa4\xc3\xa4z", 2), 4);
	CHECK_U64(output_fit("", 2), 0);
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
	RUN(table_within_a_terminal);
	RUN(wrapped_lines);
	RUN(text_that_fits);
	RUN(long_table_streams);
	RUN(json);
	return DONE();
}
