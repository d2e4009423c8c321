/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every file of the bad folder is refused at the place and with the words that its first
 * line expects ("# expect: LINE:COL: words"; or a file NAME.expect beside it, where a
 * comment cannot be). Every file of the other folders loads. The first error in the
 * order of the file counts.
 */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>

#include "test.h"

/* The first line of a file, without "# expect: "; empty if it cannot be read. */
static void first_line(const char *path, char *line, size_t size)
{
	line[0] = '\0';
	FILE *file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		line[0] = '\0';
	(void)fclose(file); /* only read */
	line[strcspn(line, "\r\n")] = '\0';
}

/* Where and what is expected of a bad file. */
static bool expectation(const char *path, uint32_t *line, uint32_t *col, char *words, size_t size)
{
	static const char mark[] = "# expect: ";
	char text[1024], beside[4096];
	(void)snprintf(beside, sizeof(beside), "%.*s.expect", (int)(strlen(path) - 5), path);
	const bool is_beside = access(beside, R_OK) == 0;
	first_line(is_beside ? beside : path, text, sizeof(text));
	char *at = is_beside ? text : strstr(text, mark);
	if (!at)
		return false;
	at += is_beside ? 0 : strlen(mark);
	char *end;
	*line = (uint32_t)strtoul(at, &end, 10);
	if (*end != ':')
		return false;
	*col = (uint32_t)strtoul(end + 1, &end, 10);
	if (end[0] != ':' || end[1] != ' ' || end[2] == '\0')
		return false;
	(void)snprintf(words, size, "%s", end + 2);
	return true;
}

static void check_bad(const char *path)
{
	uint32_t line = 0, col = 0;
	char words[1024] = "";
	struct tg_diag diag;
	tg_diag_init(&diag);
	CHECK(expectation(path, &line, &col, words, sizeof(words)));
	struct tg_config *config = tg_config_load(path, NULL, &diag);
	CHECK(!config);
	CHECK(diag.count > 0);
	tg_diag_sort(&diag);
	if (diag.count > 0) {
		const struct tg_diag_entry *entry = &diag.entries[0];
		CHECK_STR(entry->file, path);
		CHECK_U64(entry->line, line);
		CHECK_U64(entry->col, col);
		if (!strstr(entry->message, words))
			CHECK_STR(entry->message, words);
	}
	tg_config_destroy(config);
	tg_diag_finish(&diag);
}

static void check_good(const char *path)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	struct tg_config *config = tg_config_load(path, NULL, &diag);
	CHECK(config != NULL);
	CHECK_U64(diag.count, 0);
	for (size_t i = 0; i < diag.count; i++)
		printf("# %s:%u:%u: %s\n", diag.entries[i].file, diag.entries[i].line,
		       diag.entries[i].col, diag.entries[i].message);
	if (config) {
		CHECK(config->file_count >= 1);
		CHECK_STR(config->files[0], path);
	}
	tg_config_destroy(config);
	tg_diag_finish(&diag);
}

static int is_yaml(const struct dirent *entry)
{
	const size_t len = strlen(entry->d_name);
	return len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

/* The number of files. */
static int run_folder(const char *folder, void (*check)(const char *path))
{
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, is_yaml, alphasort);
	for (int i = 0; i < count; i++) {
		char path[4096];
		(void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		test_failures = 0;
		check(path);
		printf("%sok %d - %s\n", test_failures ? "not " : "", ++test_number,
		       entries[i]->d_name);
		test_total_failures += test_failures;
		free(entries[i]);
	}
	free(entries);
	return count;
}

int main(int argc, char **argv)
{
	int good = 0, bad = argc > 1 ? run_folder(argv[1], check_bad) : 0;
	for (int i = 2; i < argc; i++)
		good += run_folder(argv[i], check_good);
	/* A folder that was not found must not look like one without a failure. */
	test_failures = 0;
	CHECK(bad >= 100);
	CHECK(good >= 10);
	printf("%sok %d - the folders are there\n", test_failures ? "not " : "", ++test_number);
	test_total_failures += test_failures;
	return DONE();
}
