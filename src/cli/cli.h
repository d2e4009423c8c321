/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

/* What every verb gets, and the table they stand in. */

enum cli_exit {
	CLI_OK = 0,
	CLI_NO = 1,    /* not found, findings, refused */
	CLI_USAGE = 2, /* or unreadable input */
	CLI_NO_DAEMON = 3
};

struct cli {
	const char *socket;
	const char *config;
	bool color; /* of stdout */
};

struct cli_option {
	const char *name;
	const char *argument; /* NULL: takes none; in brackets: may be left out */
	const char *help;
};

#define CLI_OPTIONS_MAX 10

/* Options and operands of a verb, read by its own table. */
struct cli_args {
	const char *values[CLI_OPTIONS_MAX]; /* by the option's index; "" if it takes no argument */
	char **operands;
	int operand_count;
};

struct cli_verb {
	const char *name;
	const char *operands; /* as usage shows them */
	const char *summary;
	struct cli_option options[CLI_OPTIONS_MAX];
	int operands_min, operands_max;
	int (*run)(const struct cli *cli, const struct cli_args *args);
};

extern const struct cli_verb verb_ban, verb_check, verb_doctor, verb_events, verb_explain,
	verb_import, verb_kill, verb_list, verb_metrics, verb_panic, verb_plan, verb_record,
	verb_reload, verb_ruleset, verb_simulate, verb_states, verb_status, verb_suggest, verb_top,
	verb_unban;

struct tg_config;
struct tg_diag;
/*
 * The policy in use; with file in the place of the file of it that it will become, or of as. An
 * exit status: NO with the reasons in diag, USAGE after a complaint.
 */
int cli_load_policy(const struct cli *cli, const char *file, const char *as, struct tg_diag *diag,
		    struct tg_config **ret_config);
/* The errors of a policy to stderr, with their carets. */
void cli_print_errors(const struct tg_diag *diag);

/* An address or prefix from the command line; false after it has been complained about. */
struct tg_prefix;
bool cli_read_source(const char *text, struct tg_prefix *ret_source);

/* "tcpguard: " and the message to stderr, escaped. */
void cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
