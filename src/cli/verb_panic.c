/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcpguard panic: the way out that must work when nothing else does. With a daemon
 * that answers it is one request; a daemon that hangs, or that the kernel refuses, is killed, after
 * it was made sure that it is one; and without a daemon tcpguardd takes the table out itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli.h"
#include "client.h"
#include "listener.h"
#include "output.h"

extern char **environ;

/* A daemon that is well answers within milliseconds. */
#define ANSWER_MS 1000
#define DEATH_MS 2000

enum { PANIC_OFF, PANIC_STATE_DIR };

/* The pidfd is taken before the name is looked at: another process cannot slip in between. */
static bool kill_daemon(pid_t pid)
{
	if (pid <= 1) {
		cli_complain("the daemon does not answer, and its process cannot be found");
		return false;
	}
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH; /* dead already */
	if (!listener_is_daemon(pid)) {
		cli_complain("process %d listens on the socket and is no tcpguardd: left alone",
			     (int)pid);
		return false;
	}
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH) {
		cli_complain("cannot kill process %d: %s", (int)pid, strerror(errno));
		return false;
	}
	cli_complain("the daemon could not do it: killed process %d", (int)pid);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	(void)poll(&pfd, 1, DEATH_MS); /* if it stays, removing the table says so */
	return true;
}

static pid_t find_peer(int socket_fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ? 0 : peer.pid;
}

/* Beside this program first: both may be tried out of a build or an unpacked archive. */
static const char *find_daemon(char *path, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size - sizeof("tcpguardd"));
	if (len > 0) {
		path[len] = '\0';
		char *slash = strrchr(path, '/');
		if (slash) {
			memcpy(slash + 1, "tcpguardd", sizeof("tcpguardd"));
			if (access(path, X_OK) == 0)
				return path;
		}
	}
	return TCPGUARD_SBINDIR "/tcpguardd";
}

static int run_offline(const char *state_dir)
{
	char buf[4096], option[] = "--panic", dir_option[] = "--state-dir", name[] = "tcpguardd";
	const char *path = find_daemon(buf, sizeof(buf));
	_cleanup_free_ char *dir = strdup(state_dir);
	char *argv[] = {name, option, dir_option, dir, NULL};
	pid_t pid;
	int status = 0;
	int err = dir ? posix_spawn(&pid, path, NULL, NULL, argv, environ) : ENOMEM;
	if (err) {
		cli_complain("cannot start %s: %s", path, strerror(err));
		return CLI_NO;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return CLI_NO;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		cli_complain("%s --panic failed", path);
		return CLI_NO;
	}
	(void)puts("everything is lifted; no daemon runs, and one that starts only observes until "
		   "'tcpguard panic --off'");
	return CLI_OK;
}

static int off_offline(const char *state_dir)
{
	struct tg_strbuf path;
	tg_strbuf_init(&path);
	tg_strbuf_printf(&path, "%s/panic", state_dir);
	int status = CLI_OK;
	struct stat st;
	/* Looked for first: where nothing can be written, unlink fails for what is not there, too.
	 */
	bool gone = lstat(path.text, &st) < 0 ? errno == ENOENT || errno == ENOTDIR
					      : unlink(path.text) == 0;
	if (path.failed || !gone) {
		cli_complain("cannot remove %s: %s", path.text, strerror(errno));
		status = CLI_NO;
	} else {
		(void)puts("no daemon runs; one that starts does what the policy says");
	}
	tg_strbuf_finish(&path);
	return status;
}

/*
 * True when the daemon did it; then *ret_status is the verb's. False when it said nothing, or that
 * it does not: the kernel does not let it lift everything, or all its places are taken. Then it is
 * in the way. Not so for `off`, which can wait: a refusal is an answer.
 */
static bool ask(struct client *client, bool off, int *ret_status)
{
	struct tg_strbuf request;
	struct tg_record record;
	tg_strbuf_init(&request);
	tg_record_begin(&request, "panic");
	if (off)
		tg_record_put(&request, "off", "true");
	tg_record_end(&request);
	bool sent = client_send(client, &request);
	tg_strbuf_finish(&request);
	enum client_result result = sent ? client_next(client, ANSWER_MS, &record) : CLIENT_BROKEN;
	if (result == CLIENT_TIMEOUT || result == CLIENT_BROKEN)
		return false;
	while (result == CLIENT_RECORD) {
		const char *text = tg_record_get(&record, "text");
		if (text)
			cli_complain("%s", text);
		result = client_next(client, CLIENT_TIMEOUT_MS, &record);
	}
	*ret_status = client_explain(result, &record);
	if (*ret_status != CLI_OK)
		return off;
	(void)puts(off ? "the policy is in force again"
		       : "everything is lifted; the daemon only observes until 'tcpguard "
			 "panic --off'");
	return true;
}

static int run_panic(const struct cli *cli, const struct cli_args *args)
{
	bool off = args->values[PANIC_OFF] != NULL;
	const char *state_dir =
		args->values[PANIC_STATE_DIR] ? args->values[PANIC_STATE_DIR] : TCPGUARD_STATE_DIR;
	struct client client;
	int status = CLI_NO;
	int err = client_open(&client, cli->socket);
	if (err == -EACCES || err == -EPERM || err == -ENAMETOOLONG)
		return client_explain_open(cli->socket, err);
	/* No connection is no proof that there is no daemon: it may hang with its backlog full. */
	pid_t pid = err ? listener_find(cli->socket) : find_peer(client.fd);
	bool runs = !err || err == -EAGAIN || pid > 0;
	bool answered = !err && ask(&client, off, &status);
	if (!answered && off && runs) {
		cli_complain("the daemon does not answer");
		status = CLI_NO_DAEMON;
	} else if (!answered && off) {
		status = off_offline(state_dir);
	} else if (!answered) {
		status = !runs || kill_daemon(pid) ? run_offline(state_dir) : CLI_NO;
	}
	if (!err)
		client_close(&client);
	return status;
}

const struct cli_verb verb_panic = {
	.name = "panic",
	.operands = "",
	.summary = "Lift everything and stop enforcing, whether the daemon is well or not",
	.options = {[PANIC_OFF] = {"off", NULL, "enforce again as the policy says"},
		    [PANIC_STATE_DIR] = {"state-dir", "DIR",
					 "of the daemon (" TCPGUARD_STATE_DIR ")"}},
	.run = run_panic,
};
