/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a fuzz target over the files of directories, as a test: a crash ends it without a plan. */
#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	uint8_t *data = malloc((size_t)st.st_size + 1);
	size_t size = data ? fread(data, 1, (size_t)st.st_size, file) : 0;
	bool whole = data && size == (size_t)st.st_size;
	(void)fclose(file); /* nothing was written */
	if (whole)
		(void)LLVMFuzzerTestOneInput(data, size); /* 0, always */
	free(data);
	return whole;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		unsigned count = 0;
		DIR *dir = opendir(argv[i]);
		const struct dirent *entry;
		test_failures = 0;
		while (dir && (entry = readdir(dir))) {
			char path[4096];
			int len = snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (len > 0 && (size_t)len < sizeof(path) && replay(path))
				count++;
		}
		if (dir)
			(void)closedir(dir); /* only read */
		CHECK(count > 0);
		printf("%sok %d - %u files of %s\n", test_failures ? "not " : "", ++test_number,
		       count, argv[i]);
		test_total_failures += test_failures;
	}
	return DONE();
}
