/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the capture that the decoder's tests read: runs a command and writes every
 * conntrack event it causes, then a dump of what is left, to a file, as they come from
 * the kernel and one after the other. Run by hand, in a network namespace:
 * unshare -n ct_capture FILE sh ct_capture.sh
 */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/nl_reader.h"
#include "host/nlsock.h"

static const unsigned groups[] = {NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_UPDATE,
				  NFNLGRP_CONNTRACK_DESTROY};

/* Writes what waits, until nothing has come for wait_ms. The number of messages, or -errno. */
static int save(const struct nlsock *sock, struct nl_reader *reader, FILE *out, int wait_ms)
{
	struct pollfd wait = {.fd = sock->fd, .events = POLLIN};
	const struct nlmsghdr *message;
	int count = 0;
	while (poll(&wait, 1, wait_ms) > 0) {
		int got = nl_reader_fill(reader, sock->fd, reader->slots);
		if (got < 0)
			return got;
		while ((message = nl_reader_next(reader))) {
			if (message->nlmsg_type < NLMSG_MIN_TYPE)
				continue;
			count++;
			/* A short write shows when the file is closed and read back. */
			(void)fwrite(message, 1, NLMSG_ALIGN(message->nlmsg_len), out);
		}
	}
	return count;
}

static int ask_for_dump(const struct nlsock *sock)
{
	char buf[64];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
	header->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	*generic = (struct nfgenmsg){.nfgen_family = AF_UNSPEC};
	return nlsock_send(sock, buf, header->nlmsg_len);
}

static int capture(FILE *out, char **command)
{
	struct nl_reader reader;
	struct nlsock sock, query;
	uint32_t granted;
	int status;
	if (nl_reader_init(&reader, 8, 32768) < 0 || nlsock_open(NETLINK_NETFILTER, &sock) < 0 ||
	    nlsock_open(NETLINK_NETFILTER, &query) < 0 ||
	    nlsock_set_receive_buffer(&sock, 4 << 20, &granted) < 0)
		return -EIO;
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (nlsock_join(&sock, groups[i]) < 0)
			return -EPERM;
	pid_t child = fork();
	if (child == 0) {
		(void)execvp(command[0], command);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		return -ECHILD;
	int events = save(&sock, &reader, out, 200);
	int error = ask_for_dump(&query);
	int entries = error < 0 ? error : save(&query, &reader, out, 200);
	nlsock_close(&sock);
	nlsock_close(&query);
	nl_reader_finish(&reader);
	fprintf(stderr, "%d events, %d entries\n", events, entries);
	return events < 0 ? events : entries;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: ct_capture FILE COMMAND [ARGUMENT...]\n");
		return 2;
	}
	_cleanup_fclose_ FILE *out = fopen(argv[1], "we");
	if (!out) {
		perror(argv[1]);
		return 2;
	}
	int error = capture(out, argv + 2);
	if (error < 0)
		fprintf(stderr, "ct_capture: %s\n", strerror(-error));
	return error < 0;
}
