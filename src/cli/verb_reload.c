/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard reload: the daemon reads its policy again and says what it thinks of it. */
#include <string.h>

#include "cli.h"
#include "client.h"
#include "output.h"

static void say_text(void *data, const struct tg_record *record)
{
	const char *text = tg_record_get(record, "text");
	FILE *out = strcmp(record->name, "fault") == 0 ? stderr : stdout;
	(void)data;
	if (!text)
		return;
	output_text(out, text);
	(void)fputc('\n', out);
}

static int run_reload(const struct cli *cli, const struct cli_args *args)
{
	(void)args;
	int status = client_ask_simple(cli, "reload", say_text, NULL);
	if (status == CLI_OK)
		(void)puts("the policy is loaded");
	return status;
}

const struct cli_verb verb_reload = {
	.name = "reload",
	.operands = "",
	.summary = "Load the policy anew; with errors in it the running one stays",
	.run = run_reload,
};
