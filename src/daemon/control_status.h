/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_STATUS_H
#define DAEMON_CONTROL_STATUS_H

#include <stdint.h>

struct daemon;
struct tg_source_count;
struct tg_strbuf;

/* The records of `status`: how it goes, why it does not, and a counter for everything lost. */
void control_status(const struct daemon *daemon, struct tg_strbuf *out);
/* Of them those that are numbers, and name neither files nor sources. */
void control_status_numbers(const struct daemon *daemon, struct tg_strbuf *out);
/* One record of `top`. */
void control_status_source(const struct daemon *daemon, const struct tg_source_count *source,
			   uint64_t total, struct tg_strbuf *out);

#endif
