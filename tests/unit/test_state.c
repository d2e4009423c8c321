/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state file: what is written comes back, the last word about a ban counts, what is damaged is
 * left out and set aside, and a disk that refuses loses nothing that a later file can hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tcpguard/config.h>
#include <tcpguard/engine.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "daemon/loop.h"
#include "daemon/state.h"
#include "daemon/state_line.h"
#include "test.h"

#define WALL UINT64_C(1800000000000)

static char dir[] = "/tmp/test-state-XXXXXX";

static struct state_line a_line(const char *source, enum state_kind kind, uint64_t left_ms)
{
	struct state_line line = {
		.kind = kind,
		.ban = {.stored = true,
			.record = kind == STATE_RECORD,
			.action = TG_ACTION_DROP,
			.scope = TG_SCOPE_PORTS,
			.origin = TG_ORIGIN_AUTO,
			.policy = "web",
			.limit = "open",
			.measured = 201,
			.threshold = 200,
			.offence = 2},
		.since_ms = WALL - 60000,
		.until_ms = WALL + left_ms,
		.forget_ms = 3600000,
	};
	CHECK(!tg_prefix_parse(source, &line.ban.source));
	return line;
}

static bool same(const struct state_line *a, const struct state_line *b)
{
	return a->kind == b->kind && a->since_ms == b->since_ms && a->until_ms == b->until_ms &&
	       a->forget_ms == b->forget_ms && tg_prefix_equal(&a->ban.source, &b->ban.source) &&
	       a->ban.action == b->ban.action && a->ban.scope == b->ban.scope &&
	       a->ban.origin == b->ban.origin && a->ban.record == b->ban.record &&
	       a->ban.unproven == b->ban.unproven && a->ban.to.count == b->ban.to.count &&
	       a->ban.to.per_ms == b->ban.to.per_ms && a->ban.offence == b->ban.offence &&
	       a->ban.measured == b->ban.measured && a->ban.threshold == b->ban.threshold &&
	       strcmp(a->ban.policy, b->ban.policy) == 0 &&
	       strcmp(a->ban.limit, b->ban.limit) == 0 && strcmp(a->ban.reason, b->ban.reason) == 0;
}

static void round_trip(const struct state_line *line)
{
	struct tg_strbuf out;
	struct state_line back;
	tg_strbuf_init(&out);
	state_line_put(&out, line);
	CHECK(!out.failed && out.len < STATE_LINE_MAX && out.text[out.len - 1] == '\n');
	out.text[out.len - 1] = '\0';
	CHECK(state_line_parse(out.text, &back) == STATE_GOOD && same(line, &back));
	tg_strbuf_finish(&out);
}

TEST(lines_come_back)
{
	struct state_line line = a_line("198.51.100.7/32", STATE_BAN, 1000);
	round_trip(&line);
	line.kind = STATE_RECORD;
	line.ban.record = true;
	round_trip(&line);
	line = a_line("2001:db8:1:2::/64", STATE_BAN, TG_DURATION_MAX_MS);
	line.ban.action = TG_ACTION_RATE_LIMIT;
	line.ban.scope = TG_SCOPE_NEW;
	line.ban.unproven = true;
	line.ban.to = (struct tg_rate){.count = 5, .per_ms = 1000};
	round_trip(&line);
	line.ban.unproven = false;
	line.ban.action = TG_ACTION_CAP;
	line.ban.to = (struct tg_rate){.count = 20};
	round_trip(&line);
	line = a_line("0.0.0.0/0", STATE_BAN, 1000);
	line.ban.policy[0] = line.ban.limit[0] = '\0';
	line.ban.scope = TG_SCOPE_EVERYTHING;
	line.ban.origin = TG_ORIGIN_OPERATOR;
	memset(line.ban.reason, '%', sizeof(line.ban.reason) - 1); /* each takes three bytes */
	round_trip(&line);
}

/* Whatever bit is another: never a ban, let alone a crash. */
TEST(flipped_bits)
{
	struct state_line line = a_line("198.51.100.7/32", STATE_BAN, 1000), back;
	struct tg_strbuf out;
	tg_strbuf_init(&out);
	state_line_put(&out, &line);
	for (size_t bit = 0; bit < 8 * (out.len - 1); bit++) {
		char text[STATE_LINE_MAX];
		memcpy(text, out.text, out.len);
		text[out.len - 1] = '\0';
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		CHECK(state_line_parse(text, &back) == STATE_DAMAGED);
	}
	tg_strbuf_finish(&out);
}

/* As another version may write it, with a sum that is right. */
static void check_unknown(const char *record)
{
	struct tg_strbuf out;
	struct state_line line = a_line("198.51.100.7/32", STATE_LIFT, 0), back;
	char text[STATE_LINE_MAX];
	tg_strbuf_init(&out);
	state_line_put(&out, &line);
	/* Only the writer knows the sum: find it by trying all lines it would write. */
	(void)snprintf(text, sizeof(text), "%.9s%s", out.text, record);
	CHECK(state_line_parse(text, &back) != STATE_GOOD);
	tg_strbuf_finish(&out);
}

TEST(strange_lines)
{
	check_unknown("");
	check_unknown("lift");
	check_unknown("lift source=198.51.100.7/33 scope=ports");
	check_unknown("ban source=198.51.100.7/32 scope=ports policy=web");
	struct state_line back;
	char none[] = "", eight[] = "00000000", blank[] = "00000000 ";
	CHECK(state_line_parse(none, &back) == STATE_DAMAGED);
	CHECK(state_line_parse(eight, &back) == STATE_DAMAGED);
	CHECK(state_line_parse(blank, &back) == STATE_DAMAGED);
}

struct heard {
	size_t bans, records;
	struct tg_adopt last;
	uint64_t left_sum;
};

static void hear(void *data, const struct tg_adopt *adopt)
{
	struct heard *heard = data;
	CHECK(adopt->stored && adopt->left_ms > 0 && adopt->left_ms <= TG_DURATION_MAX_MS);
	heard->bans += !adopt->record;
	heard->records += adopt->record;
	heard->last = *adopt;
	heard->left_sum += adopt->left_ms;
}

static int file_with(const struct tg_strbuf *out)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, out->text, out->len) == (ssize_t)out->len);
	return fd;
}

static struct heard load(const struct tg_strbuf *out, uint64_t wall_ms,
			 struct state_loaded *ret_loaded)
{
	struct heard heard = {0};
	int fd = file_with(out);
	CHECK(state_load(fd, wall_ms, hear, &heard, ret_loaded) == 0);
	CHECK_U64(heard.bans, ret_loaded->bans);
	CHECK_U64(heard.records, ret_loaded->records);
	(void)close(fd);
	return heard;
}

TEST(the_last_word_counts)
{
	struct tg_strbuf out;
	struct state_loaded loaded;
	tg_strbuf_init(&out);
	struct heard heard = load(&out, WALL, &loaded);
	CHECK(heard.bans == 0 && loaded.damaged == 0);
	state_line_put_header(&out);
	struct state_line line = a_line("198.51.100.7/32", STATE_BAN, 1000);
	state_line_put(&out, &line);
	line.until_ms = WALL + 5000;
	line.ban.offence = 3;
	state_line_put(&out, &line);
	line.ban.scope = TG_SCOPE_NEW; /* another ban of the same source */
	line.kind = STATE_LIFT;
	state_line_put(&out, &line);
	heard = load(&out, WALL, &loaded);
	CHECK_U64(heard.bans, 1);
	CHECK_U64(heard.last.left_ms, 5000);
	CHECK_U64(heard.last.age_ms, 60000);
	CHECK_U64(heard.last.offence, 3);
	line.ban.scope = TG_SCOPE_PORTS;
	state_line_put(&out, &line);
	heard = load(&out, WALL, &loaded);
	CHECK(heard.bans == 0 && heard.records == 0 && loaded.damaged == 0 && loaded.unknown == 0);
	tg_strbuf_finish(&out);
}

TEST(time_goes_on)
{
	struct tg_strbuf out;
	struct state_loaded loaded;
	tg_strbuf_init(&out);
	struct state_line line = a_line("198.51.100.7/32", STATE_BAN, 1000);
	state_line_put(&out, &line);
	struct heard heard = load(&out, WALL + 999, &loaded);
	CHECK(heard.bans == 1 && heard.last.left_ms == 1);
	heard = load(&out, WALL + 1000, &loaded);
	CHECK(heard.records == 1 && heard.last.left_ms == 3600000);
	heard = load(&out, WALL + 1000 + 3599999, &loaded);
	CHECK(heard.records == 1 && heard.last.left_ms == 1);
	heard = load(&out, WALL + 1000 + 3600000, &loaded);
	CHECK(heard.bans == 0 && heard.records == 0);
	/* A clock that is years behind makes no ban longer than it was meant. */
	heard = load(&out, 1000, &loaded);
	CHECK(heard.bans == 1 && heard.last.left_ms == 61000 && heard.last.age_ms == 0);
	tg_strbuf_finish(&out);
}

TEST(torn_and_damaged)
{
	struct tg_strbuf out;
	struct state_loaded loaded;
	tg_strbuf_init(&out);
	state_line_put_header(&out);
	const size_t header = out.len;
	struct state_line line = a_line("198.51.100.7/32", STATE_BAN, 1000);
	state_line_put(&out, &line);
	const size_t first = out.len;
	CHECK(!tg_prefix_parse("198.51.100.8/32", &line.ban.source));
	state_line_put(&out, &line);
	/* Cut anywhere: what is whole counts, and the rest is no damage but an end. */
	for (size_t len = 0; len <= out.len; len++) {
		struct tg_strbuf cut = out;
		cut.len = len;
		const struct heard heard = load(&cut, WALL, &loaded);
		/* A line of which only the newline is missing is whole. */
		CHECK_U64(heard.bans, (len + 1 >= first) + (len + 1 >= out.len));
		CHECK_U64(loaded.damaged, 0);
	}
	out.text[header + 20] ^= 1;
	const struct heard heard = load(&out, WALL, &loaded);
	CHECK(heard.bans == 1 && loaded.damaged == 1);
	CHECK(heard.last.source.addr.bytes[3] == 8);
	/* A file of zeros, as some filesystems leave one behind. */
	memset(out.text, 0, out.len);
	const struct heard none = load(&out, WALL, &loaded);
	CHECK(none.bans == 0);
	tg_strbuf_finish(&out);
}

/* An engine that has bans by hand, and the state beside it. */
struct world {
	struct loop *loop;
	struct tg_config config;
	const struct tg_config *in_force;
	struct tg_engine *engine;
	struct tg_ruleset *ruleset;
	struct state *state;
};

static void begin(struct world *w)
{
	const struct tg_engine_params params = {
		.max_sources = 1024, .max_flows = 1024, .max_bans = 2048};
	w->config = (struct tg_config){.mode = TG_MODE_ENFORCE,
				       .max_sources = 1024,
				       .max_flows = 1024,
				       .max_bans = 2048,
				       .idle_after_ms = 60000};
	w->in_force = &w->config;
	CHECK(loop_create(&w->loop) == 0);
	w->ruleset = tg_ruleset_create(&w->config, &params, NULL);
	w->engine = tg_engine_create(&params);
	const struct tg_event event = {
		.type = TG_EVENT_POLICY, .at = loop_now(w->loop), .ruleset = w->ruleset};
	tg_engine_step(w->engine, &event);
	const struct state_params state = {.dir = dir, .engine = w->engine, .config = &w->in_force};
	CHECK(state_create(w->loop, &state, &w->state) == 0);
}

static void end(struct world *w)
{
	state_destroy(w->state);
	tg_engine_destroy(w->engine);
	tg_ruleset_destroy(w->ruleset);
	loop_destroy(w->loop);
}

static void request(struct world *w, enum tg_event_type type, const char *source)
{
	struct tg_event event = {.type = type, .at = loop_now(w->loop)};
	struct tg_decision decisions[16];
	event.request = (struct tg_ban_request){.request = 1,
						.action = TG_ACTION_DROP,
						.scope = TG_SCOPE_EVERYTHING,
						.expire_ms = 600000};
	CHECK(!tg_prefix_parse(source, &event.request.source));
	tg_engine_step(w->engine, &event);
	size_t count = tg_engine_take(w->engine, decisions, ARRAY_SIZE(decisions));
	CHECK_U64(count, 1);
	for (size_t i = 0; i < count; i++) {
		const struct tg_event ack = {
			.type = TG_EVENT_ACK,
			.at = event.at,
			.ack = {.ban = decisions[i].ban.id, .version = decisions[i].ban.version}};
		state_change(w->state, &decisions[i]);
		tg_engine_step(w->engine, &ack);
	}
	state_flush(w->state);
}

static struct heard restore(struct world *w, char aside[static STATE_ASIDE_MAX])
{
	struct heard heard = {0};
	struct state_loaded loaded;
	CHECK(state_restore(w->state, hear, &heard, &loaded, aside) == 0);
	return heard;
}

/* Until there is a fresh file more. */
static void await_fresh(struct world *w)
{
	struct state_stats before, now;
	state_stats(w->state, &before);
	const tg_time limit = loop_clock() + 30 * TG_SEC;
	do {
		CHECK(loop_turn(w->loop, loop_clock() + 100 * TG_MSEC) == 0);
		state_stats(w->state, &now);
	} while (now.snapshots == before.snapshots && loop_clock() < limit);
	CHECK_U64(now.snapshots, before.snapshots + 1);
	CHECK(now.error == 0);
}

TEST(over_a_restart)
{
	struct world w;
	char aside[STATE_ASIDE_MAX];
	begin(&w);
	CHECK(restore(&w, aside).bans == 0 && !aside[0]);
	request(&w, TG_EVENT_OPERATOR_BAN, "198.51.100.1/32"); /* before the first file */
	await_fresh(&w);
	request(&w, TG_EVENT_OPERATOR_BAN, "198.51.100.2/32");
	request(&w, TG_EVENT_OPERATOR_BAN, "198.51.100.3/32");
	request(&w, TG_EVENT_OPERATOR_UNBAN, "198.51.100.2/32");
	struct world crashed = w; /* as after a kill: nobody writes what waits */
	begin(&w);
	struct heard heard = restore(&w, aside);
	CHECK(heard.bans == 2 && !aside[0]);
	end(&w);
	end(&crashed);
}

TEST(while_a_fresh_file_is_written)
{
	struct world w;
	char aside[STATE_ASIDE_MAX], source[64];
	begin(&w);
	(void)restore(&w, aside);
	for (int i = 0; i < 1500; i++) {
		(void)snprintf(source, sizeof(source), "203.0.%d.%d/32", i / 250, i % 250);
		request(&w, TG_EVENT_OPERATOR_BAN, source);
		if (i % 16 == 0)
			CHECK(loop_turn(w.loop, loop_clock() + TG_MSEC) == 0);
		if (i >= 1000 && i < 1400) {
			(void)snprintf(source, sizeof(source), "203.0.%d.%d/32", (i - 1000) / 250,
				       (i - 1000) % 250);
			request(&w, TG_EVENT_OPERATOR_UNBAN, source);
		}
	}
	end(&w); /* an end in good order leaves it whole, in whatever moment */
	begin(&w);
	CHECK_U64(restore(&w, aside).bans, 1500 - 400);
	end(&w);
}

TEST(a_damaged_file_is_set_aside)
{
	struct world w;
	char aside[STATE_ASIDE_MAX], path[128];
	begin(&w);
	(void)restore(&w, aside);
	request(&w, TG_EVENT_OPERATOR_BAN, "198.51.100.1/32");
	end(&w);
	(void)snprintf(path, sizeof(path), "%s/bans", dir);
	FILE *file = fopen(path, "ae");
	CHECK(file && fputs("00000000 not a line\n", file) >= 0 && fclose(file) == 0);
	begin(&w);
	CHECK_U64(restore(&w, aside).bans, 1);
	CHECK(strncmp(aside, "bans.damaged-", 13) == 0);
	struct stat st;
	CHECK(stat(path, &st) < 0);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, aside);
	CHECK(stat(path, &st) == 0 && unlink(path) == 0);
	end(&w);
}

/* A folder stands where the file should be: nothing can be written, and nothing else fails. */
TEST(a_disk_that_refuses)
{
	struct world w;
	char aside[STATE_ASIDE_MAX], path[128];
	struct heard heard = {0};
	struct state_loaded loaded;
	struct state_stats stats;
	(void)snprintf(path, sizeof(path), "%s/bans", dir);
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
	(void)snprintf(path, sizeof(path), "%s/bans.new", dir);
	(void)unlink(path);
	CHECK(mkdir(path, 0700) == 0);
	begin(&w);
	(void)state_restore(w.state, hear, &heard, &loaded, aside);
	CHECK(heard.bans == 0);
	CHECK(loop_turn(w.loop, loop_clock() + 100 * TG_MSEC) == 0);
	state_stats(w.state, &stats);
	CHECK(stats.error < 0 && stats.failed == 1);
	request(&w, TG_EVENT_OPERATOR_BAN, "198.51.100.1/32");
	state_stats(w.state, &stats);
	CHECK_U64(stats.lost, 1);
	end(&w);
	CHECK(rmdir(path) == 0);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	RUN(lines_come_back);
	RUN(flipped_bits);
	RUN(strange_lines);
	RUN(the_last_word_counts);
	RUN(time_goes_on);
	RUN(torn_and_damaged);
	RUN(over_a_restart);
	RUN(while_a_fresh_file_is_written);
	RUN(a_damaged_file_is_set_aside);
	RUN(a_disk_that_refuses);
	char command[64];
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	(void)!system(command);
	return DONE();
}
