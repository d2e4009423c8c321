/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what two policies say, and the difference, for people and for programs. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include <tcpguard/config.h>

#include "base/util.h"
#include "json.h"
#include "output.h"

void plan_settings_add(void *data, const char *section, const char *key, const char *value)
{
	struct plan_settings *settings = data;
	if (settings->count == settings->capacity) {
		const size_t capacity = settings->capacity ? settings->capacity * 2 : 256;
		struct plan_setting *items =
			reallocarray(settings->items, capacity, sizeof(*items));
		settings->failed |= !items;
		if (!items)
			return;
		settings->items = items;
		settings->capacity = capacity;
	}
	struct plan_setting *setting = &settings->items[settings->count];
	*setting = (struct plan_setting){
		.section = strdup(section), .key = strdup(key), .value = strdup(value)};
	settings->count++;
	settings->failed |= !setting->section || !setting->key || !setting->value;
}

void plan_settings_of(const struct tg_config *config, struct plan_settings *settings)
{
	char text[TG_PREFIX_STRLEN];
	tg_config_describe(config, plan_settings_add, settings);
	for (size_t i = 0; i < config->policy_count; i++)
		tg_policy_describe(&config->policies[i], plan_settings_add, settings);
	for (size_t i = 0; i < config->allow_count; i++)
		plan_settings_add(settings, "allow", "prefix",
				  tg_prefix_format(&config->allow[i], text));
}

void plan_settings_finish(struct plan_settings *settings)
{
	for (size_t i = 0; i < settings->count; i++) {
		free(settings->items[i].section);
		free(settings->items[i].key);
		free(settings->items[i].value);
	}
	free(settings->items);
	*settings = (struct plan_settings){0};
}

static int compare_keys(const struct plan_setting *a, const struct plan_setting *b)
{
	const int order = strcmp(a->section, b->section);
	return order ? order : strcmp(a->key, b->key);
}

static int compare(const void *a, const void *b)
{
	const struct plan_setting *x = a, *y = b;
	const int order = compare_keys(x, y);
	return order ? order : strcmp(x->value, y->value);
}

/* Sorted, each once: a list may name an address twice, which means nothing. */
static void sort(struct plan_settings *settings)
{
	size_t kept = 0;
	if (settings->count == 0)
		return;
	qsort(settings->items, settings->count, sizeof(*settings->items), compare);
	for (size_t i = 0; i < settings->count; i++) {
		struct plan_setting *item = &settings->items[i];
		if (kept > 0 && compare(&settings->items[kept - 1], item) == 0) {
			free(item->section);
			free(item->key);
			free(item->value);
		} else {
			settings->items[kept++] = *item;
		}
	}
	settings->count = kept;
}

struct printer {
	FILE *out;
	bool color;
	struct json *json;
	const char *section;
	size_t changes;
};

/* What is changed in one place stands together: what was, and what will be. */
static void show(struct printer *printer, const struct plan_setting *before,
		 const struct plan_setting *after)
{
	const struct plan_setting *any = before ? before : after;
	const struct plan_setting *lines[] = {before, after};
	printer->changes++;
	if (printer->json) {
		json_object(printer->json, NULL);
		json_string(printer->json, "section", any->section);
		json_string(printer->json, "key", any->key);
		json_string(printer->json, "before", before ? before->value : NULL);
		json_string(printer->json, "after", after ? after->value : NULL);
		json_end(printer->json);
		return;
	}
	if (!printer->section || strcmp(printer->section, any->section) != 0) {
		output_text(printer->out, any->section);
		(void)fputc('\n', printer->out);
	}
	printer->section = any->section;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		if (!lines[i])
			continue;
		(void)fprintf(printer->out, "%s%c   ",
			      output_color(printer->color, i ? OUTPUT_GREEN : OUTPUT_RED),
			      i ? '+' : '-');
		output_text(printer->out, lines[i]->key);
		(void)fputs(": ", printer->out);
		output_text(printer->out, lines[i]->value);
		(void)fprintf(printer->out, "%s\n", output_color(printer->color, OUTPUT_PLAIN));
	}
}

/* How many from the first have its key. */
static size_t run_of(const struct plan_settings *settings, size_t from)
{
	size_t end = from + 1;
	while (end < settings->count &&
	       compare_keys(&settings->items[from], &settings->items[end]) == 0)
		end++;
	return end - from;
}

/* One key: the same value, another one, or lists of which each value counts by itself. */
static void show_key(struct printer *printer, const struct plan_setting *before,
		     size_t before_count, const struct plan_setting *after, size_t after_count)
{
	if (before_count == 1 && after_count == 1) {
		if (strcmp(before->value, after->value) != 0)
			show(printer, before, after);
		return;
	}
	size_t i = 0, j = 0;
	while (i < before_count || j < after_count) {
		const int order = i == before_count  ? 1
				  : j == after_count ? -1
						     : strcmp(before[i].value, after[j].value);
		if (order != 0)
			show(printer, order < 0 ? &before[i] : NULL, order > 0 ? &after[j] : NULL);
		i += order <= 0;
		j += order >= 0;
	}
}

size_t plan_print(struct plan_settings *now, struct plan_settings *then, FILE *out, bool color,
		  struct json *json)
{
	struct printer printer = {.out = out, .color = color, .json = json};
	size_t i = 0, j = 0;
	sort(now);
	sort(then);
	while (i < now->count || j < then->count) {
		const int order = i == now->count ? 1
				  : j == then->count
					  ? -1
					  : compare_keys(&now->items[i], &then->items[j]);
		const size_t before = order <= 0 ? run_of(now, i) : 0;
		const size_t after = order >= 0 ? run_of(then, j) : 0;
		show_key(&printer, now->items + i, before, then->items + j, after);
		i += before;
		j += after;
	}
	return printer.changes;
}
