/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads single numbers of /proc/sys. */
#include "sysctl.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

bool sysctl_read(const char *path, uint64_t *ret_value)
{
	char text[32];
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return tg_text_u64(text, ret_value);
}
