/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include <tcpguard/proto.h>

struct tg_strbuf;

/* One request to the daemon and its answer. */
struct client {
	int fd;
	size_t start, end; /* of what was read and not yet given out */
	char buf[2 * TG_PROTO_LINE_MAX];
};

enum client_result {
	CLIENT_RECORD,
	CLIENT_DONE,
	CLIENT_ERROR,  /* the record is the daemon's "error" */
	CLIENT_BROKEN, /* the connection ended early, or the answer is no answer */
	CLIENT_TIMEOUT
};

/* Long enough for a reload of the largest policy. */
#define CLIENT_TIMEOUT_MS 10000

/* 0 or -errno. */
int client_open(struct client *client, const char *path);
void client_close(struct client *client);
/* The daemon at a path may be one of another network namespace, whose flows are not ours. */
bool client_is_elsewhere(const struct client *client);
bool client_send(struct client *client, const struct tg_strbuf *request);
/* The next record; it lives until the next call. */
enum client_result client_next(struct client *client, int timeout_ms, struct tg_record *ret_record);

#endif
