/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_SYNPROXY_H
#define DAEMON_SYNPROXY_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct daemon_policy;

/*
 * Before a policy is installed: reads what SYNPROXY answers with, and takes it back to observing
 * when the host cannot have it: then it would break the clients that it is to keep. 0 or -ENOMEM.
 */
int synproxy_prepare(struct daemon_policy *policy);
/* After it was installed: the kernel may not have SYNPROXY. Before the engine is told of the
 * policy. */
void synproxy_installed(const struct daemon *daemon, struct daemon_policy *policy);
/* Now and then: the host's listeners and sysctls change while the policy stays. */
void synproxy_follow(struct daemon *daemon);
/* Handshakes that it has seen through on this host; wraps. */
uint32_t synproxy_finished(void);

#endif
