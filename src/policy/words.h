/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_WORDS_H
#define POLICY_WORDS_H

#include <stdbool.h>

/* A word of the language that this version knows of and cannot do yet. */
bool words_not_built(const char *word);

/* One that a reader of YAML 1.1 takes for true, false or null, in any case: "no", "on", "~". */
bool words_yaml_constant(const char *word);

#endif
