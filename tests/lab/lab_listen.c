/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-listen: who only listens. Subscribes to every conntrack event, reads them as fast as it can
 * and looks at none, until it is told to stop.
 */
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "host/nl_reader.h"
#include "host/nlsock.h"

#define BUFFER_BYTES (32u << 20)
#define BATCH 256
#define MESSAGE_BYTES 4096

int main(void)
{
	static const unsigned groups[] = {NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_UPDATE,
					  NFNLGRP_CONNTRACK_DESTROY};
	struct nl_reader reader = {0};
	struct nlsock sock = NLSOCK_CLOSED;
	uint32_t granted;
	int err = nl_reader_init(&reader, BATCH, MESSAGE_BYTES);
	if (!err)
		err = nlsock_open(NETLINK_NETFILTER, &sock);
	if (!err)
		err = nlsock_set_receive_buffer(&sock, BUFFER_BYTES, &granted);
	if (!err)
		err = nlsock_set_no_enobufs(&sock);
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]) && !err; i++)
		err = nlsock_join(&sock, groups[i]);
	if (!err) {
		puts("READY");
		fflush(stdout);
	}
	while (!err) {
		struct pollfd pfd = {.fd = sock.fd, .events = POLLIN};
		(void)poll(&pfd, 1, -1); /* a signal ends the program */
		int got = nl_reader_fill(&reader, sock.fd, BATCH);
		err = got < 0 ? got : 0;
	}
	fprintf(stderr, "lab-listen: %s\n", strerror(-err));
	nlsock_close(&sock);
	nl_reader_finish(&reader);
	return 1;
}
