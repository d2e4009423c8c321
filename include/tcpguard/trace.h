/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TCPGUARD_TRACE_H
#define TCPGUARD_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

/*
 * Recorded events as bytes, and back: docs/trace.md says which byte is what. Both sides
 * work on memory of the caller's, so that a trace is a file, a socket or a test.
 */

struct tg_trace_header {
	uint8_t seed[16]; /* of the engine's hashes: what is evicted depends on it */
	tg_time start;    /* no event is older */
	uint64_t wall_ms; /* since the epoch, at start */
};

#define TG_TRACE_VERSION 4
#define TG_TRACE_HEADER_SIZE 44
#define TG_TRACE_PROTECTED_MAX 16384 /* prefixes; a host with more is not recorded */
/* No record is longer. */
#define TG_TRACE_RECORD_MAX (32 + 19 * TG_TRACE_PROTECTED_MAX)
/* Nor is any but PROTECTED. */
#define TG_TRACE_EVENT_MAX 320

struct tg_trace_writer;

/* NULL when memory runs out. 2.6 MB; remembers the flows it has named. */
struct tg_trace_writer *tg_trace_writer_create(const struct tg_trace_header *header);
void tg_trace_writer_destroy(struct tg_trace_writer *writer);
void tg_trace_write_header(const struct tg_trace_writer *writer,
			   uint8_t out[static TG_TRACE_HEADER_SIZE]);
/*
 * One record into out: its size, 0 for an event that no trace holds (ACK), -ENOBUFS when
 * cap is less than it may need, -E2BIG when it has more prefixes than a trace can hold. An
 * error leaves the writer as it was. Time that goes back is taken as standing still.
 */
int tg_trace_write(struct tg_trace_writer *writer, const struct tg_event *event, uint8_t *out,
		   size_t cap);

struct tg_trace_reader;

struct tg_trace_reader *tg_trace_reader_create(void);
void tg_trace_reader_destroy(struct tg_trace_reader *reader);
/*
 * The next event from the bytes that follow those read so far: 1; 0 when they end within a record,
 * to be offered again with more behind them; -EBADMSG when they are no trace, -ENOMEM.
 * *ret_used is how many bytes are done with, also without an event (the header). After an error
 * only the explanation is left to be asked for. POLICY comes without a ruleset: it is a mark. The
 * set of a PROTECTED event lives until the second PROTECTED after it.
 */
int tg_trace_read(struct tg_trace_reader *reader, const uint8_t *bytes, size_t len,
		  size_t *ret_used, struct tg_event *ret_event);
/* NULL before the header was read. */
const struct tg_trace_header *tg_trace_reader_header(const struct tg_trace_reader *reader);
/* What was wrong, static, and at which byte of the trace; the offset alone after 0: where the
   record begins that is not complete. */
const char *tg_trace_reader_error(const struct tg_trace_reader *reader, uint64_t *ret_offset);

#endif
