/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket over real unix sockets, with a table of verbs of its own: who
 * gets in, how much is read, and that no client holds up another.
 */
#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"

#define LINES 20000 /* of `many`: far over what buffers hold */

static struct world {
	struct loop *loop;
	struct control *control;
	char dir[64], path[96];
	unsigned pieces, freed;
	uint32_t later;
	size_t largest;
} world;

static void begin_echo(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)data;
	tg_record_begin(control_out(client), "echo");
	tg_record_put(control_out(client), "text", tg_record_get(request, "text"));
	tg_record_end(control_out(client));
	control_done(client);
}

static bool many_more(void *data, void *state, struct tg_strbuf *out)
{
	unsigned *left = state;
	(void)data;
	world.pieces++;
	for (int i = 0; i < 100 && *left > 0; i++, --*left) {
		tg_record_begin(out, "line");
		tg_record_put_u64(out, "left", *left);
		tg_record_end(out);
	}
	if (out->len > world.largest)
		world.largest = out->len;
	return *left > 0;
}

static void free_many(void *state)
{
	world.freed++;
	free(state);
}

static void begin_many(void *data, struct control_client *client, const struct tg_record *request)
{
	unsigned *left = malloc(sizeof(*left));
	(void)data;
	(void)request;
	*left = LINES;
	control_stream(client, many_more, left, free_many);
}

static void begin_kept(void *data, struct control_client *client, const struct tg_record *request)
{
	begin_many(data, client, request);
	control_keep(client);
}

static void begin_later(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)data;
	(void)request;
	world.later = control_client_id(client);
}

/* A line, then nothing until somebody wakes it. */
static bool drip_more(void *data, void *state, struct tg_strbuf *out)
{
	(void)data;
	world.pieces++;
	tg_record_begin(out, "drop");
	tg_record_end(out);
	control_pause(state);
	return world.pieces < 3;
}

static void begin_drip(void *data, struct control_client *client, const struct tg_record *request)
{
	(void)data;
	(void)request;
	world.later = control_client_id(client);
	control_stream(client, drip_more, client, NULL);
}

static const struct control_verb verbs[] = {{"echo", begin_echo},
					    {"many", begin_many},
					    {"kept", begin_kept},
					    {"later", begin_later},
					    {"drip", begin_drip}};

static void setup(void)
{
	memset(&world, 0, sizeof(world));
	(void)snprintf(world.dir, sizeof(world.dir), "/tmp/test_control.XXXXXX");
	CHECK(mkdtemp(world.dir) != NULL);
	(void)snprintf(world.path, sizeof(world.path), "%s/run/control.sock", world.dir);
	struct control_params params = {
		.path = world.path, .verbs = verbs, .verb_count = 5, .data = &world};
	CHECK(loop_create(&world.loop) == 0);
	CHECK(control_create(world.loop, &params, &world.control) == 0);
}

static void teardown(void)
{
	char run[96];
	struct stat st;
	control_destroy(world.control);
	loop_destroy(world.loop);
	CHECK(lstat(world.path, &st) < 0 && errno == ENOENT);
	(void)snprintf(run, sizeof(run), "%s/run", world.dir);
	CHECK(rmdir(run) == 0 && rmdir(world.dir) == 0);
}

static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	memcpy(addr.sun_path, world.path, strlen(world.path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	return fd;
}

static void turns(int count)
{
	for (int i = 0; i < count; i++)
		CHECK(loop_turn(world.loop, loop_clock()) == 0);
}

/* Turns the loop until the peer has closed; returns what it said. */
static const char *hear(int fd)
{
	static char text[1 << 20];
	size_t len = 0;
	for (int i = 0; i < 100000; i++) {
		ssize_t got = read(fd, text + len, sizeof(text) - 1 - len);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		if (got > 0)
			len += (size_t)got;
		else
			turns(1);
	}
	text[len] = '\0';
	return text;
}

static const char *ask(const char *request)
{
	int fd = dial();
	CHECK(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
	const char *text = hear(fd);
	close(fd);
	return text;
}

TEST(request_and_answer)
{
	setup();
	CHECK_STR(ask("echo text=a%20b\n"), "echo text=a%20b\ndone\n");
	CHECK_STR(ask("nothing\n"), "error code=2 message=unknown%20request%20'nothing'\n");
	CHECK_STR(ask("Garbage\x01 \n"), "error code=2 message=malformed%20request\n");
	struct stat st;
	CHECK(stat(world.path, &st) == 0 && (st.st_mode & 0777) == 0600);
	teardown();
}

TEST(request_in_single_bytes)
{
	static const char request[] = "echo text=x\n";
	setup();
	int fd = dial();
	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		CHECK(write(fd, request + i, 1) == 1);
		turns(2);
	}
	CHECK_STR(hear(fd), "echo text=x\ndone\n");
	close(fd);
	teardown();
}

TEST(oversized_line)
{
	static char line[TG_PROTO_LINE_MAX * 2];
	setup();
	memset(line, 'a', sizeof(line));
	int fd = dial();
	CHECK(write(fd, line, sizeof(line)) > 0);
	CHECK_STR(hear(fd), "error code=2 message=request%20longer%20than%208192%20bytes\n");
	close(fd);
	teardown();
}

TEST(nul_in_line)
{
	setup();
	int fd = dial();
	CHECK(write(fd, "echo text=a\0b\n", 14) == 14);
	CHECK_STR(hear(fd), "error code=2 message=malformed%20request\n");
	close(fd);
	teardown();
}

TEST(half_close)
{
	setup();
	int fd = dial();
	CHECK(write(fd, "many\n", 5) == 5);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	const char *text = hear(fd);
	CHECK(strlen(text) > 6 && strcmp(text + strlen(text) - 5, "done\n") == 0);
	close(fd);
	/* And one that says nothing at all, or only half. */
	fd = dial();
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK_STR(hear(fd), "");
	close(fd);
	fd = dial();
	CHECK(write(fd, "ec", 2) == 2);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK_STR(hear(fd), "");
	close(fd);
	teardown();
}

TEST(stalled_reader_is_bounded_and_holds_up_nobody)
{
	setup();
	int stalled = dial();
	CHECK(write(stalled, "many\n", 5) == 5);
	turns(2000);
	unsigned pieces = world.pieces;
	turns(100);
	CHECK_U64(world.pieces, pieces); /* nothing is made for one who does not read */
	CHECK(world.largest <= CONTROL_OUT_LOW + 100 * 20);
	CHECK_STR(ask("echo text=still\n"), "echo text=still\ndone\n");
	/* Gone in the middle: the state is freed, no signal kills us. */
	close(stalled);
	turns(10);
	CHECK_U64(world.freed, 1);
	teardown();
}

TEST(long_answer_is_complete)
{
	setup();
	const char *text = ask("many\n");
	unsigned lines = 0;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	CHECK_U64(lines, LINES + 1);
	CHECK_U64(world.freed, 1);
	teardown();
}

TEST(a_hundred_clients)
{
	int fds[100];
	unsigned busy = 0, waiting = 0;
	struct control_stats stats;
	setup();
	for (int i = 0; i < 100; i++) {
		fds[i] = dial();
		turns(1);
	}
	turns(20);
	for (int i = 0; i < 100; i++) {
		char text[128];
		ssize_t got = read(fds[i], text, sizeof(text) - 1);
		if (got > 0) {
			text[got] = '\0';
			CHECK_STR(text, "error code=1 message=too%20many%20clients\n");
			busy++;
		} else {
			waiting++;
		}
	}
	control_stats(world.control, &stats);
	CHECK(waiting <= CONTROL_CLIENTS_MAX && waiting > 0);
	CHECK_U64(busy, 100 - waiting);
	CHECK_U64(stats.busy, busy);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	turns(20);
	CHECK_STR(ask("echo text=after\n"), "echo text=after\ndone\n");
	teardown();
}

static unsigned count_fds(void)
{
	unsigned count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

TEST(passed_descriptors_are_closed)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr header;
	} space = {0};
	char text[] = "echo text=fd\n";
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space.bytes,
			     .msg_controllen = sizeof(space.bytes)};
	int passed[4] = {0, 1, 2, 0};
	setup();
	unsigned before = count_fds();
	int fd = dial();
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(passed));
	memcpy(CMSG_DATA(header), passed, sizeof(passed));
	CHECK(sendmsg(fd, &msg, 0) == (ssize_t)sizeof(text) - 1);
	CHECK_STR(hear(fd), "echo text=fd\ndone\n");
	close(fd);
	CHECK_U64(count_fds(), before);
	teardown();
}

TEST(an_answer_may_come_later)
{
	setup();
	int fd = dial();
	CHECK(write(fd, "later\n", 6) == 6);
	while (world.later == 0)
		turns(1);
	CHECK(control_find(world.control, world.later) != NULL);
	control_done(control_find(world.control, world.later));
	CHECK_STR(hear(fd), "done\n");
	close(fd);
	CHECK(control_find(world.control, world.later) == NULL);
	/* One that goes away while it waits is forgotten. */
	world.later = 0;
	fd = dial();
	CHECK(write(fd, "later\n", 6) == 6);
	while (world.later == 0)
		turns(1);
	close(fd);
	turns(5);
	CHECK(control_find(world.control, world.later) == NULL);
	teardown();
}

/* A stream that has nothing to say costs no turns, and its client is not taken for a stalled one.
 */
TEST(a_stream_may_pause)
{
	setup();
	int fd = dial();
	CHECK(write(fd, "drip\n", 5) == 5);
	turns(20);
	CHECK_U64(world.pieces, 1);
	const tg_time end = loop_clock() + CONTROL_IDLE + 2 * TG_SEC;
	int woken = 0;
	while (loop_clock() < end) {
		CHECK(loop_turn(world.loop, end) == 0);
		woken++;
	}
	CHECK(woken < 20);
	CHECK_U64(world.pieces, 1);
	for (unsigned i = 2; i <= 3; i++) {
		struct control_client *client = control_find(world.control, world.later);
		CHECK(client != NULL);
		if (client)
			control_wake(client);
		turns(5);
		CHECK_U64(world.pieces, i);
	}
	CHECK_STR(hear(fd), "drop\ndrop\ndrop\ndone\n");
	close(fd);
	teardown();
}

/* Who stops reading is closed, unless it was promised a place. */
TEST(a_stalled_reader_is_closed_unless_it_is_kept)
{
	setup();
	int stalled = dial(), kept = dial();
	CHECK(write(stalled, "many\n", 5) == 5);
	CHECK(write(kept, "kept\n", 5) == 5);
	turns(2000);
	const tg_time end = loop_clock() + CONTROL_IDLE + 3 * TG_SEC;
	while (loop_clock() < end)
		CHECK(loop_turn(world.loop, end) == 0);
	CHECK_U64(world.freed, 1);
	const char *text = hear(kept);
	CHECK(strlen(text) > 5 && strcmp(text + strlen(text) - 5, "done\n") == 0);
	text = hear(stalled);
	CHECK(strstr(text, "done\n") == NULL);
	close(stalled);
	close(kept);
	teardown();
}

TEST(only_a_dead_socket_is_replaced)
{
	struct control *second = NULL;
	setup();
	struct control_params params = {
		.path = world.path, .verbs = verbs, .verb_count = 3, .data = &world};
	CHECK(control_is_answered(world.path));
	CHECK(control_create(world.loop, &params, &second) == -EADDRINUSE);
	/* As a killed daemon leaves it: bound, and nobody listens. */
	char dead[128], file[128];
	(void)snprintf(dead, sizeof(dead), "%s/dead", world.dir);
	(void)snprintf(file, sizeof(file), "%s/file", world.dir);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	memcpy(addr.sun_path, dead, strlen(dead) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	close(fd);
	CHECK(!control_is_answered(dead));
	params.path = dead;
	CHECK(control_create(world.loop, &params, &second) == 0);
	control_destroy(second);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	params.path = file;
	CHECK(control_create(world.loop, &params, &second) == -EEXIST);
	CHECK(unlink(file) == 0);
	char longer[300];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	params.path = longer;
	CHECK(control_create(world.loop, &params, &second) == -ENAMETOOLONG);
	teardown();
}

int main(void)
{
	RUN(request_and_answer);
	RUN(request_in_single_bytes);
	RUN(oversized_line);
	RUN(nul_in_line);
	RUN(half_close);
	RUN(stalled_reader_is_bounded_and_holds_up_nobody);
	RUN(long_answer_is_complete);
	RUN(a_hundred_clients);
	RUN(passed_descriptors_are_closed);
	RUN(an_answer_may_come_later);
	RUN(a_stream_may_pause);
	RUN(a_stalled_reader_is_closed_unless_it_is_kept);
	RUN(only_a_dead_socket_is_replaced);
	return DONE();
}
