/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns one question to the daemon. Prometheus waits ten seconds by itself; this waits five at most
   for each piece of the answer, of which there are few. */
#include "page.h"

#include <errno.h>

#include "base/strbuf.h"
#include "client/client.h"
#include "client/metrics.h"

#define WAIT_MS 5000

/* 0 when the whole answer came. */
static int gather(struct client *client, struct metrics *metrics)
{
	struct tg_record record;
	struct tg_strbuf request;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "metrics");
	tg_record_end(&request);
	(void)client_send(client, &request); /* if that fails, nothing comes, either */
	tg_strbuf_finish(&request);
	for (;;) {
		switch (client_next(client, WAIT_MS, &record)) {
		case CLIENT_RECORD:
			metrics_add(metrics, &record);
			break;
		case CLIENT_DONE:
			return 0;
		case CLIENT_ERROR:
			return -EACCES;
		case CLIENT_BROKEN:
			return -EPROTO;
		case CLIENT_TIMEOUT:
			return -ETIMEDOUT;
		}
	}
}

int page_ask(const char *path, struct tg_strbuf *out)
{
	struct client client;
	struct metrics *metrics = metrics_create();
	if (!metrics)
		return -ENOMEM;
	int err = client_open(&client, path);
	if (!err) {
		err = gather(&client, metrics);
		client_close(&client);
	}
	/* Half of an answer would look like counters that are gone. */
	if (err) {
		metrics_destroy(metrics);
		metrics = metrics_create();
	}
	if (!metrics || !metrics_print(metrics, out))
		err = -ENOMEM;
	metrics_destroy(metrics);
	return err;
}
