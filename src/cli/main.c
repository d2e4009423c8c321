/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of verbs drives dispatch, options and every help text. */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/util.h"
#include "cli.h"
#include "complete.h"
#include "progress.h"

static const struct cli_verb *const verbs[] = {
	&verb_status,   &verb_list,    &verb_top,    &verb_ban,     &verb_unban,
	&verb_check,    &verb_plan,    &verb_reload, &verb_ruleset, &verb_panic,
	&verb_record,   &verb_explain, &verb_events, &verb_import,  &verb_kill,
	&verb_simulate, &verb_suggest, &verb_doctor, &verb_states,  &verb_metrics,
};

static const struct cli_option global_options[] = {
	{"socket", "PATH", "control socket (" TCPGUARD_SOCKET ")"},
	{"config", "FILE", "policy file (" TCPGUARD_CONFIG ")"},
	{"help", NULL, "show this; after a verb: about the verb"},
	{"version", NULL, "show the version"},
};

void cli_complain(const char *format, ...)
{
	struct tg_strbuf raw, safe;
	va_list args;
	tg_strbuf_init(&raw);
	tg_strbuf_init(&safe);
	va_start(args, format);
	tg_strbuf_vprintf(&raw, format, args);
	va_end(args);
	tg_text_escape(&safe, raw.text);
	progress_clear_line();
	(void)fprintf(stderr, "tcpguard: %s\n", safe.text);
	tg_strbuf_finish(&raw);
	tg_strbuf_finish(&safe);
}

static void print_option(FILE *out, const char *name, const char *argument, const char *help)
{
	char text[48];
	(void)snprintf(text, sizeof(text), "--%s%s%s", name, argument ? " " : "",
		       argument ? argument : "");
	(void)fprintf(out, "  %-24s %s\n", text, help);
}

static void print_help(FILE *out)
{
	(void)fprintf(out, "Usage: tcpguard [--socket PATH] [--config FILE] VERB [OPTION]...\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		(void)fprintf(out, "  %-9s %s\n", verbs[i]->name, verbs[i]->summary);
	(void)fprintf(out, "\n");
	for (size_t i = 0; i < ARRAY_SIZE(global_options); i++)
		print_option(out, global_options[i].name, global_options[i].argument,
			     global_options[i].help);
	(void)fprintf(out, "\nExit status: 0 done, 1 no, 2 usage or unreadable input, "
			   "3 no daemon.\n");
}

static void print_verb_help(FILE *out, const struct cli_verb *verb)
{
	(void)fprintf(out, "Usage: tcpguard %s%s%s [OPTION]...\n%s.\n\n", verb->name,
		      verb->operands[0] ? " " : "", verb->operands, verb->summary);
	for (int i = 0; i < CLI_OPTIONS_MAX && verb->options[i].name; i++)
		print_option(out, verb->options[i].name, verb->options[i].argument,
			     verb->options[i].help);
	print_option(out, "help", NULL, "show this");
}

static int usage_error(const struct cli_verb *verb)
{
	(void)fprintf(stderr, "Try 'tcpguard %s%s--help'.\n", verb ? verb->name : "",
		      verb ? " " : "");
	return CLI_USAGE;
}

/* What getopt_long gives for long options: above every short one. */
enum { OPTION_FIRST = 1000, OPTION_HELP = 2000 };

/* The name of an option that getopt_long has found something wrong with. */
static const char *name_of(const struct cli_option *options, int count, int id)
{
	if (id >= OPTION_FIRST && id < OPTION_FIRST + count)
		return options[id - OPTION_FIRST].name;
	return "help";
}

/* id: what getopt_long said; before it gives its word in optopt and in argv. */
static void complain_option(const struct cli_option *options, int count, char **argv, int id)
{
	const char *names[CLI_OPTIONS_MAX + 1] = {0};
	char typed[64];
	if (optopt >= OPTION_FIRST) {
		cli_complain(id == ':' ? "--%s wants a value" : "--%s takes no value",
			     name_of(options, count, optopt));
		return;
	}
	if (optopt != 0) {
		cli_complain(id == ':' ? "-%c wants a value" : "there is no option -%c", optopt);
		return;
	}
	const char *word = argv[optind - 1] + 2;
	(void)snprintf(typed, sizeof(typed), "%.*s", (int)strcspn(word, "="), word);
	int begun = 0; /* words that it may be short for */
	for (int i = 0; i <= count; i++) {
		names[i] = i < count ? options[i].name : "help";
		begun += strncmp(names[i], typed, strlen(typed)) == 0;
	}
	if (begun > 1) {
		cli_complain("--%s is short for more than one option", typed);
		return;
	}
	const char *near = tg_nearest_word(typed, names, (size_t)count + 1);
	cli_complain("there is no option --%s%s%s%s", typed, near ? "; did you mean --" : "",
		     near ? near : "", near ? "?" : "");
}

/* "[TIME]" may be left out. */
static int argument_of(const struct cli_option *option)
{
	if (!option->argument)
		return no_argument;
	return option->argument[0] == '[' ? optional_argument : required_argument;
}

/* -n is short for --count. The index of the option, or count if the verb has none. */
static int find_count(const struct cli_verb *verb, int count)
{
	int id = 0;
	while (id < count && strcmp(verb->options[id].name, "count") != 0)
		id++;
	return id;
}

/* As getopt_long wants them; how many. */
static int list_options(const struct cli_verb *verb,
			struct option options[static CLI_OPTIONS_MAX + 2])
{
	int count = 0;
	for (; count < CLI_OPTIONS_MAX && verb->options[count].name; count++)
		options[count] = (struct option){.name = verb->options[count].name,
						 .has_arg = argument_of(&verb->options[count]),
						 .val = OPTION_FIRST + count};
	options[count] = (struct option){.name = "help", .val = OPTION_HELP};
	return count;
}

/* -1: go on; else the exit status. */
static int parse_verb(const struct cli_verb *verb, int argc, char **argv, struct cli_args *args)
{
	struct option options[CLI_OPTIONS_MAX + 2] = {0};
	const int count = list_options(verb, options), n = find_count(verb, count);
	int id;
	optind = 0; /* starts anew, with the verb in the place of the program */
	while ((id = getopt_long(argc, argv, n < count ? ":n:" : ":", options, NULL)) != -1) {
		if (id == 'n')
			id = OPTION_FIRST + n;
		if (id == OPTION_HELP) {
			print_verb_help(stdout, verb);
			return CLI_OK;
		}
		if (id == ':' || id == '?') {
			complain_option(verb->options, count, argv, id);
			return usage_error(verb);
		}
		id -= OPTION_FIRST;
		if (optarg && args->values[id]) {
			cli_complain("--%s is given twice", options[id].name);
			return usage_error(verb);
		}
		args->values[id] = optarg ? optarg : "";
	}
	args->operands = argv + optind;
	args->operand_count = argc - optind;
	if (args->operand_count >= verb->operands_min && args->operand_count <= verb->operands_max)
		return -1;
	cli_complain("%s takes %s", verb->name, verb->operands[0] ? verb->operands : "no operands");
	return usage_error(verb);
}

static void complain_verb(const char *word)
{
	const char *names[ARRAY_SIZE(verbs)];
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		names[i] = verbs[i]->name;
	const char *near = tg_nearest_word(word, names, ARRAY_SIZE(verbs));
	cli_complain("there is no verb '%s'%s%s%s", word, near ? "; did you mean '" : "",
		     near ? near : "", near ? "'?" : "");
}

static int run_verb(const struct cli *cli, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i]->name, argv[0]) != 0)
			continue;
		struct cli_args args = {0};
		int status = parse_verb(verbs[i], argc, argv, &args);
		if (status < 0)
			status = verbs[i]->run(cli, &args);
		/* A full disk or a closed pipe behind stdout is a failure that scripts must see. */
		if ((fflush(stdout) != 0 || ferror(stdout)) && status == CLI_OK)
			status = CLI_USAGE;
		return status;
	}
	complain_verb(argv[0]);
	return usage_error(NULL);
}

int main(int argc, char **argv)
{
	/* In the order of global_options. */
	enum { SOCKET = OPTION_FIRST, CONFIG, HELP, VERSION };
	static const struct option options[] = {{"socket", required_argument, NULL, SOCKET},
						{"config", required_argument, NULL, CONFIG},
						{"help", no_argument, NULL, HELP},
						{"version", no_argument, NULL, VERSION},
						{0}};
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct cli cli = {.socket = TCPGUARD_SOCKET,
			  .config = TCPGUARD_CONFIG,
			  .color = isatty(STDOUT_FILENO) && !(no_color && no_color[0]) && term &&
				   strcmp(term, "dumb") != 0};
	int id;
	/* Of the shells, and no option of people's: in no help, and nothing but the first word. */
	if (argc > 1 && strcmp(argv[1], "--complete") == 0) {
		const struct complete_table table = {verbs, ARRAY_SIZE(verbs), global_options,
						     ARRAY_SIZE(global_options)};
		complete_words(&cli, &table, argc - 2, argv + 2);
		return CLI_OK;
	}
	while ((id = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (id) {
		case SOCKET:
			cli.socket = optarg;
			break;
		case CONFIG:
			cli.config = optarg;
			break;
		case HELP:
			print_help(stdout);
			return CLI_OK;
		case VERSION:
			(void)puts("tcpguard " TCPGUARD_VERSION);
			return CLI_OK;
		default:
			complain_option(global_options, ARRAY_SIZE(global_options), argv, id);
			return usage_error(NULL);
		}
	}
	if (optind == argc) {
		print_help(stderr);
		return CLI_USAGE;
	}
	return run_verb(&cli, argc - optind, argv + optind);
}
