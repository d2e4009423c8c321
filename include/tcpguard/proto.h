/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_PROTO_H
#define TCPGUARD_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tg_strbuf;

/*
 * The control socket's lines, for both its ends. A line is words separated by one
 * blank: a name, then key=value pairs; values are percent-encoded, so that they hold
 * anything. A client sends one request line and reads lines until "done" or
 * "error code=N message=…"; code is the exit status of the CLI.
 *
 *   > ban source=198.51.100.7/32 for=600000 action=drop reason=loud%20neighbour
 *   < done
 */
#define TG_PROTO_LINE_MAX \
	8192 /* longest record there is (a ban with its reason) is under 1 KiB; room to grow */
#define TG_PROTO_FIELDS_MAX 64

struct tg_record {
	const char *name;
	struct {
		const char *key, *value;
	} fields[TG_PROTO_FIELDS_MAX];
	size_t count;
};

/* Splits and decodes line in place (without its newline); the record points into it. False if it is
 * malformed. */
bool tg_record_parse(char *line, struct tg_record *ret_record);
/* NULL if there is no such key. */
const char *tg_record_get(const struct tg_record *record, const char *key);
bool tg_record_get_u64(const struct tg_record *record, const char *key, uint64_t *ret_value);

/* begin, any number of puts, end. Errors (memory) stick to the strbuf. */
void tg_record_begin(struct tg_strbuf *out, const char *name);
void tg_record_put(struct tg_strbuf *out, const char *key, const char *value);
void tg_record_put_u64(struct tg_strbuf *out, const char *key, uint64_t value);
void tg_record_end(struct tg_strbuf *out);

#endif
