/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log's words for decisions: who, why, what, how long, enforced or not, and where it stands. */
#include "daemon/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <tcpguard/decision.h>

#include "base/strbuf.h"
#include "daemon/log.h"
#include "test.h"

static const struct tg_limit limits[] = {
	{.name = "open", .measure = TG_MEASURE_CONCURRENT, .file = "p.yaml", .line = 7},
	{.name = "new",
	 .measure = TG_MEASURE_NEW,
	 .window_ms = 10000,
	 .file = "p.yaml",
	 .line = 8}};
static const struct tg_policy policies[] = {{.name = "web", .limits = limits, .limit_count = 2}};
static const struct tg_config config = {.policies = policies, .policy_count = 1};

static struct tg_decision decision(enum tg_decision_type type, enum tg_cause cause)
{
	struct tg_decision made = {.type = type, .cause = cause, .at = 100 * TG_SEC};
	made.ban = (struct tg_ban){.action = TG_ACTION_DROP,
				   .scope = TG_SCOPE_PORTS,
				   .enforced = true,
				   .measured = 101,
				   .threshold = 100,
				   .offence = 1,
				   .until = 700 * TG_SEC};
	CHECK(tg_prefix_parse("198.51.100.7", &made.ban.source) == NULL);
	return made;
}

static const char *line(const struct tg_decision *made)
{
	static char text[4096];
	int fds[2];
	struct log log;
	CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	log_init(&log, fds[1], LOG_DEBUGGING, NULL);
	report_decision(&log, &config, made);
	ssize_t len = read(fds[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	close(fds[0]);
	close(fds[1]);
	return text;
}

TEST(offence)
{
	struct tg_decision made = decision(TG_DECISION_BAN, TG_CAUSE_OFFENCE);
	CHECK_STR(line(&made),
		  "tcpguardd: ban 198.51.100.7/32: web open: concurrent 101 > 100; drop "
		  "(scope ports) for 10m, offence 1, enforced [p.yaml:7]\n");
	made.ban.enforced = false;
	made.ban.limit = 1;
	made.ban.action = TG_ACTION_RATE_LIMIT;
	made.ban.scope = TG_SCOPE_NEW;
	made.ban.to = (struct tg_rate){5, 1000};
	CHECK_STR(line(&made),
		  "tcpguardd: would ban 198.51.100.7/32: web new: new 101 > 100 in 10s; "
		  "rate-limit to 5/1s (scope new) for 10m, offence 1, only observed "
		  "[p.yaml:8]\n");
}

TEST(a_drop_without_its_witness)
{
	struct tg_decision made = decision(TG_DECISION_BAN, TG_CAUSE_OFFENCE);
	made.ban.action = TG_ACTION_RATE_LIMIT;
	made.ban.scope = TG_SCOPE_NEW;
	made.ban.to = (struct tg_rate){5, 1000};
	made.ban.unproven = true;
	CHECK_STR(
		line(&made),
		"tcpguardd: ban 198.51.100.7/32: web open: concurrent 101 > 100; rate-limit to "
		"5/1s (scope new) for 10m, offence 1, enforced; rate-limit in place of a drop: no "
		"witness yet [p.yaml:7]\n");
	made = decision(TG_DECISION_BAN, TG_CAUSE_WITNESSED);
	CHECK_STR(line(&made),
		  "tcpguardd: ban 198.51.100.7/32: web open: concurrent 101 > 100; drop (scope "
		  "ports) for 10m, offence 1, enforced; the sockets prove it [p.yaml:7]\n");
	made = decision(TG_DECISION_BAN, TG_CAUSE_INSISTS);
	CHECK_STR(line(&made),
		  "tcpguardd: extend 198.51.100.7/32: web open: concurrent 101 > 100; drop (scope "
		  "ports) for 10m, offence 1, enforced; it goes on sending [p.yaml:7]\n");
}

TEST(a_service)
{
	struct tg_decision made = decision(TG_DECISION_BAN, TG_CAUSE_OFFENCE);
	made.ban.source = (struct tg_prefix){.len = TG_TOTAL_LEN};
	made.ban.action = TG_ACTION_OBSERVE;
	made.ban.enforced = false;
	made.has_sample = true;
	made.sample = (struct tg_flow_key){.family = TG_IPV4,
					   .src = {198, 51, 100, 7},
					   .dst = {192, 0, 2, 1},
					   .sport = 50000,
					   .dport = 443};
	CHECK_STR(line(&made),
		  "tcpguardd: over its limit in all: web open: concurrent 101 > 100; crossed by "
		  "198.51.100.7 port 50000 to 192.0.2.1 port 443 [p.yaml:7]\n");
	CHECK_STR(report_event(&made), "over");
	made.cause = TG_CAUSE_EXTENDED;
	CHECK_STR(report_event(&made), "extend");
	made.type = TG_DECISION_LIFT;
	made.cause = TG_CAUSE_RELOAD;
	CHECK_STR(report_event(&made), "lift");
	made.cause = TG_CAUSE_EXPIRED;
	CHECK_STR(report_event(&made), "ok");
	made.type = TG_DECISION_EXPIRE;
	made.cause = TG_CAUSE_NONE;
	CHECK_STR(report_event(&made), "ok");
	CHECK_STR(line(&made), "tcpguardd: no longer over its limit in all: web open: concurrent "
			       "101 > 100\n");
}

TEST(events)
{
	struct tg_decision made = decision(TG_DECISION_BAN, TG_CAUSE_OFFENCE);
	CHECK_STR(report_event(&made), "ban");
	made.cause = TG_CAUSE_INSISTS;
	CHECK_STR(report_event(&made), "extend");
	made.cause = TG_CAUSE_AGAIN;
	CHECK(report_event(&made) == NULL);
	made.type = TG_DECISION_EXPIRE;
	made.cause = TG_CAUSE_NONE;
	CHECK_STR(report_event(&made), "expire");
	made.type = TG_DECISION_REFUSE;
	made.cause = TG_CAUSE_NOT_FOUND;
	CHECK(report_event(&made) == NULL);
	made.cause = TG_CAUSE_TABLE_FULL;
	CHECK_STR(report_event(&made), "refuse");
	made.type = TG_DECISION_WITNESS;
	CHECK(report_event(&made) == NULL);
}

TEST(by_hand)
{
	struct tg_decision made = decision(TG_DECISION_BAN, TG_CAUSE_OPERATOR);
	made.ban.origin = TG_ORIGIN_OPERATOR;
	made.ban.policy = made.ban.limit = TG_NO_INDEX;
	made.ban.scope = TG_SCOPE_EVERYTHING;
	(void)snprintf(made.ban.reason, sizeof(made.ban.reason), "a\nb");
	CHECK_STR(line(&made), "tcpguardd: ban 198.51.100.7/32: by hand (a\\x0ab); drop (scope "
			       "everything) for 10m, enforced\n");
	made.type = TG_DECISION_LIFT;
	made.cause = TG_CAUSE_UNBAN;
	CHECK_STR(line(&made), "tcpguardd: lift 198.51.100.7/32: unban; it was: by hand (a\\x0ab), "
			       "drop (scope everything)\n");
}

TEST(a_limit_that_is_gone)
{
	struct tg_decision made = decision(TG_DECISION_LIFT, TG_CAUSE_RELOAD);
	made.ban.policy = made.ban.limit = TG_NO_INDEX;
	CHECK_STR(line(&made),
		  "tcpguardd: lift 198.51.100.7/32: reload; it was: 101 > 100 of a limit "
		  "that is no longer in the policy, drop (scope ports)\n");
}

TEST(refusals)
{
	struct tg_decision made = decision(TG_DECISION_REFUSE, TG_CAUSE_PROTECTED);
	CHECK(tg_prefix_parse("198.51.100.0/24", &made.covers) == NULL);
	made.covers_kind = TG_PROTECT_GATEWAY;
	CHECK_STR(line(&made),
		  "tcpguardd: no ban: 198.51.100.7/32 lies in 198.51.100.0/24, a gateway "
		  "of this host, which is never banned; web open: concurrent 101 > 100 "
		  "[p.yaml:7]\n");
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	made.cause = TG_CAUSE_NOT_FOUND;
	report_refusal(&text, &made);
	CHECK_STR(text.text, "nothing is banned there; 'tcpguard list' shows what is");
	tg_strbuf_clear(&text);
	made.cause = TG_CAUSE_PROTECTED;
	made.covers = made.ban.source;
	made.covers_kind = TG_PROTECT_OWN;
	report_refusal(&text, &made);
	CHECK_STR(text.text, "198.51.100.7/32 is an address of this host, which is never banned");
	tg_strbuf_clear(&text);
	made.covers_kind = TG_PROTECT_ADMIN;
	report_refusal(&text, &made);
	CHECK_STR(text.text, "198.51.100.7/32 is in a live session of an admin, which is not "
			     "banned unless by hand with --force");
	tg_strbuf_finish(&text);
}

int main(void)
{
	RUN(offence);
	RUN(a_drop_without_its_witness);
	RUN(a_service);
	RUN(events);
	RUN(by_hand);
	RUN(a_limit_that_is_gone);
	RUN(refusals);
	return DONE();
}
