/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the file that a trace goes to: it replaces nothing unasked, and holds whole records. */
#include "trace_output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static bool complain(const struct trace_output *output)
{
	cli_complain("cannot write %s: %s", output->path, strerror(errno));
	return false;
}

/* What stood there may be open to others; a pipe or a device keeps its rights. */
static int open_over(const char *path, int flags)
{
	struct stat st;
	int fd = open(path, flags | O_TRUNC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fchmod(fd, 0600) == 0)
		return fd;
	const int error = errno;
	(void)close(fd); /* nothing was written */
	errno = error;
	return -1;
}

/* A trace names clients and holds the hash seed: nobody else reads it. */
bool trace_output_open(struct trace_output *output, const char *path, bool force)
{
	const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY;
	*output = (struct trace_output){.path = path, .fd = open(path, flags | O_EXCL, 0600)};
	output->made = output->fd >= 0;
	if (output->fd < 0 && errno == EEXIST && force)
		output->fd = open_over(path, flags);
	if (output->fd >= 0)
		return true;
	if (errno == EEXIST)
		cli_complain("%s exists; --force replaces it", path);
	else
		(void)complain(output);
	return false;
}

bool trace_output_write(struct trace_output *output, const void *bytes, size_t len)
{
	const char *at = bytes;
	size_t done = 0;
	while (done < len) {
		ssize_t put = write(output->fd, at + done, len - done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			(void)complain(output);
			/* A pipe cannot be cut; there the reader finds the part of a record. */
			if (ftruncate(output->fd, (off_t)output->written) < 0)
				cli_complain("%s ends within a record", output->path);
			return false;
		}
		done += (size_t)put;
	}
	output->written += done;
	return true;
}

bool trace_output_close(struct trace_output *output)
{
	/* Not every kind of file can be synced; one that can and fails is not complete. */
	bool sound = fsync(output->fd) == 0 || errno == EINVAL || errno == EROFS;
	if (!sound)
		(void)complain(output);
	if (close(output->fd) < 0)
		sound = complain(output);
	if (output->written == 0 && output->made)
		(void)unlink(output->path); /* an empty file would be no trace */
	return sound;
}
