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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tg_trace_reader *reader = tg_trace_reader_create();
	struct tg_trace_reader *again = tg_trace_reader_create();
	struct tg_trace_writer *writer = NULL;
	struct tg_event event;
	size_t at = 0, used = 0;
	int result = reader && again ? 1 : -1;
	while (result > 0) {
		result = tg_trace_read(reader, data + at, size - at, &used, &event);
		at += used;
		if (!writer && tg_trace_reader_header(reader)) {
			uint8_t header[TG_TRACE_HEADER_SIZE];
			struct tg_event none;
			writer = tg_trace_writer_create(tg_trace_reader_header(reader));
			if (!writer)
				break;
			tg_trace_write_header(writer, header);
			(void)tg_trace_read(again, header, sizeof(header), &used, &none);
		}
		if (result > 0)
			check_same(&event, writer, again);
	}
	uint64_t offset;
	const char *what = reader ? tg_trace_reader_error(reader, &offset) : NULL;
	assert(!what || offset <= size);
	(void)what; /* as above */
	tg_trace_reader_destroy(reader);
	tg_trace_reader_destroy(again);
	tg_trace_writer_destroy(writer);
	return 0;
}
