/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives clients that record their recorder and the engine's events to all of them. */
#include "admins.h"
#include "control_record.h"

#include <string.h>

#include "base/util.h"
#include "daemon.h"

static void end_recorder(void *state)
{
	struct daemon_recorder *slot = state;
	struct recorder_stats stats;
	recorder_stats(slot->recorder, &stats);
	slot->daemon->recorded_events += stats.events;
	slot->daemon->recorded_lost += stats.lost;
	slot->daemon->recording--;
	recorder_destroy(slot->recorder);
	slot->recorder = NULL;
}

void control_record_stats(const struct daemon *daemon, struct recorder_stats *ret_stats)
{
	*ret_stats = (struct recorder_stats){.events = daemon->recorded_events,
					     .lost = daemon->recorded_lost};
	for (size_t i = 0; i < ARRAY_SIZE(daemon->recorders); i++) {
		struct recorder_stats stats;
		if (!daemon->recorders[i].recorder)
			continue;
		recorder_stats(daemon->recorders[i].recorder, &stats);
		ret_stats->events += stats.events;
		ret_stats->lost += stats.lost;
	}
}

void record_event(struct daemon *daemon, const struct tg_event *event)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->recorders); i++)
		if (daemon->recorders[i].recorder)
			recorder_event(daemon->recorders[i].recorder, event);
}

void record_wake(struct daemon *daemon)
{
	for (size_t i = 0; i < ARRAY_SIZE(daemon->recorders); i++) {
		const struct daemon_recorder *slot = &daemon->recorders[i];
		struct control_client *client =
			slot->recorder && recorder_waits(slot->recorder)
				? control_find(daemon->control, slot->client)
				: NULL;
		if (client)
			control_wake(client);
	}
}

static bool record_more(void *data, void *state, struct tg_strbuf *out)
{
	struct daemon *daemon = data;
	struct daemon_recorder *slot = state;
	const struct recorder_view view = {.engine = daemon->engine,
					   .config = daemon->policy.config,
					   .protected = daemon->protected,
					   .admins = admins_set(daemon->admins),
					   .now = loop_now(daemon->loop)};
	if (!recorder_fill(slot->recorder, &view, out))
		return false;
	if (!recorder_waits(slot->recorder)) {
		struct control_client *client = control_find(daemon->control, slot->client);
		if (client)
			control_pause(client);
	}
	return true;
}

void control_record(void *data, struct control_client *client, const struct tg_record *request)
{
	struct daemon *daemon = data;
	struct daemon_recorder *slot = NULL;
	(void)request;
	for (size_t i = 0; i < ARRAY_SIZE(daemon->recorders) && !slot; i++)
		if (!daemon->recorders[i].recorder)
			slot = &daemon->recorders[i];
	if (!slot) {
		control_error(client, 1, "%d clients are recording already", DAEMON_RECORDERS_MAX);
		return;
	}
	struct tg_trace_header header = {.start = loop_now(daemon->loop),
					 .wall_ms = (uint64_t)loop_wall_clock() * 1000};
	memcpy(header.seed, daemon->params.seed, sizeof(header.seed));
	*slot = (struct daemon_recorder){.daemon = daemon,
					 .recorder = recorder_create(&header),
					 .client = control_client_id(client)};
	if (!slot->recorder) {
		control_error(client, 1, "out of memory");
		return;
	}
	daemon->recording++;
	control_stream(client, record_more, slot, end_recorder);
}
