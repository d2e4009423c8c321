/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns a turn's changes: sorts them by set and element, so that of two about one
 * element the last counts, sends them in transactions of bounded size, and when the
 * kernel refuses one, takes it apart until the elements to blame stand alone.
 */
#include "netfilter/nft_queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "layout/layout.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_elem.h"
#include "netfilter/nft_layout.h"
#include "netfilter/nft_sink.h"
#include "netfilter/nft_socket.h"

#define TABLE LAYOUT_TABLE

/* One transaction: some 3 MiB in one send, and 50 ms at most in which nobody else can commit. */
#define TRANSACTION_MAX 16384

/* A refused transaction costs the kernel 8 to 16 ms; after so many the rest of a turn fails as a
 * whole and the engine tries again later, instead of the loop standing still. */
#define FAILURES_MAX 48

/* After a turn that was larger, its memory goes back. */
#define KEEP_MAX 16384

#define NO_SET SIZE_MAX

struct nft_op {
	size_t set;   /* index into the layout, or NO_SET */
	size_t order; /* as queued */
	struct nft_elem elem;
	uint32_t ban, version;
	bool add;
	bool renew;   /* only the end moves: what the kernel has stays */
	bool sibling; /* of an op about the same ban: out of where it may have been before */
	int error;    /* negative errno; of the last about its element */
	char reason[TG_REASON_MAX]; /* elem's */
};

struct commit {
	const struct nft_queue_context *context;
	struct nft_op *ops;
	struct nft_op **live; /* the last about each element, sorted */
	bool *full;           /* of each set: the kernel said so in this turn */
	unsigned failures;
	bool lost; /* table or set is not there */
};

void nft_queue_finish(struct nft_queue *queue)
{
	free(queue->ops);
	*queue = (struct nft_queue){0};
}

bool nft_queue_is_empty(const struct nft_queue *queue)
{
	return queue->count == 0;
}

/* NULL when memory runs out. */
static struct nft_op *append(struct nft_queue *queue, size_t set, const struct tg_ban *ban)
{
	if (queue->count == queue->capacity) {
		size_t capacity = queue->capacity ? 2 * queue->capacity : 256;
		struct nft_op *ops = reallocarray(queue->ops, capacity, sizeof(*ops));
		if (!ops)
			return NULL;
		queue->ops = ops;
		queue->capacity = capacity;
	}
	struct nft_op *op = &queue->ops[queue->count];
	*op = (struct nft_op){.set = set,
			      .order = queue->count++,
			      .ban = ban->id,
			      .version = ban->version,
			      .elem = {.key = nft_elem_key(&ban->source)}};
	return op;
}

/* 0 or -ENOMEM. */
static int leave_siblings(struct nft_queue *queue, const struct layout *layout, size_t set,
			  const struct tg_ban *ban)
{
	for (size_t at = 0, other; layout_next_sibling(layout, set, &at, &other);) {
		struct nft_op *op = layout->sets[other].present ? append(queue, other, ban) : NULL;
		if (op)
			op->sibling = true;
		else if (layout->sets[other].present)
			return -ENOMEM;
	}
	return 0;
}

static void describe(struct nft_op *op, const struct layout *layout, const struct tg_ban *ban,
		     tg_time now, uint64_t wall_s)
{
	const uint64_t age_s = now > ban->since ? (now - ban->since) / TG_SEC : 0;
	op->elem.action = ban->action;
	op->elem.to = ban->to;
	op->elem.origin = ban->origin;
	op->elem.left_ms = ban->until > now ? (ban->until - now) / TG_MSEC : 0;
	op->elem.measured = ban->measured;
	op->elem.threshold = ban->threshold;
	op->elem.offence = ban->offence;
	op->elem.unproven = ban->unproven;
	op->elem.since_s = wall_s > age_s ? wall_s - age_s : 0;
	memcpy(op->reason, ban->reason, sizeof(op->reason));
	op->reason[sizeof(op->reason) - 1] = '\0';
	if (op->set == NO_SET || ban->policy == TG_NO_INDEX)
		return;
	const struct tg_policy *policy = &layout->config->policies[ban->policy];
	op->elem.policy = policy->name;
	op->elem.limit = ban->limit < policy->limit_count ? policy->limits[ban->limit].name : NULL;
}

int nft_queue_add(struct nft_queue *queue, struct layout *layout,
		  const struct tg_decision *decision, tg_time now, uint64_t wall_s)
{
	const struct tg_ban *ban = &decision->ban;
	size_t set = NO_SET;
	int err = layout_find(layout, ban, &set);
	if (err == -ENOMEM)
		return err;
	struct nft_op *op = append(queue, err == 0 ? set : NO_SET, ban);
	if (!op)
		return -ENOMEM;
	op->add = decision->type == TG_DECISION_BAN;
	op->renew = op->add && decision->renewed;
	describe(op, layout, ban, now, wall_s);
	if (err != 0 || op->renew)
		return 0;
	const size_t count = queue->count;
	err = leave_siblings(queue, layout, set, ban);
	if (err < 0)
		queue->count = count - 1;
	return err;
}

static int op_compare_key(const struct nft_op *a, const struct nft_op *b)
{
	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return memcmp(a->elem.key.bytes, b->elem.key.bytes, sizeof(a->elem.key.bytes));
}

static int op_compare(const void *a, const void *b)
{
	const struct nft_op *x = *(struct nft_op *const *)a, *y = *(struct nft_op *const *)b;
	const int order = op_compare_key(x, y);
	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static const struct nft_elem *next_elem(void *data, size_t index)
{
	struct nft_op *const *live = data;
	live[index]->elem.reason = live[index]->reason;
	return &live[index]->elem;
}

/* The kernel's element takes the new end, and is otherwise right. */
static bool stays(const struct nft_queue_context *context, const struct nft_op *op)
{
	return op->renew && context->update;
}

/* Some of live[from..to), in their order; they are all of one set. */
struct picking {
	struct nft_op **live;
	const struct nft_queue_context *context;
	size_t at;
};

static const struct nft_elem *next_added(void *data, size_t index)
{
	struct picking *picking = data;
	(void)index; /* asked for in order, once */
	while (!picking->live[picking->at]->add)
		picking->at++;
	return next_elem(picking->live, picking->at++);
}

/* Asked for in order, but perhaps twice: then from the beginning. */
static const struct nft_elem *next_removed(void *data, size_t index)
{
	struct picking *picking = data;
	if (index == 0)
		picking->at = 0;
	while (stays(picking->context, picking->live[picking->at]))
		picking->at++;
	return next_elem(picking->live, picking->at++);
}

static void encode_range(struct commit *commit, size_t from, size_t to)
{
	const struct nft_queue_context *context = commit->context;
	struct layout *layout = context->layout;
	nft_batch_begin(context->batch, context->socket->seq);
	while (from < to) {
		const size_t set = commit->live[from]->set;
		const char *name = layout->sets[set].name;
		size_t end = from, added = 0, removed = 0;
		for (; end < to && commit->live[end]->set == set; end++) {
			added += commit->live[end]->add;
			removed += !stays(context, commit->live[end]);
		}
		if (!layout->sets[set].present) {
			nft_layout_encode_ban_set(layout, context->batch, set);
			nft_layout_encode_set_rules(layout, context->batch, set);
		}
		/* Out and in again is the one way that also changes an element's limit. */
		struct picking picking = {.live = &commit->live[from], .context = context};
		nft_elem_encode_remove(context->batch, TABLE, name, context->destroy, next_removed,
				       &picking, removed);
		picking.at = 0;
		nft_elem_encode_add(context->batch, TABLE, name, next_added, &picking, added);
		from = end;
	}
	nft_batch_end(context->batch);
}

static int send_range(struct commit *commit, size_t from, size_t to)
{
	const struct nft_queue_context *context = commit->context;
	encode_range(commit, from, to);
	int err = nft_socket_send(context->socket, context->batch);
	context->stats->transactions++;
	if (err < 0) {
		context->stats->failed++;
		return err;
	}
	for (size_t i = from; i < to; i++) {
		context->layout->sets[commit->live[i]->set].present = true;
		if (commit->live[i]->add)
			context->stats->elements_added++;
		else
			context->stats->elements_removed++;
	}
	return 0;
}

static void fail_range(struct commit *commit, size_t from, size_t to, int err)
{
	for (size_t i = from; i < to; i++) {
		commit->live[i]->error = err;
		commit->context->stats->elements_failed++;
	}
}

/* Not about an element: taking the batch apart would find nobody to blame. */
static bool is_about_all(int err)
{
	return err == -ENOENT || err == -EPERM || err == -EOPNOTSUPP || nft_socket_is_passing(err);
}

/*
 * Sends live[from..to), in halves when it is refused. From left to right, so that when a set has no
 * room, all that fits is in before the first is refused, and the rest is not tried.
 */
static void settle(struct commit *commit, size_t from, size_t to)
{
	if (commit->lost) {
		fail_range(commit, from, to, -ENOENT);
		return;
	}
	/* A range that is all of one full set, as the right halves are. */
	size_t refused = 0;
	for (size_t i = from; i < to; i++)
		refused += commit->live[i]->add && commit->full[commit->live[i]->set];
	if (refused == to - from) {
		fail_range(commit, from, to, -ENOSPC);
		return;
	}
	int err = refused == 0 ? send_range(commit, from, to) : -ENFILE;
	if (err == 0)
		return;
	if (refused == 0)
		commit->failures++;
	commit->lost = err == -ENOENT;
	if (to - from == 1 || is_about_all(err) || commit->failures > FAILURES_MAX) {
		if (err == -ENFILE && to - from == 1)
			commit->full[commit->live[from]->set] = true;
		fail_range(commit, from, to, err == -ENFILE ? -ENOSPC : err);
		return;
	}
	const size_t middle = from + (to - from) / 2;
	settle(commit, from, middle);
	settle(commit, middle, to);
}

/* Sorted; only the last about each element and only what the kernel must hear of. The count. */
static size_t pick_live(struct nft_queue *queue, const struct layout *layout,
			struct nft_op **sorted, struct nft_op **live)
{
	size_t count = 0;
	for (size_t i = 0; i < queue->count; i++)
		sorted[i] = &queue->ops[i];
	qsort(sorted, queue->count, sizeof(*sorted), op_compare);
	for (size_t i = 0; i < queue->count; i++) {
		if (sorted[i]->set == NO_SET) {
			sorted[i]->error = sorted[i]->add ? -EINVAL : 0;
			continue;
		}
		if (i + 1 < queue->count && op_compare_key(sorted[i], sorted[i + 1]) == 0)
			continue;
		/* Nothing is in a set that is not there; no need to make it first. */
		if (sorted[i]->add || layout->sets[sorted[i]->set].present)
			live[count++] = sorted[i];
	}
	return count;
}

int nft_queue_commit(struct nft_queue *queue, const struct nft_queue_context *context,
		     void (*ack)(void *data, uint32_t ban, uint32_t version, int error), void *data)
{
	if (queue->count == 0)
		return 0;
	struct commit commit = {.context = context, .ops = queue->ops};
	struct nft_op **sorted = calloc(2 * queue->count, sizeof(struct nft_op *));
	commit.full = calloc(context->layout->count + 1, sizeof(*commit.full));
	if (sorted && commit.full) {
		commit.live = sorted + queue->count;
		const size_t count = pick_live(queue, context->layout, sorted, commit.live);
		for (size_t i = 0; i < count; i += TRANSACTION_MAX)
			settle(&commit, i, MIN(i + TRANSACTION_MAX, count));
		/* From the back, so that each learns the result of the one after it. */
		for (size_t i = queue->count - 1; i-- > 0;) {
			if (sorted[i]->set != NO_SET &&
			    op_compare_key(sorted[i], sorted[i + 1]) == 0)
				sorted[i]->error = sorted[i + 1]->error;
		}
	} else {
		for (size_t i = 0; i < queue->count; i++)
			queue->ops[i].error = -ENOMEM;
	}
	for (size_t i = 0; i < queue->count; i++)
		if (!queue->ops[i].sibling || queue->ops[i].error)
			ack(data, queue->ops[i].ban, queue->ops[i].version, -queue->ops[i].error);
	free(sorted);
	free(commit.full);
	queue->count = 0;
	if (queue->capacity > KEEP_MAX)
		nft_queue_finish(queue);
	return commit.lost ? -ENOENT : 0;
}
