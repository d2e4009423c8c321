/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the kernel's settings, of this network namespace where they are of one. */
#include "sysctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

bool sysctl_read(const char *name, uint64_t *ret_value)
{
	char path[128], text[32];
	(void)snprintf(path, sizeof(path), "/proc/sys/%s", name);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return tg_text_u64(text, ret_value);
}
