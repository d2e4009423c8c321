/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In the place of capture.c where libpcap was not there to build with: there is no capture file. */
#include "capture.h"

#include "cli.h"

struct capture *capture_open(const char *path)
{
	cli_complain("cannot read %s: this build has no libpcap", path);
	return NULL;
}

void capture_close(struct capture *capture)
{
	(void)capture; /* NULL, always */
}

int capture_next(struct capture *capture, struct capture_frame *ret_frame)
{
	(void)capture;
	(void)ret_frame;
	return 0;
}

uint64_t capture_position(const struct capture *capture, uint64_t *ret_size)
{
	(void)capture;
	*ret_size = 0;
	return 0;
}
