/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of the control socket: what is taken is written again and means the same. */
#include <tcpguard/proto.h>

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct tg_record *record)
{
	struct tg_strbuf out;
	struct tg_record again;
	tg_strbuf_init(&out);
	tg_record_begin(&out, record->name);
	for (size_t i = 0; i < record->count; i++)
		tg_record_put(&out, record->fields[i].key, record->fields[i].value);
	bool taken = tg_record_parse(out.text, &again);
	(void)taken; /* a release build asserts nothing */
	assert(taken && again.count == record->count);
	for (size_t i = 0; i < record->count; i++)
		assert(taken && strcmp(again.fields[i].value, record->fields[i].value) == 0);
	tg_strbuf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct tg_record record;
	if (!line)
		return 0;
	if (size > 0)
		memcpy(line, data, size);
	line[size] = '\0';
	if (tg_record_parse(line, &record))
		check_same(&record);
	if (size > 0)
		memcpy(line, data, size);
	struct tg_strbuf shown;
	tg_strbuf_init(&shown);
	tg_text_escape(&shown, line);
	for (const char *c = shown.text; *c; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7f);
	tg_text_escape_json(&shown, line);
	tg_strbuf_finish(&shown);
	free(line);
	return 0;
}
