/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage: metrics_show <RECORDS: the page that is made of what a daemon answered. */
#include "client/metrics.h"

#include <stdio.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "base/strbuf.h"

int main(void)
{
	char line[TG_PROTO_LINE_MAX];
	struct tg_record record;
	struct tg_strbuf page;
	struct metrics *metrics = metrics_create();
	if (!metrics)
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!tg_record_parse(line, &record)) {
			(void)fprintf(stderr, "metrics_show: malformed: %s\n", line);
			return 2;
		}
		metrics_add(metrics, &record);
	}
	tg_strbuf_init(&page);
	int status = metrics_print(metrics, &page) ? 0 : 1;
	(void)fputs(page.text, stdout);
	tg_strbuf_finish(&page);
	metrics_destroy(metrics);
	return status;
}
