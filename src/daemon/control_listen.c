/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the path of the control socket and the check of peers; holds no state. */
#include "control_listen.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control.h"

static int make_addr(const char *path, struct sockaddr_un *ret_addr)
{
	size_t len = strlen(path);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (len == 0 || len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, len);
	*ret_addr = addr;
	return 0;
}

/* 0 when somebody answers, or -errno of connect. */
static int try_connect(const struct sockaddr_un *addr)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its backlog is full, so that there is one who listens. */
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

bool control_is_answered(const char *path)
{
	struct sockaddr_un addr;
	return make_addr(path, &addr) == 0 && try_connect(&addr) == 0;
}

/* The socket of a dead daemon goes; anything else stays and is an error. */
static int clear_path(const struct sockaddr_un *addr)
{
	struct stat st;
	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int err = try_connect(addr);
	if (err == 0)
		return -EADDRINUSE;
	if (err != -ECONNREFUSED)
		return err;
	return unlink(addr->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int make_directory(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	if (!dir)
		return -ENOMEM;
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	return mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int control_listen(const char *path, gid_t gid)
{
	struct sockaddr_un addr;
	int err = make_addr(path, &addr);
	if (!err)
		err = make_directory(path);
	if (!err)
		err = clear_path(&addr);
	if (err)
		return err;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Nobody may connect between bind and the change of group. */
	mode_t mask = umask(0177);
	int bound = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	err = -errno;
	umask(mask);
	if (bound < 0)
		goto err_socket;
	/* A daemon without CAP_CHOWN may still give it to a group of its own. */
	if (gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) == 0 && chmod(path, 0660) < 0) {
		err = -errno;
		goto err_path;
	}
	if (listen(fd, CONTROL_CLIENTS_MAX) < 0) {
		err = -errno;
		goto err_path;
	}
	return fd;
err_path:
	(void)unlink(path); /* we just made it; if it stays, the next start replaces it */
err_socket:
	close(fd);
	return err;
}

static bool has_group(int fd, gid_t gid)
{
	gid_t few[64];
	socklen_t len = sizeof(few);
	_cleanup_free_ gid_t *many = NULL;
	const gid_t *groups = few;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &len) < 0) {
		if (errno != ERANGE)
			return false;
		/* len now says what it takes: at most NGROUPS_MAX, 256 KiB. */
		many = malloc(len);
		if (!many || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &len) < 0)
			return false;
		groups = many;
	}
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

bool control_peer_allowed(int fd, gid_t gid, uid_t *ret_uid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	*ret_uid = peer.uid;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return gid != (gid_t)-1 && (peer.gid == gid || has_group(fd, gid));
}
