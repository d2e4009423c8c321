/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the way from the packet path's messages to events, and what status says of the fuses: that
 * they cannot be had, that nobody hears them, that a meter is full.
 */
#include "fuses.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "daemon.h"

#define BATCH 64
/* Of a wide flood, in one turn of the loop: what is left is still readable then. */
#define BATCHES 16
/* How long a full meter is shown behind the last source that found no room. */
#define FULL_SHOWN (10 * TG_SEC)

void fuses_init(struct fuses *fuses)
{
	*fuses = (struct fuses){.full_at = TG_NEVER};
}

void fuses_stats(const struct fuses *fuses, struct fuse_log_stats *ret_stats)
{
	struct fuse_log_stats now = {0};
	if (fuses->log)
		fuse_log_stats(fuses->log, &now);
	now.received += fuses->before.received;
	now.full += fuses->before.full;
	now.malformed += fuses->before.malformed;
	now.foreign += fuses->before.foreign;
	now.lost += fuses->before.lost;
	*ret_stats = now;
}

void fuses_finish(struct fuses *fuses)
{
	struct fuse_log_stats stats;
	fuses_stats(fuses, &stats);
	fuses->before = stats;
	loop_remove_fd(fuses->source);
	fuse_log_destroy(fuses->log);
	fuses->source = NULL;
	fuses->log = NULL;
}

static void show_full(struct daemon *daemon)
{
	const struct fuses *fuses = &daemon->fuses;
	health_set(&daemon->health, HEALTH_METER, loop_now(daemon->loop),
		   "the fuse of %s %s has no room for more sources: those without share buckets, "
		   "and are held back together",
		   fuses->policy, fuses->limit);
}

static void meter_full(void *data, const char *policy, const char *limit)
{
	struct daemon *daemon = data;
	struct fuses *fuses = &daemon->fuses;
	(void)snprintf(fuses->policy, sizeof(fuses->policy), "%s", policy);
	(void)snprintf(fuses->limit, sizeof(fuses->limit), "%s", limit);
	fuses->full_at = loop_now(daemon->loop);
	show_full(daemon);
}

static void log_readable(void *data, uint32_t events)
{
	struct daemon *daemon = data;
	struct tg_event batch[BATCH];
	bool more = true;
	(void)events;
	for (unsigned i = 0; i < BATCHES && more; i++) {
		int count = fuse_log_receive(daemon->fuses.log, loop_now(daemon->loop), batch,
					     BATCH, &more, meter_full, daemon);
		if (count < 0) {
			log_write(daemon->log, LOG_WARN, "cannot read what the fuses tell: %s",
				  strerror(-count));
			fuses_finish(&daemon->fuses); /* upkeep opens it again */
			return;
		}
		for (int k = 0; k < count; k++)
			daemon_step(daemon, &batch[k]);
	}
}

static int open_log(struct daemon *daemon)
{
	struct fuses *fuses = &daemon->fuses;
	int err = fuse_log_create(&fuses->log);
	if (!err)
		err = loop_add_fd(daemon->loop, fuse_log_fd(fuses->log), EPOLLIN, log_readable,
				  daemon, &fuses->source);
	if (err)
		fuses_finish(fuses);
	return err;
}

void fuses_check(struct daemon *daemon)
{
	struct fuses *fuses = &daemon->fuses;
	struct nft_sink_stats sink;
	const tg_time now = loop_now(daemon->loop);
	int err = 0;
	nft_sink_stats(daemon->sink, &sink);
	if (sink.fuses > 0 && !fuses->log)
		err = open_log(daemon);
	else if (sink.fuses == 0 && fuses->log)
		fuses_finish(fuses);
	if (sink.no_fuse)
		health_set(&daemon->health, HEALTH_FUSE, now,
			   "the kernel takes no fuses (nft_log, nft_hash, nfnetlink_log): limits "
			   "of new are enforced by conntrack's events alone");
	else if (err)
		health_set(&daemon->health, HEALTH_FUSE, now,
			   "nobody hears the fuses: NFLOG group %u: %s; they hold back for "
			   "seconds, and make no bans",
			   fuse_log_group(),
			   err == -EBUSY ? "another program reads it" : strerror(-err));
	else
		health_clear(&daemon->health, HEALTH_FUSE, now);
	if (fuses->full_at == TG_NEVER || now - fuses->full_at >= FULL_SHOWN)
		health_clear(&daemon->health, HEALTH_METER, now);
	else
		show_full(daemon);
}
