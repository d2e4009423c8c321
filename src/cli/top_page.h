/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TOP_PAGE_H
#define CLI_TOP_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>
#include <tcpguard/config.h>

#include "socket_states.h"

struct names;
struct socket_tally;
struct tg_record;

/* What top shows: the sources that are first by one column. */

enum top_from { TOP_FROM_DAEMON, TOP_FROM_SOCKETS, TOP_FROM_CONNTRACK };

enum top_column {
	TOP_TOTAL,
	TOP_HALF_OPEN,
	TOP_ESTABLISHED,
	TOP_CLOSING,
	TOP_TIME_WAIT,
	TOP_NEW,
	TOP_COLUMN_COUNT
};

/* What the daemon says of a source: a ban, and the limit that it fills most. */
struct top_near {
	uint64_t bans, enforced; /* that are on all of it or on a part */
	bool covers;             /* the ban below is on all of it */
	bool observed;           /* that ban is not in force */
	struct tg_prefix banned;
	char action[24];
	uint64_t expires_in;
	char policy[TG_NAME_MAX + 1], limit[TG_NAME_MAX + 1]; /* empty: no limit counts it */
	uint64_t measured, threshold;
};

struct top_row {
	struct tg_prefix source;
	char policy[TG_NAME_MAX + 1]; /* from the daemon, which counts for each */
	uint32_t states[SOCKET_STATE_COUNT];
	uint64_t total, idle, hosts;
	uint64_t fresh; /* from the daemon: against its limits; else begun each second */
	struct top_near *near;
};

struct top_page {
	/* Set by the caller. */
	enum top_from from;
	enum top_column sort;
	uint16_t port;          /* 0: any */
	uint32_t states_wanted; /* bits by number */
	uint32_t wanted;        /* rows; 0: all */

	struct top_row *rows; /* the first by sort first */
	size_t count, room;
	uint64_t sources, total; /* in all, if counted here */
	uint64_t crowded;        /* connections of sources that found no room */
	bool rates_known;
	bool near_known; /* the daemon was asked, and near is NULL where it knows nothing */
	bool failed;     /* no memory: the rows are not complete */
	char note[160];  /* why it is not from where one would expect; or empty */
};

extern const char *const top_column_words[TOP_COLUMN_COUNT];  /* of options and of the protocol */
extern const char *const top_column_titles[TOP_COLUMN_COUNT]; /* of tables */

bool top_column_parse(const char *text, enum top_column *ret_column);
uint64_t top_row_value(const struct top_row *row, enum top_column column);

/* Where a state of conntrack's is counted among those of sockets. */
unsigned top_state_of(enum tg_tcp_state state);

/* Takes what was counted; over_ms: since the look before, if that can tell new connections. */
void top_page_take(struct top_page *page, const struct socket_tally *tally, uint64_t over_ms);
/* One record `source` of the daemon's; others are passed over. */
void top_page_add(struct top_page *page, const struct tg_record *record);
/* One record `near`: of every row of that source. */
void top_page_add_near(struct top_page *page, const struct tg_record *record);
/* When the last row was added. */
void top_page_sort(struct top_page *page);
/* Asks for the names of its sources that were not asked for yet; takes a while. */
void top_page_names(const struct top_page *page, struct names *names);
void top_page_finish(struct top_page *page);

#endif
