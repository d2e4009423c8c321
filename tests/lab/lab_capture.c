/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lab-capture: what passes an interface, as a pcap file. */
#include "lab_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX ((size_t)256 * 1024)
#define ROOM (64 * 1024 * 1024) /* for what comes while we are not scheduled */

static const char usage_text[] = "usage: lab-capture DEV FILE\n"
				 "Writes every frame that passes DEV into FILE. Prints READY when\n"
				 "it listens, and 'frames=N lost=N' at SIGTERM.\n";

static int open_device(const char *device)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)if_nametoindex(device)};
	const int one = 1, room = ROOM;
	/* Bound to a protocol only once it is bound to the device. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (address.sll_ifindex > 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) == 0 &&
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void write_header(FILE *file)
{
	const uint32_t header[] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, FRAME_MAX, 1};
	(void)fwrite(header, sizeof(header), 1, file); /* checked at the end */
}

/* False when nothing waits. */
static bool take_frame(int fd, FILE *file, uint8_t *frame)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
		struct cmsghdr aligned;
	} control;
	struct iovec iov = {frame, FRAME_MAX};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct timespec at = {0};
	ssize_t len = recvmsg(fd, &message, 0);
	if (len < 0)
		return false;
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPNS)
		memcpy(&at, CMSG_DATA(cmsg), sizeof(at));
	const uint32_t record[] = {(uint32_t)at.tv_sec, (uint32_t)at.tv_nsec, (uint32_t)len,
				   (uint32_t)len};
	(void)fwrite(record, sizeof(record), 1, file); /* as above */
	(void)fwrite(frame, (size_t)len, 1, file);     /* as above */
	return true;
}

int main(int argc, char **argv)
{
	struct tpacket_stats stats = {0};
	socklen_t size = sizeof(stats);
	uint64_t frames = 0;
	if (argc != 3) {
		fputs(usage_text, stderr);
		return 2;
	}
	int signals = lab_signals(), fd = open_device(argv[1]);
	FILE *file = fopen(argv[2], "we");
	uint8_t *frame = malloc(FRAME_MAX);
	if (signals < 0 || fd < 0 || !file || !frame) {
		fprintf(stderr, "lab-capture: cannot begin: %s\n", strerror(errno));
		return 2;
	}
	write_header(file);
	printf("READY\n");
	fflush(stdout);
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	do {
		while (take_frame(fd, file, frame))
			frames++;
	} while (poll(fds, 2, -1) < 0 || !fds[1].revents);
	while (take_frame(fd, file, frame))
		frames++;
	(void)getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
	const bool failed = ferror(file) != 0 || fclose(file) != 0;
	free(frame);
	printf("frames=%lu lost=%u\n", (unsigned long)frames, stats.tp_drops);
	return failed;
}
