/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, the random seed, and exit statuses of tcpguardd. */
#include <errno.h>
#include <getopt.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/text.h"
#include "base/util.h"
#include "daemon.h"
#include "panic.h"

enum option_id {
	OPTION_CONFIG = 1000,
	OPTION_STATE_DIR,
	OPTION_SOCKET,
	OPTION_METRICS_SOCKET,
	OPTION_EVENT_BUFFER,
	OPTION_LOG_LEVEL,
	OPTION_OBSERVE,
	OPTION_PLAIN_TABLE,
	OPTION_PANIC,
	OPTION_HELP,
	OPTION_VERSION
};

/* The table is the parser's and the help's. */
static const struct option_row {
	const char *name;
	const char *argument; /* NULL: takes none */
	enum option_id id;
	const char *help;
} option_rows[] = {
	{"config", "FILE", OPTION_CONFIG, "policy file (" TCPGUARD_CONFIG ")"},
	{"state-dir", "DIR", OPTION_STATE_DIR,
	 "what must outlive a restart (" TCPGUARD_STATE_DIR ")"},
	{"socket", "PATH", OPTION_SOCKET, "control socket (" TCPGUARD_SOCKET ")"},
	{"metrics-socket", "PATH", OPTION_METRICS_SOCKET,
	 "another one, which tells numbers only (none)"},
	{"event-buffer", "KIB", OPTION_EVENT_BUFFER,
	 "room for conntrack's messages, which the kernel doubles (32768)"},
	{"log-level", "LEVEL", OPTION_LOG_LEVEL, "error, warning, notice, info (default) or debug"},
	{"observe", NULL, OPTION_OBSERVE, "decide and report only, whatever the policy says"},
	{"plain-table", NULL, OPTION_PLAIN_TABLE, "let others change table inet tcpguard"},
	{"panic", NULL, OPTION_PANIC, "lift everything without a daemon, and exit"},
	{"help", NULL, OPTION_HELP, "show this"},
	{"version", NULL, OPTION_VERSION, "show the version"},
};

struct arguments {
	struct daemon_options daemon;
	enum log_level level;
	bool panic;
	int exit_status; /* >= 0: exit now */
};

static void print_help(FILE *out)
{
	(void)fprintf(out, "Usage: tcpguardd [OPTION]...\n"
			   "Guards this host against floods of TCP connections.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
		const struct option_row *row = &option_rows[i];
		char name[40];
		(void)snprintf(name, sizeof(name), "--%s%s%s", row->name, row->argument ? " " : "",
			       row->argument ? row->argument : "");
		(void)fprintf(out, "  %-20s %s\n", name, row->help);
	}
}

static void refuse(struct arguments *arguments, const char *why)
{
	(void)fprintf(stderr, "tcpguardd: %s\n", why);
	arguments->exit_status = DAEMON_EXIT_USAGE;
}

/* In bytes. The least holds a few messages, the most is what the kernel's own number for it can. */
static bool parse_buffer(const char *text, uint32_t *ret_bytes)
{
	uint64_t kib;
	if (!tg_text_u64(text, &kib) || kib < 4 || kib > 1048576)
		return false;
	*ret_bytes = (uint32_t)(kib * 1024);
	return true;
}

static void apply(struct arguments *arguments, int id, const char *value)
{
	switch (id) {
	case OPTION_CONFIG:
		arguments->daemon.config = value;
		return;
	case OPTION_STATE_DIR:
		arguments->daemon.state_dir = value;
		return;
	case OPTION_SOCKET:
		arguments->daemon.socket = value;
		return;
	case OPTION_METRICS_SOCKET:
		arguments->daemon.metrics_socket = value;
		return;
	case OPTION_EVENT_BUFFER:
		if (!parse_buffer(value, &arguments->daemon.event_buffer))
			refuse(arguments, "an event buffer is 4 to 1048576 KiB");
		return;
	case OPTION_LOG_LEVEL:
		if (!log_level_parse(value, &arguments->level))
			refuse(arguments, "a log level is error, warning, notice, info or debug");
		return;
	case OPTION_OBSERVE:
		arguments->daemon.observe = true;
		return;
	case OPTION_PLAIN_TABLE:
		arguments->daemon.plain_table = true;
		return;
	case OPTION_PANIC:
		arguments->panic = true;
		return;
	case OPTION_HELP:
		print_help(stdout);
		arguments->exit_status = DAEMON_EXIT_OK;
		return;
	case OPTION_VERSION:
		(void)puts("tcpguardd " TCPGUARD_VERSION);
		arguments->exit_status = DAEMON_EXIT_OK;
		return;
	default:
		(void)fprintf(stderr, "Try 'tcpguardd --help'.\n");
		arguments->exit_status = DAEMON_EXIT_USAGE;
	}
}

static void parse(struct arguments *arguments, int argc, char **argv)
{
	struct option options[ARRAY_SIZE(option_rows) + 1] = {0};
	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
		options[i] = (struct option){.name = option_rows[i].name,
					     .has_arg = option_rows[i].argument ? required_argument
										: no_argument,
					     .val = (int)option_rows[i].id};
	int id;
	while (arguments->exit_status < 0 &&
	       (id = getopt_long(argc, argv, "", options, NULL)) != -1)
		apply(arguments, id, optarg);
	if (arguments->exit_status < 0 && optind < argc) {
		(void)fprintf(stderr, "tcpguardd takes options only. Try 'tcpguardd --help'.\n");
		arguments->exit_status = DAEMON_EXIT_USAGE;
	}
}

/*
 * glibc takes a large piece that is freed for a sign that such pieces come and go, and then cuts
 * the next ones out of the heap: cleared by hand, so that every page of them is taken, and perhaps
 * never given back. Tables of a policy that is replaced are such pieces.
 */
static void keep_memory_low(void)
{
#ifdef __GLIBC__
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* as at the start, and from now on fixed */
#endif
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.daemon = {.config = TCPGUARD_CONFIG,
						 .state_dir = TCPGUARD_STATE_DIR,
						 .socket = TCPGUARD_SOCKET},
				      .level = LOG_INFORM,
				      .exit_status = -1};
	keep_memory_low();
	parse(&arguments, argc, argv);
	if (arguments.exit_status >= 0)
		return arguments.exit_status;
	if (arguments.panic)
		return panic_offline(arguments.daemon.state_dir);
	struct log log;
	log_init(&log, STDERR_FILENO, arguments.level, getenv("JOURNAL_STREAM"));
	log_open_journal(&log, LOG_JOURNAL_SOCKET);
	/* A reader that went away is an error of its write, not the end. */
	(void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
	if (getrandom(arguments.daemon.seed, sizeof(arguments.daemon.seed), 0) !=
	    (ssize_t)sizeof(arguments.daemon.seed)) {
		log_write(&log, LOG_ERROR, "no randomness for the hash seed: %s", strerror(errno));
		return DAEMON_EXIT_FAILED;
	}
	struct daemon *daemon;
	enum daemon_exit status = daemon_create(&arguments.daemon, &log, &daemon);
	if (!status) {
		status = daemon_run(daemon);
		daemon_destroy(daemon);
	}
	log_finish(&log);
	return (int)status;
}
