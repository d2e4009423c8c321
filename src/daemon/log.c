/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns every line that the daemon writes: its form, its rate, and what became of it. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"

/* A pipe that poll says is writable takes PIPE_BUF bytes without blocking; lines stay below it. */
#define LOG_LINE_MAX 4000

/*
 * A terminal is writable when it has room for a byte, and a write then waits for the rest of the
 * line, for ever when nobody reads. stderr may be shared, so that its O_NONBLOCK is not ours to
 * set: opened again, the terminal has one of our own.
 */
static void reopen_terminal(struct log *log)
{
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", log->fd);
	int fd = isatty(log->fd) ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
	if (fd < 0)
		return; /* somebody else's terminal, after su: asking before the write must do */
	log->fd = fd;
	log->reopened = true;
}

void log_init(struct log *log, int fd, enum log_level level, const char *journal_stream)
{
	*log = (struct log){.fd = fd, .level = level, .journal_fd = -1};
	for (unsigned i = 0; i < ARRAY_SIZE(log->buckets); i++)
		log->buckets[i].tokens = LOG_BURST;
	unsigned long long dev = 0, ino = 0;
	struct stat st;
	if (journal_stream && sscanf(journal_stream, "%llu:%llu", &dev, &ino) == 2 &&
	    fstat(fd, &st) == 0)
		log->journal = st.st_dev == dev && st.st_ino == ino;
	reopen_terminal(log);
}

void log_finish(struct log *log)
{
	if (log->reopened)
		(void)close(log->fd); /* lines are written or not; nothing is buffered */
	log->reopened = false;
	if (log->journal_fd >= 0)
		(void)close(log->journal_fd);
	log->journal_fd = -1;
}

void log_open_journal(struct log *log, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!log->journal || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path) + 1);
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		log->journal_fd = fd;
	else if (fd >= 0)
		(void)close(fd);
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {{"error", LOG_ERROR},
		      {"warning", LOG_WARN},
		      {"notice", LOG_NOTE},
		      {"info", LOG_INFORM},
		      {"debug", LOG_DEBUGGING}};
	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*ret_level = levels[i].level;
			return true;
		}
	}
	return false;
}

static void send_line(struct log *log, enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX + 16];
	int len = log->journal ? snprintf(line, sizeof(line), "<%d>%.*s\n", (int)level,
					  LOG_LINE_MAX, text)
			       : snprintf(line, sizeof(line), "tcpguardd: %.*s\n",
					  LOG_LINE_MAX - 16, text);
	if (len <= 0)
		return;
	size_t size = MIN((size_t)len, sizeof(line) - 1);
	/* A pipe or a file may be shared, too: each write asks first. */
	ssize_t sent = send(log->fd, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno == ENOTSOCK) {
		struct pollfd pfd = {.fd = log->fd, .events = POLLOUT};
		if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT))
			sent = write(log->fd, line, size);
	}
	if (sent != (ssize_t)size)
		log->dropped++;
	else
		log->lines++;
}

/* False: not taken; the line goes where the others go. */
static bool send_fields(struct log *log, enum log_level level, const char *text, const char *fields)
{
	struct tg_strbuf entry;
	if (log->journal_fd < 0 || !fields)
		return false;
	tg_strbuf_init(&entry);
	tg_strbuf_printf(&entry, "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=tcpguardd\n%s", text,
			 (int)level, fields);
	const bool sent = !entry.failed && send(log->journal_fd, entry.text, entry.len,
						MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)entry.len;
	log->lines += sent;
	tg_strbuf_finish(&entry);
	return sent;
}

static void refill(struct log_bucket *bucket, tg_time now)
{
	if (now > bucket->at) {
		double earned = (double)(now - bucket->at) / (double)TG_SEC * LOG_RATE;
		bucket->tokens = MIN(bucket->tokens + earned, (double)LOG_BURST);
		bucket->at = now;
	}
}

static void report_suppressed(struct log *log, struct log_bucket *bucket)
{
	if (bucket->suppressed == 0 || bucket->tokens < 1)
		return;
	char text[96];
	(void)snprintf(text, sizeof(text), "%llu lines were left out here, over %d a second",
		       (unsigned long long)bucket->suppressed, LOG_RATE);
	bucket->suppressed = 0;
	bucket->tokens -= 1;
	send_line(log, LOG_WARN, text);
}

void log_set_time(struct log *log, tg_time now)
{
	log->now = now;
	for (unsigned i = 0; i < ARRAY_SIZE(log->buckets); i++) {
		struct log_bucket *bucket = &log->buckets[i];
		refill(bucket, now);
		/* Half full again: the flood is over, and its end is worth a line by itself. */
		if (bucket->tokens >= LOG_BURST / 2)
			report_suppressed(log, bucket);
	}
}

/* Takes a place in the bucket. False: too many; counted. */
static bool admit(struct log *log, enum log_level level)
{
	struct log_bucket *bucket = &log->buckets[level <= LOG_WARN];
	refill(bucket, log->now);
	if (bucket->tokens < 1) {
		bucket->suppressed++;
		log->suppressed++;
		return false;
	}
	bucket->tokens -= 1;
	return true;
}

__attribute__((format(printf, 4, 0))) static void write_args(struct log *log, enum log_level level,
							     const char *fields, const char *format,
							     va_list args)
{
	if (level > log->level)
		return;
	int saved = errno;
	if (admit(log, level)) {
		struct tg_strbuf raw, safe;
		tg_strbuf_init(&raw);
		tg_strbuf_init(&safe);
		tg_strbuf_vprintf(&raw, format, args);
		tg_text_escape(&safe, raw.text);
		if (raw.failed || safe.failed)
			log->dropped++;
		else if (!send_fields(log, level, safe.text, fields))
			send_line(log, level, safe.text);
		tg_strbuf_finish(&raw);
		tg_strbuf_finish(&safe);
	}
	errno = saved;
}

void log_write(struct log *log, enum log_level level, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_args(log, level, NULL, format, args);
	va_end(args);
}

void log_write_fields(struct log *log, enum log_level level, const char *fields, const char *format,
		      ...)
{
	va_list args;
	va_start(args, format);
	write_args(log, level, fields, format, args);
	va_end(args);
}
