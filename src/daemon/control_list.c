/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request that lists bans, and how a ban is told wherever it is. */
#include "control_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "daemon.h"

/* Bans of one piece of a list: each costs a question to the kernel, 5 to 13 us. */
#define LIST_PIECE 64

struct list_state {
	struct daemon *daemon;
	uint32_t cursor;
};

void control_list_put_ban(struct daemon *daemon, const struct tg_ban *ban, struct tg_strbuf *out)
{
	const struct tg_config *config = daemon->policy.config;
	const struct tg_policy *policy =
		ban->policy < config->policy_count ? &config->policies[ban->policy] : NULL;
	const struct tg_limit *limit =
		policy && ban->limit < policy->limit_count ? &policy->limits[ban->limit] : NULL;
	char source[TG_PREFIX_STRLEN], rate[TG_RATE_STRLEN];
	tg_time now = loop_now(daemon->loop);
	tg_record_put(out, "source", tg_prefix_format(&ban->source, source));
	tg_record_put(out, "action", tg_action_name(ban->action));
	tg_record_put(out, "scope", tg_scope_name(ban->scope));
	const char *to = tg_ban_to_format(ban, rate);
	if (to)
		tg_record_put(out, "to", to);
	if (policy)
		tg_record_put(out, "policy", policy->name);
	if (limit) {
		tg_record_put(out, "limit", limit->name);
		tg_record_put(out, "measure", tg_measure_name(limit->measure));
	}
	tg_record_put_u64(out, "measured", ban->measured);
	tg_record_put_u64(out, "threshold", ban->threshold);
	tg_record_put(out, "origin", tg_origin_name(ban->origin));
	tg_record_put_u64(out, "offence", ban->offence);
	tg_record_put_u64(out, "since", (uint64_t)loop_wall_at(ban->since));
	tg_record_put_u64(out, "expires_in",
			  ban->until > now ? (ban->until - now + TG_SEC - 1) / TG_SEC : 0);
	tg_record_put(out, "enforced", ban->enforced ? "true" : "false");
	if (ban->unproven)
		tg_record_put(out, "unproven", "true");
	tg_record_put(out, "reason", ban->reason);
}

static void put_place(const struct tg_config *config, const struct tg_ban *ban,
		      struct tg_strbuf *out)
{
	if (ban->policy >= config->policy_count ||
	    ban->limit >= config->policies[ban->policy].limit_count)
		return;
	const struct tg_limit *limit = &config->policies[ban->policy].limits[ban->limit];
	if (!limit->file)
		return;
	tg_record_put(out, "file", limit->file);
	tg_record_put_u64(out, "line", limit->line);
}

void control_list_put(struct daemon *daemon, const struct tg_ban *ban,
		      const struct nft_counters *counters, bool place, struct tg_strbuf *out)
{
	tg_record_begin(out, "ban");
	control_list_put_ban(daemon, ban, out);
	if (place)
		put_place(daemon->policy.config, ban, out);
	if (counters->found || !ban->enforced) {
		tg_record_put_u64(out, "packets", counters->packets);
		tg_record_put_u64(out, "bytes", counters->bytes);
	}
	tg_record_end(out);
}

static bool list_more(void *data, void *state, struct tg_strbuf *out)
{
	struct daemon *daemon = data;
	struct list_state *list = state;
	struct tg_ban bans[LIST_PIECE];
	struct nft_counters counters[LIST_PIECE] = {0};
	size_t count = 0;
	while (count < LIST_PIECE &&
	       tg_engine_next_ban(daemon->engine, &list->cursor, &bans[count]))
		count++;
	/* Unknown counters are left out of the answer; the list is worth more than they are. */
	if (count > 0 && nft_sink_counters(daemon->sink, bans, count, counters) < 0)
		memset(counters, 0, sizeof(counters));
	for (size_t i = 0; i < count; i++)
		control_list_put(daemon, &bans[i], &counters[i], false, out);
	return count == LIST_PIECE;
}

void control_list(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)request;
	struct list_state *list = calloc(1, sizeof(*list));
	if (!list) {
		control_error(client, 1, "out of memory");
		return;
	}
	list->daemon = data;
	control_stream(client, list_more, list, free);
}
