/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EXPORTER_HTTP_H
#define EXPORTER_HTTP_H

#include <stddef.h>

struct tg_strbuf;

/* As much of HTTP as a scrape needs. Bytes in, a status out; no socket, no clock. */

/* Prometheus sends some 300 bytes; a browser with cookies a few KiB. */
#define HTTP_REQUEST_MAX 8192

enum http_status {
	HTTP_INCOMPLETE = 0, /* more bytes may make it a request */
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_TOO_LARGE = 431,
	HTTP_UNAVAILABLE = 503,
	HTTP_BAD_VERSION = 505
};

/* What to answer to these first bytes of a connection. OK: GET /metrics, with any query. */
enum http_status http_judge(const char *bytes, size_t len);
/* The head of an answer whose body has so many bytes; the connection ends after it. */
void http_put_head(struct tg_strbuf *out, enum http_status status, size_t body_len);
/* A line about the status, for people; of OK there is none. */
const char *http_body(enum http_status status);

#endif
