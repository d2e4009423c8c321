/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the precedence and the grammar of sysctl.d(5). Every file is opened by the root's descriptor
 * and resolved within it, so that a chroot's absolute links do not lead to this host's files.
 */
#include "host/sysctl_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"

/* The first that has a file of a name has it alone. */
static const char *const folders[] = {"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d",
				      "/usr/lib/sysctl.d"};
static const char classic[] = "/etc/sysctl.conf";

struct entry {
	char name[NAME_MAX + 1];
	unsigned folder;
};

struct reading {
	int root;
	struct sysctl_files *files;
	struct entry *entries;
	size_t entry_count;
	bool classic_seen;
	struct stat classic; /* to know a link to it */
};

static int open_within(int root, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (uint64_t)(flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
		.resolve = RESOLVE_IN_ROOT,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

/* Takes ownership of text, which may be NULL: no memory. */
static int push(char ***list, size_t *count, char *text)
{
	char **grown = text ? reallocarray(*list, *count + 1, sizeof(**list)) : NULL;
	if (!grown) {
		free(text);
		return -ENOMEM;
	}
	*list = grown;
	grown[(*count)++] = text;
	return 0;
}

static int note_unread(struct sysctl_files *files, const char *path)
{
	return push(&files->unread, &files->unread_count, strdup(path));
}

void sysctl_files_normalise(char *key)
{
	char *first = strpbrk(key, "./");
	if (!first || *first == '/')
		return;
	for (char *at = first; *at; at++) {
		if (*at == '.')
			*at = '/';
		else if (*at == '/')
			*at = '.';
	}
}

/* Blanks off both ends, in place. */
static char *strip(char *text)
{
	text += strspn(text, " \t\r");
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

static bool is_absent(const char *path)
{
	char full[PATH_MAX];
	if ((size_t)snprintf(full, sizeof(full), "/proc/sys/%s", path) >= sizeof(full))
		return true;
	return faccessat(AT_FDCWD, full, F_OK, 0) < 0 && errno == ENOENT;
}

/* A line that sets something; others are comments, exclusions or no assignment at all. */
static int add_line(struct sysctl_files *files, const char *file, unsigned number, char *text)
{
	text = strip(text);
	char *equals = strchr(text, '=');
	if (!*text || strchr("#;", *text) || !equals)
		return 0;
	*equals = '\0';
	text += *text == '-'; /* errors are ignored, the value is set all the same */
	char *key = strip(text);
	struct sysctl_line *grown =
		reallocarray(files->lines, files->line_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	files->lines = grown;
	sysctl_files_normalise(key);
	struct sysctl_line line = {
		.file = file,
		.line = number,
		.path = strdup(key),
		.value = strdup(strip(equals + 1)),
		.pattern = strpbrk(key, "*?[") != NULL,
		.wins = true,
		.absent = is_absent(key),
	};
	if (!line.path || !line.value) {
		free(line.path);
		free(line.value);
		return -ENOMEM;
	}
	if (line.pattern)
		line.absent = false;
	files->lines[files->line_count++] = line;
	return 0;
}

static int parse_text(struct sysctl_files *files, const char *file, char *text)
{
	int err = 0;
	for (unsigned number = 1; *text && !err; number++) {
		const size_t len = strcspn(text, "\n");
		const bool more = text[len] == '\n';
		text[len] = '\0';
		err = add_line(files, file, number, text);
		text += len + more;
	}
	return err;
}

/* 0 or -errno: of what was read, the rest is noted as unread. */
static int read_text(int fd, struct tg_strbuf *text)
{
	char bytes[4096];
	ssize_t len;
	while ((len = read(fd, bytes, sizeof(bytes))) > 0) {
		if (text->len + (size_t)len > SYSCTL_FILE_SIZE_MAX)
			return -EFBIG;
		tg_strbuf_append(text, bytes, (size_t)len);
	}
	if (text->failed)
		return -ENOMEM;
	return len < 0 ? -errno : 0;
}

static int read_file(struct reading *reading, const char *path)
{
	struct sysctl_files *files = reading->files;
	struct tg_strbuf text;
	struct stat stat;
	_cleanup_close_ int fd = open_within(reading->root, path, 0);
	/* A link to /dev/null hides the files of its name; in a chroot it leads nowhere. */
	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &stat) < 0)
		return note_unread(files, path);
	if (!S_ISREG(stat.st_mode))
		return S_ISCHR(stat.st_mode) ? 0 : note_unread(files, path);
	if (reading->classic_seen && stat.st_dev == reading->classic.st_dev &&
	    stat.st_ino == reading->classic.st_ino)
		path = classic; /* by the name under which one edits it */
	int err = push(&files->names, &files->name_count, strdup(path));
	if (err)
		return err;
	tg_strbuf_init(&text);
	err = read_text(fd, &text);
	if (err && err != -ENOMEM)
		err = note_unread(files, path);
	if (!err)
		err = parse_text(files, files->names[files->name_count - 1], text.text);
	tg_strbuf_finish(&text);
	return err;
}

static bool has_entry(const struct reading *reading, const char *name)
{
	for (size_t i = 0; i < reading->entry_count; i++)
		if (strcmp(reading->entries[i].name, name) == 0)
			return true;
	return false;
}

static int list_entry(struct reading *reading, unsigned folder, const char *name)
{
	const size_t len = strlen(name);
	if (len < 6 || len > NAME_MAX || strcmp(name + len - 5, ".conf") != 0 ||
	    has_entry(reading, name))
		return 0;
	if (reading->entry_count == SYSCTL_FILES_MAX)
		return note_unread(reading->files, name);
	struct entry *entry = &reading->entries[reading->entry_count++];
	memcpy(entry->name, name, len + 1);
	entry->folder = folder;
	return 0;
}

static int list_folder(struct reading *reading, unsigned folder)
{
	int err = 0;
	int fd = open_within(reading->root, folders[folder], O_DIRECTORY);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			(void)close(fd); /* nothing was written */
		return note_unread(reading->files, folders[folder]);
	}
	for (struct dirent *entry = readdir(dir); entry && !err; entry = readdir(dir))
		err = list_entry(reading, folder, entry->d_name);
	(void)closedir(dir); /* nothing was written */
	return err;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Of lines that name a key the last; a pattern only where none does, and then the last too. */
static void decide(struct sysctl_files *files)
{
	for (size_t i = 0; i < files->line_count; i++) {
		struct sysctl_line *line = &files->lines[i];
		for (size_t j = 0; j < files->line_count && line->wins; j++) {
			const struct sysctl_line *other = &files->lines[j];
			if (line->pattern && !other->pattern)
				line->wins = fnmatch(line->path, other->path, FNM_PATHNAME) != 0;
			else if (j > i && line->pattern == other->pattern)
				line->wins = strcmp(line->path, other->path) != 0;
		}
	}
}

static int read_all(struct reading *reading)
{
	char path[PATH_MAX];
	int err = 0;
	bool named = false;
	for (unsigned i = 0; i < ARRAY_SIZE(folders) && !err; i++)
		err = list_folder(reading, i);
	qsort(reading->entries, reading->entry_count, sizeof(*reading->entries), compare_entries);
	for (size_t i = 0; i < reading->entry_count && !err; i++) {
		const struct entry *entry = &reading->entries[i];
		(void)snprintf(path, sizeof(path), "%s/%s", folders[entry->folder], entry->name);
		err = read_file(reading, path);
	}
	for (size_t i = 0; i < reading->files->name_count; i++)
		named = named || strcmp(reading->files->names[i], classic) == 0;
	if (!err && reading->classic_seen && !named)
		err = read_file(reading, classic);
	return err;
}

int sysctl_files_read(const char *root, struct sysctl_files *ret_files)
{
	struct sysctl_files files = {0};
	struct reading reading = {.files = &files};
	_cleanup_close_ int fd =
		open(*root ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	reading.root = fd;
	reading.entries = calloc(SYSCTL_FILES_MAX, sizeof(*reading.entries));
	if (!reading.entries)
		return -ENOMEM;
	_cleanup_close_ int classic_fd = open_within(fd, classic, 0);
	reading.classic_seen = classic_fd >= 0 && fstat(classic_fd, &reading.classic) == 0;
	int err = read_all(&reading);
	free(reading.entries);
	if (err) {
		sysctl_files_finish(&files);
		return err;
	}
	decide(&files);
	*ret_files = files;
	return 0;
}

static void free_all(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

void sysctl_files_finish(struct sysctl_files *files)
{
	for (size_t i = 0; i < files->line_count; i++) {
		free(files->lines[i].path);
		free(files->lines[i].value);
	}
	free(files->lines);
	free_all(files->names, files->name_count);
	free_all(files->unread, files->unread_count);
	*files = (struct sysctl_files){0};
}
