/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TRACE_FILE_H
#define CLI_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/trace.h>

#include "progress.h"

/* A trace read from a file or a pipe, in batches; says on a terminal how far it is. */
struct trace_file {
	const char *path;
	int fd;
	struct tg_trace_reader *reader;
	uint8_t *buffer;
	size_t start, end;
	bool eof, broken; /* broken: and that was complained about */
	uint64_t size;    /* 0: not known */
	uint64_t bytes, events;
	struct progress progress; /* what is printed meanwhile hides it */
};

/* Reads as far as the header; complains and returns false when that fails. */
bool trace_file_open(struct trace_file *file, const char *path);
void trace_file_close(struct trace_file *file);
const struct tg_trace_header *trace_file_header(const struct trace_file *file);
/*
 * How many events were put into events, 0 at the end, -1 when the trace is damaged or cut
 * off (complained about, after the events before it). A PROTECTED is the last of its batch.
 */
int trace_file_next(struct trace_file *file, struct tg_event *events, int cap);

#endif
