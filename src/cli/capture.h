/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_CAPTURE_H
#define CLI_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* A capture file, frame by frame. Each function complains about what fails. */
struct capture;

struct capture_frame {
	enum packet_link link;
	const uint8_t *bytes; /* until the next frame */
	size_t len, wire_len;
	uint64_t ns; /* since the epoch; 0 for a time before it */
};

/* NULL also in a build without libpcap. */
struct capture *capture_open(const char *path);
void capture_close(struct capture *capture);
/* 1 with a frame, 0 at the end, -1 when the file is damaged or cut off. */
int capture_next(struct capture *capture, struct capture_frame *ret_frame);
/* How many bytes were read, and of how many; 0: not known, as of a pipe. */
uint64_t capture_position(const struct capture *capture, uint64_t *ret_size);

#endif
