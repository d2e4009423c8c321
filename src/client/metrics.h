/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLIENT_METRICS_H
#define CLIENT_METRICS_H

#include <stdbool.h>

struct tg_record;
struct tg_strbuf;

/*
 * The daemon's numbers as Prometheus text: takes the records of `metrics` in any order and
 * writes the page. What it does not know it leaves out, so that daemon and reader need not be of
 * one version.
 */
struct metrics;

/* NULL when memory runs out. */
struct metrics *metrics_create(void);
void metrics_destroy(struct metrics *metrics);
/* A number that is there already stays. */
void metrics_add(struct metrics *metrics, const struct tg_record *record);
/* Appends the page; without a record it says that no daemon answers: tcpguard_up 0. False when
   memory ran out. */
bool metrics_print(const struct metrics *metrics, struct tg_strbuf *out);

#endif
