/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what the reader knows about words that are wrong or still to come. */
#include "words.h"

#include <string.h>
#include <strings.h>

#include "base/util.h"

bool words_not_built(const char *word)
{
	static const char *const words[] = {
		"share",
		"interfaces",
		"interface",
		"direction",
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

bool words_yaml_constant(const char *word)
{
	static const char *const words[] = {"y",   "n",    "yes",   "no",   "on",
					    "off", "true", "false", "null", "~"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(word, words[i]) == 0)
			return true;
	}
	return false;
}
