/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells of a page of sources what is in force against them and how far each is from its nearest
 * limit: what `explain` says of one, short, and without a look at the flows. The bans are walked
 * once for all of them, in pieces.
 */
#include "control_near.h"

#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "control.h"
#include "daemon.h"

/* So many fit into one line of a request, with the longest prefixes. */
#define NEAR_SOURCES_MAX 64
/* Bans looked at in one piece, each beside every source: a millisecond. */
#define NEAR_BANS_PIECE 2048

struct near {
	struct daemon *daemon;
	uint32_t cursor;
	size_t count;
	struct near_source {
		struct tg_prefix prefix;
		uint32_t bans, enforced; /* that overlap it */
		bool covered;            /* by the ban below, all of it */
		struct tg_ban ban;       /* of those that overlap it */
	} sources[NEAR_SOURCES_MAX];
};

/* The one that is told of: of the whole source rather than a part, in force rather than observed,
   and the last to end. */
static bool is_better(const struct near_source *source, const struct tg_ban *ban, bool covers)
{
	if (source->bans == 0)
		return true;
	if (covers != source->covered)
		return covers;
	if (ban->enforced != source->ban.enforced)
		return ban->enforced;
	return ban->until > source->ban.until;
}

static void take_ban(struct near *near, const struct tg_ban *ban)
{
	if (tg_prefix_is_total(&ban->source))
		return;
	for (size_t i = 0; i < near->count; i++) {
		struct near_source *source = &near->sources[i];
		if (!tg_prefix_overlaps(&ban->source, &source->prefix))
			continue;
		const bool covers = ban->source.len <= source->prefix.len;
		if (is_better(source, ban, covers)) {
			source->ban = *ban;
			source->covered = covers;
		}
		source->bans++;
		source->enforced += ban->enforced;
	}
}

/* Of the limits that count all of the source, the one that it fills most. */
static void put_limit(const struct near *near, const struct near_source *source,
		      struct tg_strbuf *out)
{
	const struct tg_config *config = near->daemon->policy.config;
	struct tg_limit_count count, nearest = {.threshold = 0};
	uint32_t cursor = 0;
	while (tg_engine_next_limit(near->daemon->engine, &source->prefix.addr, &cursor, &count)) {
		if (tg_prefix_is_total(&count.source) || count.source.len > source->prefix.len ||
		    !count.counted || count.threshold == 0)
			continue;
		if (nearest.threshold == 0 || (uint64_t)count.measured * nearest.threshold >
						      (uint64_t)nearest.measured * count.threshold)
			nearest = count;
	}
	if (nearest.threshold == 0)
		return;
	tg_record_put(out, "policy", config->policies[nearest.policy].name);
	tg_record_put(out, "limit", config->policies[nearest.policy].limits[nearest.limit].name);
	tg_record_put_u64(out, "measured", nearest.measured);
	tg_record_put_u64(out, "threshold", nearest.threshold);
}

static void put_source(const struct near *near, const struct near_source *source,
		       struct tg_strbuf *out)
{
	const tg_time now = loop_now(near->daemon->loop);
	char text[TG_PREFIX_STRLEN];
	tg_record_begin(out, "near");
	tg_record_put(out, "source", tg_prefix_format(&source->prefix, text));
	tg_record_put_u64(out, "bans", source->bans);
	tg_record_put_u64(out, "enforced", source->enforced);
	if (source->bans > 0) {
		const struct tg_ban *ban = &source->ban;
		tg_record_put(out, "banned", tg_prefix_format(&ban->source, text));
		tg_record_put(out, "action", tg_action_name(ban->action));
		tg_record_put(out, "observed", ban->enforced ? "false" : "true");
		tg_record_put_u64(out, "expires_in",
				  ban->until > now ? (ban->until - now + TG_SEC - 1) / TG_SEC : 0);
	}
	put_limit(near, source, out);
	tg_record_end(out);
}

static bool near_more(void *data, void *state, struct tg_strbuf *out)
{
	struct near *near = state;
	struct tg_ban ban;
	(void)data;
	for (int i = 0; i < NEAR_BANS_PIECE; i++) {
		if (!tg_engine_next_ban(near->daemon->engine, &near->cursor, &ban)) {
			for (size_t j = 0; j < near->count; j++)
				put_source(near, &near->sources[j], out);
			return false;
		}
		take_ban(near, &ban);
	}
	return true;
}

/* "192.0.2.1/32,2001:db8::/64"; false if it is not that, or too much. */
static bool read_sources(const char *text, struct near *near)
{
	for (;;) {
		const size_t len = strcspn(text, ",");
		char one[TG_PREFIX_STRLEN];
		if (len >= sizeof(one) || near->count == NEAR_SOURCES_MAX)
			return false;
		memcpy(one, text, len);
		one[len] = '\0';
		if (tg_prefix_parse(one, &near->sources[near->count].prefix))
			return false;
		near->count++;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

void control_near(void *data, struct control_client *client, const struct tg_record *request)
{
	const char *sources = tg_record_get(request, "sources");
	struct near *near = calloc(1, sizeof(*near));
	if (!near) {
		control_error(client, 1, "out of memory");
		return;
	}
	near->daemon = data;
	if (!sources || !read_sources(sources, near)) {
		control_error(client, 2, "sources are 1 to %d addresses, with commas between them",
			      NEAR_SOURCES_MAX);
		free(near);
		return;
	}
	control_stream(client, near_more, near, free);
}
