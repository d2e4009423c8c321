/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_STATE_LINE_H
#define DAEMON_STATE_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/ban.h>

struct tg_config;
struct tg_strbuf;

/*
 * The lines of the state file: eight hexadecimal digits of checksum, a blank, and a record as the
 * control socket has them. Of two lines about one policy, scope and source the later counts.
 *
 *   8f2c01d3 ban source=198.51.100.7/32 scope=ports policy=web limit=open action=drop …
 */
enum state_kind {
	STATE_BAN,    /* in force until then; its offence counts for `forget` longer */
	STATE_RECORD, /* nothing but its offence, until then */
	STATE_LIFT    /* nothing is left */
};

struct state_line {
	enum state_kind kind;
	struct tg_adopt ban;         /* age_ms and left_ms are not used */
	uint64_t since_ms, until_ms; /* since the epoch */
	uint64_t forget_ms;
};

#define STATE_LINE_MAX 1024
/* What a file begins with. */
#define STATE_LINE_HEADER "tcpguard-state version=1"

/* What is known of a ban of this config; now_ms and now: the same moment by both clocks. */
void state_line_describe(const struct tg_config *config, const struct tg_ban *ban, tg_time now,
			 uint64_t now_ms, struct state_line *ret_line);
void state_line_put(struct tg_strbuf *out, const struct state_line *line);
void state_line_put_header(struct tg_strbuf *out);

enum state_verdict {
	STATE_GOOD,
	STATE_HEADER,
	STATE_DAMAGED, /* not what was written */
	STATE_UNKNOWN  /* written by another version */
};
/* text without its newline, of at most STATE_LINE_MAX bytes with its NUL; taken apart in place.
 * *ret_line is written for STATE_GOOD only. */
enum state_verdict state_line_parse(char *text, struct state_line *ret_line);

#endif
