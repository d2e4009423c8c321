/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoder over any bytes: it must not read beyond them, and what it tells must be within what
 * the engine takes. */
#include <stdlib.h>
#include <string.h>

#include "host/ct_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t zero[12];
	struct ct_message message;
	if (ct_decode(data, size, &message) != CT_FLOW)
		return 0;
	const struct tg_flow_event *flow = &message.flow;
	if (message.kind > CT_DESTROY || flow->state > TG_TCP_UNKNOWN || flow->dumped ||
	    flow->key.family >= TG_FAMILY_COUNT || flow->key.zero != 0)
		abort();
	if (flow->key.family == TG_IPV4 && (memcmp(flow->key.src + 4, zero, sizeof(zero)) != 0 ||
					    memcmp(flow->key.dst + 4, zero, sizeof(zero)) != 0))
		abort();
	return 0;
}
