/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/addr.h>
#include <tcpguard/units.h>

#include "yaml_tree.h"

/*
 * Single values of the language. Each function takes the node, and what it is for the
 * sentence ("expire"), and returns false after it has reported what is wrong.
 */

void schema_error(const struct yaml_tree_node *node, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Sorts the pairs of a mapping into found[i], the value of keys[i] or NULL. Unknown keys
 * are reported and make it false, but found[] is filled in any case, so that the rest can
 * be checked: all NULL when the node is no mapping.
 */
bool schema_keys(const struct yaml_tree_node *node, const char *what, const char *const *keys,
		 size_t count, const struct yaml_tree_node **found);

bool schema_sequence(const struct yaml_tree_node *node, const char *what, const char *example);
bool schema_number(const struct yaml_tree_node *node, const char *what, uint32_t least,
		   uint32_t most, uint32_t *ret_number);
bool schema_duration(const struct yaml_tree_node *node, const char *what, uint64_t least_ms,
		     uint64_t most_ms, uint64_t *ret_ms);
bool schema_rate(const struct yaml_tree_node *node, const char *what, struct tg_rate *ret_rate);
/* A percentage over 0, in steps of a tenth, as thousandths. */
bool schema_share(const struct yaml_tree_node *node, const char *what, uint32_t *ret_thousandths);
/* *ret_index is that of the word. */
bool schema_word(const struct yaml_tree_node *node, const char *what, const char *const *words,
		 size_t count, size_t *ret_index);
bool schema_bool(const struct yaml_tree_node *node, const char *what, bool *ret_value);
bool schema_prefix(const struct yaml_tree_node *node, struct tg_prefix *ret_prefix);
/* Of a policy, a limit or a list: what names a set of the kernel. */
bool schema_name(const struct yaml_tree_node *node, const char *what);

#endif
