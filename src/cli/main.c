/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of verbs drives dispatch, options and every help text. */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* -1: go on; else the exit status. */
static int parse_verb(const struct cli_verb *verb, int argc, char **argv, struct cli_args *args)
{
	enum { HELP = 1000 };
	struct option options[CLI_OPTIONS_MAX + 2] = {0};
	int count = 0, id;
	for (; count < CLI_OPTIONS_MAX && verb->options[count].name; count++)
		options[count] = (struct option){.name = verb->options[count].name,
						 .has_arg = argument_of(&verb->options[count]),
						 .val = count};
	options[count] = (struct option){.name = "help", .val = HELP};
	optind = 0; /* starts anew, with the verb in the place of the program */
	const int n = find_count(verb, count);
	while ((id = getopt_long(argc, argv, n < count ? "n:" : "", options, NULL)) != -1) {
		if (id == 'n')
			id = n;
		if (id == HELP) {
			print_verb_help(stdout, verb);
			return CLI_OK;
		}
		if (id < 0 || id >= count)
			return usage_error(verb);
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
	cli_complain("there is no verb '%s'", argv[0]);
	return usage_error(NULL);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
						{"config", required_argument, NULL, 'c'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'v'},
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
	while ((id = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (id) {
		case 's':
			cli.socket = optarg;
			break;
		case 'c':
			cli.config = optarg;
			break;
		case 'h':
			print_help(stdout);
			return CLI_OK;
		case 'v':
			(void)puts("tcpguard " TCPGUARD_VERSION);
			return CLI_OK;
		default:
			return usage_error(NULL);
		}
	}
	if (optind == argc) {
		print_help(stderr);
		return CLI_USAGE;
	}
	return run_verb(&cli, argc - optind, argv + optind);
}
