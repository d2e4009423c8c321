/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first bytes of a connection: judged within their bounds, and the same however they come in.
 */
#include "exporter/http.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > HTTP_REQUEST_MAX)
		size = HTTP_REQUEST_MAX;
	/* Of that size exactly, so that a step beyond is seen. */
	char *bytes = malloc(size ? size : 1);
	if (!bytes)
		return 0;
	memcpy(bytes, data, size);
	const enum http_status status = http_judge(bytes, size);
	assert(status != HTTP_UNAVAILABLE);
	/* Quadratic: enough of the front. */
	for (size_t len = 0; len < size && len < 128; len++) {
		const enum http_status early = http_judge(bytes, len);
		if (early == HTTP_INCOMPLETE)
			continue;
		assert(early == status);
		(void)status; /* a release build asserts nothing */
		break;
	}
	free(bytes);
	return 0;
}
