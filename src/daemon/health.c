/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the list of reasons for being degraded, and that each is told as it comes and goes. */
#include "health.h"

#include <stdarg.h>
#include <stdio.h>

const char *health_reason_name(enum health_reason reason)
{
	switch (reason) {
	case HEALTH_PANIC:
		return "panic";
	case HEALTH_TABLE:
		return "table";
	case HEALTH_BANS:
		return "bans";
	case HEALTH_INGRESS:
		return "ingress";
	case HEALTH_BRAKE:
		return "brake";
	case HEALTH_FEED:
		return "feed";
	case HEALTH_LOAD:
		return "load";
	case HEALTH_GAP:
		return "gap";
	case HEALTH_PROTECTED:
		return "protected";
	case HEALTH_ROOM:
		return "room";
	case HEALTH_EVENTS:
		return "events";
	case HEALTH_ACCOUNTING:
		return "accounting";
	case HEALTH_ADOPTION:
		return "adoption";
	case HEALTH_STATE:
		return "state";
	case HEALTH_POLICY:
		return "policy";
	case HEALTH_STORE:
		return "store";
	case HEALTH_CONTROL:
		return "control";
	case HEALTH_WITNESS:
		return "witness";
	case HEALTH_FUSE:
		return "fuse";
	case HEALTH_METER:
		return "meter";
	case HEALTH_SYNPROXY:
		return "synproxy";
	case HEALTH_COUNT:
		break;
	}
	return "?";
}

void health_init(struct health *health,
		 void (*told)(void *data, enum health_reason reason, bool on, const char *text),
		 void *data)
{
	*health = (struct health){.told = told, .data = data};
}

void health_set(struct health *health, enum health_reason reason, tg_time now, const char *format,
		...)
{
	va_list args;
	va_start(args, format);
	(void)vsnprintf(health->reasons[reason].text, sizeof(health->reasons[reason].text), format,
			args); /* a text that is too long is cut */
	va_end(args);
	if (health->reasons[reason].on)
		return;
	health->reasons[reason].on = true;
	health->reasons[reason].since = now;
	health->told(health->data, reason, true, health->reasons[reason].text);
}

void health_clear(struct health *health, enum health_reason reason, tg_time now)
{
	char text[sizeof(health->reasons[reason].text) + 40];
	if (!health->reasons[reason].on)
		return;
	health->reasons[reason].on = false;
	(void)snprintf(text, sizeof(text), "after %llu s: %s",
		       (unsigned long long)((now - health->reasons[reason].since) / TG_SEC),
		       health->reasons[reason].text);
	health->told(health->data, reason, false, text);
}

bool health_is_ok(const struct health *health)
{
	for (int i = 0; i < HEALTH_COUNT; i++)
		if (health->reasons[i].on)
			return false;
	return true;
}
