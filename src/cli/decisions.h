/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_DECISIONS_H
#define CLI_DECISIONS_H

#include <tcpguard/decision.h>
#include <tcpguard/trace.h>

struct json;

/* Decisions of a replay, as lines and as JSON. */

/* "ban", "extend", "lift", "expire", "refuse". */
const char *decisions_kind(const struct tg_decision *decision);
/* "+12.345 2026-11-21T02:28:05Z ban 198.51.100.7/32: web/open-per-ip: concurrent 101 > 100; …" */
void decisions_print(const struct tg_config *config, const struct tg_trace_header *header,
		     const struct tg_decision *decision);
void decisions_json(struct json *json, const struct tg_config *config,
		    const struct tg_trace_header *header, const struct tg_decision *decision);
/* Seconds since the epoch, of a time in the trace. */
uint64_t decisions_wall(const struct tg_trace_header *header, tg_time at);

#endif
