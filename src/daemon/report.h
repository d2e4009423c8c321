/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

struct log;
struct tg_config;
struct tg_decision;
struct tg_ban;
struct tg_strbuf;

/* One line for a decision: who, why, what, for how long, and where the limit stands. */
void report_decision(struct log *log, const struct tg_config *config,
		     const struct tg_decision *decision);
/* As `tcpguard events` names it; NULL: nothing that people want to know of. */
const char *report_event(const struct tg_decision *decision);
/* Why a request or an offence got no ban, as a sentence for the operator. */
void report_refusal(struct tg_strbuf *out, const struct tg_decision *decision);

#endif
