/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the ring of what is to be told and is no change of a ban: refusals, questions and kills. */
#include "engine_state.h"

struct tg_decision *notes_add(struct tg_engine *engine, enum tg_decision_type type,
			      enum tg_cause cause, bool reserved)
{
	const uint32_t room = reserved ? ENGINE_NOTES : ENGINE_NOTES - ENGINE_NOTES_RESERVED;
	if (engine->notes_count >= room) {
		engine->stats.decisions_lost++;
		return NULL;
	}
	struct tg_decision *note =
		&engine->notes[(engine->notes_head + engine->notes_count++) % ENGINE_NOTES];
	*note = (struct tg_decision){.type = type, .cause = cause, .at = engine->now};
	return note;
}

size_t notes_take(struct tg_engine *engine, struct tg_decision *out, size_t cap)
{
	size_t count = 0;
	for (; count < cap && engine->notes_count > 0; engine->notes_count--) {
		out[count++] = engine->notes[engine->notes_head];
		engine->notes_head = (engine->notes_head + 1) % ENGINE_NOTES;
	}
	return count;
}

void notes_drop_questions(struct tg_engine *engine)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < engine->notes_count; i++) {
		const struct tg_decision *note =
			&engine->notes[(engine->notes_head + i) % ENGINE_NOTES];
		if (note->type == TG_DECISION_WITNESS || note->type == TG_DECISION_PROBE ||
		    note->type == TG_DECISION_PASS)
			continue;
		engine->notes[(engine->notes_head + kept++) % ENGINE_NOTES] = *note;
	}
	engine->notes_count = kept;
}

/* As the ban is now, if it is still one that ends connections. */
static bool kill_anew(struct tg_engine *engine, struct tg_decision *note)
{
	const struct ban *ban = ban_table_at(engine->bans, note->ban.id);
	if (ban->life != BAN_LIVE || !ban->enforced || !ban->kill ||
	    !tg_prefix_equal(&ban->source, &note->ban.source))
		return false;
	bans_describe(engine, note->ban.id, &note->ban);
	return true;
}

void notes_follow_policy(struct tg_engine *engine)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < engine->notes_count; i++) {
		struct tg_decision *note = &engine->notes[(engine->notes_head + i) % ENGINE_NOTES];
		if (note->type == TG_DECISION_KILL && !kill_anew(engine, note))
			continue;
		engine->notes[(engine->notes_head + kept++) % ENGINE_NOTES] = *note;
	}
	engine->notes_count = kept;
}
