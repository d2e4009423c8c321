/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct json;
struct tg_config;

/* What two policies say, key by key, and where they differ. */
struct plan_setting {
	char *section, *key, *value;
};

struct plan_settings {
	struct plan_setting *items;
	size_t count, capacity;
	bool failed; /* memory ran out */
};

/* A tg_setting_fn; data is the settings. Copies. */
void plan_settings_add(void *data, const char *section, const char *key, const char *value);
/* All that a config says, with its allow list. */
void plan_settings_of(const struct tg_config *config, struct plan_settings *settings);
void plan_settings_finish(struct plan_settings *settings);

/*
 * What is to be changed, as a diff or, with json, as elements of an array that has been begun. How
 * much differs. Sorts both.
 */
size_t plan_print(struct plan_settings *now, struct plan_settings *then, FILE *out, bool color,
		  struct json *json);

#endif
