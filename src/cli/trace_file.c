/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the buffer between a file and the trace reader. */
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* Holds the longest record several times, so that one read serves many events. */
#define TRACE_FILE_BUFFER ((size_t)1024 * 1024)
_Static_assert(TRACE_FILE_BUFFER >= 2 * TG_TRACE_RECORD_MAX, "a record fits");

static bool fill(struct trace_file *file)
{
	memmove(file->buffer, file->buffer + file->start, file->end - file->start);
	file->end -= file->start;
	file->start = 0;
	ssize_t got;
	do
		got = read(file->fd, file->buffer + file->end, TRACE_FILE_BUFFER - file->end);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		cli_complain("cannot read %s: %s", file->path, strerror(errno));
		return false;
	}
	file->end += (size_t)got;
	file->bytes += (uint64_t)got;
	file->eof = got == 0;
	return true;
}

static void complain(const struct trace_file *file, int err)
{
	uint64_t offset;
	const char *what = tg_trace_reader_error(file->reader, &offset);
	if (err == -ENOMEM)
		cli_complain("out of memory");
	else if (!tg_trace_reader_header(file->reader) && err == 0)
		cli_complain("%s: this is no trace", file->path);
	else
		cli_complain("%s: byte %" PRIu64 ": %s", file->path, offset,
			     err == 0 ? "the trace is cut off within a record" : what);
}

/* 1 with an event, 0 at the end, -1. */
static int next(struct trace_file *file, struct tg_event *event)
{
	for (;;) {
		size_t used;
		int result = tg_trace_read(file->reader, file->buffer + file->start,
					   file->end - file->start, &used, event);
		file->start += used;
		if (result > 0)
			return 1;
		if (result == 0 && !file->eof) {
			if (!fill(file))
				return -1;
			continue;
		}
		if (result == 0 && file->start == file->end && tg_trace_reader_header(file->reader))
			return 0;
		complain(file, result);
		return -1;
	}
}

bool trace_file_open(struct trace_file *file, const char *path)
{
	*file = (struct trace_file){.path = path};
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (file->fd < 0) {
		cli_complain("cannot read %s: %s", path, strerror(errno));
		return false;
	}
	struct stat st;
	if (fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode))
		file->size = (uint64_t)st.st_size;
	progress_begin(&file->progress);
	file->reader = tg_trace_reader_create();
	file->buffer = malloc(TRACE_FILE_BUFFER);
	if (!file->reader || !file->buffer) {
		cli_complain("out of memory");
		trace_file_close(file);
		return false;
	}
	/* The header alone: what follows it is the caller's to ask for. */
	bool sound = true;
	while (sound && !file->eof && file->end < TG_TRACE_HEADER_SIZE)
		sound = fill(file);
	size_t used = 0, have = file->end < TG_TRACE_HEADER_SIZE ? file->end : TG_TRACE_HEADER_SIZE;
	struct tg_event event;
	int result = sound ? tg_trace_read(file->reader, file->buffer, have, &used, &event) : 0;
	file->start = used;
	if (sound && trace_file_header(file))
		return true;
	if (sound)
		complain(file, result);
	trace_file_close(file);
	return false;
}

void trace_file_close(struct trace_file *file)
{
	tg_trace_reader_destroy(file->reader);
	free(file->buffer);
	if (file->fd >= 0)
		(void)close(file->fd); /* only read from */
}

const struct tg_trace_header *trace_file_header(const struct trace_file *file)
{
	return tg_trace_reader_header(file->reader);
}

int trace_file_next(struct trace_file *file, struct tg_event *events, int cap)
{
	int count = 0;
	if (progress_is_due(&file->progress))
		progress_show_part(&file->progress, file->bytes - (file->end - file->start),
				   file->size, "%" PRIu64 " events", file->events);
	while (count < cap) {
		int result = file->broken ? -1 : next(file, &events[count]);
		file->broken = result < 0;
		if (result <= 0 && count == 0)
			progress_hide(&file->progress);
		if (result < 0 && count == 0)
			return -1;
		if (result <= 0)
			break; /* met again by the next call */
		count++;
		if (events[count - 1].type == TG_EVENT_PROTECTED)
			break;
	}
	file->events += (uint64_t)count;
	return count;
}
