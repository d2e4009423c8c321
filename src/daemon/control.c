/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients of the control socket. One request for each connection; a client reads its
 * answer at its own speed, or is closed when it makes no progress, unless it is to be kept.
 * Descriptors that a peer passes are closed by the kernel, because no call here has room for them.
 */
#include "control.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_listen.h"

#define ACCEPTS_PER_TURN 16

struct control_client {
	struct control *control;
	struct control_client *next; /* control.clients */
	struct loop_fd *source;
	int fd;
	uid_t uid;
	uint32_t id;
	tg_time progress; /* when bytes last moved */
	bool asked;       /* the request line is complete */
	bool finished;    /* the whole answer is in out */
	bool paused;      /* the next piece of a stream is not there yet */
	bool kept;        /* not closed for making no progress */
	control_more_fn *more;
	void *state;
	void (*free_state)(void *state);
	struct tg_strbuf out;
	size_t in_len;
	char in[TG_PROTO_LINE_MAX];
};

struct control {
	struct loop *loop;
	struct control_params params;
	struct loop_fd *listener;
	struct loop_timer *sweep;
	int fd;
	gid_t gid;
	dev_t device; /* of the socket we made: another one at the path is not ours to remove */
	ino_t inode;
	bool paused; /* out of descriptors; the sweep listens again */
	struct control_client *clients;
	unsigned client_count;
	uint32_t last_id;
	struct control_stats stats;
};

uint32_t control_client_id(const struct control_client *client)
{
	return client->id;
}

struct control_client *control_find(const struct control *control, uint32_t id)
{
	struct control_client *client = control->clients;
	while (client && client->id != id)
		client = client->next;
	return client;
}

struct tg_strbuf *control_out(struct control_client *client)
{
	return &client->out;
}

static void client_close(struct control_client *client)
{
	struct control *control = client->control;
	struct control_client **link = &control->clients;
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	control->client_count--;
	loop_remove_fd(client->source);
	(void)close(client->fd); /* what was not sent is lost with its reader */
	if (client->free_state)
		client->free_state(client->state);
	tg_strbuf_finish(&client->out);
	free(client);
}

/* Sending itself waits for the loop, so that an answer never frees its client under the caller. */
static void want_write(struct control_client *client)
{
	/* Cannot fail for a registered descriptor; if it did, the sweep would close the client. */
	(void)loop_fd_set_events(client->source, EPOLLOUT);
}

void control_done(struct control_client *client)
{
	tg_record_begin(&client->out, "done");
	tg_record_end(&client->out);
	client->finished = true;
	want_write(client);
}

void control_error(struct control_client *client, int code, const char *format, ...)
{
	struct tg_strbuf message;
	tg_strbuf_init(&message);
	va_list args;
	va_start(args, format);
	tg_strbuf_vprintf(&message, format, args);
	va_end(args);
	tg_record_begin(&client->out, "error");
	tg_record_put_u64(&client->out, "code", (uint64_t)code);
	tg_record_put(&client->out, "message", message.text);
	tg_record_end(&client->out);
	tg_strbuf_finish(&message);
	client->finished = true;
	want_write(client);
}

void control_stream(struct control_client *client, control_more_fn *more, void *state,
		    void (*free_state)(void *state))
{
	client->more = more;
	client->state = state;
	client->free_state = free_state;
	want_write(client);
}

void control_pause(struct control_client *client)
{
	client->paused = true;
}

void control_keep(struct control_client *client)
{
	client->kept = true;
}

void control_wake(struct control_client *client)
{
	if (!client->paused)
		return;
	client->paused = false;
	client->progress = loop_now(client->control->loop);
	want_write(client);
}

/* One piece for each turn: a long list shares the loop with everything else. */
static void client_writable(struct control_client *client)
{
	if (client->more && !client->paused && client->out.len < CONTROL_OUT_LOW &&
	    !client->more(client->control->params.data, client->state, &client->out)) {
		client->more = NULL;
		control_done(client);
	}
	if (client->out.failed) {
		client_close(client);
		return;
	}
	ssize_t sent = send(client->fd, client->out.text, client->out.len, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		client_close(client);
		return;
	}
	if (sent > 0) {
		tg_strbuf_consume(&client->out, (size_t)sent);
		client->progress = loop_now(client->control->loop);
	}
	if (client->out.len == 0 && client->finished)
		client_close(client);
	else if (client->out.len == 0 && client->paused)
		(void)loop_fd_set_events(client->source, 0); /* as in want_write */
}

static void client_dispatch(struct control_client *client)
{
	struct control *control = client->control;
	struct tg_record request;
	client->asked = true;
	/* Until there is an answer, only the end of the connection is of interest. */
	(void)loop_fd_set_events(client->source, 0); /* as in want_write */
	if (!tg_record_parse(client->in, &request)) {
		control->stats.malformed++;
		control_error(client, 2, "malformed request");
		return;
	}
	for (size_t i = 0; i < control->params.verb_count; i++) {
		const struct control_verb *verb = &control->params.verbs[i];
		if (strcmp(verb->name, request.name) == 0) {
			verb->begin(control->params.data, client, &request);
			return;
		}
	}
	control->stats.malformed++;
	control_error(client, 2, "unknown request '%s'", request.name);
}

static void client_readable(struct control_client *client)
{
	ssize_t got = recv(client->fd, client->in + client->in_len,
			   sizeof(client->in) - client->in_len, 0);
	if (got <= 0) {
		if (got == 0 || (errno != EAGAIN && errno != EINTR))
			client_close(client);
		return;
	}
	char *newline = memchr(client->in + client->in_len, '\n', (size_t)got);
	client->in_len += (size_t)got;
	client->progress = loop_now(client->control->loop);
	if (newline) {
		*newline = '\0';
		/* A NUL would hide the rest of the line from the parser. */
		if (memchr(client->in, '\0', (size_t)(newline - client->in)))
			client->in[0] = '\0';
		client_dispatch(client);
	} else if (client->in_len == sizeof(client->in)) {
		client->asked = true;
		client->control->stats.malformed++;
		control_error(client, 2, "request longer than %d bytes", TG_PROTO_LINE_MAX);
	}
}

static void client_event(void *data, uint32_t events)
{
	struct control_client *client = data;
	if (!client->asked && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		client_readable(client);
	else if (events & (EPOLLHUP | EPOLLERR))
		client_close(client); /* both directions are closed: nobody will read */
	else if (events & EPOLLOUT)
		client_writable(client);
}

static bool is_busy(const struct control *control, uid_t uid)
{
	if (uid == 0)
		return control->client_count >= CONTROL_CLIENTS_MAX;
	unsigned same = 0;
	for (const struct control_client *client = control->clients; client; client = client->next)
		same += client->uid == uid;
	return same >= CONTROL_UID_QUOTA ||
	       control->client_count >= CONTROL_CLIENTS_MAX - CONTROL_ROOT_SLOTS;
}

static void refuse(int fd, const char *line)
{
	(void)send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT); /* a courtesy */
	(void)close(fd);
}

static void control_admit(struct control *control, int fd)
{
	uid_t uid = (uid_t)-1;
	if (!control_peer_allowed(fd, control->gid, &uid)) {
		control->stats.denied++;
		refuse(fd, "error code=1 message=permission%20denied\n");
		return;
	}
	struct control_client *client = is_busy(control, uid) ? NULL : malloc(sizeof(*client));
	if (!client) {
		control->stats.busy++;
		refuse(fd, "error code=1 message=too%20many%20clients\n");
		return;
	}
	memset(client, 0, offsetof(struct control_client, in));
	client->control = control;
	client->fd = fd;
	client->uid = uid;
	client->progress = loop_now(control->loop);
	tg_strbuf_init(&client->out);
	if (loop_add_fd(control->loop, fd, EPOLLIN, client_event, client, &client->source) < 0) {
		control->stats.busy++;
		free(client);
		refuse(fd, "error code=1 message=out%20of%20memory\n");
		return;
	}
	do
		client->id = ++control->last_id;
	while (client->id == 0 || control_find(control, client->id));
	client->next = control->clients;
	control->clients = client;
	control->client_count++;
	control->stats.accepted++;
	if (loop_timer_at(control->sweep) == TG_NEVER)
		loop_timer_set(control->sweep, loop_now(control->loop) + TG_SEC);
}

static void listener_readable(void *data, uint32_t events)
{
	struct control *control = data;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			control_admit(control, fd);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			/* Out of descriptors or memory: still readable, so asking on would spin. */
			control->paused = true;
			(void)loop_fd_set_events(control->listener, 0); /* as in want_write */
			loop_timer_set(control->sweep, loop_now(control->loop) + TG_SEC);
		}
		return;
	}
}

static void sweep_clients(void *data)
{
	struct control *control = data;
	tg_time now = loop_now(control->loop);
	for (struct control_client *client = control->clients, *next; client; client = next) {
		next = client->next;
		if (client->kept || (client->paused && client->out.len == 0))
			continue;
		if (now - client->progress < CONTROL_IDLE)
			continue;
		control->stats.timed_out++;
		if (client->asked && !client->finished && !client->more) {
			client->progress = now;
			control_error(client, 1, "no answer from the kernel within %d seconds",
				      (int)(CONTROL_IDLE / TG_SEC));
		} else {
			client_close(client);
		}
	}
	if (control->paused) {
		control->paused = false;
		(void)loop_fd_set_events(control->listener, EPOLLIN); /* as in want_write */
	}
	if (control->clients)
		loop_timer_set(control->sweep, now + TG_SEC);
}

int control_create(struct loop *loop, const struct control_params *params,
		   struct control **ret_control)
{
	struct control *control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	const struct group *group = params->group ? getgrnam(params->group) : NULL;
	*control = (struct control){
		.loop = loop, .params = *params, .gid = group ? group->gr_gid : (gid_t)-1};
	struct stat st;
	int err = control->fd = control_listen(params->path, control->gid);
	if (err < 0)
		goto err_control;
	if (stat(params->path, &st) == 0) {
		control->device = st.st_dev;
		control->inode = st.st_ino;
	}
	control->sweep = loop_add_timer(loop, sweep_clients, control);
	err = control->sweep ? loop_add_fd(loop, control->fd, EPOLLIN, listener_readable, control,
					   &control->listener)
			     : -ENOMEM;
	if (err)
		goto err_control;
	*ret_control = control;
	return 0;
err_control:
	control_destroy(control);
	return err;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	while (control->clients)
		client_close(control->clients);
	loop_remove_fd(control->listener);
	loop_remove_timer(control->sweep);
	struct stat st;
	if (control->fd >= 0) {
		if (control->inode != 0 && lstat(control->params.path, &st) == 0 &&
		    st.st_dev == control->device && st.st_ino == control->inode)
			(void)unlink(control->params.path); /* the next start replaces it, too */
		(void)close(control->fd);                   /* a listening socket holds nothing */
	}
	free(control);
}

void control_stats(const struct control *control, struct control_stats *ret_stats)
{
	*ret_stats = control->stats;
}
