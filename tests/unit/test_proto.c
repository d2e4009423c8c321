/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket's lines: what is written is read back, what is malformed is refused. */
#include <tcpguard/proto.h>

#include <stdlib.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "test.h"

static bool parse(const char *line, struct tg_record *record)
{
	static char buf[4096];
	(void)snprintf(buf, sizeof(buf), "%s", line);
	return tg_record_parse(buf, record);
}

TEST(round_trip)
{
	static const char *const values[] = {
		"",       "plain",      "two words", "a=b%20c",  "\x01\x1f\x7f",
		"\n\r\t", "f\xc3\xbcr", "%00%",      "\xff\xfe", "  "};
	struct tg_strbuf out;
	struct tg_record record;
	tg_strbuf_init(&out);
	tg_record_begin(&out, "ban");
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "key-%zu", i);
		tg_record_put(&out, key, values[i]);
	}
	tg_record_put_u64(&out, "n", UINT64_MAX);
	tg_record_end(&out);
	CHECK(strchr(out.text, '\n') == out.text + out.len - 1);
	out.text[out.len - 1] = '\0';
	CHECK(tg_record_parse(out.text, &record));
	CHECK_STR(record.name, "ban");
	CHECK_U64(record.count, sizeof(values) / sizeof(values[0]) + 1);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		CHECK_STR(record.fields[i].value, values[i]);
	uint64_t n = 0;
	CHECK(tg_record_get_u64(&record, "n", &n));
	CHECK_U64(n, UINT64_MAX);
	CHECK(!tg_record_get(&record, "absent"));
	tg_strbuf_finish(&out);
}

TEST(malformed)
{
	static const char *const lines[] = {
		"",        " ",           "Ban",        "ban ",         "ban  a=1",  " ban a=1",
		"ban a",   "ban =1",      "ban a=%",    "ban a=%2",     "ban a=%2g", "ban a=%00",
		"ban A=1", "ban a=1 a=2", "ban a=\x01", "ban a=1\tb=2", "b\xc3n",    "ban a=\r",
	};
	struct tg_record record = {.name = "untouched"};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (parse(lines[i], &record))
			printf("# taken: '%s'\n", lines[i]);
		CHECK_STR(record.name, "untouched");
	}
}

TEST(too_many_fields)
{
	struct tg_strbuf out;
	struct tg_record record;
	tg_strbuf_init(&out);
	tg_record_begin(&out, "x");
	for (int i = 0; i <= TG_PROTO_FIELDS_MAX; i++) {
		char key[16];
		(void)snprintf(key, sizeof(key), "k%d", i);
		tg_record_put_u64(&out, key, 1);
	}
	CHECK(!tg_record_parse(out.text, &record));
	tg_strbuf_finish(&out);
}

TEST(numbers)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1e3"};
	uint64_t value = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!tg_text_u64(bad[i], &value));
	CHECK_U64(value, 7);
	CHECK(tg_text_u64("18446744073709551615", &value));
	CHECK_U64(value, UINT64_MAX);
}

TEST(escapes)
{
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	tg_text_escape(&out, "a\033[2J\xc2\x9b\xe2\x80\xae\xff\xc3\xa4\n");
	CHECK_STR(out.text, "a\\x1b[2J\\xc2\\x9b\\xe2\\x80\\xae\\xff\xc3\xa4\\x0a");
	tg_strbuf_clear(&out);
	tg_text_escape_json(&out, "\"\\\n\xff\xc3\xa4");
	CHECK_STR(out.text, "\\\"\\\\\\u000a\\ufffd\xc3\xa4");
	tg_strbuf_finish(&out);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Any line that is taken is written again as one that means the same. */
static void rewrite(const struct tg_record *record)
{
	struct tg_strbuf out;
	struct tg_record again;
	tg_strbuf_init(&out);
	tg_record_begin(&out, record->name);
	for (size_t i = 0; i < record->count; i++)
		tg_record_put(&out, record->fields[i].key, record->fields[i].value);
	CHECK(tg_record_parse(out.text, &again));
	CHECK_U64(again.count, record->count);
	for (size_t i = 0; i < record->count && i < again.count; i++) {
		CHECK_STR(again.fields[i].key, record->fields[i].key);
		CHECK_STR(again.fields[i].value, record->fields[i].value);
	}
	tg_strbuf_finish(&out);
}

static uint64_t seed;

TEST(random_lines)
{
	static const char alphabet[] = "abz09-_ ==%%2041fF\x01\x7f\xc3\xa4";
	uint64_t state = seed;
	unsigned taken = 0;
	for (int round = 0; round < 200000; round++) {
		char line[64] = "b a=";
		size_t start = (next_random(&state) & 1) ? 4 : 0;
		size_t len = next_random(&state) % (sizeof(line) - start - 1);
		for (size_t i = 0; i < len; i++)
			line[start + i] = alphabet[next_random(&state) % (sizeof(alphabet) - 1)];
		line[start + len] = '\0';
		struct tg_record record;
		if (tg_record_parse(line, &record)) {
			taken++;
			rewrite(&record);
		}
	}
	CHECK(taken > 1000);
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0x5eed1234abcd;
	printf("# seed %#llx\n", (unsigned long long)seed);
	RUN(round_trip);
	RUN(malformed);
	RUN(too_many_fields);
	RUN(numbers);
	RUN(escapes);
	RUN(random_lines);
	return DONE();
}
