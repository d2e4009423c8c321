/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_SAMPLE_H
#define CLI_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/config.h>
#include <tcpguard/trace.h>

struct suggestion_sample;

/*
 * What each source had at most of what each limit of a policy measures, out of events. The engine
 * counts, under a copy of the policy that holds nobody back. Sources that are protected or allowed
 * are left out: no limit is about them.
 */
struct sample;

/* Borrows config. NULL when memory runs out. */
struct sample *sample_create(const struct tg_config *config, const struct tg_trace_header *header);
void sample_destroy(struct sample *sample);
void sample_feed(struct sample *sample, const struct tg_event *events, int count);
/* How long, how much; from and moment are the caller's. False when memory ran out meanwhile. */
bool sample_describe(const struct sample *sample, struct suggestion_sample *ret_sample);
/* Of one limit, ascending, none 0; freed by the caller. False when memory runs out. */
bool sample_values(const struct sample *sample, size_t policy, size_t limit, uint32_t **ret_values,
		   size_t *ret_count);

#endif
