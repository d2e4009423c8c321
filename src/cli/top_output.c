/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a page of sources looks: a table, the same on a screen, and JSON. */
#include "top_output.h"

#include <inttypes.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "json.h"
#include "names.h"
#include "output.h"
#include "top_page.h"

#define LINE_SIZE 512
#define NUMBER_SIZE 24
/* From here on a source is close enough to its limit to be shown so. */
#define CLOSE_PERCENT 80

static const char *const from_words[] = {"daemon", "sockets", "conntrack"};

struct columns {
	size_t source, policy; /* widths; 0: not shown */
	size_t values[TOP_COLUMN_COUNT];
	bool near;
};

/* An address is itself; a network has its length. */
static const char *source_text(const struct top_row *row, char buf[static TG_PREFIX_STRLEN])
{
	const struct tg_prefix *source = &row->source;
	if (!tg_prefix_is_total(source) &&
	    source->len == tg_family_bits((enum tg_family)source->addr.family))
		return tg_addr_format(&source->addr, buf);
	return tg_prefix_format(source, buf);
}

/* NULL: not known, or not wanted. */
static const char *name_of(const struct names *names, const struct top_row *row)
{
	char text[TG_PREFIX_STRLEN];
	return names ? names_find(names, tg_prefix_format(&row->source, text)) : NULL;
}

static const char *value_text(const struct top_page *page, const struct top_row *row,
			      enum top_column column, char buf[static NUMBER_SIZE])
{
	const uint64_t value = top_row_value(row, column);
	if (value == 0 || (column == TOP_NEW && !page->rates_known))
		return "-";
	(void)snprintf(buf, NUMBER_SIZE, "%" PRIu64, value);
	return buf;
}

static const char *title_of(const struct top_page *page, enum top_column column)
{
	/* The daemon holds them against limits with windows of their own. */
	if (column == TOP_NEW && page->from == TOP_FROM_DAEMON)
		return "NEW";
	return top_column_titles[column];
}

/* Of a screen, around the rows: the headline, the note, the titles and the keys. */
static size_t lines_left(const struct top_look *look, const struct top_page *page)
{
	const size_t around = 3u + (page->note[0] != '\0');
	return look->height > around ? look->height - around : 0;
}

static size_t rows_shown(const struct top_look *look, const struct top_page *page)
{
	return look->height == 0 ? page->count : MIN(page->count, lines_left(look, page));
}

static unsigned percent(const struct top_near *near)
{
	return near->threshold ? (unsigned)MIN(near->measured * 100 / near->threshold, 9999) : 0;
}

/* "9 min" of "9 min 12 s". */
static void short_span(uint64_t seconds, char buf[static OUTPUT_SPAN_STRLEN])
{
	char *blank = strchr(output_span(seconds, buf), ' ');
	blank = blank ? strchr(blank + 1, ' ') : NULL;
	if (blank)
		*blank = '\0';
}

/* "drop 9 min; 92% web/open-per-ip" */
static void put_near(struct tg_strbuf *line, const struct top_row *row)
{
	const struct top_near *near = row->near;
	char span[OUTPUT_SPAN_STRLEN];
	if (near->bans > 0 && near->covers) {
		short_span(near->expires_in, span);
		tg_strbuf_printf(line, "%s%s %s", near->observed ? "would " : "", near->action,
				 span);
	} else if (near->bans > 0) {
		tg_strbuf_printf(line, "%" PRIu64 " %s in it",
				 near->enforced ? near->enforced : near->bans,
				 near->enforced ? "banned" : "observed");
	}
	/* The policy of the row needs no second mention. */
	const bool same = strcmp(near->policy, row->policy) == 0;
	if (near->policy[0])
		tg_strbuf_printf(line, "%s%u%% %s%s%s", near->bans ? "; " : "", percent(near),
				 same ? "" : near->policy, same ? "" : "/", near->limit);
	else if (near->bans == 0)
		tg_strbuf_puts(line, "-");
}

static size_t near_width(const struct top_row *row)
{
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	if (row->near)
		put_near(&text, row);
	const size_t width = text.len;
	tg_strbuf_finish(&text);
	return width;
}

static size_t width_of(const struct columns *columns, size_t near)
{
	size_t width = columns->source + (columns->policy ? 2 + columns->policy : 0);
	for (unsigned i = 0; i < TOP_COLUMN_COUNT; i++)
		width += columns->values[i] ? 2 + columns->values[i] : 0;
	return width + (columns->near ? 2 + near : 0);
}

/* Where a line is cut, columns that hold nothing give way to what is cut off. */
static void hide_empty(const struct top_look *look, const struct top_page *page, uint32_t filled,
		       size_t near, struct columns *columns)
{
	for (unsigned i = TOP_COLUMN_COUNT; look->width > 0 && i-- > 0;) {
		if (width_of(columns, near) <= look->width)
			break;
		if (i != page->sort && !(filled >> i & 1))
			columns->values[i] = 0;
	}
}

static struct columns measure(const struct top_look *look, const struct top_page *page, size_t rows)
{
	char text[TG_PREFIX_STRLEN], digits[NUMBER_SIZE];
	struct columns columns = {.source = strlen("SOURCE")};
	uint32_t filled = 1u << TOP_TOTAL;
	size_t near = strlen("BAN, LIMIT");
	for (unsigned i = 0; i < TOP_COLUMN_COUNT; i++)
		columns.values[i] = strlen(title_of(page, (enum top_column)i));
	for (size_t i = 0; i < rows; i++) {
		const struct top_row *row = &page->rows[i];
		columns.source = MAX(columns.source, strlen(source_text(row, text)));
		if (page->from == TOP_FROM_DAEMON)
			columns.policy =
				MAX(columns.policy, MAX(strlen("POLICY"), strlen(row->policy)));
		for (unsigned j = 0; j < TOP_COLUMN_COUNT; j++) {
			const char *value = value_text(page, row, (enum top_column)j, digits);
			columns.values[j] = MAX(columns.values[j], strlen(value));
			filled |= (uint32_t)(strcmp(value, "-") != 0) << j;
		}
		columns.near |= row->near != NULL;
		near = MAX(near, near_width(row));
	}
	hide_empty(look, page, filled, near, &columns);
	return columns;
}

static enum output_color color_of(const struct top_near *near)
{
	if (near && near->enforced > 0 && near->covers)
		return OUTPUT_RED;
	return near && percent(near) >= CLOSE_PERCENT ? OUTPUT_BOLD : OUTPUT_PLAIN;
}

/* Escaped, cut to the width, in one colour, and without blanks at its end. */
static void print_line(FILE *out, const struct top_look *look, enum output_color color,
		       const struct tg_strbuf *line)
{
	struct tg_strbuf safe;
	tg_strbuf_init(&safe);
	tg_text_escape(&safe, line->text);
	size_t len = output_fit(safe.text, look->width);
	while (len > 0 && safe.text[len - 1] == ' ')
		len--;
	const bool colored = look->color && color != OUTPUT_PLAIN;
	(void)fprintf(out, "%s%.*s%s%s", output_color(colored, color), (int)len, safe.text,
		      output_color(colored, OUTPUT_PLAIN), look->newline);
	tg_strbuf_finish(&safe);
}

static void put_row(struct tg_strbuf *line, const struct columns *columns,
		    const struct top_page *page, const struct top_row *row)
{
	char text[TG_PREFIX_STRLEN], digits[NUMBER_SIZE];
	tg_strbuf_printf(line, "%-*s", (int)columns->source, source_text(row, text));
	if (columns->policy)
		tg_strbuf_printf(line, "  %-*s", (int)columns->policy, row->policy);
	for (unsigned i = 0; i < TOP_COLUMN_COUNT; i++)
		if (columns->values[i])
			tg_strbuf_printf(line, "  %*s", (int)columns->values[i],
					 value_text(page, row, (enum top_column)i, digits));
	if (columns->near)
		tg_strbuf_puts(line, "  ");
	if (columns->near && row->near)
		put_near(line, row);
}

/* The column that decides the order is marked on a screen, where it can be chosen. */
static void print_titles(FILE *out, const struct top_look *look, const struct columns *columns,
			 const struct top_page *page)
{
	struct tg_strbuf line;
	tg_strbuf_init(&line);
	tg_strbuf_printf(&line, "%-*s", (int)columns->source, "SOURCE");
	if (columns->policy)
		tg_strbuf_printf(&line, "  %-*s", (int)columns->policy, "POLICY");
	for (unsigned i = 0; i < TOP_COLUMN_COUNT; i++) {
		const char *title = title_of(page, (enum top_column)i);
		if (!columns->values[i])
			continue;
		const int pad = (int)(columns->values[i] - strlen(title));
		const bool marked = look->height > 0 && i == page->sort;
		tg_strbuf_printf(&line, " %*s%c%s", pad, "", marked ? '>' : ' ', title);
	}
	if (columns->near)
		tg_strbuf_puts(&line, "  BAN, LIMIT");
	print_line(out, look, OUTPUT_BOLD, &line);
	tg_strbuf_finish(&line);
}

static void put_headline(struct tg_strbuf *line, const struct top_page *page)
{
	static const char *const words[] = {"as the daemon counts", "sockets of this host",
					    "flows of conntrack"};
	tg_strbuf_printf(line, "tcpguard top: %s", words[page->from]);
	if (page->from != TOP_FROM_DAEMON)
		tg_strbuf_printf(line, ", %" PRIu64 " from %" PRIu64 " sources", page->total,
				 page->sources);
	if (page->port)
		tg_strbuf_printf(line, ", port %u", page->port);
}

static void print_text(FILE *out, const struct top_look *look, enum output_color color,
		       const char *text)
{
	struct tg_strbuf line;
	tg_strbuf_init(&line);
	tg_strbuf_puts(&line, text);
	print_line(out, look, color, &line);
	tg_strbuf_finish(&line);
}

static void print_head(FILE *out, const struct top_look *look, const struct top_page *page)
{
	struct tg_strbuf line;
	tg_strbuf_init(&line);
	put_headline(&line, page);
	print_line(out, look, OUTPUT_PLAIN, &line);
	tg_strbuf_finish(&line);
	if (page->note[0])
		print_text(out, look, OUTPUT_PLAIN, page->note);
}

/* What the rows do not hold. */
static void print_rest(FILE *out, const struct top_look *look, const struct top_page *page)
{
	struct tg_strbuf line;
	tg_strbuf_init(&line);
	uint64_t shown = 0;
	for (size_t i = 0; i < page->count; i++)
		shown += page->rows[i].total;
	if (page->from == TOP_FROM_DAEMON && page->count == 0)
		tg_strbuf_puts(&line, "no source has a connection that a policy counts");
	else if (page->from != TOP_FROM_DAEMON && page->total == 0)
		tg_strbuf_puts(&line, "no source has such a connection");
	else if (page->from != TOP_FROM_DAEMON)
		tg_strbuf_printf(
			&line, "%" PRIu64 " of %" PRIu64 " connections, %zu of %" PRIu64 " sources",
			shown, page->total, page->count, page->sources);
	if (line.len > 0)
		print_line(out, look, OUTPUT_PLAIN, &line);
	if (page->crowded) {
		tg_strbuf_clear(&line);
		tg_strbuf_printf(&line,
				 "%" PRIu64 " connections of sources beyond the first %" PRIu64
				 " are not ranked: --prefix takes networks",
				 page->crowded, page->sources);
		print_line(out, look, OUTPUT_PLAIN, &line);
	}
	if (page->note[0])
		print_text(out, look, OUTPUT_PLAIN, page->note);
	tg_strbuf_finish(&line);
}

/* Behind the row, or below it where it would not be seen. Lines that were printed. */
static size_t print_row(FILE *out, const struct top_look *look, const struct columns *columns,
			const struct top_page *page, const struct top_row *row)
{
	const char *name = name_of(look->names, row);
	const enum output_color color = color_of(row->near);
	char text[NAMES_LEN];
	struct tg_strbuf line;
	tg_strbuf_init(&line);
	put_row(&line, columns, page, row);
	if (name && look->width > 0)
		name = names_cut(name, look->width - MIN(look->width, sizeof("    ()")), text);
	const bool below = name && look->width > 0 && line.len + 4 + strlen(name) > look->width;
	if (name && !below)
		tg_strbuf_printf(&line, "  (%s)", name);
	print_line(out, look, color, &line);
	if (below) {
		tg_strbuf_clear(&line);
		tg_strbuf_printf(&line, "    (%s)", name);
		print_line(out, look, OUTPUT_PLAIN, &line);
	}
	tg_strbuf_finish(&line);
	return 1u + below;
}

void top_output_table(FILE *out, const struct top_look *look, const struct top_page *page)
{
	const size_t rows = rows_shown(look, page);
	const struct columns columns = measure(look, page, rows);
	if (look->height > 0)
		print_head(out, look, page);
	if (look->height > 0 || page->count > 0)
		print_titles(out, look, &columns, page);
	const size_t room = look->height > 0 ? lines_left(look, page) : SIZE_MAX;
	size_t lines = 0;
	for (size_t i = 0; i < rows && lines + 1 + (look->names != NULL) <= room; i++)
		lines += print_row(out, look, &columns, page, &page->rows[i]);
	if (look->height == 0)
		print_rest(out, look, page);
}

static void json_states(struct json *json, const struct top_page *page, const struct top_row *row)
{
	json_object(json, "states");
	if (page->from == TOP_FROM_SOCKETS) {
		for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++)
			if (page->states_wanted >> socket_states[i].number & 1)
				json_number(json, socket_states[i].name,
					    row->states[socket_states[i].number]);
	} else {
		for (unsigned i = 0; i < TG_TCP_STATE_COUNT; i++) {
			const enum tg_tcp_state state = (enum tg_tcp_state)i;
			if (page->states_wanted >> top_state_of(state) & 1)
				json_number(json, tg_tcp_state_name(state),
					    row->states[top_state_of(state)]);
		}
	}
	json_end(json);
}

static void json_near(struct json *json, const struct top_near *near)
{
	char text[TG_PREFIX_STRLEN];
	if (near && near->bans > 0) {
		json_object(json, "ban");
		json_string(json, "source", tg_prefix_format(&near->banned, text));
		json_string(json, "action", near->action);
		json_bool(json, "enforced", !near->observed);
		json_number(json, "expires_in", near->expires_in);
		json_number(json, "bans", near->bans);
		json_number(json, "bans_enforced", near->enforced);
		json_end(json);
	} else {
		json_string(json, "ban", NULL);
	}
	if (near && near->policy[0]) {
		json_object(json, "nearest");
		json_string(json, "policy", near->policy);
		json_string(json, "limit", near->limit);
		json_number(json, "measured", near->measured);
		json_number(json, "threshold", near->threshold);
		json_end(json);
	} else {
		json_string(json, "nearest", NULL);
	}
}

static void json_row(struct json *json, const struct names *names, const struct top_page *page,
		     const struct top_row *row)
{
	char text[TG_PREFIX_STRLEN];
	json_object(json, NULL);
	json_string(json, "source", tg_prefix_format(&row->source, text));
	if (names)
		json_string(json, "name", name_of(names, row));
	if (page->from == TOP_FROM_DAEMON)
		json_string(json, "policy", row->policy[0] ? row->policy : NULL);
	json_number(json, "total", row->total);
	json_states(json, page, row);
	if (page->from == TOP_FROM_DAEMON) {
		json_number(json, "idle", row->idle);
		json_number(json, "hosts", row->hosts);
	}
	if (page->rates_known)
		json_number(json, "new_rate", row->fresh);
	else
		json_string(json, "new_rate", NULL);
	if (page->near_known)
		json_near(json, row->near);
	json_end(json);
}

void top_output_json(FILE *out, const struct names *names, const struct top_page *page)
{
	struct json json;
	json_begin(&json, out);
	json_string(&json, "from", from_words[page->from]);
	json_string(&json, "note", page->note[0] ? page->note : NULL);
	json_string(&json, "sort", top_column_words[page->sort]);
	if (page->port)
		json_number(&json, "port", page->port);
	if (page->from != TOP_FROM_DAEMON) {
		json_number(&json, "total", page->total);
		json_number(&json, "sources_total", page->sources);
		json_number(&json, "not_ranked", page->crowded);
	}
	json_array(&json, "sources");
	for (size_t i = 0; i < page->count; i++)
		json_row(&json, names, page, &page->rows[i]);
	json_end(&json);
	json_finish(&json);
}
