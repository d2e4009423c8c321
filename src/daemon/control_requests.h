/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_CONTROL_REQUESTS_H
#define DAEMON_CONTROL_REQUESTS_H

#include <stddef.h>

struct control_verb;

/* What the daemon answers; their data is the struct daemon. docs/control.md describes them. */
const struct control_verb *control_requests(size_t *ret_count);
/* Of them those that neither change anything nor name a source: for who may only read numbers. */
const struct control_verb *control_requests_readable(size_t *ret_count);

#endif
