/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_SYN_OPTIONS_H
#define HOST_SYN_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/config.h>

/*
 * What the sockets that listen on this host offer who connects to a policy's ports: the least that
 * any of them does, because a client that is promised a larger window scale or segment than the
 * service has would overrun it. options: one for each policy. Of a policy that nobody listens for,
 * what Linux offers by default: the service is behind this host, or not there yet. 0 or -errno.
 */
int syn_options_read(const struct tg_config *config, struct tg_syn_options *options);

/*
 * What the kernel makes of a listener's receive buffer (tcp_select_initial_window()): buffer 0 is
 * one that it sizes by itself, up to most.
 */
uint8_t syn_options_window_scale(uint32_t buffer, uint64_t most);

#endif
