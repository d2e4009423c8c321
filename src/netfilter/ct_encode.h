/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NETFILTER_CT_ENCODE_H
#define NETFILTER_CT_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include <tcpguard/event.h>

/* Requests about single conntrack entries as bytes: 104 of them with IPv6 and a zone. */
#define CT_ENCODE_MAX 128u

/* Into buf, which is aligned for a netlink header. The length, aligned for the next one. */
size_t ct_encode_get(void *buf, uint32_t seq, const struct tg_flow_key *key);
size_t ct_encode_delete(void *buf, uint32_t seq, const struct tg_flow_key *key);

#endif
