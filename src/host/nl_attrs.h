/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_NL_ATTRS_H
#define HOST_NL_ATTRS_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"

/* An attribute of a message; its value is not aligned. */
struct nl_attr {
	uint16_t type;
	const uint8_t *value;
	size_t size;
};

/*
 * The next of *left bytes of attributes, which *at and *left move behind. False: that was the last,
 * or, with *left not 0, what is left is not a whole one.
 */
static inline bool nl_attr_next(const uint8_t **at, size_t *left, struct nl_attr *ret_attr)
{
	struct nlattr head;
	if (*left < sizeof(head))
		return false;
	memcpy(&head, *at, sizeof(head));
	if (head.nla_len < sizeof(head) || head.nla_len > *left)
		return false;
	*ret_attr = (struct nl_attr){.type = head.nla_type & NLA_TYPE_MASK,
				     .value = *at + NLA_HDRLEN,
				     .size = head.nla_len - NLA_HDRLEN};
	const size_t step = MIN((size_t)NLA_ALIGN(head.nla_len), *left);
	*at += step;
	*left -= step;
	return true;
}

#endif
