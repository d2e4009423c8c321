/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the guess what this host's listeners answer a SYN with, which errs on the small side. */
#include "host/syn_options.h"

#include <netinet/tcp.h>
#include <string.h>

#include "base/util.h"
#include "host/links.h"
#include "host/sockets.h"
#include "host/sysctl.h"

/* Ethernet's, where no interface is known. */
#define MTU_DEFAULT 1500
#define HEADERS_IPV4 40
#define HEADERS_IPV6 60
/* tcp_rmem's third number as it has long been, and with it the scale. */
#define RECEIVE_MOST_DEFAULT (6u << 20)

/*
 * How much of a buffer is window, in 256ths: TCP_DEFAULT_SCALING_RATIO since Linux 6.5; before, it
 * was half of it.
 */
#define WINDOW_SHARE 65

uint8_t syn_options_window_scale(uint32_t buffer, uint64_t most)
{
	uint64_t space = most;
	uint8_t scale = 0;
	if (buffer > 0)
		space = MIN(space, (uint64_t)buffer * WINDOW_SHARE / 256);
	for (; space > UINT16_MAX && scale < TG_WINDOW_SCALE_MAX; space >>= 1)
		scale++;
	return scale;
}

struct reading {
	const struct tg_config *config;
	struct tg_syn_options *options;
	uint64_t receive_most;
	uint32_t receive_default; /* a listener that has another was given it, for good */
};

static bool is_any(const struct tg_addr *addr)
{
	static const uint8_t zero[16];
	return memcmp(addr->bytes, zero, tg_family_bits(addr->family) / 8u) == 0;
}

/* Does the listener take connections that the policy is about? */
static bool serves(const struct sock_diag_socket *listener, const struct tg_policy *policy)
{
	struct tg_policy any = *policy;
	if (is_any(&listener->local))
		any.address_count = 0;
	return tg_policy_holds(&any, &listener->local, listener->local_port);
}

static void found_listener(void *data, const struct sock_diag_socket *listener)
{
	const struct reading *reading = data;
	const uint32_t own =
		listener->receive_buffer == reading->receive_default ? 0 : listener->receive_buffer;
	const uint8_t scale = syn_options_window_scale(own, reading->receive_most);
	for (size_t i = 0; i < reading->config->policy_count; i++) {
		struct tg_syn_options *options = &reading->options[i];
		if (serves(listener, &reading->config->policies[i]))
			options->window_scale = MIN(options->window_scale, scale);
	}
}

static uint64_t last_number(enum sysctl_key key, unsigned index, uint64_t otherwise)
{
	const struct sysctl_value value = sysctl_read_one(key);
	return value.status == SYSCTL_KNOWN && value.count > index && value.numbers[index] > 0
		       ? (uint64_t)value.numbers[index]
		       : otherwise;
}

int syn_options_read(const struct tg_config *config, struct tg_syn_options *options)
{
	struct reading reading = {.config = config, .options = options};
	uint32_t mtu = 0;
	int err = links_least_mtu(&mtu);
	if (err)
		return err;
	mtu = mtu ? MIN(mtu, (uint32_t)UINT16_MAX) : MTU_DEFAULT;
	mtu = MAX(mtu, (uint32_t)(TG_MSS_MIN + HEADERS_IPV6));
	reading.receive_most = MAX(last_number(SYSCTL_TCP_RMEM, 2, RECEIVE_MOST_DEFAULT),
				   last_number(SYSCTL_RMEM_MAX, 0, 0));
	reading.receive_default = (uint32_t)last_number(SYSCTL_TCP_RMEM, 1, 0);
	for (size_t i = 0; i < config->policy_count; i++)
		options[i] = (struct tg_syn_options){
			.mss = {[TG_IPV4] = (uint16_t)(mtu - HEADERS_IPV4),
				[TG_IPV6] = (uint16_t)(mtu - HEADERS_IPV6)},
			.window_scale = TG_WINDOW_SCALE_MAX + 1,
			.timestamps = last_number(SYSCTL_TIMESTAMPS, 0, 0) > 0,
			.sack = last_number(SYSCTL_TCP_SACK, 0, 0) > 0,
		};
	const struct sockets_query query = {.states = SOCK_STATE(TCP_LISTEN), .memory = true};
	err = sockets_walk(&query, found_listener, &reading);
	for (size_t i = 0; i < config->policy_count; i++)
		if (options[i].window_scale > TG_WINDOW_SCALE_MAX)
			options[i].window_scale = syn_options_window_scale(0, RECEIVE_MOST_DEFAULT);
	return err;
}
