/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request socket against a kernel that is none: a child that answers as each case says. */
#include "netfilter/nft_socket.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "netfilter/nft_batch.h"
#include "test.h"

#define SEQ 100

struct reply {
	struct nlmsghdr header;
	struct nlmsgerr error;
};

/* What the child says to each request, in order; a length of 0 ends it. */
struct saying {
	size_t len;
	struct reply reply;
};

static struct nft_socket sock;
static pid_t child;
static unsigned told;

static struct saying say(uint16_t type, uint32_t seq, int error)
{
	struct saying saying = {.len = sizeof(struct reply)};
	saying.reply.header = (struct nlmsghdr){
		.nlmsg_len = sizeof(struct reply), .nlmsg_type = type, .nlmsg_seq = seq};
	saying.reply.error.error = error;
	return saying;
}

/* The answers are there when the request was sent, as with the real one: it is told so by a pipe.
 */
static void begin(const struct saying *sayings)
{
	int pair[2];
	/* Of a stream of packets it does not matter which address a request names. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		exit(1);
	sock = (struct nft_socket){.fd = pair[0], .seq = SEQ, .buffer = malloc(64 * 1024)};
	told = 0;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		char request[4096];
		close(pair[0]);
		while (recv(pair[1], request, sizeof(request), 0) > 0)
			for (const struct saying *s = sayings; s->len > 0; s++)
				(void)!send(pair[1], &s->reply, s->len, MSG_NOSIGNAL);
		_exit(0);
	}
	close(pair[1]);
}

static void finish(void)
{
	nft_socket_close(&sock);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static int transact(const struct saying *sayings)
{
	struct nft_batch batch;
	begin(sayings);
	nft_batch_init(&batch);
	nft_batch_begin(&batch, SEQ);
	nft_batch_close(&batch, nft_batch_open(&batch, 0, 0));
	nft_batch_end(&batch);
	int err = nft_socket_send(&sock, &batch);
	nft_batch_finish(&batch);
	finish();
	return err;
}

static void tell(void *data, const struct nlmsghdr *message)
{
	(void)data, (void)message;
	told++;
}

static int dump(const struct saying *sayings)
{
	char buffer[64] __attribute__((aligned(NLMSG_ALIGNTO))) = {0};
	struct nlmsghdr *request = (struct nlmsghdr *)(void *)buffer;
	request->nlmsg_len = sizeof(*request);
	begin(sayings);
	int err = nft_socket_dump(&sock, request, tell, NULL);
	finish();
	return err;
}

TEST(acknowledged)
{
	const struct saying ack[] = {say(NLMSG_ERROR, SEQ + 1, 0), {0}};
	CHECK_U64(-transact(ack), 0);
	const struct saying refused[] = {say(NLMSG_ERROR, SEQ + 1, -ENOENT), {0}};
	CHECK_U64(-transact(refused), ENOENT);
}

/* Nothing that is no answer to this transaction says that it was done. */
TEST(no_acknowledgement)
{
	const struct saying silence[] = {{0}};
	CHECK_U64(-transact(silence), ETIMEDOUT);
	const struct saying others[] = {say(NLMSG_ERROR, SEQ - 1, 0),
					say(NLMSG_ERROR, SEQ + 3, 0),
					say(NLMSG_DONE, SEQ + 1, 0),
					{0}};
	CHECK_U64(-transact(others), ETIMEDOUT);
	struct saying cut[] = {say(NLMSG_ERROR, SEQ + 1, 0), {0}};
	cut[0].len -= 8;
	CHECK_U64(-transact(cut), ETIMEDOUT);
	cut[0].reply.header.nlmsg_len = NLMSG_HDRLEN;
	CHECK_U64(-transact(cut), EBADMSG);
	cut[0].reply.header.nlmsg_len = 3;
	CHECK_U64(-transact(cut), ETIMEDOUT);
	cut[0].reply.header.nlmsg_len = UINT32_MAX;
	CHECK_U64(-transact(cut), ETIMEDOUT);
}

TEST(lists)
{
	const uint16_t type = NFNL_SUBSYS_NFTABLES << 8;
	const struct saying good[] = {say(type, SEQ, 0),
				      say(type, SEQ - 1, 0),
				      say(type, SEQ, 0),
				      say(NLMSG_DONE, SEQ, 0),
				      {0}};
	CHECK_U64(-dump(good), 0);
	CHECK_U64(told, 2);
	const struct saying unfinished[] = {say(type, SEQ, 0), {0}};
	CHECK_U64(-dump(unfinished), ETIMEDOUT);
	struct saying disturbed[] = {say(type, SEQ, 0), say(NLMSG_DONE, SEQ, 0), {0}};
	disturbed[0].reply.header.nlmsg_flags = NLM_F_DUMP_INTR;
	CHECK_U64(-dump(disturbed), EINTR);
	const struct saying refused[] = {say(NLMSG_ERROR, SEQ, -EBUSY), {0}};
	CHECK_U64(-dump(refused), EBUSY);
	struct saying failed[] = {say(type, SEQ, 0), say(NLMSG_DONE, SEQ, 0), {0}};
	memcpy(&failed[1].reply.error.error, &(int){-ENOMEM}, sizeof(int));
	CHECK_U64(-dump(failed), ENOMEM);
}

/* Whatever reading says, it ends. */
TEST(receiving_always_fails)
{
	struct nft_batch batch;
	sock = (struct nft_socket){
		.fd = eventfd(0, EFD_CLOEXEC), .seq = SEQ, .buffer = malloc(64 * 1024)};
	nft_batch_init(&batch);
	nft_batch_begin(&batch, SEQ);
	nft_batch_end(&batch);
	CHECK_U64(-nft_socket_send(&sock, &batch), ENOTSOCK);
	nft_batch_finish(&batch);
	nft_socket_close(&sock);
}

int main(void)
{
	(void)alarm(30); /* a case that spins must not do it for ever */
	RUN(acknowledged);
	RUN(no_acknowledgement);
	RUN(lists);
	RUN(receiving_always_fails);
	return DONE();
}
