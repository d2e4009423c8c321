/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_LOADER_H
#define POLICY_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpguard/config.h>

#include "base/arena.h"
#include "source.h"
#include "yaml_tree.h"

/* Drop-ins of one host. A directory with more is not ours. */
#define LOADER_FILES_MAX 256
#define LOADER_LISTS_MAX 256
/* Entries of all lists, and of `allow` with its lists expanded: what the kernel's set is sized for.
 */
#define LOADER_PREFIXES_MAX 1000000
/* Nodes made by `override: true`: far over what the largest policy has, far under what aliases of
 * aliases could ask for. */
#define LOADER_MERGED_MAX 100000

/* Prefixes that grow; freed by their owner. */
struct prefixes {
	struct tg_prefix *items;
	size_t count, capacity;
};

/* A policy file that was read. */
struct policy_file {
	struct source source;
	const struct yaml_tree_node *root; /* NULL: nothing in it */
};

/* A list or a policy, and where its name stands. */
struct named {
	const struct yaml_tree_node *key, *value;
};

struct list {
	struct named named;
	struct prefixes prefixes;
	bool good;
};

struct ladder {
	struct named named;
	const char *name; /* in the config */
	const struct tg_step *steps;
	size_t step_count; /* 0: it has an error, which is reported */
	uint64_t forget_ms;
};

enum default_key {
	DEFAULT_SOURCE,
	DEFAULT_LADDER,
	DEFAULT_IDLE_AFTER,
	DEFAULT_MAX_SOURCES,
	DEFAULT_MAX_FLOWS,
	DEFAULT_MAX_BANS,
	DEFAULT_COUNT
};

enum brake_key { BRAKE_BANS_PER_MINUTE, BRAKE_SHARE_OF_SOURCES, BRAKE_SHARE_OF_FLOWS, BRAKE_COUNT };

/*
 * A set of files on its way to a config. Two steps: every file is merged into this, then
 * what was merged is checked and resolved into config.
 */
struct loader {
	struct tg_diag *diag;
	const char *dir;         /* where the lists are looked for; NULL: no list file is read */
	const char *as, *file;   /* file is read in the place of as; NULL: nothing is */
	bool as_read;            /* as is a file of the set */
	struct tg_arena scratch; /* nodes and names; gone when the config is complete */
	struct tg_arena *arena;  /* what the config is made of */
	struct tg_config *config;

	struct policy_file *files[LOADER_FILES_MAX + 1]; /* the main file first */
	size_t file_count;
	bool has_main; /* files[0] is it */
	struct source *list_sources[LOADER_LISTS_MAX];
	size_t list_source_count;

	const struct yaml_tree_node *mode, *defaults[DEFAULT_COUNT], *brakes[BRAKE_COUNT];
	const struct yaml_tree_node *hook, *interfaces, *admin_ports, *event_mask;
	const struct yaml_tree_node *allow[LOADER_FILES_MAX + 1];
	size_t allow_count;
	struct list lists[LOADER_LISTS_MAX];
	size_t list_count;
	size_t list_prefix_count; /* of all lists */
	struct ladder ladders[TG_LADDERS_MAX];
	size_t ladder_count;
	const struct ladder *ladder; /* of limits that say nothing; NULL: none */
	struct named policies[TG_POLICIES_MAX];
	size_t policy_count;
	size_t merged_count;
	bool incomplete;        /* a file could not be read: what is missing may stand in it */
	bool too_many_policies; /* told once */
	uint8_t prefix_len[TG_FAMILY_COUNT];
};

/* loader.c: merging, and reporting what no place in a file is to blame for. */
void loader_memory(struct loader *loader);
void loader_merge(struct loader *loader, const struct policy_file *file, bool is_main);

/* loader_lists.c: reads the lists, then resolves `allow`. */
void loader_read_lists(struct loader *loader);
void loader_resolve_allow(struct loader *loader);
void loader_finish_lists(struct loader *loader);

/* loader_settings.c: what is said once for the host. */
void loader_resolve_settings(struct loader *loader);
/* How many sources, if the policy leaves it open: when all its limits are known, and right. */
void loader_resolve_sources(struct loader *loader);
bool loader_mode(const struct yaml_tree_node *node, enum tg_mode *ret_mode);

/* loader_policy.c: the policies and their limits. */
void loader_resolve_policies(struct loader *loader);
/* What is counted as one source: a mapping of families to prefix lengths. */
bool loader_source(const struct yaml_tree_node *node, uint8_t prefix_len[static TG_FAMILY_COUNT]);

/* loader_step.c */
struct loader_step_nodes {
	const struct yaml_tree_node *action, *scope, *to, *expire, *kill; /* NULL: not given */
};
/*
 * One step. What is missing is reported at `at`, as missing in `what`, unless some key was
 * misspelt (keys_good false), which has been reported.
 */
bool loader_step(const struct yaml_tree_node *at, const char *what,
		 const struct loader_step_nodes *nodes, bool keys_good, struct tg_step *ret_step);

/* loader_ladder.c */
void loader_resolve_ladders(struct loader *loader);
/* NULL: there is none, which is reported. */
const struct ladder *loader_find_ladder(struct loader *loader, const struct yaml_tree_node *node);

/* loader_limit.c */
bool loader_limit(struct loader *loader, const struct named *named, enum tg_mode mode,
		  struct tg_limit *ret_limit);

/* config_load.c: where to read what the set calls path. */
const char *loader_stands_for(struct loader *loader, const char *path);

/* config_load.c: one text as a main file by itself; it names no list files. For the fuzzer. */
struct tg_config *config_load_text(const char *name, const void *text, size_t len,
				   struct tg_diag *diag);

#endif
