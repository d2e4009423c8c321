/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * SipHash-1-3 with a 128-bit key, for tables whose keys an attacker chooses: without
 * the key nobody can make two of them meet.
 */
uint64_t tg_siphash13(const uint8_t key[16], const void *bytes, size_t len);

#endif
