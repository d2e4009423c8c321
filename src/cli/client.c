/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the daemon for a verb, and says to people what became of it. */
#include "client.h"

#include <errno.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli.h"

int client_explain_open(const char *path, int err)
{
	if (err == -EACCES || err == -EPERM) {
		cli_complain("no permission for %s: be root or in the group tcpguard", path);
		return CLI_NO;
	}
	if (err == -ENAMETOOLONG) {
		cli_complain("the path of the socket is too long: %s", path);
		return CLI_USAGE;
	}
	if (err == -EAGAIN) /* its backlog is full */
		cli_complain("the daemon at %s hangs: it takes no more connections; bans stay in "
			     "force over a 'systemctl restart tcpguard'",
			     path);
	else
		cli_complain("no daemon answers at %s: %s" CLIENT_START_HINT, path, strerror(-err));
	return CLI_NO_DAEMON;
}

int client_explain(enum client_result result, const struct tg_record *record)
{
	uint64_t code = CLI_NO;
	const char *message;
	switch (result) {
	case CLIENT_RECORD:
	case CLIENT_DONE:
		return CLI_OK;
	case CLIENT_ERROR:
		message = tg_record_get(record, "message");
		cli_complain("%s", message ? message : "the daemon says no");
		(void)tg_record_get_u64(record, "code", &code); /* without one: no is no */
		return code == CLI_USAGE ? CLI_USAGE : CLI_NO;
	case CLIENT_BROKEN:
		cli_complain("the daemon ended the conversation early");
		return CLI_NO_DAEMON;
	case CLIENT_TIMEOUT:
		cli_complain("the daemon does not answer; what it did last: journalctl -u "
			     "tcpguard");
		return CLI_NO_DAEMON;
	}
	return CLI_NO;
}

int client_ask(const struct cli *cli, const struct tg_strbuf *request, client_record_fn *fn,
	       void *data)
{
	struct client client;
	struct tg_record record;
	int err = client_open(&client, cli->socket);
	if (err)
		return client_explain_open(cli->socket, err);
	enum client_result result = client_send(&client, request) ? CLIENT_RECORD : CLIENT_BROKEN;
	if (result == CLIENT_BROKEN)
		/* It may have said why before it closed. */
		result = client_next(&client, 0, &record);
	while (result == CLIENT_RECORD) {
		result = client_next(&client, CLIENT_TIMEOUT_MS, &record);
		if (result == CLIENT_RECORD && fn)
			fn(data, &record);
	}
	client_close(&client);
	return client_explain(result, &record);
}

int client_ask_simple(const struct cli *cli, const char *name, client_record_fn *fn, void *data)
{
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, name);
	tg_record_end(&request);
	int status = client_ask(cli, &request, fn, data);
	tg_strbuf_finish(&request);
	return status;
}
