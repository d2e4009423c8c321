/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a running daemon's trace is asked for, and how its bytes come out of the answer. */
#include "live_trace.h"

#include <string.h>

#include "base/strbuf.h"
#include "client.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool live_trace_bytes(const struct tg_record *record, struct tg_strbuf *bytes)
{
	const char *hex = tg_record_get(record, "data");
	if (strcmp(record->name, "trace") != 0 || !hex)
		return true;
	for (; hex[0]; hex += 2) {
		const int high = hex_digit(hex[0]), low = high < 0 ? -1 : hex_digit(hex[1]);
		if (low < 0)
			return false;
		tg_strbuf_putc(bytes, (char)(high << 4 | low));
	}
	return !bytes->failed;
}

int live_trace_ask(struct client *client)
{
	struct tg_record record;
	struct tg_strbuf request;
	int status = 0;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "record");
	tg_record_end(&request);
	if (!client_send(client, &request))
		status = client_explain(client_next(client, 0, &record), &record);
	tg_strbuf_finish(&request);
	return status;
}
