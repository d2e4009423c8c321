/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TRACE_OUTPUT_H
#define CLI_TRACE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The file that a trace is written into. Each function complains about what fails. */
struct trace_output {
	const char *path;
	int fd;
	bool made; /* was not there before */
	uint64_t written;
};

/* An existing file is emptied if force says so, and else left alone. */
bool trace_output_open(struct trace_output *output, const char *path, bool force);
/* All of it or, where the file can be cut, nothing. */
bool trace_output_write(struct trace_output *output, const void *bytes, size_t len);
/* False when it may not have reached the disk. A file that is empty still is taken away again. */
bool trace_output_close(struct trace_output *output);

#endif
