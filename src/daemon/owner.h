/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_OWNER_H
#define DAEMON_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct log;
struct tg_config;
struct tg_decision;
struct tg_flow_key;
struct tg_strbuf;

#define OWNER_NAME_MAX 64

/* Whose a connection is that this host opens, as far as the kernel tells. */
struct owner {
	bool socket;               /* it was still there */
	uint32_t uid;              /* with socket */
	char user[OWNER_NAME_MAX]; /* of /etc/passwd; empty: nobody there has this uid */
	pid_t pid;                 /* 0: no process that we may look into has it open */
	char process[OWNER_NAME_MAX];
};

/* Looks at no more than some thousand descriptors: 20 ms at worst. */
void owner_find(const struct tg_flow_key *flow, struct owner *ret_owner);
void owner_describe(struct tg_strbuf *out, const struct owner *owner);

/* A line for the log when decision is the beginning of a fan-out. */
void owner_report(struct log *log, const struct tg_config *config,
		  const struct tg_decision *decision);

#endif
