/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the judgement of requests. The request line is looked at, headers are only
 * checked for being some: nothing in them changes the answer.
 */
#include "http.h"

#include <stdbool.h>
#include <string.h>

#include "base/strbuf.h"

#define PATH "/metrics"

struct span {
	const char *text;
	size_t len;
};

static bool span_is(struct span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.text, text, span.len) == 0;
}

/* Up to the end of line, without it; a bare line feed ends one, too. False: it has no end yet. */
static bool next_line(struct span *rest, struct span *ret_line)
{
	const char *end = memchr(rest->text, '\n', rest->len);
	if (!end)
		return false;
	const size_t len = (size_t)(end - rest->text);
	*ret_line = (struct span){rest->text, len};
	if (len > 0 && end[-1] == '\r')
		ret_line->len--;
	*rest = (struct span){end + 1, rest->len - len - 1};
	return true;
}

/* Up to the next blank, which is taken, too. */
static struct span next_word(struct span *rest)
{
	const char *blank = memchr(rest->text, ' ', rest->len);
	const size_t len = blank ? (size_t)(blank - rest->text) : rest->len;
	const struct span word = {rest->text, len};
	*rest = (struct span){rest->text + len + (blank != NULL),
			      rest->len - len - (blank != NULL)};
	return word;
}

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct span span)
{
	for (size_t i = 0; i < span.len; i++)
		if (!is_token_char(span.text[i]))
			return false;
	return span.len > 0;
}

/* No control characters, and nothing beyond ASCII. */
static bool is_visible(struct span span)
{
	for (size_t i = 0; i < span.len; i++)
		if (span.text[i] <= ' ' || span.text[i] > '~')
			return false;
	return span.len > 0;
}

static bool is_version(struct span span)
{
	return span.len == strlen("HTTP/1.1") && memcmp(span.text, "HTTP/", 5) == 0 &&
	       span.text[5] >= '0' && span.text[5] <= '9' && span.text[6] == '.' &&
	       span.text[7] >= '0' && span.text[7] <= '9';
}

/* "name: value", where the name is a token: what is folded or has a blank before the colon is a
   way to say two things to two readers. */
static bool is_header(struct span line)
{
	const char *colon = memchr(line.text, ':', line.len);
	if (!colon || !is_token((struct span){line.text, (size_t)(colon - line.text)}))
		return false;
	for (const char *c = colon; c < line.text + line.len; c++)
		if ((unsigned char)*c < ' ' && *c != '\t')
			return false;
	return true;
}

static enum http_status judge_line(struct span line)
{
	struct span rest = line;
	const struct span method = next_word(&rest);
	struct span target = next_word(&rest);
	if (!is_token(method) || !is_visible(target) || !is_version(rest))
		return HTTP_BAD_REQUEST;
	if (rest.text[5] != '1')
		return HTTP_BAD_VERSION;
	const char *query = memchr(target.text, '?', target.len);
	if (query)
		target.len = (size_t)(query - target.text);
	if (!span_is(target, PATH))
		return HTTP_NOT_FOUND;
	return span_is(method, "GET") ? HTTP_OK : HTTP_METHOD_NOT_ALLOWED;
}

enum http_status http_judge(const char *bytes, size_t len)
{
	struct span rest = {bytes, len}, line;
	const enum http_status unfinished =
		len >= HTTP_REQUEST_MAX ? HTTP_TOO_LARGE : HTTP_INCOMPLETE;
	if (!next_line(&rest, &line))
		return unfinished;
	const enum http_status status = judge_line(line);
	/* What is no HTTP need not be waited for. */
	if (status == HTTP_BAD_REQUEST)
		return status;
	while (next_line(&rest, &line)) {
		if (line.len == 0)
			return status;
		if (!is_header(line))
			return HTTP_BAD_REQUEST;
	}
	return unfinished;
}

static const char *reason_of(enum http_status status)
{
	switch (status) {
	case HTTP_OK:
		return "OK";
	case HTTP_BAD_REQUEST:
	case HTTP_INCOMPLETE:
		return "Bad Request";
	case HTTP_NOT_FOUND:
		return "Not Found";
	case HTTP_METHOD_NOT_ALLOWED:
		return "Method Not Allowed";
	case HTTP_TOO_LARGE:
		return "Request Header Fields Too Large";
	case HTTP_UNAVAILABLE:
		return "Service Unavailable";
	case HTTP_BAD_VERSION:
		return "HTTP Version Not Supported";
	}
	return "";
}

const char *http_body(enum http_status status)
{
	switch (status) {
	case HTTP_OK:
		return "";
	case HTTP_NOT_FOUND:
		return "There is " PATH " only.\n";
	case HTTP_METHOD_NOT_ALLOWED:
		return "GET only.\n";
	case HTTP_UNAVAILABLE:
		return "Too many clients, or no memory.\n";
	case HTTP_TOO_LARGE:
		return "The request is too large.\n";
	case HTTP_BAD_VERSION:
		return "HTTP/1.0 and HTTP/1.1 only.\n";
	case HTTP_BAD_REQUEST:
	case HTTP_INCOMPLETE:
		break;
	}
	return "This is no request.\n";
}

void http_put_head(struct tg_strbuf *out, enum http_status status, size_t body_len)
{
	tg_strbuf_printf(out,
			 "HTTP/1.1 %d %s\r\n"
			 "Content-Type: text/plain; %scharset=utf-8\r\n"
			 "Content-Length: %zu\r\n"
			 "%s"
			 "X-Content-Type-Options: nosniff\r\n"
			 "Connection: close\r\n\r\n",
			 status == HTTP_INCOMPLETE ? (int)HTTP_BAD_REQUEST : (int)status,
			 reason_of(status), status == HTTP_OK ? "version=0.0.4; " : "", body_len,
			 status == HTTP_METHOD_NOT_ALLOWED ? "Allow: GET\r\n" : "");
}
