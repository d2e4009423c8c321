/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what may come next on a command line. Verbs and options are those of the table that parses
 * them, so that no shell keeps a list of its own.
 */
#include "complete.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <tcpguard/addr.h>

#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "ban_record.h"
#include "cli.h"
#include "client.h"
#include "socket_states.h"
#include "top_page.h"

/* Who waits for a shell's answer has pressed one key. */
#define BANS_TIMEOUT_MS 1000
/* Beyond that a list helps nobody, and a shell takes long over it: the next digits tell. */
#define BANS_MAX 1000

/* A command line as far as it has been read. */
struct line {
	struct cli cli;
	const struct complete_table *table;
	const struct cli_verb *verb;       /* NULL: not yet */
	const struct cli_option *awaiting; /* its argument is the next word */
	bool used[CLI_OPTIONS_MAX];        /* options of the verb */
	bool operands_only;                /* after "--" */
	int operands;
};

/* The word that is to be completed: what stays of it, and what the offers begin with. */
struct place {
	const char *kept;
	int kept_len;
	const char *begun;
};

static void offer(const struct place *place, const char *word, const char *about)
{
	if (strncmp(word, place->begun, strlen(place->begun)) == 0)
		(void)printf("%.*s%s\t%s\n", place->kept_len, place->kept, word, about);
}

static void offer_words(const struct place *place, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		offer(place, words[i], "");
}

static void offer_states(const struct place *place)
{
	/* Several stand between commas: the last one is begun. */
	const char *comma = strrchr(place->begun, ',');
	struct place last = *place;
	if (comma) {
		last.kept_len = (int)(comma + 1 - place->kept);
		last.begun = comma + 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(socket_states); i++)
		offer(&last, socket_states[i].name, socket_states[i].meaning);
}

static uint64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A ban as verbs take it: an address without its length, or, if only one is taken, any of it. */
static bool put_ban(struct tg_strbuf *out, const struct tg_record *record,
		    const struct place *place, bool address_only)
{
	char text[TG_PREFIX_STRLEN], action[64], why[256];
	const char *source = tg_record_get(record, "source");
	struct tg_prefix prefix;
	if (!source || tg_prefix_parse(source, &prefix))
		return false; /* the ban of a whole service has no address */
	if (address_only || prefix.len == tg_family_bits((enum tg_family)prefix.addr.family))
		(void)tg_addr_format(&prefix.addr, text);
	else
		(void)tg_prefix_format(&prefix, text);
	if (strncmp(text, place->begun, strlen(place->begun)) != 0)
		return false;
	ban_record_action(record, action, sizeof(action));
	ban_record_why(record, why, sizeof(why));
	tg_strbuf_printf(out, "%.*s%s\t", place->kept_len, place->kept, text);
	tg_text_escape(out, action);
	tg_strbuf_puts(out, ", ");
	tg_text_escape(out, why);
	tg_strbuf_putc(out, '\n');
	return true;
}

/* All that fit, or none: a shell would take what a part has in common for common to all. */
static void offer_bans(const struct line *line, const struct place *place, bool address_only)
{
	struct client client;
	struct tg_record record;
	struct tg_strbuf request, out;
	unsigned count = 0;
	const uint64_t until = now_ms() + BANS_TIMEOUT_MS;
	if (client_open(&client, line->cli.socket) < 0)
		return;
	tg_strbuf_init(&request);
	tg_strbuf_init(&out);
	tg_record_begin(&request, "list");
	tg_record_end(&request);
	enum client_result result = client_send(&client, &request) ? CLIENT_RECORD : CLIENT_BROKEN;
	while (result == CLIENT_RECORD && count <= BANS_MAX) {
		const uint64_t now = now_ms();
		if (now >= until)
			break;
		result = client_next(&client, (int)(until - now), &record);
		if (result == CLIENT_RECORD && strcmp(record.name, "ban") == 0)
			count += put_ban(&out, &record, place, address_only);
	}
	if (result == CLIENT_DONE && count <= BANS_MAX && !out.failed)
		(void)fputs(out.text, stdout);
	client_close(&client);
	tg_strbuf_finish(&request);
	tg_strbuf_finish(&out);
}

/* An argument by the word that help has for it. tests/golden/completion knows the ones without. */
static void offer_values(const struct line *line, const struct place *place, const char *argument)
{
	static const char *const actions[] = {"drop", "reject", "cap", "rate-limit"};
	static const char *const scopes[] = {"new", "everything"};
	static const char *const severities[] = {"advice", "warning", "critical"};
	static const char *const groups[] = {"port", "process", "source", "user"};
	static const char *const origins[] = {"daemon", "sockets", "conntrack"};
	static const struct {
		const char *argument;
		const char *const *words;
		size_t count;
	} closed[] = {
		{"ACTION", actions, ARRAY_SIZE(actions)},
		{"SCOPE", scopes, ARRAY_SIZE(scopes)},
		{"SEVERITY", severities, ARRAY_SIZE(severities)},
		{"WHAT", groups, ARRAY_SIZE(groups)},
		{"WHOM", origins, ARRAY_SIZE(origins)},
		{"COLUMN", top_column_words, TOP_COLUMN_COUNT},
	};
	argument += argument[0] == '[';
	const size_t len = strcspn(argument, "],[/|");
	for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
		if (strcmp(argument, closed[i].argument) == 0)
			offer_words(place, closed[i].words, closed[i].count);
	if (strncmp(argument, "FILE", len) == 0 || strncmp(argument, "PATH", len) == 0 ||
	    strncmp(argument, "TRACE", len) == 0)
		(void)puts("\tfiles");
	else if (strcmp(argument, "DIR") == 0)
		(void)puts("\tdirectories");
	else if (strcmp(argument, "S[,S]...") == 0)
		offer_states(place);
	else if (strcmp(argument, "PREFIX") == 0 || strncmp(argument, "ADDR", len) == 0)
		offer_bans(line, place, strcmp(argument, "ADDR") == 0);
}

static void offer_option(const struct place *place, const struct cli_option *option)
{
	char text[48];
	(void)snprintf(text, sizeof(text), "--%s", option->name);
	offer(place, text, option->help);
}

static size_t options_of(const struct line *line, const struct cli_option **ret_options)
{
	size_t count = 0;
	*ret_options = line->verb ? line->verb->options : line->table->options;
	if (!line->verb)
		return line->table->option_count;
	while (count < CLI_OPTIONS_MAX && (*ret_options)[count].name)
		count++;
	return count;
}

static void offer_options(const struct line *line, const struct place *place)
{
	static const struct cli_option help = {"help", NULL, "show this"};
	const struct cli_option *options;
	const size_t count = options_of(line, &options);
	for (size_t i = 0; i < count; i++)
		if (!line->verb || !line->used[i])
			offer_option(place, &options[i]);
	if (line->verb)
		offer_option(place, &help);
}

/* By its name, which ends with the word or at "=". */
static const struct cli_option *find_option(const struct line *line, const char *word)
{
	const struct cli_option *options;
	const size_t count = options_of(line, &options);
	const char *name = strcmp(word, "-n") == 0 ? "count" : word + 2;
	const size_t len = strcspn(name, "=");
	if (name == word + 2 && strncmp(word, "--", 2) != 0)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static void read_value(struct line *line, const struct cli_option *option, const char *value)
{
	if (line->verb)
		return;
	/* The daemon that is going to be asked. */
	if (strcmp(option->name, "socket") == 0)
		line->cli.socket = value;
}

static void read_option(struct line *line, const char *word)
{
	const struct cli_option *option = find_option(line, word);
	const char *value = strchr(word, '=');
	if (!option)
		return;
	if (line->verb)
		line->used[option - line->verb->options] = true;
	if (value)
		read_value(line, option, value + 1);
	else if (option->argument && option->argument[0] != '[')
		line->awaiting = option;
}

/* False: a verb that there is not, and nothing is known of what follows it. */
static bool read_word(struct line *line, const char *word)
{
	if (line->awaiting) {
		read_value(line, line->awaiting, word);
		line->awaiting = NULL;
	} else if (!line->operands_only && strcmp(word, "--") == 0 && line->verb) {
		line->operands_only = true;
	} else if (!line->operands_only && word[0] == '-' && word[1]) {
		read_option(line, word);
	} else if (line->verb) {
		line->operands++;
	} else {
		for (size_t i = 0; i < line->table->verb_count && !line->verb; i++)
			if (strcmp(line->table->verbs[i]->name, word) == 0)
				line->verb = line->table->verbs[i];
		return line->verb;
	}
	return true;
}

static void offer_last(const struct line *line, const char *word)
{
	struct place place = {.kept = word, .begun = word};
	const struct cli_option *option;
	const char *value = strchr(word, '=');
	if (line->awaiting) {
		offer_values(line, &place, line->awaiting->argument);
	} else if (word[0] == '-' && !line->operands_only) {
		if (!value) {
			offer_options(line, &place);
		} else if ((option = find_option(line, word)) && option->argument) {
			place.kept_len = (int)(value + 1 - word);
			place.begun = value + 1;
			offer_values(line, &place, option->argument);
		}
	} else if (!line->verb) {
		for (size_t i = 0; i < line->table->verb_count; i++)
			offer(&place, line->table->verbs[i]->name, line->table->verbs[i]->summary);
	} else if (line->operands < line->verb->operands_max) {
		/* Who is banned already is not whom one bans. */
		if (strcmp(line->verb->name, "ban") != 0)
			offer_values(line, &place, line->verb->operands);
	} else if (!line->operands_only) {
		offer_options(line, &place);
	}
}

void complete_words(const struct cli *cli, const struct complete_table *table, int count,
		    char **words)
{
	struct line line = {.cli = *cli, .table = table};
	for (int i = 0; i < count - 1; i++)
		if (!read_word(&line, words[i]))
			return;
	if (count > 0)
		offer_last(&line, words[count - 1]);
}
