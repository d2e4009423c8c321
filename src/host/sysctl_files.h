/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_SYSCTL_FILES_H
#define HOST_SYSCTL_FILES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What the files of sysctl.d(5) set at the next boot: of /etc, /run, /usr/local/lib and /usr/lib
 * the first directory that has a file of a name, the names in order of bytes, the last line of a
 * key. /etc/sysctl.conf is read last, by sysctl(8) and not by systemd, unless one of the files is
 * a link to it, as in Debian.
 */

/* More than any host has; what is beyond is not read, and said. */
#define SYSCTL_FILES_MAX 1000
#define SYSCTL_FILE_SIZE_MAX (256 * 1024)

struct sysctl_line {
	const char *file; /* as seen below the root: "/etc/sysctl.d/local.conf" */
	unsigned line;
	char *path;   /* below /proc/sys, with slashes: "net/ipv4/tcp_tw_recycle" */
	char *value;  /* without blanks around it */
	bool pattern; /* the path has a * or such: it yields to a line that names the key */
	bool wins;    /* no later line sets the same */
	bool absent;  /* there is no such key in this /proc/sys */
};

struct sysctl_files {
	struct sysctl_line *lines; /* in the order in which they are applied */
	size_t line_count;
	char **names; /* of the files, in that order */
	size_t name_count;
	char **unread; /* that are there and could not be read, or not all of them */
	size_t unread_count;
};

/* root: "" or the directory that stands for /; links within it stay within it. 0 or -errno: only
   for want of memory or of the root. */
int sysctl_files_read(const char *root, struct sysctl_files *ret_files);
void sysctl_files_finish(struct sysctl_files *files);

/* "net.ipv4.conf.eth0/1.rp_filter" to "net/ipv4/conf/eth0.1/rp_filter", in place: the separator
   that comes first is the one. */
void sysctl_files_normalise(char *key);

#endif
