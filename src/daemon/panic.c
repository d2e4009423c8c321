/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the marker that keeps enforcing switched off, and the way to lift all without a daemon. */
#include "panic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netfilter/nft_sink.h"

static const char marker[] = "panic";

static int open_dir(const char *state_dir)
{
	int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool panic_is_marked(const char *state_dir)
{
	_cleanup_close_ int dir = open_dir(state_dir);
	struct stat st;
	return dir >= 0 && fstatat(dir, marker, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int panic_mark(const char *state_dir)
{
	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	_cleanup_close_ int dir = open_dir(state_dir);
	if (dir < 0)
		return dir;
	_cleanup_close_ int fd =
		openat(dir, marker, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int err = fd < 0 ? -errno : 0;
	/* Whatever bears the name is the marker, a link or a folder, too. */
	if (err && !panic_is_marked(state_dir))
		return err;
	/* The name is the message; it must be there after a power cut. */
	return fsync(dir) < 0 ? -errno : 0;
}

int panic_unmark(const char *state_dir)
{
	/* A directory that took no marker refuses its removal, too: panic would have no end. */
	if (!panic_is_marked(state_dir))
		return 0;
	_cleanup_close_ int dir = open_dir(state_dir);
	if (dir < 0)
		return dir;
	if (unlinkat(dir, marker, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(dir) < 0 ? -errno : 0;
}

int panic_offline(const char *state_dir)
{
	int marked = panic_mark(state_dir);
	int err = nft_sink_remove_table();
	if (err)
		(void)fprintf(stderr, "tcpguardd: cannot remove table inet tcpguard: %s\n",
			      err == -EBUSY ? "a running daemon owns it" : strerror(-err));
	if (marked)
		(void)fprintf(stderr,
			      "tcpguardd: cannot write %s/%s: %s: a daemon that starts now will "
			      "enforce again\n",
			      state_dir, marker, strerror(-marked));
	if (err == -EPERM)
		return 3;
	return err || marked ? 1 : 0;
}
