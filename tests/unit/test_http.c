/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is a request for the metrics, what is another one, and what is none. */
#include "exporter/http.h"

#include <stdlib.h>

#include "base/strbuf.h"
#include "random.h"
#include "test.h"

static const struct {
	const char *request;
	enum http_status status;
} cases[] = {
	{"GET /metrics HTTP/1.1\r\nHost: edge:10977\r\n\r\n", HTTP_OK},
	{"GET /metrics HTTP/1.0\r\n\r\n", HTTP_OK},
	{"GET /metrics HTTP/1.1\n\n", HTTP_OK},
	{"GET /metrics?format=text&x= HTTP/1.1\r\nAccept: */*\r\nX-Odd:\r\n\r\n", HTTP_OK},
	{"GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n", HTTP_OK},
	{"", HTTP_INCOMPLETE},
	{"GET", HTTP_INCOMPLETE},
	{"GET /metrics HTTP/1.1\r\n", HTTP_INCOMPLETE},
	{"GET /metrics HTTP/1.1\r\nHost: x", HTTP_INCOMPLETE},
	{"GET /metrics HTTP/1.1\r\nHost: x\r\n", HTTP_INCOMPLETE},
	{"GET / HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"GET /metrics/ HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"GET /metricsx HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"GET /metric HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"GET ?metrics HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"GET /../metrics HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"GET http://edge/metrics HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"POST / HTTP/1.1\r\n\r\n", HTTP_NOT_FOUND},
	{"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", HTTP_METHOD_NOT_ALLOWED},
	{"HEAD /metrics HTTP/1.1\r\n\r\n", HTTP_METHOD_NOT_ALLOWED},
	{"get /metrics HTTP/1.1\r\n\r\n", HTTP_METHOD_NOT_ALLOWED},
	{"GET /metrics HTTP/2.0\r\n\r\n", HTTP_BAD_VERSION},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_BAD_VERSION},
	{"GET /metrics\r\n", HTTP_BAD_REQUEST},
	{"GET  /metrics HTTP/1.1\r\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.1 \r\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.10\r\n", HTTP_BAD_REQUEST},
	{"GET /metrics http/1.1\r\n", HTTP_BAD_REQUEST},
	{"GET /met\trics HTTP/1.1\r\n", HTTP_BAD_REQUEST},
	{"GET /m\xc3\xa9trics HTTP/1.1\r\n", HTTP_BAD_REQUEST},
	{" GET /metrics HTTP/1.1\r\n", HTTP_BAD_REQUEST},
	{"\r\n", HTTP_BAD_REQUEST},
	{"\n", HTTP_BAD_REQUEST},
	{"status\n", HTTP_BAD_REQUEST},
	{"\x16\x03\x01\x02\x01\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.1\r\nno header\r\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.1\r\n folded: yes\r\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.1\r\nname : value\r\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.1\r\n: value\r\n", HTTP_BAD_REQUEST},
	{"GET /metrics HTTP/1.1\r\na: b\rc\r\n", HTTP_BAD_REQUEST},
};

TEST(judged)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *request = cases[i].request;
		if (http_judge(request, strlen(request)) == cases[i].status)
			continue;
		printf("# request %zu\n", i);
		CHECK_U64(http_judge(request, strlen(request)), cases[i].status);
	}
}

/* However the bytes come in: the first word about a request is the last. */
TEST(in_pieces)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *request = cases[i].request;
		enum http_status status = HTTP_INCOMPLETE;
		for (size_t len = 0; len <= strlen(request); len++) {
			status = http_judge(request, len);
			if (status != HTTP_INCOMPLETE)
				break;
		}
		CHECK_U64(status, cases[i].status);
	}
}

TEST(bytes_that_end_strings)
{
	static const char target[] = "GET /metrics\0 HTTP/1.1\r\n\r\n";
	static const char header[] = "GET /metrics HTTP/1.1\r\na\0b: c\r\n\r\n";
	CHECK_U64(http_judge(target, sizeof(target) - 1), HTTP_BAD_REQUEST);
	CHECK_U64(http_judge(header, sizeof(header) - 1), HTTP_BAD_REQUEST);
	CHECK_U64(http_judge("\0\n", 2), HTTP_BAD_REQUEST);
}

TEST(too_large)
{
	static char request[HTTP_REQUEST_MAX];
	memset(request, 'a', sizeof(request));
	CHECK_U64(http_judge(request, sizeof(request) - 1), HTTP_INCOMPLETE);
	CHECK_U64(http_judge(request, sizeof(request)), HTTP_TOO_LARGE);
	memcpy(request, "GET /metrics HTTP/1.1\r\nx: ", 26);
	CHECK_U64(http_judge(request, sizeof(request)), HTTP_TOO_LARGE);
	memcpy(request + sizeof(request) - 4, "\r\n\r\n", 4);
	CHECK_U64(http_judge(request, sizeof(request)), HTTP_OK);
}

/* Requests with bytes changed, cut and put in: whatever comes is judged, and read no further. */
TEST(spoilt)
{
	printf("# seed %" PRIu64 "\n", random_state);
	for (int round = 0; round < 50000; round++) {
		const char *from = cases[random_below(sizeof(cases) / sizeof(cases[0]))].request;
		size_t len = strlen(from);
		char *bytes = malloc(len + 1);
		if (!bytes)
			return;
		memcpy(bytes, from, len);
		for (int i = 0; len > 0 && i < 3; i++)
			bytes[random_below((uint32_t)len)] = (char)random_below(256);
		len = random_below((uint32_t)len + 1);
		/* Of the size that it says, so that a sanitizer sees a step beyond. */
		char *exact = malloc(len ? len : 1);
		if (exact) {
			memcpy(exact, bytes, len);
			const enum http_status status = http_judge(exact, len);
			CHECK(status != HTTP_TOO_LARGE && status != HTTP_UNAVAILABLE);
		}
		free(exact);
		free(bytes);
	}
}

TEST(heads)
{
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	http_put_head(&out, HTTP_OK, 12);
	CHECK_STR(out.text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; "
			    "charset=utf-8\r\nContent-Length: 12\r\nX-Content-Type-Options: "
			    "nosniff\r\nConnection: close\r\n\r\n");
	tg_strbuf_clear(&out);
	http_put_head(&out, HTTP_METHOD_NOT_ALLOWED, 0);
	CHECK(strstr(out.text, "HTTP/1.1 405 Method Not Allowed\r\n") == out.text);
	CHECK(strstr(out.text, "\r\nAllow: GET\r\n") != NULL);
	tg_strbuf_finish(&out);
	CHECK_STR(http_body(HTTP_OK), "");
	CHECK_STR(http_body(HTTP_NOT_FOUND), "There is /metrics only.\n");
}

/* usage: test_http [SEED] */
int main(int argc, char **argv)
{
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
	RUN(judged);
	RUN(in_pieces);
	RUN(bytes_that_end_strings);
	RUN(too_large);
	RUN(spoilt);
	RUN(heads);
	return DONE();
}
