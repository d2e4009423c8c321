/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel that does what it is told, or says why not, and forgets by the elements' own time. */
#include <string.h>

#include "step_world.h"

static bool same_name(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static struct step_element *element_find(struct step_world *w, const struct step_element *like)
{
	for (size_t i = 0; i < w->element_count; i++) {
		struct step_element *e = &w->elements[i];
		if (same_name(e->policy, like->policy) && e->scope == like->scope &&
		    tg_prefix_equal(&e->source, &like->source))
			return e;
	}
	return NULL;
}

static void element_remove(struct step_world *w, struct step_element *element)
{
	*element = w->elements[--w->element_count];
}

struct step_element step_element_of(const struct step_world *w, const struct tg_ban *ban)
{
	const struct tg_config *config = &w->config->config;
	return (struct step_element){
		.policy = ban->policy < config->policy_count ? config->policies[ban->policy].name
							     : NULL,
		.source = ban->source,
		.scope = ban->scope,
		.action = ban->action,
		.to = ban->to,
		.until = ban->until,
	};
}

bool step_kernel_add(struct step_world *w, const struct step_element *element)
{
	if (element_find(w, element))
		return false;
	if (w->element_count == STEP_ELEMENTS_MAX)
		w->overflow = true;
	else
		w->elements[w->element_count++] = *element;
	return true;
}

void step_kernel_take(struct step_world *w, const struct tg_decision *decision)
{
	const bool lift = decision->type == TG_DECISION_LIFT;
	if (!decision->ban.enforced || (!lift && decision->type != TG_DECISION_BAN))
		return;
	if (w->pending_count == STEP_PENDING_MAX) {
		/* The engine never hears of it: as if the answer were lost, which no sink does. */
		w->overflow = true;
		return;
	}
	w->pending[w->pending_count++] = (struct step_pending){
		.id = decision->ban.id,
		.version = decision->ban.version,
		.lift = lift,
		.element = step_element_of(w, &decision->ban),
	};
}

struct tg_event step_kernel_answer(struct step_world *w, int error)
{
	const struct step_pending change = w->pending[0];
	memmove(w->pending, w->pending + 1, --w->pending_count * sizeof(*w->pending));
	struct step_element *there = element_find(w, &change.element);
	if (!error && there)
		element_remove(w, there);
	if (!error && !change.lift)
		(void)step_kernel_add(w, &change.element); /* it is not there any more */
	return (struct tg_event){.type = TG_EVENT_ACK, .ack = {change.id, change.version, error}};
}

/* A set goes with its policy, and with the last limit that could fill it. */
static bool set_stays(const struct tg_config *config, const struct step_element *element)
{
	if (!element->policy)
		return true;
	for (size_t p = 0; p < config->policy_count; p++) {
		const struct tg_policy *policy = &config->policies[p];
		if (strcmp(policy->name, element->policy) != 0)
			continue;
		for (size_t i = 0; i < policy->limit_count; i++)
			if (tg_limit_uses_scope(&policy->limits[i], element->scope))
				return true;
	}
	return false;
}

void step_kernel_policy(struct step_world *w, const struct tg_config *config)
{
	for (size_t i = w->element_count; i-- > 0;)
		if (!set_stays(config, &w->elements[i]))
			element_remove(w, &w->elements[i]);
}

void step_kernel_expire(struct step_world *w)
{
	for (size_t i = w->element_count; i-- > 0;)
		if (w->elements[i].until <= w->now)
			element_remove(w, &w->elements[i]);
}

static bool same_shape(const struct step_element *element, const struct tg_ban *ban)
{
	const bool counts = ban->action == TG_ACTION_RATE_LIMIT || ban->action == TG_ACTION_CAP;
	return element->action == ban->action &&
	       (!counts ||
		(element->to.count == ban->to.count && element->to.per_ms == ban->to.per_ms));
}

bool step_kernel_holds(struct step_world *w, const struct tg_ban *ban)
{
	const struct step_element like = step_element_of(w, ban);
	const struct step_element *there = element_find(w, &like);
	return there && same_shape(there, ban);
}

void step_kernel_check(struct step_world *w)
{
	struct tg_ban ban;
	uint32_t cursor = 0;
	size_t live = 0, wild = 0;
	if (w->overflow)
		return;
	while (tg_engine_next_ban(w->engine, &cursor, &ban)) {
		if (!ban.enforced)
			continue;
		const struct step_element like = step_element_of(w, &ban);
		const struct step_element *there = element_find(w, &like);
		live++;
		STEP_REQUIRE(w, there);
		if (!there)
			continue;
		STEP_REQUIRE(w, same_shape(there, &ban));
		STEP_REQUIRE(w, there->until == ban.until);
	}
	for (size_t i = 0; i < w->element_count; i++)
		wild += w->elements[i].wild;
	STEP_REQUIRE(w, w->element_count <= live + wild);
}
