/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the bytes of a policy or list file: opens nothing that could hang, lets no byte
 * through that a reader of YAML would stumble over without knowing where, and turns a
 * place into an error that shows the line.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tcpguard/diag.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"

/* A longer line is not shown under its error: nobody finds the caret in it. */
#define SOURCE_SHOWN_MAX 400

static void source_set(struct source *source, char *memory, size_t len)
{
	const bool mark = len >= 3 && memcmp(memory, "\xef\xbb\xbf", 3) == 0;
	source->memory = memory;
	source->text = memory + (mark ? 3 : 0);
	source->len = len - (mark ? 3 : 0);
	source->seen_line = 1;
	source->seen_at = 0;
}

bool source_from_text(struct source *source, const char *name, const void *text, size_t len,
		      struct tg_diag *diag)
{
	*source = (struct source){.name = name, .diag = diag};
	char *memory = malloc(len + 1);
	if (!memory)
		return false;
	if (len > 0)
		memcpy(memory, text, len);
	memory[len] = '\0';
	source_set(source, memory, len);
	return true;
}

/* Until the end of the file, whatever size fstat told: files of /proc tell none. */
static int read_all(int fd, size_t hint, char **ret_memory, size_t *ret_len)
{
	size_t capacity = hint + 2, len = 0;
	char *memory = malloc(capacity);
	if (!memory)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, memory + len, capacity - len - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = -errno;
			free(memory);
			return error;
		}
		if (got == 0)
			break;
		len += (size_t)got;
		if (len > SOURCE_BYTES_MAX) {
			free(memory);
			return -EFBIG;
		}
		if (capacity - len < 2) {
			char *more = realloc(memory, capacity * 2);
			if (!more) {
				free(memory);
				return -ENOMEM;
			}
			memory = more;
			capacity *= 2;
		}
	}
	memory[len] = '\0';
	*ret_memory = memory;
	*ret_len = len;
	return 0;
}

int source_read(struct source *source, const char *name, const char *path, struct tg_diag *diag)
{
	*source = (struct source){.name = name, .diag = diag};
	struct stat st;
	/* O_NONBLOCK: a FIFO without a writer would hang here. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	if (st.st_size > (off_t)SOURCE_BYTES_MAX)
		return -EFBIG;
	char *memory = NULL;
	size_t len = 0;
	int error = read_all(fd, (size_t)st.st_size, &memory, &len);
	if (error < 0)
		return error;
	source_set(source, memory, len);
	return 0;
}

void source_finish(struct source *source)
{
	free(source->memory);
	*source = (struct source){0};
}

const char *source_reason(int error)
{
	if (error == -EFBIG)
		return "it is larger than 16 MiB";
	if (error == -ENOTSUP || error == -ENXIO) /* ENXIO: a socket cannot be opened */
		return "it is not a regular file";
	return strerror(-error);
}

bool source_line(struct source *source, uint32_t line, const char **ret_text, size_t *ret_len)
{
	if (line < source->seen_line) {
		source->seen_line = 1;
		source->seen_at = 0;
	}
	while (source->seen_line < line) {
		const char *from = source->text + source->seen_at;
		const char *end = memchr(from, '\n', source->len - source->seen_at);
		if (!end)
			return false;
		source->seen_at = (size_t)(end - source->text) + 1;
		source->seen_line++;
	}
	const char *text = source->text + source->seen_at;
	const char *end = memchr(text, '\n', source->len - source->seen_at);
	size_t len = end ? (size_t)(end - text) : source->len - source->seen_at;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	*ret_text = text;
	*ret_len = len;
	return true;
}

const char *source_quote(const char *text, char buf[static SOURCE_QUOTED])
{
	static const char dots[] = "...";
	size_t len = strlen(text);
	if (len < SOURCE_QUOTED) {
		memcpy(buf, text, len + 1);
		return buf;
	}
	len = SOURCE_QUOTED - sizeof(dots);
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--; /* not in the middle of a character */
	memcpy(buf, text, len);
	memcpy(buf + len, dots, sizeof(dots));
	return buf;
}

/* A node that is used twice by aliases would tell its errors twice. */
static bool told_already(const struct tg_diag *diag, const char *name, uint32_t line, uint32_t col,
			 const char *message)
{
	for (size_t i = diag->count; i-- > 0;) {
		const struct tg_diag_entry *entry = &diag->entries[i];
		if (entry->line == line && entry->col == col &&
		    strcmp(entry->message, message) == 0 && strcmp(entry->file, name) == 0)
			return true;
	}
	return false;
}

void source_error(struct source *source, uint32_t line, uint32_t col, uint32_t width,
		  const char *format, ...)
{
	struct tg_diag *diag = source->diag;
	if (diag->lost)
		return; /* full: a million bad entries shall not cost a million searches */
	struct tg_strbuf message;
	tg_strbuf_init(&message);
	va_list args;
	va_start(args, format);
	tg_strbuf_vprintf(&message, format, args);
	va_end(args);
	char shown[SOURCE_SHOWN_MAX + 1];
	const char *text = NULL;
	size_t len = 0;
	bool show = line > 0 && source->text && source_line(source, line, &text, &len) &&
		    len <= SOURCE_SHOWN_MAX;
	if (show) {
		memcpy(shown, text, len);
		shown[len] = '\0';
	}
	if (message.failed)
		diag->lost = true;
	else if (!told_already(diag, source->name, line, col, message.text))
		tg_diag_add(diag, source->name, line, col, width, show ? shown : NULL, "%s",
			    message.text);
	tg_strbuf_finish(&message);
}

/* The character at p, or -1 if the bytes are not UTF-8. NUL behind the text ends every sequence. */
static int32_t utf8_decode(const unsigned char *p, unsigned *ret_len)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len == 0 || p[0] > 0xf4)
		return -1;
	int32_t c = len == 1 ? p[0] : p[0] & (0x7f >> len);
	for (unsigned i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	*ret_len = len;
	return c;
}

/* NULL if a file may hold the character; next is the byte behind it. */
static const char *char_fault(int32_t c, unsigned char next)
{
	if (c < 0)
		return "this is not UTF-8";
	if (c == 0)
		return "a NUL byte";
	if (c == '\r')
		return next == '\n' ? NULL : "a carriage return without a newline";
	if (c == '\t' || c == '\n')
		return NULL;
	if (c < 0x20 || (c >= 0x7f && c < 0xa0 && c != 0x85))
		return "a control character";
	if (c == 0x85 || c == 0x2028 || c == 0x2029)
		return "a line break of Unicode, which YAML counts as a line and editors do not";
	if (c == 0xfeff)
		return "a byte order mark in the middle of the file";
	if (c == 0xfffe || c == 0xffff)
		return "this is not a character";
	return NULL;
}

bool source_scan(struct source *source)
{
	const unsigned char *p = (const unsigned char *)source->text;
	const unsigned char *end = p + source->len;
	uint32_t line = 1, col = 1;
	while (p < end) {
		unsigned len = 1;
		int32_t c = utf8_decode(p, &len);
		const char *fault = char_fault(c, p[len]);
		if (fault) {
			source_error(source, line, col, 1, "%s", fault);
			return false;
		}
		col++;
		if (c == '\n') {
			line++;
			col = 1;
		}
		p += len;
	}
	return true;
}
