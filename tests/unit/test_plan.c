/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What two policies differ in, as plan shows it; and what becomes of a ban between them. */
#include <stdlib.h>
#include <unistd.h>

#include <tcpguard/ban.h>
#include <tcpguard/config.h>
#include <tcpguard/diag.h>

#include "base/cleanup.h"
#include "cli/json.h"
#include "cli/plan.h"
#include "test.h"

#define POLICY(text) "version: 1\n" text
#define WEB "match: {ports: [80, 443]}, limits: "

static struct tg_config *load(const char *text)
{
	char path[] = "/tmp/tcpguard-plan-XXXXXX";
	struct tg_diag diag;
	const int fd = mkstemp(path);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd); /* only what was checked was written */
	tg_diag_init(&diag);
	struct tg_config *config = tg_config_load(path, NULL, &diag);
	for (size_t i = 0; i < diag.count; i++)
		printf("# %u: %s\n", diag.entries[i].line, diag.entries[i].message);
	tg_diag_finish(&diag);
	CHECK(unlink(path) == 0);
	return config;
}

/* The plan from one to the other; freed by the caller. */
static char *plan(const char *now, const char *then, bool color, bool as_json, size_t changes)
{
	struct plan_settings a = {0}, b = {0};
	struct tg_config *x = load(now), *y = load(then);
	char *text = NULL;
	size_t len = 0;
	CHECK(x && y);
	if (!x || !y)
		exit(1);
	plan_settings_of(x, &a);
	plan_settings_of(y, &b);
	CHECK(!a.failed && !b.failed);
	FILE *out = open_memstream(&text, &len);
	CHECK(out != NULL);
	if (!out)
		exit(1);
	struct json json;
	if (as_json) {
		json_begin(&json, out);
		json_array(&json, "changes");
	}
	CHECK_U64(plan_print(&a, &b, out, color, as_json ? &json : NULL), changes);
	if (as_json)
		json_finish(&json);
	(void)fclose(out);
	plan_settings_finish(&a);
	plan_settings_finish(&b);
	tg_config_destroy(x);
	tg_config_destroy(y);
	return text;
}

static void check_plan(const char *now, const char *then, size_t changes, const char *expected)
{
	_cleanup_free_ char *text = plan(now, then, false, false, changes);
	CHECK(strcmp(text, expected) == 0);
	if (strcmp(text, expected) != 0)
		printf("# %s#\n# %s#\n", text, expected);
}

TEST(the_same_is_no_change)
{
	/* However it is written: lists, ladders, defaults, order. */
	check_plan(
		POLICY("policies: {web: {" WEB
		       "{a: {concurrent: 5, action: drop, expire: 60s}}}}\nallow: [192.0.2.1]\n"),
		POLICY("lists: {x: [192.0.2.1, 192.0.2.1/32]}\nallow: [x]\n"
		       "ladders: {l: {steps: [{action: drop, expire: 1m}], forget-after: 1h}}\n"
		       "policies: {web: {match: {ports: [443, 80]}, limits: "
		       "{a: {concurrent: 5, action: drop, scope: ports, expire: 1m}}}}\n"),
		0, "");
}

TEST(a_key)
{
	check_plan(POLICY("policies: {web: {" WEB
			  "{a: {concurrent: 5, action: drop, expire: 1m}}}}\n"),
		   POLICY("mode: enforce\npolicies: {web: {" WEB
			  "{a: {concurrent: 9, action: drop, expire: 2m}}}}\n"),
		   4,
		   "host\n"
		   "-   mode: observe\n"
		   "+   mode: enforce\n"
		   "policy web limit a\n"
		   "-   concurrent: 5\n"
		   "+   concurrent: 9\n"
		   "-   mode: observe\n"
		   "+   mode: enforce\n"
		   "-   step-01: {action: drop, scope: ports, expire: 1m}\n"
		   "+   step-01: {action: drop, scope: ports, expire: 2m}\n");
}

TEST(lists_by_element)
{
	check_plan(POLICY("allow: [192.0.2.1, 192.0.2.2]\nadmin-ports: [22]\n"),
		   POLICY("allow: [192.0.2.2, 192.0.2.3, \"2001:db8::/32\"]\n"
			  "admin-ports: [22, 2222]\nbrakes: {max-share-of-flows: 12.5%}\n"
			  "defaults: {max-flows: 2000}\n"),
		   6,
		   "allow\n"
		   "-   prefix: 192.0.2.1/32\n"
		   "+   prefix: 192.0.2.3/32\n"
		   "+   prefix: 2001:db8::/32\n"
		   "brakes\n"
		   "-   max-share-of-flows: none\n"
		   "+   max-share-of-flows: 12.5%\n"
		   "defaults\n"
		   "-   max-flows: 1000000\n"
		   "+   max-flows: 2000\n"
		   "host\n"
		   "+   admin-port: 2222\n");
}

TEST(policies_and_limits)
{
	check_plan(POLICY("policies: {web: {" WEB
			  "{a: {half-open: 5, source: total, action: observe, expire: 1m}}}}\n"),
		   POLICY("policies: {ssh: {limits: {b: {new: 6/1m, burst: 2, "
			  "source: {ipv4: 24, ipv6: 48}, min-hosts: 3, action: rate-limit, "
			  "to: 5/1s, expire: 1m}}}}\n"),
		   14,
		   "policy ssh\n"
		   "+   ports: every port\n"
		   "policy ssh limit b\n"
		   "+   burst: 2\n"
		   "+   forget-after: at once\n"
		   "+   min-hosts: 3\n"
		   "+   mode: observe\n"
		   "+   new: 6/1m\n"
		   "+   source: {ipv4: 24, ipv6: 48}\n"
		   "+   step-01: {action: rate-limit, to: 5/1s, expire: 1m}\n"
		   "policy web\n"
		   "-   ports: 80, 443\n"
		   "policy web limit a\n"
		   "-   forget-after: at once\n"
		   "-   half-open: 5\n"
		   "-   mode: observe\n"
		   "-   source: total\n"
		   "-   step-01: {action: observe, expire: 1m}\n");
}

TEST(colours_and_json)
{
	_cleanup_free_ char *colored =
		plan(POLICY("mode: observe\n"), POLICY("mode: enforce\n"), true, false, 1);
	CHECK(strcmp(colored, "host\n\033[1;31m-   mode: observe\033[0m\n"
			      "\033[32m+   mode: enforce\033[0m\n") == 0);
	_cleanup_free_ char *json =
		plan(POLICY("mode: observe\n"), POLICY("mode: enforce\n"), true, true, 1);
	CHECK(strstr(json, "{\"section\": \"host\", \"key\": \"mode\", \"before\": \"observe\", "
			   "\"after\": \"enforce\"}"));
}

static enum tg_fate fate(const char *limit, const struct tg_ban *ban, bool enforces)
{
	char text[512];
	(void)snprintf(text, sizeof(text), POLICY("policies: {web: {limits: {a: %s}}}\n"), limit);
	struct tg_config *config = load(text);
	CHECK(config != NULL);
	const enum tg_fate it = tg_ban_fate(ban, &config->policies[0].limits[0], enforces);
	tg_config_destroy(config);
	return it;
}

TEST(fates)
{
	const char *drop = "{concurrent: 5, action: drop, expire: 1m}";
	const char *limit = "{half-open: 5, action: rate-limit, to: 5/1s, expire: 1m}";
	struct tg_ban ban = {.source = {.addr = {.family = TG_IPV4}, .len = 32},
			     .action = TG_ACTION_DROP,
			     .scope = TG_SCOPE_PORTS,
			     .offence = 1,
			     .enforced = true};
	CHECK(tg_ban_fate(&ban, NULL, true) == TG_FATE_ENDS);
	CHECK(fate(drop, &ban, true) == TG_FATE_STAYS);
	CHECK(fate(drop, &ban, false) == TG_FATE_ENDS);
	/* What can be forged drops nobody. */
	CHECK(fate(limit, &ban, true) == TG_FATE_ENDS);
	CHECK(fate("{concurrent: 5, action: observe, expire: 1m}", &ban, true) == TG_FATE_ENDS);
	/* Another source than the ban's. */
	CHECK(fate("{concurrent: 5, source: total, action: observe, expire: 1m}", &ban, true) ==
	      TG_FATE_ENDS);
	ban.source.len = 24;
	CHECK(fate(drop, &ban, true) == TG_FATE_ENDS);
	CHECK(fate("{concurrent: 5, source: {ipv4: 24}, action: drop, expire: 1m}", &ban, true) ==
	      TG_FATE_STAYS);
	ban.source.len = 32;
	ban.enforced = false;
	CHECK(fate(drop, &ban, true) == TG_FATE_BEGINS);
	CHECK(fate(drop, &ban, false) == TG_FATE_STAYS);
	ban.action = TG_ACTION_RATE_LIMIT;
	ban.scope = TG_SCOPE_NEW;
	CHECK(fate(limit, &ban, true) == TG_FATE_BEGINS);
}

int main(void)
{
	RUN(the_same_is_no_change);
	RUN(a_key);
	RUN(lists_by_element);
	RUN(policies_and_limits);
	RUN(colours_and_json);
	RUN(fates);
	return DONE();
}
