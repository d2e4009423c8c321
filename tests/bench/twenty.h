/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_BENCH_TWENTY_H
#define TESTS_BENCH_TWENTY_H

/*
 * A policy of twenty limits: every measure of single addresses, most of /24 and /48 with enough
 * hosts, the coarse ones of /16 and /32, and of the service as a whole. Nothing crosses them.
 */
#include <tcpguard/config.h>

#define TWENTY_MANY UINT32_C(100000000)

static const struct tg_step twenty_step = {.action = TG_ACTION_OBSERVE, .expire_ms = 60000};

#define TWENTY_LIMIT(label, what, ...)                                                      \
	{                                                                                   \
		.name = label, .measure = TG_MEASURE_##what, .threshold = TWENTY_MANY,      \
		.window_ms = TG_MEASURE_##what == TG_MEASURE_NEW ||                         \
					     TG_MEASURE_##what == TG_MEASURE_FAILED         \
				     ? 10000                                                \
				     : 0,                                                   \
		.steps = &twenty_step, .step_count = 1, .mode = TG_MODE_OBSERVE __VA_ARGS__ \
	}
#define TWENTY_HOST(label, what) TWENTY_LIMIT(label, what, , .prefix_len = {32, 64})
#define TWENTY_NET(label, what) TWENTY_LIMIT(label, what, , .prefix_len = {24, 48}, .min_hosts = 4)
#define TWENTY_WIDE(label, what) TWENTY_LIMIT(label, what, , .prefix_len = {16, 32})
#define TWENTY_TOTAL(label, what) TWENTY_LIMIT(label, what, , .total = true)

static const struct tg_limit twenty_limits[] = {
	TWENTY_HOST("open", CONCURRENT),
	TWENTY_HOST("half-open", HALF_OPEN),
	TWENTY_HOST("begun", NEW),
	TWENTY_HOST("failed", FAILED),
	TWENTY_HOST("time-wait", TIME_WAIT),
	TWENTY_HOST("close-wait", CLOSE_WAIT),
	TWENTY_HOST("fin-wait", FIN_WAIT),
	TWENTY_HOST("last-ack", LAST_ACK),
	TWENTY_HOST("idle", IDLE),
	TWENTY_NET("net-open", CONCURRENT),
	TWENTY_NET("net-half", HALF_OPEN),
	TWENTY_NET("net-begun", NEW),
	TWENTY_NET("net-failed", FAILED),
	TWENTY_NET("net-wait", TIME_WAIT),
	TWENTY_WIDE("wide-open", CONCURRENT),
	TWENTY_WIDE("wide-half", HALF_OPEN),
	TWENTY_WIDE("wide-begun", NEW),
	TWENTY_TOTAL("all-open", CONCURRENT),
	TWENTY_TOTAL("all-half", HALF_OPEN),
	TWENTY_TOTAL("all-begun", NEW),
};
static const struct tg_port_range twenty_ports[] = {{80, 80}, {443, 443}};
static const struct tg_policy twenty_policy = {
	.name = "web",
	.ports = twenty_ports,
	.port_count = sizeof(twenty_ports) / sizeof(twenty_ports[0]),
	.limits = twenty_limits,
	.limit_count = sizeof(twenty_limits) / sizeof(twenty_limits[0]),
};
static const struct tg_config twenty_config = {
	.max_sources = TG_MAX_SOURCES_DEFAULT,
	.max_flows = TG_MAX_FLOWS_DEFAULT,
	.idle_after_ms = TG_IDLE_AFTER_MS_DEFAULT,
	.policies = &twenty_policy,
	.policy_count = 1,
};
_Static_assert(sizeof(twenty_limits) / sizeof(twenty_limits[0]) == 20, "twenty it is");

#endif
