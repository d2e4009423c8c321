/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns which files make up a policy: the main file, the drop-ins beside it, and the
 * file that is checked in the place of one of them. Hands back one object, or nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>

#include "base/cleanup.h"
#include "base/util.h"
#include "loader.h"

struct loaded_config {
	struct tg_config config;
	struct tg_arena arena;
};

/* A directory and its drop-ins, names in C order. */
struct dropins {
	char *dir;
	struct dirent **entries;
	int count;
};

void tg_config_destroy(struct tg_config *config)
{
	if (!config)
		return;
	struct loaded_config *loaded = container_of(config, struct loaded_config, config);
	tg_arena_finish(&loaded->arena);
	free(loaded);
}

static char *path_join(const char *dir, const char *name)
{
	char *path;
	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static char *path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static bool is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* No hidden ones: they are what an editor or a deployment has not finished yet. */
static int is_dropin(const struct dirent *entry)
{
	const size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void dropins_finish(struct dropins *dropins)
{
	for (int i = 0; i < dropins->count; i++)
		free(dropins->entries[i]);
	free(dropins->entries);
	free(dropins->dir);
	*dropins = (struct dropins){0};
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Of files that need not be there: one name in one directory. */
static bool same_place(const char *a, const char *b)
{
	_cleanup_free_ char *x = path_dir(a), *y = path_dir(b);
	return strcmp(a, b) == 0 ||
	       (strcmp(base_name(a), base_name(b)) == 0 && x && y && same_file(x, y));
}

const char *loader_stands_for(struct loader *loader, const char *path)
{
	if (!loader->as || !same_place(path, loader->as))
		return path;
	loader->as_read = true;
	return loader->file;
}

/* The one that is going to be there. False: reported. */
static bool dropins_add(struct loader *loader, struct dropins *dropins)
{
	_cleanup_free_ char *dir = path_dir(loader->as);
	struct dirent *entry = calloc(1, sizeof(*entry));
	const char *name = base_name(loader->as);
	const size_t len = strlen(name);
	if (!dir || !entry) {
		free(entry);
		loader_memory(loader);
		return false;
	}
	if (len < sizeof(entry->d_name))
		memcpy(entry->d_name, name, len + 1);
	bool wanted = (strcmp(dir, dropins->dir) == 0 || same_file(dir, dropins->dir)) &&
		      is_dropin(entry);
	for (int i = 0; wanted && i < dropins->count; i++)
		wanted = strcmp(dropins->entries[i]->d_name, entry->d_name) != 0;
	if (!wanted) {
		free(entry);
		return true;
	}
	struct dirent **entries =
		reallocarray(dropins->entries, (size_t)dropins->count + 1, sizeof(*entries));
	if (!entries) {
		free(entry);
		loader_memory(loader);
		return false;
	}
	int at = dropins->count++;
	for (; at > 0 && strcmp(entries[at - 1]->d_name, entry->d_name) > 0; at--)
		entries[at] = entries[at - 1];
	entries[at] = entry;
	dropins->entries = entries;
	return true;
}

/* False: reported. No such directory is no drop-ins. */
static bool dropins_find(struct loader *loader, const char *beside, struct dropins *dropins)
{
	*dropins = (struct dropins){.dir = path_join(beside, "policies.d")};
	if (!dropins->dir) {
		loader_memory(loader);
		return false;
	}
	dropins->count = scandir(dropins->dir, &dropins->entries, is_dropin, compare_names);
	const int error = dropins->count < 0 ? errno : 0;
	if (error)
		dropins->count = 0;
	if (error == 0 || error == ENOENT)
		return !loader->as || dropins_add(loader, dropins);
	tg_diag_add(loader->diag, dropins->dir, 0, 0, 1, NULL, "it cannot be read: %s",
		    strerror(error));
	return false;
}

/* Makes room for a file, so that it is finished whatever becomes of it. */
static struct policy_file *file_create(struct loader *loader, const char *path,
				       const char **ret_name)
{
	struct policy_file *file = tg_arena_alloc(&loader->scratch, 1, sizeof(*file));
	char *name = tg_arena_strndup(loader->arena, path, strlen(path));
	if (!file || !name) {
		loader_memory(loader);
		return NULL;
	}
	*ret_name = name;
	return file;
}

/* NULL: reported. */
static struct policy_file *file_read(struct loader *loader, const char *path)
{
	const char *name;
	struct policy_file *file = file_create(loader, path, &name);
	if (!file)
		return NULL;
	int error = source_read(&file->source, name, loader_stands_for(loader, path), loader->diag);
	if (error < 0)
		tg_diag_add(loader->diag, name, 0, 0, 1, NULL, "it cannot be read: %s",
			    source_reason(error));
	else if (yaml_tree_read(&file->source, &loader->scratch, &file->root))
		return file;
	source_finish(&file->source);
	return NULL;
}

static bool overrides(const struct yaml_tree_node *policy)
{
	const struct yaml_tree_node *word = yaml_tree_get(policy, "override");
	return word && word->kind == YAML_TREE_SCALAR && strcasecmp(word->text, "true") == 0;
}

/* Both define, or both override, a policy of one name; or both define such a list or ladder. */
static bool defines_same(const struct yaml_tree_node *a, const struct yaml_tree_node *b,
			 const char *key)
{
	const struct yaml_tree_node *mine = yaml_tree_get(a, key), *theirs = yaml_tree_get(b, key);
	/* With more it is refused, and this is quadratic. */
	if (!mine || mine->kind != YAML_TREE_MAPPING || mine->count > LOADER_LISTS_MAX)
		return false;
	for (uint32_t i = 0; i < mine->count; i++) {
		const struct yaml_tree_node *other =
			yaml_tree_get(theirs, yaml_tree_key(mine, i)->text);
		if (other && overrides(yaml_tree_value(mine, i)) == overrides(other))
			return true;
	}
	return false;
}

static bool replaces(const struct policy_file *instead, const struct policy_file *dropin)
{
	return strcmp(base_name(instead->source.name), base_name(dropin->source.name)) == 0 ||
	       defines_same(instead->root, dropin->root, "policies") ||
	       defines_same(instead->root, dropin->root, "lists") ||
	       defines_same(instead->root, dropin->root, "ladders");
}

static void add_file(struct loader *loader, struct policy_file *file)
{
	loader->files[loader->file_count++] = file;
}

/* A drop-in that is checked takes the place of the first that it replaces, else the last. */
static void read_dropins(struct loader *loader, const struct dropins *dropins,
			 struct policy_file *instead)
{
	if (dropins->count > LOADER_FILES_MAX - 1) {
		tg_diag_add(loader->diag, dropins->dir, 0, 0, 1, NULL, "it has more than %d files",
			    LOADER_FILES_MAX - 1);
		return;
	}
	bool placed = !instead;
	for (int i = 0; i < dropins->count; i++) {
		_cleanup_free_ char *path = path_join(dropins->dir, dropins->entries[i]->d_name);
		struct policy_file *file = path ? file_read(loader, path) : NULL;
		if (!path)
			loader_memory(loader);
		if (!file) {
			loader->incomplete = true;
		} else if (instead && replaces(instead, file)) {
			source_finish(&file->source);
			if (!placed)
				add_file(loader, instead);
			placed = true;
		} else {
			add_file(loader, file);
		}
	}
	if (!placed)
		add_file(loader, instead);
}

/* True if FILE is not one of the set that it shall be checked with. */
static bool is_foreign(const char *path, const char *instead, const struct dropins *dropins)
{
	if (same_file(instead, path))
		return false;
	for (int i = 0; i < dropins->count; i++) {
		_cleanup_free_ char *dropin = path_join(dropins->dir, dropins->entries[i]->d_name);
		if (dropin && same_file(instead, dropin))
			return false;
	}
	return true;
}

/* Every file of the set, in order. False: reported, and nothing can be said about the rest. */
static bool read_set(struct loader *loader, const char *path, const char *instead,
		     const struct dropins *dropins)
{
	struct policy_file *other = NULL;
	if (instead && is_foreign(path, instead, dropins)) {
		other = file_read(loader, instead);
		if (!other)
			return false;
	}
	const bool is_main = other && yaml_tree_get(other->root, "version");
	struct policy_file *main_file = is_main ? other : file_read(loader, path);
	loader->has_main = main_file;
	if (main_file)
		add_file(loader, main_file);
	else
		loader->incomplete = true;
	read_dropins(loader, dropins, is_main ? NULL : other);
	return true;
}

static bool list_files(struct loader *loader)
{
	const size_t count = loader->file_count + loader->list_source_count;
	const char **files = tg_arena_alloc(loader->arena, count, sizeof(*files));
	if (!files)
		return false;
	for (size_t i = 0; i < loader->file_count; i++)
		files[i] = loader->files[i]->source.name;
	for (size_t i = 0; i < loader->list_source_count; i++)
		files[loader->file_count + i] = loader->list_sources[i]->name;
	loader->config->files = files;
	loader->config->file_count = count;
	return true;
}

/* What can be checked is checked, also when some file could not be read. */
static void resolve(struct loader *loader)
{
	for (size_t i = 0; i < loader->file_count; i++)
		loader_merge(loader, loader->files[i], i == 0 && loader->has_main);
	loader_resolve_settings(loader);
	loader_read_lists(loader);
	loader_resolve_allow(loader);
	loader_resolve_ladders(loader);
	loader_resolve_policies(loader);
	if (!list_files(loader))
		loader_memory(loader);
}

static struct loader *loader_create(struct tg_diag *diag)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	struct loaded_config *loaded = calloc(1, sizeof(*loaded));
	if (!loader || !loaded) {
		free(loader);
		free(loaded);
		tg_diag_add(diag, "policy", 0, 0, 1, NULL, "out of memory");
		return NULL;
	}
	tg_arena_init(&loaded->arena);
	tg_arena_init(&loader->scratch);
	loader->diag = diag;
	loader->config = &loaded->config;
	loader->arena = &loaded->arena;
	return loader;
}

/* The config, if nothing was reported since. Ends the loader. */
static struct tg_config *loader_destroy(struct loader *loader, size_t errors_before)
{
	struct tg_config *config = loader->config;
	if (loader->diag->count == errors_before && !loader->diag->lost)
		loader_resolve_sources(loader);
	if (loader->diag->count > errors_before || loader->diag->lost) {
		tg_config_destroy(config);
		config = NULL;
	}
	loader_finish_lists(loader);
	for (size_t i = 0; i < loader->file_count; i++)
		source_finish(&loader->files[i]->source);
	tg_arena_finish(&loader->scratch);
	free(loader);
	return config;
}

/* A set without the file says nothing about it. With another error, perhaps nothing got so far. */
static void check_as(struct loader *loader, const char *path, size_t errors_before)
{
	if (loader->as && !loader->as_read && loader->diag->count == errors_before)
		tg_diag_add(loader->diag, loader->as, 0, 0, 1, NULL,
			    "no policy reads it: it is not %s, no .yaml in policies.d beside that, "
			    "and no list that these name",
			    path);
}

static struct tg_config *load(struct loader *loader, const char *path, const char *instead)
{
	const size_t before = loader->diag->count;
	struct dropins dropins = {0};
	_cleanup_free_ char *dir = path_dir(path);
	if (dir && instead && !is_directory(dir)) {
		free(dir);
		dir = path_dir(instead);
	}
	loader->dir = dir;
	if (!dir)
		loader_memory(loader);
	else if (dropins_find(loader, dir, &dropins) && read_set(loader, path, instead, &dropins))
		resolve(loader);
	dropins_finish(&dropins);
	check_as(loader, path, before);
	return loader_destroy(loader, before);
}

struct tg_config *tg_config_load(const char *path, const char *instead, struct tg_diag *diag)
{
	struct loader *loader = loader_create(diag);
	return loader ? load(loader, path, instead) : NULL;
}

struct tg_config *tg_config_load_as(const char *path, const char *as, const char *file,
				    struct tg_diag *diag)
{
	struct loader *loader = loader_create(diag);
	if (!loader)
		return NULL;
	loader->as = as;
	loader->file = file;
	return load(loader, path, NULL);
}

struct tg_config *config_load_text(const char *name, const void *text, size_t len,
				   struct tg_diag *diag)
{
	const size_t before = diag->count;
	struct loader *loader = loader_create(diag);
	if (!loader)
		return NULL;
	const char *copy;
	struct policy_file *file = file_create(loader, name, &copy);
	if (file && !source_from_text(&file->source, copy, text, len, diag))
		loader_memory(loader);
	else if (file) {
		add_file(loader, file);
		loader->has_main = true;
		if (yaml_tree_read(&file->source, &loader->scratch, &file->root))
			resolve(loader);
	}
	return loader_destroy(loader, before);
}
