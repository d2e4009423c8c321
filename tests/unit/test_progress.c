/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line that says how far long work is; on terminals tests/golden/progress looks at it. */
#include "cli/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include "test.h"

static int fds[2], stderr_fd;

/* stderr becomes a pipe. */
static void begin(void)
{
	stderr_fd = dup(STDERR_FILENO);
	CHECK(stderr_fd >= 0 && pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
	CHECK(dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
}

static const char *told(void)
{
	static char text[512];
	const ssize_t len = read(fds[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void end(void)
{
	CHECK(dup2(stderr_fd, STDERR_FILENO) == STDERR_FILENO);
	close(stderr_fd);
	close(fds[0]);
	close(fds[1]);
}

TEST(what_part_is_done)
{
	struct progress progress = {.wanted = true};
	begin();
	progress_show_part(&progress, 50, 200, "%d events", 7);
	CHECK_STR(told(), "\r 25 %, 7 events\033[K");
	progress_show_part(&progress, 0, 200, "x");
	CHECK_STR(told(), "\r  0 %, x\033[K");
	progress_show_part(&progress, 300, 200, "x");
	CHECK_STR(told(), "\r100 %, x\033[K");
	progress_show_part(&progress, UINT64_MAX / 2, UINT64_MAX, "x");
	CHECK_STR(told(), "\r 50 %, x\033[K");
	/* How much there is in all is not known. */
	progress_show_part(&progress, 50, 0, "x");
	CHECK_STR(told(), "\rx\033[K");
	end();
}

TEST(it_is_hidden_once)
{
	struct progress progress = {.wanted = true};
	begin();
	progress_hide(&progress);
	CHECK_STR(told(), "");
	progress_show(&progress, "%s", "x");
	CHECK_STR(told(), "\rx\033[K");
	progress_hide(&progress);
	CHECK_STR(told(), "\r\033[K");
	progress_hide(&progress);
	CHECK_STR(told(), "");
	end();
}

TEST(not_wanted_is_never_due)
{
	struct progress progress;
	begin();
	progress_begin(&progress);
	CHECK(!progress.wanted);
	progress.next_ms = 0;
	CHECK(!progress_is_due(&progress));
	progress.wanted = true;
	CHECK(progress_is_due(&progress));
	CHECK(!progress_is_due(&progress));
	progress_clear_line();
	CHECK_STR(told(), "");
	end();
}

int main(void)
{
	RUN(what_part_is_done);
	RUN(it_is_hidden_once);
	RUN(not_wanted_is_never_due);
	return DONE();
}
