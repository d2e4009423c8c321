/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usage: status_show WIDTH <RECORDS: the page that people see of what a daemon answered. */
#include <stdlib.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "cli/status_answer.h"

int main(int argc, char **argv)
{
	char line[TG_PROTO_LINE_MAX];
	struct tg_record record;
	struct status *status = calloc(1, sizeof(*status));
	if (!status || argc != 2)
		return 2;
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!tg_record_parse(line, &record)) {
			(void)fprintf(stderr, "status_show: malformed: %s\n", line);
			return 2;
		}
		status_gather(status, &record);
	}
	status_print(stdout, false, strtoul(argv[1], NULL, 10), status);
	status_finish(status);
	return 0;
}
