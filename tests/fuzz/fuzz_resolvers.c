/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A resolv.conf of any bytes. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/resolvers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tg_addr servers[4];
	size_t count = 0;
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	bool whole = resolvers_parse(text, servers, &count, 4);
	(void)whole; /* a release build asserts nothing */
	assert(count <= 4 && (whole || count == 4));
	free(text);
	return 0;
}
