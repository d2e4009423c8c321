/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the list of name servers. A file that is missing names none; that is no fault. */
#include "resolvers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A resolv.conf with more is not one. */
#define RESOLVERS_FILE_MAX 65536

static const char *const default_paths[RESOLVERS_FILES] = {"/etc/resolv.conf",
							   "/run/systemd/resolve/resolv.conf"};

void resolvers_init(struct resolvers *resolvers, const char *const paths[RESOLVERS_FILES])
{
	*resolvers = (struct resolvers){0};
	for (size_t i = 0; i < RESOLVERS_FILES; i++) {
		resolvers->files[i].path = paths ? paths[i] : default_paths[i];
		/* No file is like this one, so that the first look always reads. */
		resolvers->files[i].size = UINT64_MAX;
	}
}

static bool parse_line(const char *line, size_t len, struct tg_addr *ret_addr)
{
	static const char keyword[] = "nameserver";
	char text[TG_ADDR_STRLEN];
	if (len <= sizeof(keyword) - 1 || memcmp(line, keyword, sizeof(keyword) - 1) != 0)
		return false;
	line += sizeof(keyword) - 1;
	len -= sizeof(keyword) - 1;
	size_t blank = 0;
	while (blank < len && (line[blank] == ' ' || line[blank] == '\t'))
		blank++;
	if (blank == 0)
		return false;
	line += blank;
	len -= blank;
	size_t end = 0;
	while (end < len && !strchr(" \t\r%#;", line[end])) /* after % stands a scope */
		end++;
	if (end == 0 || end >= sizeof(text))
		return false;
	memcpy(text, line, end);
	text[end] = '\0';
	return tg_addr_parse(text, ret_addr);
}

bool resolvers_parse(const char *text, struct tg_addr *servers, size_t *count, size_t cap)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		struct tg_addr addr;
		if (parse_line(text, len, &addr)) {
			if (*count == cap)
				return false;
			servers[(*count)++] = addr;
		}
		text += len + (text[len] == '\n');
	}
	return true;
}

/* Nothing there is a file of zeroes. */
static bool has_changed(struct resolvers_file *file)
{
	struct stat st = {0};
	if (stat(file->path, &st) < 0)
		st = (struct stat){0};
	if (file->device == st.st_dev && file->inode == st.st_ino &&
	    file->size == (uint64_t)st.st_size && file->modified.tv_sec == st.st_mtim.tv_sec &&
	    file->modified.tv_nsec == st.st_mtim.tv_nsec)
		return false;
	file->device = st.st_dev;
	file->inode = st.st_ino;
	file->size = (uint64_t)st.st_size;
	file->modified = st.st_mtim;
	return true;
}

/* Appends the servers of a file; 0 or -errno. */
static int read_file(const char *path, struct tg_addr *servers, size_t *count, bool *ret_fits)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	_cleanup_free_ char *text = malloc(RESOLVERS_FILE_MAX + 1);
	if (!text)
		return -ENOMEM;
	size_t len = 0;
	ssize_t got = 0;
	while (len < RESOLVERS_FILE_MAX &&
	       (got = read(fd, text + len, RESOLVERS_FILE_MAX - len)) > 0)
		len += (size_t)got;
	if (got < 0)
		return -errno;
	text[len] = '\0';
	if (!resolvers_parse(text, servers, count, RESOLVERS_MAX) || len == RESOLVERS_FILE_MAX)
		*ret_fits = false;
	return 0;
}

bool resolvers_refresh(struct resolvers *resolvers)
{
	struct tg_addr servers[RESOLVERS_MAX];
	size_t count = 0;
	bool changed = false, fits = true;
	for (size_t i = 0; i < RESOLVERS_FILES; i++)
		changed |= has_changed(&resolvers->files[i]);
	if (!changed)
		return false;
	for (size_t i = 0; i < RESOLVERS_FILES; i++) {
		if (read_file(resolvers->files[i].path, servers, &count, &fits) == 0)
			continue;
		/* Out of descriptors, or of permission: those that are known stay, and the next
		 * look reads again. */
		resolvers->files[i].size = UINT64_MAX;
		resolvers->incomplete = true;
		return false;
	}
	memcpy(resolvers->servers, servers, count * sizeof(servers[0]));
	resolvers->count = count;
	resolvers->incomplete = !fits;
	return true;
}
