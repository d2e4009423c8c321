/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include <stddef.h>

struct cli;
struct cli_option;
struct cli_verb;

/* What a command line may be made of. */
struct complete_table {
	const struct cli_verb *const *verbs;
	size_t verb_count;
	const struct cli_option *options; /* ahead of the verb */
	size_t option_count;
};

/*
 * `tcpguard --complete WORD...`, for the scripts in completion/: what may stand in the place of
 * the last word, with what is before it. One line each, a tab, and what it is about. A line that
 * begins with the tab names what the shell knows better: "files" or "directories". Says nothing
 * when nothing is known, never complains, and ends within about a second.
 */
void complete_words(const struct cli *cli, const struct complete_table *table, int count,
		    char **words);

#endif
