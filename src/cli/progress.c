/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the line that says how far long work is. */
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One that knows how to clear a line. */
static bool is_terminal(void)
{
	const char *term = getenv("TERM");
	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void progress_begin(struct progress *progress)
{
	const uint64_t now = now_ms();
	*progress = (struct progress){
		.wanted = is_terminal(), .begun_ms = now, .next_ms = now + PROGRESS_EVERY_MS};
}

bool progress_is_due(struct progress *progress)
{
	if (!progress->wanted)
		return false;
	const uint64_t now = now_ms();
	if (now < progress->next_ms)
		return false;
	progress->next_ms = now + PROGRESS_EVERY_MS;
	return true;
}

uint64_t progress_ms(const struct progress *progress)
{
	return now_ms() - progress->begun_ms;
}

__attribute__((format(printf, 3, 0))) static void show(struct progress *progress, const char *part,
						       const char *format, va_list args)
{
	char text[160];
	(void)vsnprintf(text, sizeof(text), format, args);
	(void)fprintf(stderr, "\r%s%s\033[K", part, text);
	progress->shown = true;
}

void progress_show(struct progress *progress, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	show(progress, "", format, args);
	va_end(args);
}

void progress_show_part(struct progress *progress, uint64_t done, uint64_t all, const char *format,
			...)
{
	char part[32] = "";
	va_list args;
	if (all > 0)
		(void)snprintf(part, sizeof(part), "%3" PRIu64 " %%, ",
			       done < all ? (uint64_t)((double)done * 100 / (double)all) : 100);
	va_start(args, format);
	show(progress, part, format, args);
	va_end(args);
}

void progress_hide(struct progress *progress)
{
	if (progress->shown)
		(void)fputs("\r\033[K", stderr);
	progress->shown = false;
}

void progress_clear_line(void)
{
	if (is_terminal())
		(void)fputs("\r\033[K", stderr);
}
