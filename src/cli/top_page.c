/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the rows that top shows and their order, wherever they were counted. */
#include "top_page.h"

#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "base/util.h"
#include "names.h"
#include "socket_tally.h"

#define ROWS_AT_FIRST 64

const char *const top_column_words[TOP_COLUMN_COUNT] = {"total",   "half-open", "established",
							"closing", "time-wait", "new"};
const char *const top_column_titles[TOP_COLUMN_COUNT] = {"TOTAL",   "HALF",   "ESTAB",
							 "CLOSING", "TIME-W", "NEW/S"};

/* The states that a column sums up; NEW has none. */
static const uint32_t column_states[TOP_COLUMN_COUNT] = {
	[TOP_TOTAL] = UINT32_MAX,
	[TOP_HALF_OPEN] = 1u << TCP_SYN_SENT | 1u << TCP_SYN_RECV,
	[TOP_ESTABLISHED] = 1u << TCP_ESTABLISHED,
	[TOP_CLOSING] = 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | 1u << TCP_CLOSING |
			1u << TCP_CLOSE_WAIT | 1u << TCP_LAST_ACK | 1u << TCP_CLOSE,
	[TOP_TIME_WAIT] = 1u << TCP_TIME_WAIT,
};

bool top_column_parse(const char *text, enum top_column *ret_column)
{
	for (unsigned i = 0; i < TOP_COLUMN_COUNT; i++) {
		if (strcmp(text, top_column_words[i]) == 0) {
			*ret_column = (enum top_column)i;
			return true;
		}
	}
	return false;
}

unsigned top_state_of(enum tg_tcp_state state)
{
	switch (state) {
	case TG_TCP_SYN_SENT:
		return TCP_SYN_SENT;
	case TG_TCP_SYN_RECV:
		return TCP_SYN_RECV;
	case TG_TCP_ESTABLISHED:
		return TCP_ESTABLISHED;
	case TG_TCP_FIN_WAIT:
		return TCP_FIN_WAIT1;
	case TG_TCP_CLOSE_WAIT:
		return TCP_CLOSE_WAIT;
	case TG_TCP_LAST_ACK:
		return TCP_LAST_ACK;
	case TG_TCP_TIME_WAIT:
		return TCP_TIME_WAIT;
	case TG_TCP_CLOSE:
	case TG_TCP_UNKNOWN:
		break;
	}
	return TCP_CLOSE;
}

static uint64_t sum(const uint32_t states[static SOCKET_STATE_COUNT], enum top_column column)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < SOCKET_STATE_COUNT; i++)
		if (column_states[column] >> i & 1)
			sum += states[i];
	return sum;
}

uint64_t top_row_value(const struct top_row *row, enum top_column column)
{
	return column == TOP_NEW ? row->fresh : sum(row->states, column);
}

static struct top_row *add_row(struct top_page *page)
{
	if (page->count == page->room) {
		const size_t room = page->room ? page->room * 2 : ROWS_AT_FIRST;
		struct top_row *rows = reallocarray(page->rows, room, sizeof(*rows));
		if (!rows) {
			page->failed = true;
			return NULL;
		}
		page->rows = rows;
		page->room = room;
	}
	struct top_row *row = &page->rows[page->count++];
	*row = (struct top_row){.total = 0};
	return row;
}

struct rank {
	uint64_t value, total;
	const struct tally_group *group;
};

static int compare_values(uint64_t left, uint64_t right)
{
	return left < right ? 1 : left > right ? -1 : 0;
}

/* By value, then by what there is in all, then in an order that does not change. */
static int compare_ranks(const void *a, const void *b)
{
	const struct rank *left = a, *right = b;
	int order = compare_values(left->value, right->value);
	if (order == 0)
		order = compare_values(left->total, right->total);
	if (order == 0)
		order = memcmp(&left->group->key.addr, &right->group->key.addr,
			       sizeof(left->group->key.addr));
	return order;
}

static struct rank *rank_groups(const struct top_page *page, const struct socket_tally *tally)
{
	struct rank *ranks = calloc(MAX(tally->group_count, 1), sizeof(*ranks));
	for (uint32_t i = 0; ranks && i < tally->group_count; i++) {
		const struct tally_group *group = &tally->groups[i];
		ranks[i] = (struct rank){.value = page->sort == TOP_NEW
							  ? group->fresh
							  : sum(group->states, page->sort),
					 .total = group->total,
					 .group = group};
	}
	if (ranks)
		qsort(ranks, tally->group_count, sizeof(*ranks), compare_ranks);
	return ranks;
}

void top_page_take(struct top_page *page, const struct socket_tally *tally, uint64_t over_ms)
{
	struct rank *ranks = rank_groups(page, tally);
	const uint32_t count =
		page->wanted ? MIN(page->wanted, tally->group_count) : tally->group_count;
	page->failed |= !ranks || tally->failed;
	page->sources = tally->group_count;
	page->total = tally->total;
	page->crowded = tally->crowded;
	page->rates_known = over_ms > 0;
	for (uint32_t i = 0; ranks && i < count; i++) {
		const struct tally_group *group = ranks[i].group;
		struct top_row *row = add_row(page);
		if (!row)
			break;
		row->source = (struct tg_prefix){.addr = group->key.addr,
						 .len = (uint8_t)group->key.number};
		memcpy(row->states, group->states, sizeof(row->states));
		row->total = group->total;
		/* Rounded up: what there is, is not none. */
		if (over_ms > 0)
			row->fresh = ((uint64_t)group->fresh * 1000 + over_ms - 1) / over_ms;
	}
	free(ranks);
}

static uint64_t number(const struct tg_record *record, const char *key)
{
	uint64_t value = 0;
	(void)tg_record_get_u64(record, key, &value); /* an older daemon's unknown one is none */
	return value;
}

static void copy_text(char *buf, size_t size, const struct tg_record *record, const char *key)
{
	const char *text = tg_record_get(record, key);
	(void)snprintf(buf, size, "%s", text ? text : "");
}

static bool read_source(const struct tg_record *record, const char *key,
			struct tg_prefix *ret_source)
{
	const char *text = tg_record_get(record, key);
	if (text && strcmp(text, "total") == 0) {
		*ret_source = (struct tg_prefix){.len = TG_TOTAL_LEN};
		return true;
	}
	return text && !tg_prefix_parse(text, ret_source);
}

void top_page_add(struct top_page *page, const struct tg_record *record)
{
	struct tg_prefix source;
	if (strcmp(record->name, "source") != 0 || !read_source(record, "source", &source))
		return;
	struct top_row *row = add_row(page);
	if (!row)
		return;
	row->source = source;
	copy_text(row->policy, sizeof(row->policy), record, "policy");
	for (unsigned i = 0; i < TG_TCP_STATE_COUNT; i++)
		row->states[top_state_of((enum tg_tcp_state)i)] =
			(uint32_t)number(record, tg_tcp_state_name((enum tg_tcp_state)i));
	row->total = number(record, "total");
	row->idle = number(record, "idle");
	row->hosts = number(record, "hosts");
	row->fresh = number(record, "new_rate");
	page->rates_known = true;
}

static void read_near(const struct tg_record *record, const struct tg_prefix *source,
		      struct top_near *near)
{
	const char *observed = tg_record_get(record, "observed");
	*near = (struct top_near){.bans = number(record, "bans"),
				  .enforced = number(record, "enforced"),
				  .observed = observed && strcmp(observed, "true") == 0,
				  .expires_in = number(record, "expires_in"),
				  .measured = number(record, "measured"),
				  .threshold = number(record, "threshold")};
	if (near->bans > 0 && read_source(record, "banned", &near->banned))
		near->covers = near->banned.len <= source->len;
	copy_text(near->action, sizeof(near->action), record, "action");
	copy_text(near->policy, sizeof(near->policy), record, "policy");
	copy_text(near->limit, sizeof(near->limit), record, "limit");
}

void top_page_add_near(struct top_page *page, const struct tg_record *record)
{
	struct tg_prefix source;
	if (strcmp(record->name, "near") != 0 || !read_source(record, "source", &source))
		return;
	for (size_t i = 0; i < page->count; i++) {
		struct top_row *row = &page->rows[i];
		if (row->near || !tg_prefix_equal(&row->source, &source))
			continue;
		row->near = malloc(sizeof(*row->near));
		page->failed |= !row->near;
		if (row->near)
			read_near(record, &source, row->near);
	}
}

static int compare_rows(const void *a, const void *b, void *data)
{
	const struct top_row *left = a, *right = b;
	const enum top_column column = *(const enum top_column *)data;
	int order = compare_values(top_row_value(left, column), top_row_value(right, column));
	if (order == 0)
		order = compare_values(left->total, right->total);
	if (order == 0)
		order = memcmp(&left->source.addr, &right->source.addr, sizeof(left->source.addr));
	return order ? order : strcmp(left->policy, right->policy);
}

void top_page_sort(struct top_page *page)
{
	if (page->count > 0)
		qsort_r(page->rows, page->count, sizeof(*page->rows), compare_rows, &page->sort);
}

void top_page_names(const struct top_page *page, struct names *names)
{
	char text[TG_PREFIX_STRLEN];
	names_make_room(names);
	for (size_t i = 0; i < page->count; i++)
		names_want(names, tg_prefix_format(&page->rows[i].source, text));
	names_resolve(names);
}

void top_page_finish(struct top_page *page)
{
	for (size_t i = 0; i < page->count; i++)
		free(page->rows[i].near);
	free(page->rows);
	page->rows = NULL;
	page->count = page->room = 0;
}
