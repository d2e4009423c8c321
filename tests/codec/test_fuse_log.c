/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel logs of a fuse, whole and damaged; and the fuse's own figures, without a kernel:
 * never less than the limit says, and no name that could be taken for a ban's.
 */
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <string.h>

#include <tcpguard/config.h>
#include <tcpguard/protect.h>

#include "base/util.h"
#include "layout/layout.h"
#include "netfilter/fuse_log.h"
#include "test.h"

static const uint8_t ipv4[20] = {0x45, [9] = 6, [12] = 198, 51, 100, 7, 203, 0, 113, 1};
static const uint8_t ipv6[40] = {0x60, [6] = 6, [8] = 0x20, 0x01, 0x0d, 0xb8, [23] = 5};

static char buffer[1024] __attribute__((aligned(NLMSG_ALIGNTO)));

static struct nlmsghdr *message(const char *prefix, const uint8_t *packet, size_t len)
{
	struct nlmsghdr *it = mnl_nlmsg_put_header(buffer);
	it->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET;
	(void)mnl_nlmsg_put_extra_header(it, sizeof(struct nfgenmsg));
	if (prefix)
		mnl_attr_put_strz(it, NFULA_PREFIX, prefix);
	if (packet)
		mnl_attr_put(it, NFULA_PAYLOAD, len, packet);
	return it;
}

TEST(messages)
{
	struct tg_fuse fuse;
	char text[TG_ADDR_STRLEN];
	CHECK_U64(fuse_log_decode(message("fuse web/new 100/10000 50", ipv4, sizeof(ipv4)), &fuse),
		  FUSE_BLOWN);
	CHECK_STR(fuse.policy, "web");
	CHECK_STR(fuse.limit, "new");
	CHECK_U64(fuse.threshold, 100);
	CHECK_U64(fuse.window_ms, 10000);
	CHECK_U64(fuse.burst, 50);
	CHECK_STR(tg_addr_format(&fuse.source, text), "198.51.100.7");
	CHECK_U64(fuse_log_decode(message("fuse a-b/c_d 1/604800000 0", ipv6, sizeof(ipv6)), &fuse),
		  FUSE_BLOWN);
	CHECK_STR(fuse.policy, "a-b");
	CHECK_STR(fuse.limit, "c_d");
	CHECK_STR(tg_addr_format(&fuse.source, text), "2001:db8::5");
	CHECK_U64(fuse_log_decode(message("full web/new", NULL, 0), &fuse), FUSE_FULL);
	CHECK_STR(fuse.policy, "web");
}

TEST(damaged_messages)
{
	static const char longest[] = "fuse abcdefghijklmnopqrstuvwxyzabcdefg/new 1/1000 0",
			  limit[] = "fuse web/abcdefghijklmnopqrstuvwxyzabcdefg 1/1000 0";
	const char *const prefixes[] = {NULL,
					"",
					"fuse",
					"fuse ",
					"fuse /",
					"fuse web",
					"fuse web/",
					"fuse /new",
					"fused web/new 1/1000 0",
					"fuse web/new 1",
					"fuse web/new 1/",
					"fuse web/new 1/1 ",
					"fuse web/new -1/1 1",
					"fuse web/new 4294967296/1 1",
					"fuse web/new 1/1 1 ",
					"fuse web/new 1/1 1x",
					"fuse web/new  1/1 1",
					longest,
					limit,
					"FUSE web/new"};
	struct tg_fuse fuse;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		CHECK_U64(fuse_log_decode(message(prefixes[i], ipv4, sizeof(ipv4)), &fuse),
			  FUSE_MALFORMED);
	CHECK_U64(fuse_log_decode(message("fuse web/new 100/10000 50", NULL, 0), &fuse),
		  FUSE_MALFORMED);
	for (size_t len = 0; len < sizeof(ipv4); len++)
		CHECK_U64(fuse_log_decode(message("fuse web/new 100/10000 50", ipv4, len), &fuse),
			  FUSE_MALFORMED);
	for (size_t len = 0; len < sizeof(ipv6); len++)
		CHECK_U64(fuse_log_decode(message("fuse web/new 100/10000 50", ipv6, len), &fuse),
			  FUSE_MALFORMED);
	struct nlmsghdr *it = message("fuse web/new 100/10000 50", ipv4, sizeof(ipv4));
	it->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	CHECK_U64(fuse_log_decode(it, &fuse), FUSE_MALFORMED);
	it->nlmsg_len = NLMSG_LENGTH(2);
	CHECK_U64(fuse_log_decode(it, &fuse), FUSE_MALFORMED);
}

/* Not lower than what is asked for, and hardly higher. */
TEST(paces)
{
	static const uint32_t counts[] = {1, 2, 3, 5, 6, 7, 99, 100, 1000, 4294967, 16777216},
			      times[] = {100, 999, 1000, 1001, 7000, 60000, 3599999, 604800000};
	for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
		for (size_t t = 0; t < ARRAY_SIZE(times); t++) {
			const struct tg_rate rate = {.count = counts[c], .per_ms = times[t]};
			uint64_t count, unit_s;
			layout_pace_units(&rate, &count, &unit_s);
			const uint64_t asked = rate.count * unit_s * 1000,
				       got = count * rate.per_ms;
			CHECK(count > 0 && got >= asked && got - asked < rate.per_ms);
		}
	}
}

static struct tg_step steps[] = {{.action = TG_ACTION_DROP, .scope = TG_SCOPE_PORTS},
				 {.action = TG_ACTION_RATE_LIMIT, .to = {2, 1000}},
				 {.action = TG_ACTION_OBSERVE}};

static struct tg_limit limit_of(const char *name, const struct tg_step *step, uint8_t ipv4_len)
{
	return (struct tg_limit){.name = name,
				 .measure = TG_MEASURE_NEW,
				 .threshold = 100,
				 .window_ms = 10000,
				 .burst = 50,
				 .prefix_len = {ipv4_len, 64},
				 .steps = step,
				 .step_count = 1,
				 .mode = TG_MODE_ENFORCE};
}

struct seen {
	unsigned drops, meters, returns, others;
};

static void see(void *data, const struct layout_rule *rule)
{
	struct seen *seen = data;
	if (strncmp(rule->chain, "fuse-", 5) != 0)
		return;
	if (rule->verdict == LAYOUT_VERDICT_DROP)
		seen->drops++;
	else if (rule->verdict == LAYOUT_RETURN)
		seen->returns++;
	else if (rule->meter)
		seen->meters++;
	else
		seen->others++;
}

static struct seen count_rules(const struct tg_config *config, bool observes)
{
	struct layout layout;
	struct seen seen = {0};
	CHECK(layout_init(&layout, config, NULL, NULL, 1024) == 0);
	layout.observes = observes;
	CHECK(layout_each_rule(&layout, see, &seen));
	layout_finish(&layout);
	return seen;
}

TEST(fuses_of_limits)
{
	struct tg_limit limits[] = {limit_of("a-new-ip4-32", &steps[0], 32),
				    limit_of("b", &steps[1], 24), limit_of("c", &steps[2], 32),
				    limit_of("d", &steps[0], 24), limit_of("e", &steps[1], 32)};
	limits[3].min_hosts = 4;
	limits[4].total = true;
	const struct tg_policy policy = {
		.name = "web", .limits = limits, .limit_count = ARRAY_SIZE(limits)};
	const struct tg_config config = {.policies = &policy, .policy_count = 1};
	struct layout layout;
	char owner[TG_NAME_MAX + 1];
	struct layout_set set;
	size_t at = 0;
	struct layout_near near;
	CHECK(layout_init(&layout, &config, NULL, NULL, 1024) == 0);
	CHECK_U64(layout.fuse_count, 6);
	for (size_t i = 0; i < layout.fuse_count; i++) {
		const struct layout_fuse *fuse = &layout.fuses[i];
		const char *const names[] = {fuse->fused, fuse->meter, fuse->spill};
		for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
			size_t index;
			CHECK(!layout_parse_name(names[k], owner, &set));
			CHECK(layout_find_name(&layout, names[k], &index) < 0);
			CHECK(layout_fuse_find(&layout, names[k], &index) && index == i);
		}
		CHECK_U64(fuse->over.burst, 150);
		CHECK_U64(fuse->over.rate.count, 100);
		CHECK(fuse->drops == (fuse->limit != 2));
	}
	/* What stands in for a drop; what the rate-limit says. */
	CHECK_U64(layout.fuses[0].to.burst, TG_UNPROVEN_RATE.count);
	CHECK_U64(layout.fuses[2].to.burst, 2);
	CHECK(layout_next_near(&layout, &at, &near) && strcmp(near.name, "near6-64") == 0);
	CHECK(layout_next_near(&layout, &at, &near) && strcmp(near.name, "near4-24") == 0);
	CHECK(!layout_next_near(&layout, &at, &near));
	CHECK(layout_is_near_name("near4-24", &near) && !layout_is_near_name("near4-32", &near) &&
	      !layout_is_near_name("near4-024", &near) && !layout_is_near_name("near", &near));
	layout_finish(&layout);
	const struct seen acts = count_rules(&config, false), looks = count_rules(&config, true);
	CHECK_U64(acts.meters, 6);
	CHECK_U64(acts.returns, 2);
	CHECK_U64(acts.others, 8);
	CHECK_U64(acts.drops, 8); /* of two limits, two families, and the members and buckets */
	CHECK_U64(looks.meters, 6);
	CHECK_U64(looks.drops, 0);
}

/* The counts of a limit mean nothing to another one. */
TEST(what_a_reload_keeps)
{
	struct tg_limit limits[] = {limit_of("a", &steps[0], 32), limit_of("a", &steps[0], 32)};
	for (unsigned change = 0; change < 6; change++) {
		limits[1] = limits[0];
		limits[1].threshold += change == 1;
		limits[1].window_ms += change == 2;
		limits[1].burst += change == 3;
		limits[1].prefix_len[TG_IPV4] -= change == 4;
		limits[1].steps = &steps[change == 5];
		struct layout layouts[2];
		struct tg_policy policies[2];
		struct tg_config configs[2];
		for (unsigned i = 0; i < 2; i++) {
			policies[i] = (struct tg_policy){
				.name = "web", .limits = &limits[i], .limit_count = 1};
			configs[i] =
				(struct tg_config){.policies = &policies[i], .policy_count = 1};
			CHECK(layout_init(&layouts[i], &configs[i], NULL, NULL, 1024) == 0);
		}
		CHECK(layout_fuse_is_same(&layouts[0].fuses[0], &layouts[1].fuses[0]) ==
		      (change == 0));
		CHECK(!layout_fuse_is_same(&layouts[0].fuses[0], &layouts[0].fuses[1]));
		layout_finish(&layouts[0]);
		layout_finish(&layouts[1]);
	}
}

/* Nobody of a prefix with a protected address in it; nor of one that is within an allowed one. */
TEST(neighbours)
{
	const struct tg_limit limit = limit_of("a", &steps[1], 24);
	const struct tg_policy policy = {.name = "web", .limits = &limit, .limit_count = 1};
	const struct tg_config config = {.policies = &policy, .policy_count = 1};
	struct tg_protected_prefix own = {.kind = TG_PROTECT_OWN}, allowed = {0};
	CHECK(!tg_prefix_parse("192.0.2.77", &own.prefix));
	CHECK(!tg_prefix_parse("198.51.0.0/16", &allowed.prefix));
	struct tg_prefix_set *protected = tg_prefix_set_create(&own, 1),
			     *allow = tg_prefix_set_create(&allowed, 1);
	struct layout layout;
	struct layout_near near;
	struct tg_addr addr;
	CHECK(layout_init(&layout, &config, protected, allow, 1024) == 0);
	CHECK(layout_is_near_name("near4-24", &near));
	struct tg_prefix_set *set = layout_near_create(&layout, &near);
	static const struct {
		const char *addr;
		bool in;
	} cases[] = {{"192.0.2.77", true},   {"192.0.2.1", true},   {"192.0.3.77", false},
		     {"198.51.100.1", true}, {"198.52.0.1", false}, {"192.0.1.255", false}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK(tg_addr_parse(cases[i].addr, &addr));
		CHECK((tg_prefix_set_lookup(set, &addr) != NULL) == cases[i].in);
	}
	tg_prefix_set_destroy(set);
	layout_finish(&layout);
	tg_prefix_set_destroy(protected);
	tg_prefix_set_destroy(allow);
}

int main(void)
{
	RUN(messages);
	RUN(damaged_messages);
	RUN(paces);
	RUN(fuses_of_limits);
	RUN(what_a_reload_keeps);
	RUN(neighbours);
	return DONE();
}
