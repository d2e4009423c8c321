/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A string that grows: contents, termination, and its one failure. */
#include <stdlib.h>

#include "base/strbuf.h"
#include "test.h"

TEST(empty)
{
	struct tg_strbuf buf;
	tg_strbuf_init(&buf);
	CHECK_STR(buf.text, "");
	CHECK_U64(buf.len, 0);
	tg_strbuf_clear(&buf);
	tg_strbuf_consume(&buf, 5);
	tg_strbuf_append(&buf, "", 0);
	CHECK_STR(buf.text, "");
	tg_strbuf_finish(&buf);
	tg_strbuf_finish(&buf);
}

TEST(puts_and_printf)
{
	struct tg_strbuf buf;
	tg_strbuf_init(&buf);
	tg_strbuf_puts(&buf, "one ");
	tg_strbuf_putc(&buf, '2');
	tg_strbuf_printf(&buf, " %s %d", "three", 4);
	tg_strbuf_append(&buf, "\0x", 2);
	CHECK_U64(buf.len, 15);
	CHECK(memcmp(buf.text, "one 2 three 4\0x", 16) == 0);
	tg_strbuf_clear(&buf);
	CHECK_STR(buf.text, "");
	tg_strbuf_printf(&buf, "%s", "");
	CHECK_U64(buf.len, 0);
	tg_strbuf_finish(&buf);
}

/* Every length around the places where it must grow, by each way to write. */
TEST(growth)
{
	char block[600];
	memset(block, 'x', sizeof(block));
	for (int len = 0; len < (int)sizeof(block); len++) {
		struct tg_strbuf a, b, c;
		tg_strbuf_init(&a);
		tg_strbuf_init(&b);
		tg_strbuf_init(&c);
		tg_strbuf_append(&a, block, (size_t)len);
		tg_strbuf_printf(&b, "%.*s", len, block);
		for (int i = 0; i < len; i++)
			tg_strbuf_putc(&c, 'x');
		CHECK_U64(a.len, len);
		CHECK_U64(strlen(a.text), len);
		CHECK_STR(b.text, a.text);
		CHECK_STR(c.text, a.text);
		CHECK(a.capacity == 0 || a.capacity > a.len);
		tg_strbuf_finish(&a);
		tg_strbuf_finish(&b);
		tg_strbuf_finish(&c);
	}
}

TEST(consume)
{
	struct tg_strbuf buf;
	tg_strbuf_init(&buf);
	tg_strbuf_puts(&buf, "abcdef");
	tg_strbuf_consume(&buf, 0);
	CHECK_STR(buf.text, "abcdef");
	tg_strbuf_consume(&buf, 2);
	CHECK_STR(buf.text, "cdef");
	tg_strbuf_puts(&buf, "g");
	CHECK_STR(buf.text, "cdefg");
	tg_strbuf_consume(&buf, 5);
	CHECK_STR(buf.text, "");
	tg_strbuf_puts(&buf, "h");
	tg_strbuf_consume(&buf, 99);
	CHECK_U64(buf.len, 0);
	CHECK_STR(buf.text, "");
	tg_strbuf_finish(&buf);
}

TEST(failure_sticks_and_harms_nothing)
{
	struct tg_strbuf buf;
	tg_strbuf_init(&buf);
	tg_strbuf_puts(&buf, "kept");
	tg_strbuf_append(&buf, "x", SIZE_MAX / 2 + 1);
	CHECK(buf.failed);
	tg_strbuf_puts(&buf, "not added");
	CHECK_STR(buf.text, "kept");
	tg_strbuf_clear(&buf);
	CHECK(!buf.failed);
	tg_strbuf_puts(&buf, "again");
	CHECK_STR(buf.text, "again");
	tg_strbuf_finish(&buf);
	/* Also when there is nothing yet. */
	tg_strbuf_append(&buf, "x", SIZE_MAX);
	CHECK(buf.failed);
	CHECK_STR(buf.text, "");
	tg_strbuf_finish(&buf);
}

int main(void)
{
	RUN(empty);
	RUN(puts_and_printf);
	RUN(growth);
	RUN(consume);
	RUN(failure_sticks_and_harms_nothing);
	return DONE();
}
