/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/* Of these words the one that who wrote this one most likely meant, or NULL if none is near. */
const char *tg_nearest_word(const char *word, const char *const *words, size_t count);

#endif
