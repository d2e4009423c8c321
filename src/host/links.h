/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOST_LINKS_H
#define HOST_LINKS_H

#include <stdint.h>

/* The smallest MTU of the interfaces of this network namespace that are up, loopback aside; 0:
   there is none. 0 or -errno. */
int links_least_mtu(uint32_t *ret_mtu);

#endif
