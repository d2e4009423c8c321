/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How counted sockets look, for people within 80 columns, and as JSON. */
#include "states_report.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/util.h"
#include "json.h"
#include "names.h"
#include "output.h"

#define COLUMNS 80
#define NUMBER_STRLEN 21
#define KEY_STRLEN 80
#define NAME_MOST 28 /* leaves room for the fullest states */

static const char *const by_words[] = {NULL, "port", "process", "source", "user"};

static const char *number(char buf[static NUMBER_STRLEN], uint64_t value)
{
	(void)snprintf(buf, NUMBER_STRLEN, "%" PRIu64, value);
	return buf;
}

/* What a group is called in a table. */
static const char *key_text(const struct states_report *report, const struct tally_group *group,
			    char buf[static KEY_STRLEN])
{
	const char *name = report->name ? report->name(report->data, group) : NULL;
	struct tg_prefix source = {.addr = group->key.addr, .len = (uint8_t)group->key.number};
	char brief[NAMES_LEN];
	switch ((enum tally_kind)group->key.kind) {
	case TALLY_IN:
	case TALLY_OUT:
		(void)snprintf(buf, KEY_STRLEN, "%" PRIu32 " %s", group->key.number,
			       group->key.kind == TALLY_IN ? "in" : "out");
		return buf;
	case TALLY_PROCESS:
		(void)snprintf(buf, KEY_STRLEN, "%s (%" PRIu32 ")", name ? name : "?",
			       group->key.number);
		return buf;
	case TALLY_HIDDEN:
		return "(hidden)";
	case TALLY_KERNEL:
		return "(no process)";
	case TALLY_SOURCE:
		if (source.len != tg_family_bits((enum tg_family)source.addr.family))
			return tg_prefix_format(&source, buf);
		(void)tg_addr_format(&source.addr, buf);
		if (name)
			(void)snprintf(buf + strlen(buf), KEY_STRLEN - strlen(buf), " %s",
				       names_cut(name, NAME_MOST, brief));
		return buf;
	case TALLY_LISTENING:
		return "(listening)";
	case TALLY_USER:
		break;
	}
	(void)snprintf(buf, KEY_STRLEN, "%s (%" PRIu32 ")", name ? name : "?", group->key.number);
	return buf;
}

/* Whether conntrack has a count to stand beside this one. */
static bool is_told(const struct states_report *report, const struct socket_state *state)
{
	return state->conntrack < TG_TCP_STATE_COUNT &&
	       report->conntrack->from != CONNTRACK_UNKNOWN;
}

static void print_state(FILE *out, bool color, const struct states_report *report,
			const struct socket_state *state)
{
	const struct socket_tally *tally = report->tally;
	const uint64_t count = tally->states[state->number];
	const bool pile = socket_state_is_pile(state->number, count,
					       tally->total - tally->states[TCP_LISTEN]);
	char flows[NUMBER_STRLEN] = "-";
	if (is_told(report, state))
		(void)number(flows, report->conntrack->counts[state->conntrack]);
	const enum output_color which = pile ? OUTPUT_YELLOW : OUTPUT_DIM;
	const char *begin = output_color(color && (pile || count == 0), which);
	(void)fprintf(out, "%s%-11s %8" PRIu64 " %9s  %s%s\n", begin, state->title, count, flows,
		      state->meaning, begin[0] ? output_color(color, OUTPUT_PLAIN) : "");
}

static void print_conntrack(FILE *out, const struct states_conntrack *conntrack)
{
	switch (conntrack->from) {
	case CONNTRACK_DAEMON:
		(void)fprintf(out, "conntrack: as tcpguardd counts it, both ways and forwarded\n");
		if (conntrack->closing_unknown)
			(void)fprintf(out, "  no limit counts `concurrent`: what closes is in "
					   "ESTABLISHED until it is gone\n");
		break;
	case CONNTRACK_KERNEL:
		(void)fprintf(out, "conntrack: as the kernel lists it, %s\n",
			      conntrack->total ? "both ways and forwarded"
					       : "which tracks nothing here");
		break;
	case CONNTRACK_UNKNOWN:
		if (conntrack->err == -EPERM || conntrack->err == -EACCES)
			(void)fprintf(out, "conntrack: unknown; root may ask for it, or the daemon "
					   "tells if it runs\n");
		else if (conntrack->err == -EOPNOTSUPP)
			(void)fprintf(out, "conntrack: the kernel tracks nothing\n");
		else
			(void)fprintf(out, "conntrack: unknown: %s\n", strerror(-conntrack->err));
		break;
	}
	if (conntrack->counts[TG_TCP_CLOSE_WAIT] > 0)
		(void)fprintf(out, "  its CLOSE-WAIT holds our FIN-WAIT-2, too: it does not ask "
				   "which side closed\n");
}

/* The states of a wide table that fit into it; what the others hold is a column of its own. */
struct layout {
	const struct socket_state *states[SOCKET_STATE_COUNT - 1];
	size_t count;
	bool rest;
};

static void choose(const struct socket_tally *tally, size_t key_width, struct layout *ret_layout)
{
	struct layout layout = {.count = 0};
	char text[NUMBER_STRLEN];
	const size_t total_width = MAX(strlen(number(text, tally->total)), strlen("SOCKETS"));
	size_t width = key_width + 2 + total_width;
	uint32_t left = 0;
	for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++)
		if (tally->states[socket_states[i].number] > 0)
			left |= 1u << i;
	/* The fullest first, until the line is full. */
	uint32_t chosen = 0;
	while (left) {
		size_t best = (size_t)__builtin_ctz(left);
		for (size_t i = best; i < ARRAY_SIZE(socket_states); i++)
			if (left >> i & 1 && tally->states[socket_states[i].number] >
						     tally->states[socket_states[best].number])
				best = i;
		const uint64_t value = tally->states[socket_states[best].number];
		const size_t wanted =
			2 + MAX(strlen(number(text, value)), strlen(socket_states[best].brief));
		left &= ~(1u << best);
		if (width + wanted + (left ? 7 : 0) > COLUMNS) {
			layout.rest = true;
			break;
		}
		width += wanted;
		chosen |= 1u << best;
	}
	for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++)
		if (chosen >> i & 1)
			layout.states[layout.count++] = &socket_states[i];
	*ret_layout = layout;
}

static void add_row(struct output_table *table, const struct layout *layout, const char *key,
		    const uint64_t states[static SOCKET_STATE_COUNT])
{
	char texts[SOCKET_STATE_COUNT + 2][NUMBER_STRLEN];
	const char *cells[OUTPUT_COLUMNS_MAX];
	uint64_t total = 0, rest = 0;
	for (size_t i = 0; i < SOCKET_STATE_COUNT; i++)
		total += states[i];
	rest = total;
	cells[0] = key;
	cells[1] = number(texts[0], total);
	for (size_t i = 0; i < layout->count; i++) {
		const uint64_t value = states[layout->states[i]->number];
		cells[2 + i] = value ? number(texts[1 + i], value) : NULL;
		rest -= value;
	}
	if (layout->rest)
		cells[2 + layout->count] =
			rest ? number(texts[SOCKET_STATE_COUNT + 1], rest) : NULL;
	output_table_row(table, cells);
}

static void widen(uint64_t wide[static SOCKET_STATE_COUNT], const struct tally_group *group)
{
	for (size_t i = 0; i < SOCKET_STATE_COUNT; i++)
		wide[i] = group->states[i];
}

static void print_groups(FILE *out, bool color, const struct states_report *report)
{
	static const char *const titles[] = {NULL, "PORT", "PROCESS", "SOURCE", "USER"};
	const struct socket_tally *tally = report->tally;
	struct output_column columns[OUTPUT_COLUMNS_MAX] = {{titles[tally->by], false},
							    {"SOCKETS", true}};
	struct output_table table;
	struct layout layout;
	uint64_t wide[SOCKET_STATE_COUNT];
	char text[KEY_STRLEN], others[KEY_STRLEN];
	size_t key_width = 0;
	(void)snprintf(others, sizeof(others), "%" PRIu64 " others",
		       tally->groups_in_all - tally->group_count);
	key_width = MAX(strlen(others), strlen(columns[0].title));
	for (uint32_t i = 0; i < tally->group_count; i++)
		key_width = MAX(key_width, strlen(key_text(report, &tally->groups[i], text)));
	choose(tally, key_width, &layout);
	for (size_t i = 0; i < layout.count; i++)
		columns[2 + i] = (struct output_column){layout.states[i]->brief, true};
	columns[2 + layout.count] = (struct output_column){"OTHER", true};
	output_table_init(&table, out, color, columns, 2 + layout.count + layout.rest);
	for (uint32_t i = 0; i < tally->group_count; i++) {
		widen(wide, &tally->groups[i]);
		add_row(&table, &layout, key_text(report, &tally->groups[i], text), wide);
	}
	if (tally->groups_in_all > tally->group_count)
		add_row(&table, &layout, others, tally->others);
	add_row(&table, &layout, "total", tally->states);
	output_table_finish(&table);
	if (report->hidden > 0)
		(void)fprintf(out, "(hidden): of processes that this user may not look into\n");
}

void states_report_table(FILE *out, bool color, const struct states_report *report)
{
	const struct socket_tally *tally = report->tally;
	char flows[NUMBER_STRLEN] = "-";
	uint64_t total = 0;
	if (tally->by != TALLY_BY_NOTHING) {
		print_groups(out, color, report);
		return;
	}
	(void)fprintf(out, "%sSTATE        SOCKETS CONNTRACK  MEANING%s\n",
		      output_color(color, OUTPUT_BOLD), output_color(color, OUTPUT_PLAIN));
	for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++) {
		const struct socket_state *state = &socket_states[i];
		if (!(tally->states_wanted >> state->number & 1))
			continue;
		print_state(out, color, report, state);
		if (is_told(report, state))
			total += report->conntrack->counts[state->conntrack];
	}
	if (report->conntrack->from != CONNTRACK_UNKNOWN)
		(void)number(flows, total);
	(void)fprintf(out, "%-11s %8" PRIu64 " %9s\n", "total", tally->total, flows);
	print_conntrack(out, report->conntrack);
}

static void json_states(struct json *json, const uint64_t states[static SOCKET_STATE_COUNT],
			uint32_t wanted)
{
	json_object(json, "states");
	for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++)
		if (wanted >> socket_states[i].number & 1)
			json_number(json, socket_states[i].name, states[socket_states[i].number]);
	json_end(json);
}

static void json_conntrack(struct json *json, const struct states_conntrack *conntrack)
{
	static const char *const from[] = {NULL, "daemon", "kernel"};
	json_object(json, "conntrack");
	json_string(json, "from", from[conntrack->from]);
	if (conntrack->from == CONNTRACK_UNKNOWN) {
		json_string(json, "error",
			    conntrack->err == -EOPNOTSUPP ? "the kernel tracks nothing"
							  : strerror(-conntrack->err));
		json_end(json);
		return;
	}
	if (conntrack->from == CONNTRACK_DAEMON)
		json_bool(json, "closing_followed", !conntrack->closing_unknown);
	json_number(json, "total", conntrack->total);
	json_object(json, "states");
	for (unsigned i = 0; i < TG_TCP_STATE_COUNT; i++)
		json_number(json, tg_tcp_state_name((enum tg_tcp_state)i), conntrack->counts[i]);
	json_end(json);
	json_end(json);
}

static void json_key(struct json *json, const struct states_report *report,
		     const struct tally_group *group)
{
	static const char *const kinds[] = {
		[TALLY_IN] = "in",           [TALLY_OUT] = "out",
		[TALLY_PROCESS] = "process", [TALLY_HIDDEN] = "hidden",
		[TALLY_KERNEL] = "kernel",   [TALLY_SOURCE] = "source",
		[TALLY_USER] = "user",       [TALLY_LISTENING] = "listening",
	};
	const char *name = report->name ? report->name(report->data, group) : NULL;
	const struct tg_prefix source = {.addr = group->key.addr,
					 .len = (uint8_t)group->key.number};
	char text[TG_PREFIX_STRLEN];
	json_string(json, "kind", kinds[group->key.kind]);
	switch ((enum tally_kind)group->key.kind) {
	case TALLY_IN:
	case TALLY_OUT:
		json_number(json, "port", group->key.number);
		break;
	case TALLY_PROCESS:
		json_number(json, "pid", group->key.number);
		json_string(json, "process", name);
		break;
	case TALLY_SOURCE:
		json_string(json, "source", tg_prefix_format(&source, text));
		if (report->resolved)
			json_string(json, "name", name);
		break;
	case TALLY_USER:
		json_number(json, "uid", group->key.number);
		json_string(json, "user", name);
		break;
	case TALLY_HIDDEN:
	case TALLY_KERNEL:
	case TALLY_LISTENING:
		break;
	}
}

static void json_groups(struct json *json, const struct states_report *report)
{
	const struct socket_tally *tally = report->tally;
	uint64_t wide[SOCKET_STATE_COUNT], left_out = 0;
	json_string(json, "by", by_words[tally->by]);
	json_array(json, "groups");
	for (uint32_t i = 0; i < tally->group_count; i++) {
		json_object(json, NULL);
		json_key(json, report, &tally->groups[i]);
		json_number(json, "total", tally->groups[i].total);
		widen(wide, &tally->groups[i]);
		json_states(json, wide, tally->states_wanted);
		json_end(json);
	}
	json_end(json);
	for (size_t i = 0; i < SOCKET_STATE_COUNT; i++)
		left_out += tally->others[i];
	json_object(json, "others");
	json_number(json, "groups", tally->groups_in_all - tally->group_count);
	json_number(json, "total", left_out);
	json_states(json, tally->others, tally->states_wanted);
	json_end(json);
}

void states_report_json(FILE *out, const struct states_report *report)
{
	const struct socket_tally *tally = report->tally;
	struct json json;
	json_begin(&json, out);
	if (tally->port != 0)
		json_number(&json, "port", tally->port);
	json_number(&json, "total", tally->total);
	json_states(&json, tally->states, tally->states_wanted);
	if (tally->by == TALLY_BY_NOTHING)
		json_conntrack(&json, report->conntrack);
	else
		json_groups(&json, report);
	json_finish(&json);
}
