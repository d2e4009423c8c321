/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a state file to stdout, as a daemon would have left it: COUNT bans of the limit "open" of
 * the policy "web", from 100.64.0.0 on, in force for another ten minutes; then OVER bans that are
 * over, whose offence counts, from 100.127.0.0 on. With a third number that is not 0, the line of
 * that number is damaged. A fourth argument is another first address, a fifth another limit.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/strbuf.h"
#include "daemon/state_line.h"

static void put(struct tg_strbuf *out, uint32_t number, uint32_t base, uint64_t now_ms, bool over,
		const char *limit)
{
	const uint32_t host = base + number;
	struct state_line line = {
		.kind = STATE_BAN,
		.ban = {.source = {.addr = {.family = TG_IPV4}, .len = 32},
			.action = TG_ACTION_DROP,
			.scope = TG_SCOPE_PORTS,
			.origin = TG_ORIGIN_AUTO,
			.policy = "web",
			.measured = 51,
			.threshold = 50,
			.offence = 1},
		.since_ms = now_ms - 60000,
		.until_ms = over ? now_ms - 1000 : now_ms + 600000,
		.forget_ms = 3600000,
	};
	for (unsigned i = 0; i < 4; i++)
		line.ban.source.addr.bytes[i] = (uint8_t)(host >> (24 - 8 * i));
	(void)snprintf(line.ban.limit, sizeof(line.ban.limit), "%s", limit);
	state_line_put(out, &line);
}

int main(int argc, char **argv)
{
	const uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	const uint32_t over = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	const uint32_t damaged = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
	const char *limit = argc > 5 ? argv[5] : "open";
	const uint32_t first = argc > 4 ? ntohl(inet_addr(argv[4])) : 0x64400000;
	const uint64_t now_ms = (uint64_t)time(NULL) * 1000;
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	state_line_put_header(&out);
	for (uint32_t i = 0; i < count + over; i++) {
		const size_t from = out.len;
		if (i < count)
			put(&out, i, first, now_ms, false, limit);
		else
			put(&out, i - count, 0x647f0000, now_ms, true, limit);
		if (damaged > 0 && i == damaged)
			out.text[from + 30] ^= 1;
	}
	const bool good = !out.failed && fwrite(out.text, 1, out.len, stdout) == out.len;
	tg_strbuf_finish(&out);
	return good && fflush(stdout) == 0 ? 0 : 1;
}
