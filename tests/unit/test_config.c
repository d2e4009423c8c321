/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policies from files that each case writes into a directory of its own: what a good one
 * becomes, how files merge, what is checked in the place of what, and what is no file.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <tcpguard/config.h>
#include <tcpguard/diag.h>

#include "base/strbuf.h"
#include "base/util.h"
#include "test.h"

#define LIMITS "limits: {a: {concurrent: 5, action: drop, expire: 1m}}"
#define LADDER "{steps: [{action: drop, expire: 1m}], forget-after: 1d}"

static char root[] = "/tmp/tcpguard-config-XXXXXX";
static char main_path[64];
static struct tg_diag diag;

/* Files are written beside root; names of earlier cases are gone. */
static void begin(void)
{
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf %s/*", root);
	CHECK(system(command) == 0);
	(void)snprintf(main_path, sizeof(main_path), "%s/main.yaml", root);
	tg_diag_finish(&diag);
}

static const char *at(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "we");
	CHECK(file != NULL);
	if (!file)
		return;
	CHECK(fputs(text, file) >= 0);
	CHECK(fclose(file) == 0);
}

static void put_dir(const char *name)
{
	CHECK(mkdir(at(name), 0700) == 0);
}

static struct tg_config *load(const char *instead)
{
	tg_diag_finish(&diag);
	struct tg_config *config = tg_config_load(main_path, instead, &diag);
	tg_diag_sort(&diag);
	CHECK((config == NULL) == (diag.count > 0));
	return config;
}

static void check_loads(const char *instead, size_t policies)
{
	struct tg_config *config = load(instead);
	CHECK(config != NULL);
	for (size_t i = 0; i < diag.count; i++)
		printf("# %s:%u:%u: %s\n", diag.entries[i].file, diag.entries[i].line,
		       diag.entries[i].col, diag.entries[i].message);
	if (config)
		CHECK_U64(config->policy_count, policies);
	tg_config_destroy(config);
}

/* Exactly this one error. */
static void check_error(const char *instead, const char *name, uint32_t line, uint32_t col,
			const char *words)
{
	struct tg_config *config = load(instead);
	CHECK(config == NULL);
	tg_config_destroy(config);
	CHECK_U64(diag.count, 1);
	for (size_t i = 1; i < diag.count; i++)
		printf("# also: %s:%u: %s\n", diag.entries[i].file, diag.entries[i].line,
		       diag.entries[i].message);
	if (diag.count == 0)
		return;
	CHECK_STR(diag.entries[0].file, at(name));
	CHECK_U64(diag.entries[0].line, line);
	CHECK_U64(diag.entries[0].col, col);
	if (!strstr(diag.entries[0].message, words))
		CHECK_STR(diag.entries[0].message, words);
}

TEST(defaults)
{
	begin();
	put("main.yaml", "version: 1\n");
	struct tg_config *config = load(NULL);
	CHECK(config != NULL);
	if (!config)
		return;
	CHECK_U64(config->mode, TG_MODE_OBSERVE);
	CHECK_U64(config->max_sources, TG_MAX_SOURCES_DEFAULT);
	CHECK_U64(config->max_flows, TG_MAX_FLOWS_DEFAULT);
	CHECK_U64(config->allow_count, 0);
	CHECK_U64(config->policy_count, 0);
	CHECK_U64(config->file_count, 1);
	CHECK_STR(config->files[0], main_path);
	tg_config_destroy(config);
	tg_config_destroy(NULL);
}

static void check_prefix(const struct tg_prefix *prefix, const char *want)
{
	char text[TG_PREFIX_STRLEN];
	CHECK_STR(tg_prefix_format(prefix, text), want);
}

static void check_web(const struct tg_policy *web)
{
	static const struct tg_port_range ports[] = {{80, 80}, {443, 444}, {8000, 8020}};
	CHECK_STR(web->name, "web");
	CHECK_U64(web->port_count, ARRAY_SIZE(ports));
	for (size_t i = 0; i < ARRAY_SIZE(ports) && web->port_count == ARRAY_SIZE(ports); i++)
		CHECK(memcmp(&web->ports[i], &ports[i], sizeof(ports[i])) == 0);
	CHECK_U64(web->address_count, 2);
	check_prefix(&web->addresses[1], "2001:db8::80/128");
	CHECK_U64(web->limit_count, 3);
	const struct tg_limit *open = &web->limits[0], *half = &web->limits[1];
	CHECK_STR(open->name, "open");
	CHECK_U64(open->measure, TG_MEASURE_CONCURRENT);
	CHECK_U64(open->threshold, 200);
	CHECK_U64(open->window_ms, 0);
	CHECK_U64(open->steps[0].action, TG_ACTION_DROP);
	CHECK_U64(open->steps[0].scope, TG_SCOPE_PORTS);
	CHECK_U64(open->steps[0].expire_ms, 600000);
	CHECK_U64(open->mode, TG_MODE_ENFORCE);
	CHECK_U64(open->prefix_len[TG_IPV4], 28);
	CHECK_U64(open->prefix_len[TG_IPV6], 64);
	CHECK_STR(open->file, main_path);
	CHECK_U64(open->line, 10);
	CHECK_U64(half->measure, TG_MEASURE_HALF_OPEN);
	CHECK_U64(half->steps[0].scope, TG_SCOPE_NEW);
	CHECK_U64(half->steps[0].to.count, 30);
	CHECK_U64(half->steps[0].to.per_ms, 60000);
	CHECK_U64(half->prefix_len[TG_IPV4], 28);
	CHECK_U64(half->prefix_len[TG_IPV6], 48);
	const struct tg_limit *rate = &web->limits[2];
	CHECK_U64(rate->measure, TG_MEASURE_NEW);
	CHECK_U64(rate->threshold, 100);
	CHECK_U64(rate->window_ms, 10000);
	CHECK_U64(rate->burst, 50);
	CHECK_U64(rate->mode, TG_MODE_OBSERVE);
}

TEST(whole)
{
	begin();
	put("main.yaml",
	    "version: 1\nmode: observe\ndefaults: {source: {ipv4: 28}, max-sources: 4096}\n"
	    "allow: [office, 203.0.113.9]\nlists: {office: [192.0.2.0/24, \"::1\"]}\n"
	    "policies:\n  web:\n    mode: enforce\n    limits:\n"
	    "      open: {concurrent: 200, action: drop, expire: 10m}\n"
	    "      half: {half-open: 9, action: rate-limit, to: 5/10s, expire: 5m,\n"
	    "        source: {ipv6: 48}}\n"
	    "      new: {new: 100/10s, burst: 50, action: rate-limit, to: 1/1s, expire: 1m,\n"
	    "        mode: observe}\n"
	    "    match:\n      ports: [443, 8010-8020, 80, 8000-8012, 444, 80]\n"
	    "      addresses: [192.0.2.80, \"2001:db8::80\"]\n"
	    "  any: {limits: {a: {concurrent: 1, action: drop, expire: 1s}}}\n");
	struct tg_config *config = load(NULL);
	CHECK(config != NULL);
	if (!config)
		return;
	CHECK_U64(config->max_sources, 4096);
	CHECK_U64(config->allow_count, 3);
	check_prefix(&config->allow[1], "::1/128");
	check_prefix(&config->allow[2], "203.0.113.9/32");
	CHECK_U64(config->policy_count, 2);
	check_web(&config->policies[0]);
	CHECK_U64(config->policies[1].port_count, 0);
	CHECK_U64(config->policies[1].address_count, 0);
	CHECK_U64(config->policies[1].limits[0].mode, TG_MODE_OBSERVE);
	tg_config_destroy(config);
}

static void check_step(const struct tg_step *step, enum tg_action action, uint32_t to_count,
		       uint64_t expire_ms)
{
	CHECK_U64(step->action, action);
	CHECK_U64(step->scope, action >= TG_ACTION_REJECT ? TG_SCOPE_PORTS : TG_SCOPE_NEW);
	CHECK_U64(step->to.count, to_count);
	CHECK_U64(step->expire_ms, expire_ms);
}

TEST(ladders)
{
	begin();
	put("main.yaml",
	    "version: 1\ndefaults: {ladder: usual, idle-after: 90s}\npolicies:\n"
	    "  web:\n    limits:\n      a: {concurrent: 5}\n"
	    "      b: {new: 5/1s, ladder: hard}\n"
	    "      c: {half-open: 5, action: rate-limit, to: 7/1s, expire: 1m}\n"
	    "ladders:\n  hard: {steps: [{action: drop, expire: 10m}], forget-after: 365d}\n");
	put_dir("policies.d");
	put("policies.d/a.yaml",
	    "ladders:\n  usual:\n    forget-after: 7d\n    steps:\n"
	    "      - {action: observe, expire: 1m}\n"
	    "      - {action: rate-limit, to: 120/1m, expire: 2m}\n"
	    "      - {action: drop, expire: 10m}\n      - {action: drop, expire: 1d}\n");
	struct tg_config *config = load(NULL);
	CHECK(config && config->policy_count == 1 && config->policies[0].limit_count == 3);
	if (!config)
		return;
	const struct tg_limit *limits = config->policies[0].limits;
	CHECK_U64(config->idle_after_ms, 90000);
	CHECK_STR(limits[0].ladder, "usual");
	CHECK_U64(limits[0].forget_ms, 7ull * 24 * 3600 * 1000);
	CHECK_U64(limits[0].step_count, 4);
	if (limits[0].step_count == 4) {
		check_step(&limits[0].steps[0], TG_ACTION_OBSERVE, 0, 60000);
		check_step(&limits[0].steps[1], TG_ACTION_RATE_LIMIT, 2, 120000);
		/* Until a witness has proven the source, what it climbed from goes on. */
		check_step(&limits[0].steps[2], TG_ACTION_DROP, 2, 600000);
		check_step(&limits[0].steps[3], TG_ACTION_DROP, 2, 24ull * 3600 * 1000);
	}
	CHECK_STR(limits[1].ladder, "hard");
	CHECK_U64(limits[1].forget_ms, TG_DURATION_MAX_MS);
	CHECK_U64(limits[1].step_count, 1);
	check_step(&limits[1].steps[0], TG_ACTION_DROP, TG_UNPROVEN_RATE.count, 600000);
	CHECK(!limits[2].ladder && limits[2].forget_ms == 0);
	CHECK_U64(limits[2].step_count, 1);
	check_step(&limits[2].steps[0], TG_ACTION_RATE_LIMIT, 7, 60000);
	tg_config_destroy(config);
}

TEST(totals_and_networks)
{
	begin();
	put("main.yaml", "version: 1\ndefaults: {source: {ipv4: 24, ipv6: 48}}\npolicies:\n"
			 "  web:\n    limits:\n"
			 "      a: {half-open: 5, source: total, action: observe, expire: 1m}\n"
			 "      b: {fan-out: 5, action: observe, expire: 1m}\n"
			 "      c: {failed: 5/1s, burst: 3, min-hosts: 4096, action: rate-limit,\n"
			 "        to: 1/1s, expire: 1m}\n");
	struct tg_config *config = load(NULL);
	CHECK(config && config->policy_count == 1 && config->policies[0].limit_count == 3);
	if (!config)
		return;
	const struct tg_limit *limits = config->policies[0].limits;
	CHECK_U64(config->idle_after_ms, TG_IDLE_AFTER_MS_DEFAULT);
	CHECK(limits[0].total && limits[1].total && !limits[2].total);
	CHECK_U64(limits[0].min_hosts, 0);
	check_step(&limits[0].steps[0], TG_ACTION_OBSERVE, 0, 60000);
	CHECK_U64(limits[1].measure, TG_MEASURE_FAN_OUT);
	CHECK_U64(limits[2].measure, TG_MEASURE_FAILED);
	CHECK_U64(limits[2].min_hosts, 4096);
	CHECK_U64(limits[2].prefix_len[TG_IPV4], 24);
	CHECK_U64(limits[2].prefix_len[TG_IPV6], 48);
	CHECK_U64(limits[2].window_ms, 1000);
	CHECK_U64(limits[2].burst, 3);
	tg_config_destroy(config);
}

TEST(actions)
{
	begin();
	put("main.yaml", "version: 1\npolicies:\n"
			 "  web:\n    limits:\n"
			 "      a: {concurrent: 5, action: cap, to: 20, expire: 1m}\n"
			 "      b: {concurrent: 5, action: reject, expire: 1m}\n"
			 "      c: {new: 5/1s, ladder: long}\n"
			 "ladders:\n  long:\n    forget-after: 1d\n    steps:\n"
			 "      - {action: rate-limit, to: 7/1s, expire: 1m}\n"
			 "      - {action: cap, to: 9, expire: 1m}\n"
			 "      - {action: reject, scope: new, expire: 1m}\n"
			 "      - {action: drop, scope: everything, kill: true, expire: 1m}\n");
	struct tg_config *config = load(NULL);
	CHECK(config && config->policy_count == 1 && config->policies[0].limit_count == 3);
	if (!config)
		return;
	const struct tg_limit *limits = config->policies[0].limits;
	check_step(&limits[0].steps[0], TG_ACTION_CAP, TG_UNPROVEN_RATE.count, 60000);
	CHECK_U64(limits[0].steps[0].cap, 20);
	check_step(&limits[1].steps[0], TG_ACTION_REJECT, TG_UNPROVEN_RATE.count, 60000);
	const struct tg_step *steps = limits[2].steps;
	CHECK_U64(limits[2].step_count, 4);
	if (limits[2].step_count == 4) {
		check_step(&steps[1], TG_ACTION_CAP, 7, 60000);
		CHECK_U64(steps[1].cap, 9);
		CHECK(steps[2].action == TG_ACTION_REJECT && steps[2].scope == TG_SCOPE_NEW);
		CHECK(steps[3].action == TG_ACTION_DROP && steps[3].scope == TG_SCOPE_EVERYTHING);
		CHECK(steps[3].kill && !steps[2].kill && steps[3].cap == 0);
		CHECK_U64(steps[3].to.count, 7);
	}
	tg_config_destroy(config);
}

TEST(host_settings)
{
	begin();
	put("main.yaml", "version: 1\n");
	struct tg_config *config = load(NULL);
	CHECK(config != NULL);
	if (!config)
		return;
	CHECK_U64(config->max_bans, TG_MAX_BANS_DEFAULT);
	CHECK_U64(config->brakes.bans_per_minute, TG_BRAKES_DEFAULT.bans_per_minute);
	CHECK_U64(config->brakes.share_of_sources, TG_BRAKES_DEFAULT.share_of_sources);
	CHECK_U64(config->brakes.share_of_flows, 0);
	CHECK_U64(config->ingress_count, 0);
	CHECK(config->admin_port_count == 1 && config->admin_ports[0] == 22);
	tg_config_destroy(config);
	begin();
	put("main.yaml", "version: 1\ndefaults: {max-bans: 1048576}\nhook: ingress\n"
			 "interfaces: [eth0, enp1s0f1]\nadmin-ports: [2222, 22]\n"
			 "brakes: {max-bans-per-minute: none, max-share-of-flows: 12.5%}\n");
	put_dir("policies.d");
	put("policies.d/a.yaml", "brakes: {max-share-of-sources: 100%}\n");
	config = load(NULL);
	CHECK(config != NULL);
	if (!config)
		return;
	CHECK_U64(config->max_bans, 1048576);
	CHECK_U64(config->brakes.bans_per_minute, 0);
	CHECK_U64(config->brakes.share_of_sources, 1000);
	CHECK_U64(config->brakes.share_of_flows, 125);
	CHECK_U64(config->ingress_count, 2);
	CHECK(config->ingress_count == 2 && strcmp(config->ingress[1], "enp1s0f1") == 0);
	CHECK(config->admin_port_count == 2 && config->admin_ports[0] == 22 &&
	      config->admin_ports[1] == 2222);
	tg_config_destroy(config);
}

/* A ladder can stand in the file that cannot be read. */
TEST(ladder_that_may_be_elsewhere)
{
	begin();
	put("main.yaml", "version: 1\ndefaults: {ladder: usual}\npolicies:\n"
			 "  web: {limits: {a: {concurrent: 5}, b: {idle: 5, ladder: other}}}\n");
	put_dir("policies.d");
	put("policies.d/a.yaml", "ladders: [\n");
	check_error(NULL, "policies.d/a.yaml", 2, 1, "did not find");
}

/* One with an error is told once, and not again at each limit on it. */
TEST(ladder_with_an_error)
{
	begin();
	put("main.yaml",
	    "version: 1\npolicies:\n"
	    "  web: {limits: {a: {concurrent: 5, ladder: l}, b: {idle: 5, ladder: l}}}\n"
	    "ladders:\n  l: {steps: [{action: dorp, expire: 1m}], forget-after: 1d}\n");
	check_error(NULL, "main.yaml", 5, 24, "did you mean 'drop'?");
}

TEST(to_is_normalised_to_units_of_nft)
{
	static const struct {
		const char *text;
		uint32_t count, per_ms;
	} cases[] = {
		{"5/1s", 5, 1000},          {"5/10s", 30, 60000},   {"5/500ms", 10, 1000},
		{"1/90s", 40, 3600000},     {"1/1d", 1, 86400000},  {"60/1m", 1, 1000},
		{"1/7s", 86400, 604800000}, {"1/1w", 1, 604800000}, {"1000000/1s", 1000000, 1000},
		{"2/2w", 1, 604800000},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[256];
		begin();
		(void)snprintf(text, sizeof(text),
			       "version: 1\npolicies: {a: {limits: {a: {half-open: 1, action: "
			       "rate-limit, to: %s, expire: 1m}}}}\n",
			       cases[i].text);
		put("main.yaml", text);
		struct tg_config *config = load(NULL);
		CHECK(config != NULL);
		if (!config)
			continue;
		CHECK_U64(config->policies[0].limits[0].steps[0].to.count, cases[i].count);
		CHECK_U64(config->policies[0].limits[0].steps[0].to.per_ms, cases[i].per_ms);
		tg_config_destroy(config);
	}
}

TEST(all_errors_of_a_run)
{
	begin();
	put("main.yaml", "version: 1\nmode: both\nallow: [192.0.2.1/24, nobody]\npolicies:\n"
			 "  web:\n    match: {ports: [80, 99999]}\n    limits:\n"
			 "      a: {concurent: 5, action: dorp, expire: 10}\n"
			 "      b: {new: 100/10x, action: drop}\n");
	put_dir("policies.d");
	put("policies.d/10.yaml", "polices: {}\n");
	put("policies.d/20.yaml", "allow: [\n");
	CHECK(load(NULL) == NULL);
	static const struct {
		uint32_t line, col;
	} want[] = {{2, 7},  {3, 9}, {6, 25}, {8, 11}, {8, 33},
		    {8, 47}, {9, 7}, {9, 16}, {1, 1},  {2, 1}};
	/* `nobody` may be a list of the file that cannot be read, and so is not told. */
	CHECK_U64(diag.count, ARRAY_SIZE(want));
	size_t found = 0;
	for (size_t i = 0; i < diag.count; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(want); k++)
			found += diag.entries[i].line == want[k].line &&
				 diag.entries[i].col == want[k].col;
	}
	CHECK(found >= ARRAY_SIZE(want));
	for (size_t i = 0; i < diag.count; i++)
		CHECK(diag.entries[i].source || diag.entries[i].line == 2);
}

TEST(an_error_is_told_once)
{
	begin();
	put("main.yaml", "version: 1\npolicies:\n  a: &p {limits: {a: {concurrent: 0, action: "
			 "drop, expire: 1m}}}\n  b: *p\n  c: *p\n");
	check_error(NULL, "main.yaml", 3, 35, "out of range");
}

/* Cut between two characters, not within one: the message must stay UTF-8. */
TEST(long_words_are_cut)
{
	struct tg_strbuf text;
	begin();
	tg_strbuf_init(&text);
	for (int line = 0; line < 2; line++) {
		tg_strbuf_puts(&text, line == 0 ? "version: 1\nx" : "x");
		for (int i = 0; i < 100; i++)
			tg_strbuf_puts(&text, "\xc3\xa4");
		tg_strbuf_puts(&text, ": 1\n");
	}
	put("main.yaml", text.text);
	tg_strbuf_finish(&text);
	check_error(NULL, "main.yaml", 3, 1, "\xc3\xa4...' is given twice (first on line 2)");
	put("main.yaml",
	    "version: 1\nmode: \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
	    "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
	    "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
	    "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\n");
	check_error(NULL, "main.yaml", 2, 7, "not '\xe2\x82\xac\xe2\x82\xac");
	CHECK(diag.count == 1 && strstr(diag.entries[0].message, "\xe2\x82\xac...'"));
}

TEST(many_errors_are_bounded)
{
	struct tg_strbuf text;
	begin();
	tg_strbuf_init(&text);
	tg_strbuf_puts(&text, "version: 1\nallow:\n");
	for (int i = 0; i < 200000; i++)
		tg_strbuf_puts(&text, "- 192.0.2.256\n");
	put("main.yaml", text.text);
	tg_strbuf_finish(&text);
	CHECK(load(NULL) == NULL);
	CHECK_U64(diag.count, TG_DIAG_MAX);
	CHECK(diag.lost);
}

TEST(dropins)
{
	begin();
	put("main.yaml", "version: 1\nallow: [192.0.2.1]\npolicies: {main: {" LIMITS "}}\n");
	put_dir("policies.d");
	put("policies.d/20.yaml", "policies: {two: {" LIMITS "}}\n");
	put("policies.d/10.yaml",
	    "version: 1\nmode: enforce\nallow: [ten]\nlists: {ten: [\"::1\"]}\n"
	    "policies: {one: {" LIMITS "}}\n");
	put("policies.d/30.yaml", "# nothing\n");
	put("policies.d/40.yaml", "---\n");
	put("policies.d/old.yaml.dpkg-old", "policies: {one: {" LIMITS "}}\n");
	put("policies.d/.hidden.yaml", "[");
	put("policies.d/x.yaml~", "[");
	put("policies.d/README", "[");
	struct tg_config *config = load(NULL);
	CHECK(config != NULL);
	if (!config)
		return;
	CHECK_U64(config->mode, TG_MODE_ENFORCE);
	CHECK_U64(config->allow_count, 2);
	CHECK_U64(config->file_count, 5);
	CHECK_STR(config->files[1], at("policies.d/10.yaml"));
	CHECK_STR(config->policies[0].name, "main");
	CHECK_STR(config->policies[1].name, "one");
	CHECK_STR(config->policies[2].name, "two");
	CHECK_U64(config->policies[2].limits[0].mode, TG_MODE_ENFORCE);
	CHECK_STR(config->policies[2].limits[0].file, at("policies.d/20.yaml"));
	tg_config_destroy(config);
}

TEST(twice_names_both_places)
{
	static const char *const cases[][2] = {
		{"mode: observe\n", "'mode' is given twice"},
		{"defaults: {max-flows: 5000}\n", "'max-flows' is given twice"},
		{"lists: {office: []}\n", "the list 'office' is given twice"},
		{"policies: {web: {" LIMITS "}}\n", "the policy 'web' is given twice"},
		{"ladders: {usual: " LADDER "}\n", "the ladder 'usual' is given twice"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char place[128];
		begin();
		put("main.yaml", "version: 1\nmode: observe\ndefaults: {max-flows: 4000}\n"
				 "lists: {office: []}\npolicies: {web: {" LIMITS "}}\n"
				 "ladders: {usual: " LADDER "}\n");
		put_dir("policies.d");
		put("policies.d/a.yaml", cases[i][0]);
		CHECK(load(NULL) == NULL);
		CHECK_U64(diag.count, 1);
		(void)snprintf(place, sizeof(place), "(first in %s:%zu)", main_path, i + 2);
		CHECK(diag.count > 0 && strstr(diag.entries[0].message, cases[i][1]));
		CHECK(diag.count > 0 && strstr(diag.entries[0].message, place));
		CHECK(diag.count > 0 && strcmp(diag.entries[0].file, at("policies.d/a.yaml")) == 0);
	}
}

TEST(override)
{
	begin();
	put("main.yaml", "version: 1\npolicies:\n  web:\n    match: {ports: [80]}\n    limits:\n"
			 "      a: {concurrent: 5, action: drop, expire: 1m}\n"
			 "      b: {concurrent: 6, action: drop, expire: 1m}\n");
	put_dir("policies.d");
	put("policies.d/90.yaml", "policies:\n  web:\n    override: true\n    mode: enforce\n"
				  "    limits:\n      a: {concurrent: 50}\n"
				  "      c: {concurrent: 7, action: drop, expire: 1m}\n");
	struct tg_config *config = load(NULL);
	CHECK(config != NULL);
	if (!config)
		return;
	CHECK_U64(config->policy_count, 1);
	CHECK_U64(config->policies[0].port_count, 1);
	CHECK_U64(config->policies[0].limit_count, 3);
	CHECK_U64(config->policies[0].limits[0].threshold, 50);
	CHECK_U64(config->policies[0].limits[0].steps[0].expire_ms, 60000);
	CHECK_U64(config->policies[0].limits[1].threshold, 6);
	CHECK_STR(config->policies[0].limits[2].name, "c");
	CHECK_U64(config->policies[0].limits[2].mode, TG_MODE_ENFORCE);
	tg_config_destroy(config);
	/* A ladder stands beside the action that it does not replace. */
	put("policies.d/90.yaml", "ladders: {l: " LADDER "}\npolicies: {web: {override: true, "
				  "limits: {a: {ladder: l}}}}\n");
	check_error(NULL, "policies.d/90.yaml", 2, 55, "stands in the place of");
	/* What is merged is checked as if it had been written so. */
	put("policies.d/90.yaml",
	    "policies: {web: {override: true, limits: {a: {half-open: 5}}}}\n");
	CHECK(load(NULL) == NULL);
	CHECK(diag.count > 0 && strstr(diag.entries[0].message, "2 measures"));
	put("policies.d/90.yaml", "policies: {wbe: {override: true, " LIMITS "}}\n");
	check_error(NULL, "policies.d/90.yaml", 1, 28, "no earlier policy 'wbe'");
}

TEST(missing_and_unreadable)
{
	begin();
	check_error(NULL, "main.yaml", 0, 0, "No such file");
	CHECK(mkdir(main_path, 0700) == 0);
	check_error(NULL, "main.yaml", 0, 0, "directory");
	CHECK(rmdir(main_path) == 0);
	CHECK(mkfifo(main_path, 0600) == 0);
	check_error(NULL, "main.yaml", 0, 0, "not a regular file");
	CHECK(unlink(main_path) == 0);
	CHECK(symlink("/dev/zero", main_path) == 0);
	check_error(NULL, "main.yaml", 0, 0, "not a regular file");
	CHECK(unlink(main_path) == 0);
	CHECK(symlink(main_path, main_path) == 0);
	check_error(NULL, "main.yaml", 0, 0, "symbolic links");
	CHECK(unlink(main_path) == 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	(void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", main_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
	check_error(NULL, "main.yaml", 0, 0, "not a regular file");
	CHECK(close(fd) == 0 && unlink(main_path) == 0);
}

TEST(links_are_followed)
{
	begin();
	put("real", "version: 1\npolicies: {web: {" LIMITS "}}\n");
	CHECK(symlink("real", main_path) == 0);
	check_loads(NULL, 1);
}

TEST(sizes)
{
	begin();
	put("main.yaml", "version: 1\n");
	CHECK(truncate(main_path, 16 * 1024 * 1024 + 1) == 0);
	check_error(NULL, "main.yaml", 0, 0, "larger than 16 MiB");
	CHECK(truncate(main_path, 16 * 1024 * 1024) == 0);
	check_error(NULL, "main.yaml", 2, 1, "NUL");
}

TEST(bad_dropins)
{
	begin();
	put("main.yaml", "version: 1\n");
	put("policies.d", "");
	check_error(NULL, "policies.d", 0, 0, "cannot be read");
	CHECK(unlink(at("policies.d")) == 0);
	put_dir("policies.d");
	put_dir("policies.d/a.yaml");
	check_error(NULL, "policies.d/a.yaml", 0, 0, "directory");
	CHECK(rmdir(at("policies.d/a.yaml")) == 0);
	CHECK(mkfifo(at("policies.d/a.yaml"), 0600) == 0);
	check_error(NULL, "policies.d/a.yaml", 0, 0, "not a regular file");
	CHECK(unlink(at("policies.d/a.yaml")) == 0);
	CHECK(symlink("gone", at("policies.d/a.yaml")) == 0);
	check_error(NULL, "policies.d/a.yaml", 0, 0, "No such file");
	CHECK(unlink(at("policies.d/a.yaml")) == 0);
	put("policies.d/a.yaml", "version: 2\n");
	check_error(NULL, "policies.d/a.yaml", 1, 10, "version 2");
	/* What a full disk leaves behind would make the allow list shorter. */
	put("policies.d/a.yaml", "");
	check_error(NULL, "policies.d/a.yaml", 0, 0, "is empty");
	put("policies.d/a.yaml", "# nothing here yet\n");
	check_loads(NULL, 0);
}

TEST(list_files)
{
	begin();
	put("main.yaml", "version: 1\nlists:\n  office: {file: office.txt}\nallow: [office]\n");
	check_error(NULL, "main.yaml", 3, 18, "No such file");
	put("office.txt", "192.0.2.1\n192.0.2.0/33\n\n  192.0.2.9 192.0.2.10\nhost # no\n");
	CHECK(load(NULL) == NULL);
	CHECK_U64(diag.count, 3);
	for (size_t i = 0; i < diag.count && diag.count == 3; i++)
		CHECK_STR(diag.entries[i].file, at("office.txt"));
	if (diag.count == 3) {
		CHECK_U64(diag.entries[0].line, 2);
		CHECK_U64(diag.entries[0].width, 12);
		CHECK_U64(diag.entries[1].line, 4);
		CHECK_U64(diag.entries[1].col, 13);
		CHECK_U64(diag.entries[2].line, 5);
		CHECK_STR(diag.entries[2].source, "host # no");
	}
	/* bad is not empty: one mistake, one error */
	put("office.txt", "192.0.2.256\n");
	check_error(NULL, "office.txt", 1, 1, "not an IPv4");
	put("office.txt", "192.0.2.1\n\xff\n");
	check_error(NULL, "office.txt", 2, 1, "UTF-8");
	/* An empty one is what a failed download leaves behind. */
	put("office.txt", "# nobody\n\n");
	check_error(NULL, "main.yaml", 3, 18, "holds no address");
	CHECK(unlink(at("office.txt")) == 0);
	CHECK(mkfifo(at("office.txt"), 0600) == 0);
	check_error(NULL, "main.yaml", 3, 18, "not a regular file");
	/* A bad list is an error also when nobody uses it. */
	put("main.yaml", "version: 1\nlists:\n  office: {file: gone.txt}\n");
	check_error(NULL, "main.yaml", 3, 18, "No such file");
}

TEST(large_list)
{
	enum { COUNT = 200000 };
	struct tg_strbuf text;
	struct timespec from, to;
	begin();
	put("main.yaml", "version: 1\nlists: {big: {file: big.txt}}\nallow: [big]\n");
	tg_strbuf_init(&text);
	for (unsigned i = 0; i < COUNT; i++)
		tg_strbuf_printf(&text, "10.%u.%u.%u\n", i >> 16, i >> 8 & 255, i & 255);
	put("big.txt", text.text);
	tg_strbuf_finish(&text);
	(void)clock_gettime(CLOCK_MONOTONIC, &from); /* cannot fail */
	struct tg_config *config = load(NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	const double s =
		(double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("# %d addresses in %.0f ms\n", COUNT, s * 1000);
	CHECK(config != NULL);
	CHECK(s < 10); /* quadratic would be minutes; a busy machine is not a failure */
	if (config) {
		CHECK_U64(config->allow_count, COUNT);
		check_prefix(&config->allow[COUNT - 1], "10.3.13.63/32");
	}
	tg_config_destroy(config);
}

TEST(instead_is_of_the_set)
{
	begin();
	put("main.yaml", "version: 1\npolicies: {main: {" LIMITS "}}\n");
	put_dir("policies.d");
	put("policies.d/10.yaml", "policies: {one: {" LIMITS "}}\n");
	check_loads(main_path, 2);
	check_loads(at("policies.d/10.yaml"), 2);
	/* by another name, too */
	CHECK(symlink(main_path, at("link")) == 0);
	check_loads(at("link"), 2);
}

TEST(instead_of_the_main_file)
{
	begin();
	put("copy.tmp", "version: 1\npolicies: {new: {" LIMITS "}}\n");
	put_dir("policies.d");
	put("policies.d/10.yaml", "policies: {one: {" LIMITS "}}\n");
	/* before there is one */
	check_loads(at("copy.tmp"), 2);
	put("main.yaml", "version: 1\npolicies: {old: {" LIMITS "}, older: {" LIMITS "}}\n");
	check_loads(at("copy.tmp"), 2);
	put("copy.tmp", "version: 1\npolicies: {one: {" LIMITS "}}\n");
	check_error(at("copy.tmp"), "policies.d/10.yaml", 1, 12, "given twice");
	/* Where there is no directory of the main file, that of FILE counts. */
	(void)snprintf(main_path, sizeof(main_path), "%s/no/where.yaml", root);
	check_error(at("copy.tmp"), "policies.d/10.yaml", 1, 12, "given twice");
	put("copy.tmp", "version: 1\nlists: {l: {file: l.txt}}\npolicies: {x: {" LIMITS "}}\n");
	put("l.txt", "192.0.2.1\n");
	check_loads(at("copy.tmp"), 2);
}

TEST(instead_of_a_dropin)
{
	begin();
	put("main.yaml", "version: 1\npolicies: {main: {" LIMITS "}}\n");
	put_dir("policies.d");
	put("policies.d/10.yaml", "policies: {one: {" LIMITS "}, uno: {" LIMITS "}}\n");
	put("policies.d/20.yaml", "policies: {two: {" LIMITS "}}\n");
	/* new beside the others */
	put("copy.tmp", "policies: {three: {" LIMITS "}}\n");
	check_loads(at("copy.tmp"), 5);
	/* in the place of the one that defines the same */
	put("copy.tmp", "policies: {one: {" LIMITS "}}\n");
	struct tg_config *config = load(at("copy.tmp"));
	CHECK(config && config->policy_count == 3);
	if (config)
		CHECK_STR(config->files[1], at("copy.tmp"));
	tg_config_destroy(config);
	/* of several */
	put("copy.tmp", "policies: {one: {" LIMITS "}, two: {" LIMITS "}}\n");
	check_loads(at("copy.tmp"), 3);
	/* never of the main file */
	put("copy.tmp", "policies: {main: {" LIMITS "}}\n");
	check_error(at("copy.tmp"), "copy.tmp", 1, 12, "given twice");
	/* a ladder is a definition, too */
	put("policies.d/30.yaml", "ladders: {usual: " LADDER "}\n");
	put("copy.tmp", "ladders: {usual: " LADDER ", other: " LADDER "}\n");
	check_loads(at("copy.tmp"), 4);
	/* an override stands beside what it overrides, and replaces another override */
	put("policies.d/90.yaml", "policies: {one: {override: true, mode: enforce}}\n");
	put("copy.tmp", "policies: {one: {override: true, mode: observe}}\n");
	config = load(at("copy.tmp"));
	CHECK(config && config->policy_count == 4);
	CHECK(config && config->policies[1].limits[0].mode == TG_MODE_OBSERVE);
	tg_config_destroy(config);
	put("copy.tmp", "policies: {one: {override: true, mode: both}}\n");
	check_error(at("copy.tmp"), "copy.tmp", 1, 40, "observe or enforce");
	put("copy.tmp", "policies: [\n");
	check_error(at("copy.tmp"), "copy.tmp", 2, 1, "did not find");
	CHECK(unlink(at("copy.tmp")) == 0);
	check_error(at("copy.tmp"), "copy.tmp", 0, 0, "No such file");
	/* a drop-in needs the file that it is dropped into */
	put("copy.tmp", "policies: {new: {" LIMITS "}}\n");
	CHECK(unlink(main_path) == 0);
	check_error(at("copy.tmp"), "main.yaml", 0, 0, "No such file");
}

/* The first error of the set with candidate in the place of as; NULL: there is none. */
static const char *load_as(const char *as, size_t policies)
{
	static char text[512];
	tg_diag_finish(&diag);
	struct tg_config *config = tg_config_load_as(main_path, as, at("candidate"), &diag);
	CHECK((config == NULL) == (diag.count > 0));
	if (config)
		CHECK_U64(config->policy_count, policies);
	tg_config_destroy(config);
	if (diag.count == 0)
		return NULL;
	(void)snprintf(text, sizeof(text), "%s:%u: %s", diag.entries[0].file, diag.entries[0].line,
		       diag.entries[0].message);
	return text;
}

static void check_as_error(const char *as, const char *expected)
{
	const char *text = load_as(as, 0);
	CHECK(text && strstr(text, expected));
	if (text && !strstr(text, expected))
		printf("# %s\n", text);
}

TEST(as_a_file_of_the_set)
{
	begin();
	put("main.yaml", "version: 1\nlists: {a: {file: lists/a.txt}}\nallow: [a]\n"
			 "policies: {one: {" LIMITS "}}\n");
	put_dir("lists");
	put("lists/a.txt", "192.0.2.1\n");
	put_dir("policies.d");
	put("policies.d/20.yaml", "policies: {two: {" LIMITS "}}\n");

	put("candidate", "version: 1\npolicies: {other: {" LIMITS "}, more: {" LIMITS "}}\n");
	CHECK(load_as(main_path, 3) == NULL);
	put("candidate", "version: 1\npolicies: {other: {limits: {}}}\n");
	check_as_error(main_path, "main.yaml:2:");
	/* In its own place, whatever it defines: here before what it lies under. */
	put("candidate", "policies: {new: {" LIMITS "}}\n");
	CHECK(load_as(at("policies.d/20.yaml"), 2) == NULL);
	CHECK(load_as(at("policies.d/30.yaml"), 3) == NULL);
	put("candidate", "policies: {two: {override: true, mode: enforce}}\n");
	CHECK(load_as(at("policies.d/30.yaml"), 2) == NULL);
	check_as_error(at("policies.d/10.yaml"), "policies.d/10.yaml:1:");
	put("candidate", "192.0.2.1/24\n");
	check_as_error(at("lists/a.txt"), "lists/a.txt:1:");
	put("candidate", "192.0.2.0/24\n");
	CHECK(load_as(at("lists/a.txt"), 2) == NULL);
	/* What nothing reads would be accepted whatever it says. */
	check_as_error(at("lists/b.txt"), "no policy reads it");
	check_as_error(at("policies.d/40.yml"), "no policy reads it");
	check_as_error("/etc/none/tcpguard.yaml", "no policy reads it");
	/* Also before the first is installed. */
	begin();
	put("candidate", "version: 1\npolicies: {one: {" LIMITS "}}\n");
	CHECK(load_as(main_path, 1) == NULL);
	put("candidate", "policies: {one: {" LIMITS "}}\n");
	check_as_error(main_path, "version");
	CHECK(unlink(at("candidate")) == 0);
	check_as_error(main_path, "main.yaml:0: it cannot be read");
}

int main(void)
{
	if (!mkdtemp(root))
		return 1;
	tg_diag_init(&diag);
	RUN(defaults);
	RUN(whole);
	RUN(ladders);
	RUN(actions);
	RUN(host_settings);
	RUN(totals_and_networks);
	RUN(ladder_that_may_be_elsewhere);
	RUN(ladder_with_an_error);
	RUN(to_is_normalised_to_units_of_nft);
	RUN(all_errors_of_a_run);
	RUN(an_error_is_told_once);
	RUN(long_words_are_cut);
	RUN(many_errors_are_bounded);
	RUN(dropins);
	RUN(twice_names_both_places);
	RUN(override);
	RUN(missing_and_unreadable);
	RUN(links_are_followed);
	RUN(sizes);
	RUN(bad_dropins);
	RUN(list_files);
	RUN(large_list);
	RUN(instead_is_of_the_set);
	RUN(instead_of_the_main_file);
	RUN(instead_of_a_dropin);
	RUN(as_a_file_of_the_set);
	begin();
	(void)rmdir(root); /* nothing of it is left */
	return DONE();
}
