/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_STATES_REPORT_H
#define CLI_STATES_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "socket_tally.h"
#include "states_conntrack.h"

/* What states shows; only read from. */
struct states_report {
	const struct socket_tally *tally; /* after its top */
	const struct states_conntrack *conntrack;
	uint64_t hidden; /* sockets of processes that this user may not look into */
	/* The name of a group's process, user or address, NULL if it has none; may be NULL. */
	const char *(*name)(void *data, const struct tally_group *group);
	void *data;
	bool resolved; /* names of addresses are wanted */
};

void states_report_table(FILE *out, bool color, const struct states_report *report);
void states_report_json(FILE *out, const struct states_report *report);

#endif
