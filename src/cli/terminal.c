/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the terminal while a verb shows a live screen: its mode, its other screen, its cursor. Every
 * signal that ends or stops a program is taken from a descriptor meanwhile, so that there
 * is no way out, but SIGKILL, that leaves the terminal as it is not wanted.
 */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The other screen, without a cursor, no line wrapped; and back. */
static const char enter[] = "\033[?1049h\033[?25l\033[?7l\033[H\033[2J";
static const char leave[] = "\033[?7h\033[?25h\033[?1049l";

bool terminal_is_there(void)
{
	const char *term = getenv("TERM");
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
	       strcmp(term, "dumb") != 0;
}

bool terminal_write(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t written = write(STDOUT_FILENO, bytes, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN) {
			struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};
			(void)poll(&pfd, 1, 1000);
			continue;
		}
		if (written <= 0)
			return false;
		bytes += written;
		len -= (size_t)written;
	}
	return true;
}

void terminal_size(size_t *ret_width, size_t *ret_height)
{
	struct winsize size = {0};
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size); /* without an answer: zero */
	*ret_width = size.ws_col ? size.ws_col : 80;
	*ret_height = size.ws_row ? size.ws_row : 24;
}

/* Keys one by one and unseen; ^C and ^Z stay signals. */
static int take(struct terminal *terminal)
{
	struct termios raw = terminal->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return -errno;
	terminal->raw = true;
	(void)terminal_write(enter, sizeof(enter) - 1); /* the next frame finds out */
	return 0;
}

static void give_back(struct terminal *terminal)
{
	if (!terminal->raw)
		return;
	(void)terminal_write(leave, sizeof(leave) - 1); /* gone, if it cannot be told */
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	terminal->raw = false;
}

int terminal_open(struct terminal *terminal)
{
	static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGWINCH};
	sigset_t mask;
	*terminal = (struct terminal){.signals = -1};
	if (tcgetattr(STDIN_FILENO, &terminal->before) < 0)
		return -errno;
	(void)sigemptyset(&mask); /* these cannot fail */
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		(void)sigaddset(&mask, wanted[i]);
	if (sigprocmask(SIG_BLOCK, &mask, &terminal->mask_before) < 0)
		return -errno;
	terminal->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	int err = terminal->signals < 0 ? -errno : take(terminal);
	if (err)
		terminal_close(terminal);
	return err;
}

void terminal_close(struct terminal *terminal)
{
	give_back(terminal);
	if (terminal->signals >= 0)
		(void)close(terminal->signals);
	terminal->signals = -1;
	(void)sigprocmask(SIG_SETMASK, &terminal->mask_before, NULL); /* as it was: cannot fail */
}

static enum terminal_event read_signal(struct terminal *terminal, int *ret_signal)
{
	struct signalfd_siginfo info;
	if (read(terminal->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return TERMINAL_REDRAW;
	switch (info.ssi_signo) {
	case SIGWINCH:
		return TERMINAL_REDRAW;
	case SIGTSTP:
		give_back(terminal);
		(void)raise(SIGSTOP); /* returns when it goes on */
		return take(terminal) < 0 ? TERMINAL_GONE : TERMINAL_REDRAW;
	}
	*ret_signal = (int)info.ssi_signo;
	return TERMINAL_SIGNAL;
}

enum terminal_event terminal_wait(struct terminal *terminal, int timeout_ms, uint8_t *bytes,
				  size_t size, size_t *ret_count, int *ret_signal)
{
	struct pollfd pfds[] = {{.fd = terminal->signals, .events = POLLIN},
				{.fd = STDIN_FILENO, .events = POLLIN}};
	const int ready = poll(pfds, 2, timeout_ms);
	if (ready == 0)
		return TERMINAL_TIME;
	if (ready < 0)
		return errno == EINTR ? TERMINAL_REDRAW : TERMINAL_GONE;
	if (pfds[0].revents)
		return read_signal(terminal, ret_signal);
	const ssize_t got = read(STDIN_FILENO, bytes, size);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? TERMINAL_REDRAW
								      : TERMINAL_GONE;
	*ret_count = (size_t)got;
	return TERMINAL_KEYS;
}
