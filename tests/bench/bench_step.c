/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an event costs the engine with one source, a thousand, a hundred thousand and a million,
 * under a policy of twenty limits; told in batches and one by one. The clock runs
 * during the steps only, not while the events are made. All have the same tables, so
 * that only what is in them differs. And what memory the same policy takes at the defaults.
 *
 *   bench_step [EVENTS]
 */
#include <inttypes.h>
#include <stdlib.h>

#include <tcpguard/engine.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "clocks.h"
#include "connection.h"
#include "core/source_table.h"
#include "twenty.h"

#define BATCH 256 /* as the daemon has it */
#define SOURCES_MAX 1000000u
#define FLOWS_MIN 256u      /* a single source has so many at once */
#define ROUNDS 3            /* the best one counts: the machine may be shared */
#define EVENT_INTERVAL 2000 /* ns */

/* What stands in the tables and in what comes: connections at all stages, picked by lot. */
struct load {
	uint32_t sources, flows;
	struct {
		uint32_t source;
		uint16_t port;
		uint16_t stage;
	} * open;
	uint64_t random;
	tg_time now;
};

struct bench {
	struct tg_engine *engine;
	struct tg_ruleset *ruleset;
	struct tg_prefix_set *protected;
	struct load load;
};

static bool load_init(struct load *load, uint32_t sources)
{
	*load = (struct load){.sources = sources, .flows = MAX(sources, FLOWS_MIN), .random = 1};
	load->now = TG_SEC;
	load->open = calloc(load->flows, sizeof(*load->open));
	for (uint32_t i = 0; load->open && i < load->flows; i++)
		load->open[i].source = i % sources;
	return load->open != NULL;
}

static void load_event(struct load *load, uint32_t flow, struct tg_event *event)
{
	/* Neighbours in number are no neighbours in the address space. */
	const uint32_t source = load->open[flow].source * 2654435761u;
	const unsigned stage = load->open[flow].stage;
	load->now += EVENT_INTERVAL;
	event->type = life[stage].type;
	event->at = load->now;
	event->flow = (struct tg_flow_event){
		.key = {.dst = {192, 0, 2, 1}, .sport = load->open[flow].port, .dport = 443},
		.state = (uint8_t)life[stage].state,
		.timeout_s = life[stage].timeout_s,
	};
	/* All below 11.0.0.0/8, where an odd factor keeps them apart. */
	event->flow.key.src[0] = 11;
	event->flow.key.src[1] = (uint8_t)(source >> 16);
	event->flow.key.src[2] = (uint8_t)(source >> 8);
	event->flow.key.src[3] = (uint8_t)source;
	event->flow.key.sport = (uint16_t)(load->open[flow].port + flow / load->sources);
	if (++load->open[flow].stage < ARRAY_SIZE(life))
		return;
	load->open[flow].stage = 0;
	load->open[flow].port += 256;
}

static void load_batch(struct load *load, struct tg_event *events)
{
	for (unsigned i = 0; i < BATCH; i++) {
		load->random = load->random * UINT64_C(6364136223846793005) + 1442695040888963407;
		load_event(load, (uint32_t)((load->random >> 33) % load->flows), &events[i]);
	}
}

static void take(struct tg_engine *engine)
{
	struct tg_decision decisions[16];
	while (tg_engine_take(engine, decisions, ARRAY_SIZE(decisions)) > 0)
		; /* nothing crosses a limit: questions about flows at most */
}

static bool bench_init(struct bench *bench, uint32_t sources)
{
	const struct tg_engine_params params = {
		.max_sources = 2 * SOURCES_MAX,
		.max_flows = SOURCES_MAX,
		.max_bans = 1024,
		.seed = "bench",
	};
	size_t count;
	const struct tg_protected_prefix *always = tg_protect_always(&count);
	*bench = (struct bench){
		.engine = tg_engine_create(&params),
		.ruleset = tg_ruleset_create(&twenty_config, &params, NULL),
		.protected = tg_prefix_set_create(always, count),
	};
	if (!bench->engine || !bench->ruleset || !bench->protected ||
	    !load_init(&bench->load, sources))
		return false;
	const struct tg_event first[] = {
		{.type = TG_EVENT_POLICY, .at = TG_SEC, .ruleset = bench->ruleset},
		{.type = TG_EVENT_PROTECTED, .at = TG_SEC, .protected = bench->protected},
		{.type = TG_EVENT_RESYNC_BEGIN, .at = TG_SEC},
		{.type = TG_EVENT_RESYNC_END, .at = TG_SEC},
	};
	tg_engine_step_batch(bench->engine, first, ARRAY_SIZE(first));
	/* All begin, so that the table is as full as it is going to be. */
	struct tg_event event;
	for (uint32_t i = 0; i < bench->load.flows; i++) {
		load_event(&bench->load, i, &event);
		tg_engine_step(bench->engine, &event);
	}
	return true;
}

static void bench_finish(struct bench *bench)
{
	tg_engine_destroy(bench->engine);
	tg_ruleset_destroy(bench->ruleset);
	tg_prefix_set_destroy(bench->protected);
	free(bench->load.open);
}

static void run(struct bench *bench, struct clocks *clocks, uint64_t events, bool batches)
{
	struct tg_event batch[BATCH];
	clocks_reset(clocks);
	for (uint64_t done = 0; done < events; done += BATCH) {
		load_batch(&bench->load, batch);
		clocks_start(clocks);
		if (batches)
			tg_engine_step_batch(bench->engine, batch, BATCH);
		else
			for (unsigned i = 0; i < BATCH; i++)
				tg_engine_step(bench->engine, &batch[i]);
		take(bench->engine);
		clocks_stop(clocks);
	}
}

struct figure {
	double ns[2], instructions[2]; /* one by one, in batches */
};

static bool measure(uint32_t sources, uint64_t events, struct clocks *clocks, struct figure *figure)
{
	struct bench bench;
	bool good = bench_init(&bench, sources);
	*figure = (struct figure){0};
	for (unsigned r = 0; good && r < 2 * ROUNDS; r++) {
		run(&bench, clocks, events, r % 2);
		const double ns = clocks->ns / (double)events;
		if (r < 2 || ns < figure->ns[r % 2])
			figure->ns[r % 2] = ns;
		figure->instructions[r % 2] = clocks_instructions(clocks) / (double)events;
	}
	if (good) {
		struct tg_engine_stats stats;
		tg_engine_stats(bench.engine, &stats);
		good = stats.offences == 0 && stats.flows_refused + stats.flows_evicted == 0;
	}
	bench_finish(&bench);
	return good;
}

static uint64_t engine_memory(const struct tg_config *config, uint32_t max_sources)
{
	const struct tg_engine_params params = {
		.max_sources = max_sources,
		.max_flows = config->max_flows,
		.max_bans = TG_MAX_BANS_DEFAULT,
	};
	return tg_engine_memory(config, &params);
}

/* Bytes that a source more costs, with tables of twice as many for a difference. */
static double per_source(const struct tg_config *config)
{
	const uint32_t sources = TG_MAX_SOURCES_DEFAULT;
	return (double)(engine_memory(config, 2 * sources) - engine_memory(config, sources)) /
	       (double)sources / TG_FAMILY_COUNT;
}

static void print_policy_memory(const char *name, const struct tg_config *config)
{
	struct tg_config sized = *config;
	sized.max_bans = TG_MAX_BANS_DEFAULT;
	const uint32_t fitting = tg_engine_fitting_sources(&sized);
	printf("%s: %.1f bytes a source; %u sources: %.1f MiB; by default %" PRIu32
	       " sources: %.1f MiB\n",
	       name, per_source(config), TG_MAX_SOURCES_DEFAULT,
	       (double)engine_memory(config, TG_MAX_SOURCES_DEFAULT) / (1 << 20), fitting,
	       (double)engine_memory(config, fitting) / (1 << 20));
}

static void print_memory(void)
{
	struct tg_limit limits[TG_LIMITS_MAX];
	char name[32];
	struct tg_policy policy = twenty_policy;
	struct tg_config config = twenty_config;
	config.policies = &policy;
	policy.limits = limits;
	printf("a source: %zu bytes, and its place among the tags 2\n", sizeof(struct source));
	print_policy_memory("twenty limits", &twenty_config);
	for (size_t rates = 0; rates <= 16; rates = rates ? rates * 2 : 1) {
		limits[0] = twenty_limits[0];
		for (size_t i = 0; i < rates; i++)
			limits[1 + i] = twenty_limits[2];
		policy.limit_count = 1 + rates;
		(void)snprintf(name, sizeof(name), "%2zu rates by one length", rates);
		print_policy_memory(name, &config);
	}
}

int main(int argc, char **argv)
{
	static const uint32_t sources[] = {1, 1000, 100000, SOURCES_MAX};
	const uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
	struct figure figures[ARRAY_SIZE(sources)];
	struct clocks clocks;
	clocks_init(&clocks);
	bool good = events > 0;
	for (size_t i = 0; good && i < ARRAY_SIZE(sources); i++)
		good = measure(sources[i], events, &clocks, &figures[i]);
	clocks_finish(&clocks);
	if (!good) {
		(void)fprintf(stderr, "bench_step: could not run\n");
		return 1;
	}
	printf("%" PRIu64 " events under twenty limits, best of %d\n", events, ROUNDS);
	printf("%8s %28s %28s\n", "sources", "in batches", "one by one");
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		printf("%8" PRIu32, sources[i]);
		for (unsigned b = 2; b-- > 0;)
			printf(" %6.1f ns %4.2fx %5.0f instr.", figures[i].ns[b],
			       figures[i].ns[b] / figures[1].ns[b], figures[i].instructions[b]);
		printf("\n");
	}
	print_memory();
	return 0;
}
