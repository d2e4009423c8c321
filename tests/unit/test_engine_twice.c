/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random streams of every event there is, each told to two engines: they decide the same, keep
 * what the fuzzer's expectations say, allocate nothing and take no more memory than they had
 * at first.
 *
 *   test_engine_twice [SEED [STREAMS]]
 *   test_engine_twice --write DIRECTORY [SEED [STREAMS]]   the streams as inputs of the fuzzer
 */
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "fuzz/step_world.h"
#include "test.h"

#define STREAMS 2000
#define STREAM_MAX 700

static struct step_world world;
static uint64_t seed;
static unsigned streams = STREAMS;

static void show(uint64_t stream, const uint8_t *bytes, size_t size)
{
	printf("# stream %" PRIu64 ": %s:%u: failed after %" PRIu64 " events: %s\n", stream,
	       world.wrong_file, world.wrong_line, world.told_events, world.wrong);
	printf("# again: test_engine_twice %" PRIu64 " 1\n", stream);
	(void)step_run(&world, bytes, size, stdout);
}

TEST(two_runs_of_random_streams)
{
	uint8_t bytes[STREAM_MAX];
	uint64_t events = 0, decisions[TG_DECISION_COUNT] = {0}, actions[TG_ACTION_COUNT] = {0},
		 unproven = 0, totals = 0, again = 0, renewed = 0, failed = 0;
	for (unsigned i = 0; i < streams && failed < 8; i++) {
		const size_t size = step_random(seed + i, bytes, sizeof(bytes));
		if (!step_run_twice(&world, bytes, size)) {
			failed++;
			show(seed + i, bytes, size);
			continue;
		}
		events += world.told_events;
		for (unsigned d = 0; d < TG_DECISION_COUNT; d++)
			decisions[d] += world.decisions[d];
		for (unsigned a = 0; a < TG_ACTION_COUNT; a++)
			actions[a] += world.actions[a];
		renewed += world.renewed;
		unproven += world.unproven;
		totals += world.totals;
		again += world.again;
	}
	printf("# %" PRIu64 " events, bans %" PRIu64 " (caps %" PRIu64 ", rejects %" PRIu64
	       ", drops %" PRIu64 ", renewed %" PRIu64 ", unproven %" PRIu64 ", of totals %" PRIu64
	       ", not the first %" PRIu64 "), lifts %" PRIu64 ", expiries %" PRIu64
	       ", refusals %" PRIu64 ", questions %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	       events, decisions[TG_DECISION_BAN], actions[TG_ACTION_CAP],
	       actions[TG_ACTION_REJECT], actions[TG_ACTION_DROP], renewed, unproven, totals, again,
	       decisions[TG_DECISION_LIFT], decisions[TG_DECISION_EXPIRE],
	       decisions[TG_DECISION_REFUSE], decisions[TG_DECISION_VERIFY],
	       decisions[TG_DECISION_WITNESS], decisions[TG_DECISION_PROBE]);
	CHECK_U64(failed, 0);
	/* The streams are worth something only if they get that far. */
	if (streams < STREAMS || !STEP_EVIDENCE)
		return;
	for (unsigned d = 0; d < TG_DECISION_COUNT; d++)
		CHECK(decisions[d] > 0);
	for (unsigned a = 0; a < TG_ACTION_COUNT; a++)
		CHECK(actions[a] > 0);
	CHECK(renewed > 0 && unproven > 0 && totals > 0 && again > 0);
}

static int write_streams(const char *directory)
{
	uint8_t bytes[STREAM_MAX];
	for (unsigned i = 0; i < streams; i++) {
		char path[4096];
		const size_t size = step_random(seed + i, bytes, sizeof(bytes));
		(void)snprintf(path, sizeof(path), "%s/random-%" PRIu64, directory, seed + i);
		FILE *file = fopen(path, "we");
		if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
			perror(path);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *directory = NULL;
	if (argc > 2 && strcmp(argv[1], "--write") == 0) {
		directory = argv[2];
		argc -= 2;
		argv += 2;
	}
	seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
	if (argc > 2)
		streams = (unsigned)strtoul(argv[2], NULL, 10);
	if (directory)
		return write_streams(directory);
	printf("# seed %" PRIu64 "\n", seed);
	RUN(two_runs_of_random_streams);
	return DONE();
}
