/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A trace: what is read is written again and reads the same; what is cut off is waited for. */
#include <tcpguard/trace.h>

#include <assert.h>
#include <stdlib.h>

#include "trace_events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct tg_event *event, struct tg_trace_writer *writer,
		       struct tg_trace_reader *again)
{
	static uint8_t out[TG_TRACE_RECORD_MAX];
	struct tg_event read;
	size_t used = 0;
	int len = tg_trace_write(writer, event, out, sizeof(out));
	int result = len > 0 ? tg_trace_read(again, out, (size_t)len, &used, &read) : -1;
	assert(len > 0 && result == 1 && used == (size_t)len && same_event(event, &read));
	(void)result; /* a release build asserts nothing */
}

/* A record without its last byte is waited for, and then it is the same. */
static void check_cut(struct tg_trace_reader *reader, const uint8_t *record, size_t len,
		      const struct tg_event *event)
{
	struct tg_event read;
	size_t used = 0;
	int result = tg_trace_read(reader, record, len - 1, &used, &read);
	assert(result == 0 && used == 0);
	result = tg_trace_read(reader, record, len, &used, &read);
	assert(result == 1 && used == len && same_event(event, &read));
	(void)event;
	(void)result; /* a release build asserts nothing */
}

/* The readers that the events are compared with know the same header. */
static void read_header(struct tg_trace_reader *reader, const uint8_t *header)
{
	struct tg_event none;
	size_t used = 0;
	int result = tg_trace_read(reader, header, TG_TRACE_HEADER_SIZE, &used, &none);
	assert(result == 0 && used == TG_TRACE_HEADER_SIZE);
	(void)result; /* as above */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tg_trace_reader *reader = tg_trace_reader_create();
	struct tg_trace_reader *again = tg_trace_reader_create();
	struct tg_trace_reader *cut = tg_trace_reader_create();
	struct tg_trace_writer *writer = NULL;
	struct tg_event event;
	size_t at = 0, used = 0;
	int result = reader && again && cut ? 1 : -1;
	while (result > 0) {
		result = tg_trace_read(reader, data + at, size - at, &used, &event);
		if (!writer && tg_trace_reader_header(reader)) {
			uint8_t header[TG_TRACE_HEADER_SIZE];
			writer = tg_trace_writer_create(tg_trace_reader_header(reader));
			if (!writer)
				break;
			tg_trace_write_header(writer, header);
			read_header(again, header);
			read_header(cut, data);
			/* The header and the first record may have come in one. */
			at = TG_TRACE_HEADER_SIZE;
			used -= TG_TRACE_HEADER_SIZE;
		}
		if (result > 0) {
			check_same(&event, writer, again);
			check_cut(cut, data + at, used, &event);
		}
		at += used;
	}
	uint64_t offset;
	const char *what = reader ? tg_trace_reader_error(reader, &offset) : NULL;
	assert(!what || offset <= size);
	(void)what; /* as above */
	tg_trace_reader_destroy(reader);
	tg_trace_reader_destroy(again);
	tg_trace_reader_destroy(cut);
	tg_trace_writer_destroy(writer);
	return 0;
}
