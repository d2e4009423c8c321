/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_DUMP_H
#define NETFILTER_CT_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include <tcpguard/clock.h>

#include "host/ct_decode.h"
#include "host/nl_reader.h"
#include "host/nlsock.h"

/*
 * One dump of the conntrack table at a time, read in pieces. Each has a socket of its
 * own, so that the rest of one that was given up cannot be taken for the next.
 */
struct ct_dump {
	struct nlsock sock; /* open while a dump runs */
	struct nl_reader reader;
	uint32_t seq;
	bool interrupted;   /* the kernel says that the table changed under it */
	uint64_t malformed; /* of the reader, when it began */
	tg_time heard;      /* when the kernel last said anything */
};

enum ct_dump_step {
	CT_DUMP_WAIT,      /* nothing to read now */
	CT_DUMP_PART,      /* another part was received: the kernel wrote it at the PART before */
	CT_DUMP_ENTRY,     /* *ret_message is a flow */
	CT_DUMP_IGNORED,   /* an entry that is not for us */
	CT_DUMP_MALFORMED, /* or cannot be read */
	CT_DUMP_END,       /* complete; the dump is over */
	CT_DUMP_FAILED     /* not complete; the dump is over */
};

/* 0 or -ENOMEM. */
int ct_dump_init(struct ct_dump *dump);
void ct_dump_finish(struct ct_dump *dump);

/*
 * What of the table is asked for. A kernel that does not know filters tells more, and so does a
 * filter by an IPv6 address, which some kernels invert and which is therefore not sent: look at
 * what comes.
 */
struct ct_dump_filter {
	const struct tg_addr *source; /* of the original direction; NULL: any */
	uint16_t port;                /* it was sent to; 0: any */
};
/* Asks for the table, all of it if filter is NULL, and opens the socket. 0 or -errno. */
int ct_dump_begin(struct ct_dump *dump, tg_time now, const struct ct_dump_filter *filter);
enum ct_dump_step ct_dump_next(struct ct_dump *dump, tg_time now, struct ct_message *ret_message);

/* Gives a running dump up. */
void ct_dump_abandon(struct ct_dump *dump);
bool ct_dump_is_running(const struct ct_dump *dump);
/* When a running dump wants to be looked at without anything to read. */
tg_time ct_dump_deadline(const struct ct_dump *dump);

#endif
