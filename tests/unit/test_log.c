/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: levels, priorities, escapes, the rate, and a reader that stopped. */
#include "daemon/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"

static int pipe_fds[2];

static void open_log(struct log *log, enum log_level level)
{
	CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
	CHECK(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) == 0);
	log_init(log, pipe_fds[1], level, NULL);
	log_set_time(log, 1000 * TG_SEC);
}

static const char *read_log(void)
{
	static char text[65536];
	ssize_t len = read(pipe_fds[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void close_log(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

TEST(levels_and_escapes)
{
	struct log log;
	open_log(&log, LOG_NOTE);
	log_write(&log, LOG_INFORM, "not shown");
	log_write(&log, LOG_NOTE, "name %s", "x\033[2J\ninjected");
	CHECK_STR(read_log(), "tcpguardd: name x\\x1b[2J\\x0ainjected\n");
	CHECK_U64(log.lines, 1);
	close_log();
}

TEST(journal_priority)
{
	int fds[2];
	char stream[64], text[64];
	struct stat st;
	struct log log;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	CHECK(fstat(fds[1], &st) == 0);
	(void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	log_init(&log, fds[1], LOG_INFORM, stream);
	log_write(&log, LOG_WARN, "hello");
	ssize_t len = read(fds[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	CHECK_STR(text, "<4>hello\n");
	log_init(&log, fds[1], LOG_INFORM, "1:2");
	CHECK(!log.journal);
	close(fds[0]);
	close(fds[1]);
}

static unsigned count_lines(const char *text)
{
	unsigned lines = 0;
	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

TEST(a_flood_is_cut_and_counted)
{
	struct log log;
	open_log(&log, LOG_INFORM);
	for (int i = 0; i < 10000; i++)
		log_write(&log, LOG_INFORM, "ban");
	CHECK_U64(count_lines(read_log()), LOG_BURST);
	CHECK_U64(log.suppressed, 10000 - LOG_BURST);
	/* A warning has room of its own. */
	log_write(&log, LOG_WARN, "degraded");
	CHECK_STR(read_log(), "tcpguardd: degraded\n");
	/* Later the gap is told, once. */
	log_set_time(&log, 1010 * TG_SEC);
	CHECK_STR(read_log(), "tcpguardd: 9800 lines were left out here, over 50 a second\n");
	log_set_time(&log, 1020 * TG_SEC);
	CHECK_STR(read_log(), "");
	close_log();
}

TEST(a_stopped_reader_blocks_nothing)
{
	struct log log;
	open_log(&log, LOG_INFORM);
	for (int i = 0; i < 2000; i++) {
		log_set_time(&log, (1000 + (tg_time)i) * TG_SEC);
		log_write(&log, LOG_INFORM, "%0200d", i);
	}
	CHECK(log.dropped > 0);
	CHECK_U64(log.dropped + log.lines, 2000);
	close_log();
}

/* A terminal is writable while it has room for a byte, and a write waits for the whole line. */
TEST(a_stopped_terminal_blocks_nothing)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
	int fd = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(fd >= 0);
	struct log log;
	log_init(&log, fd, LOG_INFORM, NULL);
	alarm(10); /* ends a write that waits */
	for (int i = 0; i < 2000; i++) {
		log_set_time(&log, (1000 + (tg_time)i) * TG_SEC);
		log_write(&log, LOG_INFORM, "%0200d", i);
	}
	alarm(0);
	CHECK(log.dropped > 0);
	CHECK_U64(log.dropped + log.lines, 2000);
	/* Who else writes to it has it as before. */
	CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
	log_finish(&log);
	close(fd);
	close(terminal);
}

TEST(level_names)
{
	enum log_level level = LOG_INFORM;
	CHECK(log_level_parse("debug", &level) && level == LOG_DEBUGGING);
	CHECK(!log_level_parse("loud", &level) && level == LOG_DEBUGGING);
}

/* What the journal's own protocol takes; without its socket the line goes with the others. */
TEST(fields_for_the_journal)
{
	struct log log;
	struct stat st;
	char path[] = "/tmp/test-log.XXXXXX", stream[64], text[512];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CHECK(mkdtemp(path) != NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", path);
	const int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
	CHECK(fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(fstat(pipe_fds[1], &st) == 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	log_init(&log, pipe_fds[1], LOG_INFORM, stream);
	log_open_journal(&log, address.sun_path);
	CHECK(log.journal_fd < 0);
	log_write_fields(&log, LOG_NOTE, "A=b\n", "to %s", "stderr");
	CHECK_STR(read_log(), "<5>to stderr\n");
	CHECK(bind(journal, (struct sockaddr *)&address, sizeof(address)) == 0);
	log_open_journal(&log, address.sun_path);
	log_write_fields(&log, LOG_NOTE, "A=b\nC=d\n", "a line\nand more");
	const ssize_t len = recv(journal, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	CHECK_STR(text, "MESSAGE=a line\\x0aand more\nPRIORITY=5\nSYSLOG_IDENTIFIER=tcpguardd\n"
			"A=b\nC=d\n");
	CHECK_STR(read_log(), "");
	/* Others have no fields. */
	log_write(&log, LOG_NOTE, "plain");
	CHECK_STR(read_log(), "<5>plain\n");
	close(journal);
	log_write_fields(&log, LOG_NOTE, "A=b\n", "nobody there");
	CHECK_STR(read_log(), "<5>nobody there\n");
	log_finish(&log);
	close_log();
	unlink(address.sun_path);
	rmdir(path);
}

int main(void)
{
	RUN(levels_and_escapes);
	RUN(journal_priority);
	RUN(a_flood_is_cut_and_counted);
	RUN(a_stopped_reader_blocks_nothing);
	RUN(a_stopped_terminal_blocks_nothing);
	RUN(level_names);
	RUN(fields_for_the_journal);
	return DONE();
}
