/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what the daemon answers to `status`, for those who show it. */
#include "status_answer.h"

#include <stdlib.h>
#include <string.h>

#include <tcpguard/proto.h>

#include "base/text.h"

void status_gather(void *data, const struct tg_record *record)
{
	struct status *status = data;
	status->groups++;
	for (size_t i = 0; i < record->count && status->count < VALUES_MAX; i++) {
		struct value *value = &status->values[status->count];
		*value = (struct value){.group = status->groups,
					.record = strdup(record->name),
					.key = strdup(record->fields[i].key),
					.text = strdup(record->fields[i].value)};
		status->count++;
		if (value->record && value->key && value->text)
			continue;
		free(value->record);
		free(value->key);
		free(value->text);
		status->count--;
	}
}

void status_finish(struct status *status)
{
	for (size_t i = 0; i < status->count; i++) {
		free(status->values[i].record);
		free(status->values[i].key);
		free(status->values[i].text);
	}
	free(status);
}

const char *status_find(const struct status *status, unsigned group, const char *record,
			const char *key)
{
	for (size_t i = 0; i < status->count; i++) {
		const struct value *value = &status->values[i];
		if ((group == 0 || value->group == group) && strcmp(value->record, record) == 0 &&
		    strcmp(value->key, key) == 0)
			return value->text;
	}
	return NULL;
}

const char *status_get(const struct status *status, const char *record, const char *key)
{
	const char *text = status_find(status, 0, record, key);
	return text ? text : "?";
}

uint64_t status_number(const struct status *status, const char *record, const char *key)
{
	uint64_t value = 0;
	const char *text = status_find(status, 0, record, key);
	return text && tg_text_u64(text, &value) ? value : 0;
}
