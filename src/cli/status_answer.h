/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_STATUS_ANSWER_H
#define CLI_STATUS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct tg_record;

/* A daemon sends about 90, and a file for each of policies.d. */
#define VALUES_MAX 1024

/* The whole answer, flat: it is small, and is printed in another order than it comes. */
struct status {
	struct value {
		unsigned group; /* values of one record have one number */
		char *record, *key, *text;
	} values[VALUES_MAX];
	size_t count;
	unsigned groups;
};

/* For each record; data is the status, zero at first. */
void status_gather(void *data, const struct tg_record *record);
/* Frees what it holds and itself. */
void status_finish(struct status *status);

/* The first value of a record's key; in one group, unless that is 0. NULL if there is none. */
const char *status_find(const struct status *status, unsigned group, const char *record,
			const char *key);
/* The same for people, who get a "?", */
const char *status_get(const struct status *status, const char *record, const char *key);
/* and for figures: 0. */
uint64_t status_number(const struct status *status, const char *record, const char *key);

/* The page for people, within width columns where that can be; 0: as it comes. */
void status_print(FILE *out, bool color, size_t width, const struct status *status);

#endif
