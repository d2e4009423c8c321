/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SipHash with one round for a block and three to finish, from the paper by Aumasson and Bernstein
 * (2012). */
#include "siphash.h"

uint64_t tg_siphash13(const uint8_t key[16], const void *bytes, size_t len)
{
	return siphash13_inline(key, bytes, len);
}
