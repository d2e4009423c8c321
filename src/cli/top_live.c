/* SPDX-License-Identifier: GPL-2.0-or-later */
/* top on a terminal: when to look anew, when to draw anew, when to end. */
#include "top_live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "cli.h"
#include "client.h"
#include "terminal.h"
#include "top_keys.h"
#include "top_output.h"

/* A sequence comes at once, also over a slow line. */
#define ESCAPE_MS 200
/* Rows that a screen may have at most are those that are asked for. */
#define SCREEN_ROWS_MAX 500

struct live {
	const struct cli *cli;
	struct top_request request;
	struct top_eye eye;
	struct top_page page;
	struct top_keys keys;
	struct terminal terminal;
	struct names *names;
	uint64_t every_ms, next_ms;
	int signal;
};

static uint64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A frame in one write, over the one before: nothing flickers. */
static bool draw(struct live *live)
{
	char *text = NULL;
	size_t len = 0, width, height;
	terminal_size(&width, &height);
	const struct top_look look = {.color = live->cli->color,
				      .width = width,
				      .height = height,
				      .newline = "\033[K\r\n",
				      .names = live->names};
	FILE *out = open_memstream(&text, &len);
	if (!out)
		return true; /* no memory: the next one may have some */
	(void)fputs("\033[H", out);
	top_output_table(out, &look, &live->page);
	(void)fprintf(out, "\033[J\033[%zu;1H%.*s\033[K", height, (int)width, top_keys_help);
	const bool whole = fclose(out) == 0;
	const bool told = !whole || terminal_write(text, len);
	free(text);
	return told;
}

static int look(struct live *live)
{
	top_page_finish(&live->page);
	int status = top_fetch(live->cli, &live->request, &live->eye, &live->page);
	if (status == CLI_OK && live->names)
		top_page_names(&live->page, live->names);
	live->next_ms = now_ms() + live->every_ms;
	return status;
}

static int wait_for(const struct live *live)
{
	const uint64_t now = now_ms();
	const uint64_t rest = live->next_ms > now ? live->next_ms - now : 0;
	if (live->keys.state != TOP_KEYS_PLAIN)
		return (int)MIN(rest, (uint64_t)ESCAPE_MS);
	return (int)MIN(rest, (uint64_t)3600000);
}

/* False: it is over. */
static bool turn(struct live *live, bool *ret_look)
{
	uint8_t bytes[64];
	size_t count = 0;
	switch (terminal_wait(&live->terminal, wait_for(live), bytes, sizeof(bytes), &count,
			      &live->signal)) {
	case TERMINAL_TIME:
		top_keys_pause(&live->keys);
		*ret_look = now_ms() >= live->next_ms;
		return true;
	case TERMINAL_REDRAW:
		*ret_look = false;
		return draw(live);
	case TERMINAL_KEYS:
		live->keys.again = false;
		top_keys_take(&live->keys, bytes, count);
		live->request.sort = live->keys.sort;
		*ret_look = live->keys.again;
		return !live->keys.quit;
	case TERMINAL_GONE:
	case TERMINAL_SIGNAL:
		break;
	}
	return false;
}

static int run(struct live *live)
{
	bool due = true;
	int status = CLI_OK;
	do {
		if (!due)
			continue;
		status = look(live);
		if (status != CLI_OK || !draw(live))
			break;
	} while (turn(live, &due));
	return status;
}

int top_live(const struct cli *cli, const struct top_request *request, uint64_t every_ms,
	     struct names *names)
{
	struct live live = {.cli = cli,
			    .request = *request,
			    .keys = {.sort = request->sort},
			    .every_ms = every_ms,
			    .names = names};
	if (live.request.count == 0 || live.request.count > SCREEN_ROWS_MAX)
		live.request.count = SCREEN_ROWS_MAX;
	int err = terminal_open(&live.terminal);
	if (err) {
		cli_complain("the terminal cannot be used: %s; 'tcpguard top | cat' prints once",
			     strerror(-err));
		return CLI_NO;
	}
	int status = run(&live);
	terminal_close(&live.terminal);
	if (status != CLI_OK)
		cli_complain("%s%s", live.page.note,
			     status == CLI_NO_DAEMON ? CLIENT_START_HINT : "");
	top_page_finish(&live.page);
	top_eye_finish(&live.eye);
	if (live.signal) {
		(void)signal(live.signal, SIG_DFL);
		(void)raise(live.signal);
	}
	return status;
}
