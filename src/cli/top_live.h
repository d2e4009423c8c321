/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_TOP_LIVE_H
#define CLI_TOP_LIVE_H

#include <stdint.h>

#include "top_fetch.h"

struct names;

/* Shows it on the whole terminal, anew every so often, until it is left. An exit status; a signal
   ends the program as it would have otherwise. names: NULL if they are not wanted. */
int top_live(const struct cli *cli, const struct top_request *request, uint64_t every_ms,
	     struct names *names);

#endif
