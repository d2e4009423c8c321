/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how far one word is from another. */
#include "nearest.h"

#include <string.h>

#include "util.h"

/* No word that anybody has to know is longer. */
#define WORD_MAX 32

/* Insertions, removals, changes and swaps of neighbours that make a of b; both at most WORD_MAX. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][WORD_MAX + 1];
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3];
		const unsigned *above = rows[(i - 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned cost = a[i - 1] != b[j - 1];
			row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

/* Case and the choice of '-' or '_' are no difference worth a letter. */
static size_t fold(const char *word, char out[static WORD_MAX])
{
	const size_t len = MIN(strlen(word), (size_t)WORD_MAX);
	for (size_t i = 0; i < len; i++) {
		char c = word[i];
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c == '_' ? '-' : c;
	}
	return len;
}

const char *tg_nearest_word(const char *word, const char *const *words, size_t count)
{
	char folded[WORD_MAX], other[WORD_MAX];
	const char *best = NULL;
	const size_t len = fold(word, folded);
	if (len < 2 || strlen(word) > WORD_MAX)
		return NULL;
	/* One wrong letter in three, and one more; but two must be right. */
	unsigned best_distance = (unsigned)MIN(len / 3 + 1, len - 2) + 1;
	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(folded, len, other, fold(words[i], other));
		if (d < best_distance) {
			best = words[i];
			best_distance = d;
		}
	}
	return best;
}
