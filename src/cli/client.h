/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "client/client.h"

struct cli;

/* What to do when there is no daemon; behind what is wrong. */
#define CLIENT_START_HINT \
	"; to start it: systemctl start tcpguard, why it ended: journalctl -u tcpguard"

typedef void client_record_fn(void *data, const struct tg_record *record);
/* Asks, hands every record to fn, and says on stderr what went wrong. An exit status. */
int client_ask(const struct cli *cli, const struct tg_strbuf *request, client_record_fn *fn,
	       void *data);
/* The same for a request without fields. */
int client_ask_simple(const struct cli *cli, const char *name, client_record_fn *fn, void *data);
/* Says what ended a conversation that is not going on; an exit status. */
int client_explain(enum client_result result, const struct tg_record *record);
int client_explain_open(const char *path, int err);

#endif
