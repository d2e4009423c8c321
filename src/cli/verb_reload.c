/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard reload: the daemon reads its policy again and says what it thinks of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <tcpguard/units.h>

#include "base/strbuf.h"
#include "cli.h"
#include "client.h"
#include "output.h"

enum { RELOAD_CONFIRM };

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
	const char *confirm = args->values[RELOAD_CONFIRM];
	uint64_t ms = 0;
	const char *wrong = confirm ? tg_duration_parse(confirm, &ms) : NULL;
	if (wrong) {
		cli_complain("--confirm %s: %s", confirm, wrong);
		return CLI_USAGE;
	}
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "reload");
	if (confirm)
		tg_record_put_u64(&request, "confirm", ms);
	tg_record_end(&request);
	int status = client_ask(cli, &request, say_text, NULL);
	tg_strbuf_finish(&request);
	if (status == CLI_OK && confirm)
		(void)printf("the policy is loaded; the one before comes back in %s, unless "
			     "'tcpguard reload' confirms it\n",
			     confirm);
	else if (status == CLI_OK)
		(void)puts("the policy is loaded");
	return status;
}

const struct cli_verb verb_reload = {
	.name = "reload",
	.operands = "",
	.summary = "Load the policy anew; with errors in it the running one stays",
	.options = {[RELOAD_CONFIRM] = {"confirm", "TIME",
					"take it back after this, unless another reload follows"}},
	.run = run_reload,
};
