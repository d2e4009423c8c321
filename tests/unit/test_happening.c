/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of the daemon: its line in the log, its fields for the journal, and that the catalog
 * and the page of events know all of it.
 */
#include "daemon/happening.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "test.h"

/* Where the files stand. */
static const char *catalog_path, *page_path;

static const char *read_file(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "re");
	CHECK(file != NULL);
	const size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	text[len] = '\0';
	if (file)
		fclose(file);
	return text;
}

static const char *received(int fd)
{
	static char text[4096];
	const ssize_t len = read(fd, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

TEST(a_line_and_its_fields)
{
	struct log log;
	int out[2], journal[2];
	CHECK(pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, journal) == 0);
	log_init(&log, out[1], LOG_DEBUGGING, NULL);
	happening_log(&log, HAPPENING_DEGRADED, "feed", "no events: a\nb");
	CHECK_STR(received(out[0]), "tcpguardd: degraded (feed): no events: a\\x0ab\n");
	log.journal_fd = journal[1];
	happening_log(&log, HAPPENING_RELOAD_FAILED, "operator", "p.yaml:3:1: error: \"x\"");
	CHECK_STR(received(journal[0]),
		  "MESSAGE=policy not reloaded, the running one stays in force (operator): "
		  "p.yaml:3:1: error: \"x\"\nPRIORITY=3\nSYSLOG_IDENTIFIER=tcpguardd\n"
		  "MESSAGE_ID=6bc32fde2dd34a66a6374ee399e91b4e\nTCPGUARD_EVENT=reload-failed\n"
		  "TCPGUARD_CAUSE=operator\n");
	CHECK_STR(received(out[0]), "");
	log_finish(&log);
	close(journal[0]);
	close(out[0]);
	close(out[1]);
}

TEST(reasons)
{
	CHECK(happening_of(HEALTH_FEED, true) == HAPPENING_DEGRADED);
	CHECK(happening_of(HEALTH_FEED, false) == HAPPENING_RECOVERED);
	CHECK(happening_of(HEALTH_PANIC, true) == HAPPENING_PANIC);
	CHECK(happening_of(HEALTH_PANIC, false) == HAPPENING_RESUME);
	CHECK(happening_of(HEALTH_BRAKE, true) == HAPPENING_BRAKE_ON);
	CHECK(happening_of(HEALTH_BRAKE, false) == HAPPENING_BRAKE_OFF);
}

/* Told once, at the begin and at the end, with the last text. */
struct told {
	unsigned count;
	bool on;
	char text[256];
};

static void remember(void *data, enum health_reason reason, bool on, const char *text)
{
	struct told *told = data;
	CHECK(reason == HEALTH_STORE);
	told->count++;
	told->on = on;
	snprintf(told->text, sizeof(told->text), "%s", text);
}

TEST(health_is_told_as_it_changes)
{
	struct told told = {0};
	struct health health;
	health_init(&health, remember, &told);
	health_clear(&health, HEALTH_STORE, TG_SEC);
	CHECK_U64(told.count, 0);
	health_set(&health, HEALTH_STORE, TG_SEC, "disk %s", "full");
	CHECK(told.count == 1 && told.on && !health_is_ok(&health));
	CHECK_STR(told.text, "disk full");
	health_set(&health, HEALTH_STORE, 2 * TG_SEC, "disk gone");
	CHECK_U64(told.count, 1);
	health_clear(&health, HEALTH_STORE, 8 * TG_SEC);
	CHECK(told.count == 2 && !told.on && health_is_ok(&health));
	CHECK_STR(told.text, "after 7 s: disk gone");
}

TEST(each_has_its_entry_in_the_catalog)
{
	const char *catalog = read_file(catalog_path);
	for (int i = 0; i < HAPPENING_COUNT; i++) {
		char entry[48];
		snprintf(entry, sizeof(entry), "\n-- %s\n",
			 happening_message_id((enum happening)i));
		if (!strstr(catalog, entry))
			printf("# %s has none\n", happening_name((enum happening)i));
		CHECK(strstr(catalog, entry) != NULL);
		for (int j = 0; j < i; j++)
			CHECK(strcmp(happening_message_id((enum happening)i),
				     happening_message_id((enum happening)j)) != 0);
	}
}

TEST(each_stands_on_the_page)
{
	const char *page = read_file(page_path);
	for (int i = 0; i < HAPPENING_COUNT; i++) {
		char term[48];
		snprintf(term, sizeof(term), "`%s`", happening_name((enum happening)i));
		if (!strstr(page, term))
			printf("# %s does not\n", term);
		CHECK(strstr(page, term) != NULL);
	}
}

int main(int argc, char **argv)
{
	catalog_path = argc > 1 ? argv[1] : "";
	page_path = argc > 2 ? argv[2] : "";
	RUN(a_line_and_its_fields);
	RUN(reasons);
	RUN(health_is_told_as_it_changes);
	RUN(each_has_its_entry_in_the_catalog);
	RUN(each_stands_on_the_page);
	return DONE();
}
