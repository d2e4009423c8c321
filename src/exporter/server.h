/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EXPORTER_SERVER_H
#define EXPORTER_SERVER_H

#include <stddef.h>
#include <stdint.h>

/*
 * The clients of the exporter: how many, how much, how long. One request for each connection.
 * Time is an argument, in milliseconds of a clock that does not go back.
 */
struct server;

#define SERVER_LISTENERS_MAX 8
/* A scrape a second by ten Prometheus is a lot; each costs some 10 KiB while it asks. */
#define SERVER_CLIENTS_MAX 32
/* For the whole of a conversation. */
#define SERVER_CLIENT_MS 10000
/* An answer serves whoever asks within this, so that the daemon is asked once a second at most. */
#define SERVER_PAGE_MS 1000

struct server_params {
	const int *listeners; /* listening, non-blocking; at most SERVER_LISTENERS_MAX */
	size_t listener_count;
	const char *socket; /* the daemon's */
	uint64_t (*clock_ms)(void);
};

/* NULL when memory runs out. Borrows params' pointers. */
struct server *server_create(const struct server_params *params);
/* The listeners stay open. NULL is fine. */
void server_destroy(struct server *server);
/* Waits for what there is to do, at most so long (-1: as long as it takes), and does it. 0, or
   -errno when waiting itself fails. */
int server_turn(struct server *server, int timeout_ms);
size_t server_client_count(const struct server *server);

#endif
