/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The errors of a run: kept, bounded, sorted, and printed without harm to the terminal. */
#include <tcpguard/diag.h>

#include "base/strbuf.h"
#include "test.h"

static void check_print(const struct tg_diag *diag, const char *want)
{
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	tg_diag_print(diag, &out);
	CHECK(!out.failed);
	CHECK_STR(out.text, want);
	tg_strbuf_finish(&out);
}

TEST(empty)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	tg_diag_sort(&diag);
	check_print(&diag, "");
	tg_diag_finish(&diag);
	tg_diag_finish(&diag);
}

TEST(print)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	tg_diag_add(&diag, "a.yaml", 12, 7, 4, "mode: both", "'%s' is %d", "both", 5);
	check_print(&diag, "a.yaml:12:7: error: 'both' is 5\n"
			   "   12 | mode: both\n"
			   "      |       ^~~~\n");
	tg_diag_finish(&diag);
	tg_diag_add(&diag, "a.yaml", 0, 0, 1, NULL, "it cannot be read");
	check_print(&diag, "a.yaml: error: it cannot be read\n");
	tg_diag_finish(&diag);
	tg_diag_add(&diag, "a.yaml", 3, 2, 1, NULL, "a line that is not shown");
	check_print(&diag, "a.yaml:3:2: error: a line that is not shown\n");
	tg_diag_finish(&diag);
}

TEST(texts_are_copied)
{
	struct tg_diag diag;
	char file[] = "f", source[] = "s", word[] = "w";
	tg_diag_init(&diag);
	tg_diag_add(&diag, file, 1, 1, 1, source, "%s", word);
	file[0] = source[0] = word[0] = 'x';
	check_print(&diag, "f:1:1: error: w\n    1 | s\n      | ^\n");
	tg_diag_finish(&diag);
}

TEST(caret)
{
	static const struct {
		const char *source, *caret;
		uint32_t col, width;
	} cases[] = {
		{"abc", "^", 1, 0},
		{"abc", "^~~", 1, 3},
		{"abc", "^~~", 1, 4000000000U},
		{"abc", "  ^", 3, 9},
		{"abc", "   ^", 4, 1},
		{"abc", "   ^", 4000000000U, 5},
		{"", "^", 1, 1},
		{"\t\tx", "\t\t^", 3, 1},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80x", "   ^", 4, 1},
		{"\xc3\xa4\xc3\xb6\xc3\xbc", " ^~", 2, 2},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char want[256];
		struct tg_diag diag;
		tg_diag_init(&diag);
		tg_diag_add(&diag, "f", 1, cases[i].col, cases[i].width, cases[i].source, "m");
		(void)snprintf(want, sizeof(want), "f:1:%u: error: m\n    1 | %s\n      | %s\n",
			       cases[i].col, cases[i].source, cases[i].caret);
		check_print(&diag, want);
		tg_diag_finish(&diag);
	}
}

TEST(no_control_characters)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	tg_diag_add(&diag, "\x1b[2Jf", 1, 1, 1, "\x1b[31m\x7f\xc2\x9b\t", "a\nb\x1b\xc2\x85");
	check_print(&diag, "?[2Jf:1:1: error: a?b??\n    1 | ?[31m??\t\n      | ^\n");
	tg_diag_finish(&diag);
}

TEST(sort)
{
	struct tg_diag diag;
	tg_diag_init(&diag);
	tg_diag_add(&diag, "b", 2, 1, 1, NULL, "4");
	tg_diag_add(&diag, "a", 1, 1, 1, NULL, "6");
	tg_diag_add(&diag, "b", 1, 9, 1, NULL, "3");
	tg_diag_add(&diag, "b", 1, 2, 1, NULL, "1");
	tg_diag_add(&diag, "b", 1, 2, 1, NULL, "2");
	tg_diag_add(&diag, "a", 0, 0, 1, NULL, "5");
	tg_diag_sort(&diag);
	for (size_t i = 0; i < diag.count; i++) {
		char want[2] = {(char)('1' + i), '\0'};
		CHECK_STR(diag.entries[i].message, want);
	}
	tg_diag_finish(&diag);
}

TEST(bounded)
{
	struct tg_diag diag;
	struct tg_strbuf out;
	tg_diag_init(&diag);
	for (uint32_t i = 0; i < TG_DIAG_MAX; i++)
		tg_diag_add(&diag, "f", i + 1, 1, 1, NULL, "m");
	CHECK(!diag.lost);
	tg_diag_add(&diag, "f", 1, 1, 1, NULL, "one more");
	CHECK(diag.lost);
	CHECK_U64(diag.count, TG_DIAG_MAX);
	tg_strbuf_init(&out);
	tg_diag_print(&diag, &out);
	CHECK(strstr(out.text, "more errors than are shown") != NULL);
	CHECK(strstr(out.text, "one more") == NULL);
	tg_strbuf_finish(&out);
	tg_diag_finish(&diag);
	CHECK(!diag.lost);
}

int main(void)
{
	RUN(empty);
	RUN(print);
	RUN(texts_are_copied);
	RUN(caret);
	RUN(no_control_characters);
	RUN(sort);
	RUN(bounded);
	return DONE();
}
