/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TOP_FETCH_H
#define CLI_TOP_FETCH_H

#include "top_page.h"
#include "top_seen.h"

struct cli;

struct top_request {
	enum top_from from;
	bool daemon_first; /* nobody said whence: the daemon, and this host if there is none */
	enum top_column sort;
	uint16_t port;
	uint32_t states;
	uint8_t source_len[TG_FAMILY_COUNT];
	uint32_t count; /* 0: all */
};

/* What a look has to remember for the next one. All zero before the first. */
struct top_eye {
	struct top_seen seen;
	uint8_t hash_key[16];
	bool keyed;
	enum top_from from;
	uint64_t looked_ms;
};

/*
 * One look. CLI_OK; or an exit status, and what is wrong in the page's note. The page is the
 * caller's to finish either way. Waits for a daemon that hangs for some seconds at most.
 */
int top_fetch(const struct cli *cli, const struct top_request *request, struct top_eye *eye,
	      struct top_page *ret_page);
void top_eye_finish(struct top_eye *eye);

#endif
