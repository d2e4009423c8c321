/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_LIST_H
#define DAEMON_CONTROL_LIST_H

#include <stdbool.h>

struct control_client;
struct daemon;
struct nft_counters;
struct tg_ban;
struct tg_record;
struct tg_strbuf;

/* The request `list`. */
void control_list(void *data, struct control_client *client, const struct tg_record *request);
/* What is known of a ban without asking the kernel, as fields of a record. */
void control_list_put_ban(struct daemon *daemon, const struct tg_ban *ban, struct tg_strbuf *out);
/* A record `ban`; place: with the file and the line where its limit stands. */
void control_list_put(struct daemon *daemon, const struct tg_ban *ban,
		      const struct nft_counters *counters, bool place, struct tg_strbuf *out);

#endif
