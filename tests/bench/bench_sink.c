/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bans per second into the kernel: the sink, a bare writer that does with libnftnl
 * what has to be done and no more (no refresh, no acknowledgement per ban), and
 * `nft -f`. All three write elements with timeout, counter and comment, of the same
 * addresses. Then what one ban costs where there are a hundred thousand. Run by hand, as root;
 * makes a network namespace of its own.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnftnl/expr.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>

#include <tcpguard/config.h>
#include <tcpguard/decision.h>

#include "base/util.h"
#include "netfilter/nft_batch.h"
#include "netfilter/nft_sink.h"
#include "netfilter/nft_socket.h"

#define FIRST 0x0a000000u
#define ROUNDS 5 /* the best one counts: the machine may be shared */
#define ONE_BY_ONE 5000

static const struct tg_limit limit = {.name = "open-per-ip",
				      .prefix_len = {32, 64},
				      .steps = &(const struct tg_step){.action = TG_ACTION_DROP,
								       .scope = TG_SCOPE_PORTS,
								       .to = {5, 1000}},
				      .step_count = 1};
static const struct tg_policy policy = {.name = "web", .limits = &limit, .limit_count = 1};
static const struct tg_config config = {.policies = &policy, .policy_count = 1};

static double seconds(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench_sink: %s failed\n", what);
	exit(1);
}

static void count_error(void *data, uint32_t ban, uint32_t version, int error)
{
	(void)ban, (void)version;
	*(unsigned *)data += error != 0;
}

static struct nft_sink *sink_open(void)
{
	const struct nft_sink_params params = {0};
	struct nft_sink *sink;
	if (nft_sink_create(&params, &sink) < 0 ||
	    nft_sink_install(sink, &config, NULL, NULL, NULL) < 0)
		die("the sink");
	return sink;
}

static void sink_close(struct nft_sink *sink)
{
	nft_sink_destroy(sink);
	if (nft_sink_remove_table() < 0)
		die("nft_sink_remove_table");
}

/* One transaction of bans, from the number *n on. */
static void sink_transaction(struct nft_sink *sink, unsigned *n, unsigned count)
{
	unsigned errors = 0;
	struct tg_decision decision = {.type = TG_DECISION_BAN};
	decision.ban = (struct tg_ban){.source = {.addr = {.family = TG_IPV4}, .len = 32},
				       .action = TG_ACTION_DROP,
				       .scope = TG_SCOPE_PORTS,
				       .until = 600 * TG_SEC};
	for (unsigned i = 0; i < count; i++) {
		const uint32_t be = htonl(FIRST + *n);
		decision.ban.id = (*n)++;
		memcpy(decision.ban.source.addr.bytes, &be, 4);
		if (nft_sink_add(sink, &decision, 0, 1800000000) < 0)
			die("nft_sink_add");
	}
	if (nft_sink_commit(sink, count_error, &errors) < 0 || errors > 0)
		die("nft_sink_commit");
}

static double by_sink(unsigned per_transaction, unsigned transactions)
{
	struct nft_sink *sink = sink_open();
	unsigned n = 0;
	const double start = seconds();
	for (unsigned t = 0; t < transactions; t++)
		sink_transaction(sink, &n, per_transaction);
	const double took = seconds() - start;
	sink_close(sink);
	return took;
}

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Each ban in a transaction of its own, in a set that holds so many. */
static void one_among(unsigned count)
{
	static double took[ONE_BY_ONE];
	struct nft_sink *sink = sink_open();
	unsigned n = 0;
	while (n < count)
		sink_transaction(sink, &n, MIN(count - n, 1000));
	for (unsigned i = 0; i < ONE_BY_ONE; i++) {
		const double start = seconds();
		sink_transaction(sink, &n, 1);
		took[i] = (seconds() - start) * 1e6;
	}
	sink_close(sink);
	qsort(took, ONE_BY_ONE, sizeof(took[0]), compare_doubles);
	printf("one ban among %7u: median %5.1f us, p99 %5.1f us\n", count, took[ONE_BY_ONE / 2],
	       took[ONE_BY_ONE / 100 * 99]);
}

static struct nftnl_set_elem *bare_elem(uint32_t n, const struct nftnl_udata_buf *comment)
{
	const uint32_t be = htonl(FIRST + n);
	struct nftnl_set_elem *elem = nftnl_set_elem_alloc();
	struct nftnl_expr *counter = nftnl_expr_alloc("counter");
	if (!elem || !counter)
		die("malloc");
	nftnl_set_elem_set(elem, NFTNL_SET_ELEM_KEY, &be, 4);
	nftnl_set_elem_set_u64(elem, NFTNL_SET_ELEM_TIMEOUT, 600000);
	nftnl_set_elem_set(elem, NFTNL_SET_ELEM_USERDATA, nftnl_udata_buf_data(comment),
			   nftnl_udata_buf_len(comment));
	nftnl_set_elem_add_expr(elem, counter);
	return elem;
}

static void bare_transaction(struct nft_socket *sock, struct nft_batch *batch, unsigned *n,
			     unsigned count, const struct nftnl_udata_buf *comment)
{
	nft_batch_begin(batch, sock->seq);
	for (unsigned done = 0; done < count;) {
		struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
		struct nftnl_set *set = nftnl_set_alloc();
		if (!set || !message)
			die("malloc");
		nftnl_set_set_str(set, NFTNL_SET_TABLE, "bench");
		nftnl_set_set_str(set, NFTNL_SET_NAME, "s");
		for (unsigned i = 0; i < 500 && done < count; i++, done++)
			nftnl_set_elem_add(set, bare_elem((*n)++, comment));
		nftnl_set_elems_nlmsg_build_payload(message, set);
		nftnl_set_free(set);
		nft_batch_close(batch, message);
	}
	nft_batch_end(batch);
	if (nft_socket_send(sock, batch) < 0)
		die("a bare transaction");
}

static double by_libnftnl(unsigned per_transaction, unsigned transactions)
{
	struct nft_socket sock;
	struct nft_batch batch;
	unsigned n = 0;
	struct nftnl_udata_buf *comment = nftnl_udata_buf_alloc(256);
	if (!comment || nft_socket_open(&sock) < 0)
		die("a socket");
	nftnl_udata_put_strz(comment, NFTNL_UDATA_SET_ELEM_COMMENT, "web/open-per-ip");
	nft_batch_init(&batch);
	const double start = seconds();
	for (unsigned t = 0; t < transactions; t++)
		bare_transaction(&sock, &batch, &n, per_transaction, comment);
	const double took = seconds() - start;
	nft_batch_finish(&batch);
	nft_socket_close(&sock);
	nftnl_udata_buf_free(comment);
	return took;
}

/* The files are written beforehand: only nft's own time counts, its start included. */
static double by_nft(unsigned per_transaction, unsigned transactions, const char *dir)
{
	char text[512];
	unsigned n = 0;
	for (unsigned t = 0; t < transactions; t++) {
		(void)snprintf(text, sizeof(text), "%s/%u.nft", dir, t);
		FILE *file = fopen(text, "w");
		if (!file)
			die("a file");
		fprintf(file, "add element inet bench s {\n");
		for (unsigned i = 0; i < per_transaction; i++, n++)
			fprintf(file,
				"%u.%u.%u.%u counter timeout 10m comment \"web/open-per-ip\",\n",
				(FIRST + n) >> 24, (FIRST + n) >> 16 & 255, (FIRST + n) >> 8 & 255,
				(FIRST + n) & 255);
		fprintf(file, "}\n");
		fclose(file);
	}
	const double start = seconds();
	for (unsigned t = 0; t < transactions; t++) {
		(void)snprintf(text, sizeof(text), "nft -f %s/%u.nft", dir, t);
		if (system(text) != 0)
			die("nft -f");
	}
	return seconds() - start;
}

static void bench_table(bool make)
{
	if (system(make ? "nft 'table inet bench { set s { type ipv4_addr; counter; flags timeout; "
			  "timeout "
			  "10m; size 262144; }; }'"
			: "nft delete table inet bench") != 0)
		die("the table of the bench");
}

int main(void)
{
	static const struct {
		unsigned size, transactions, of_nft;
	} rows[] = {{1, 5000, 100}, {100, 500, 50}, {1000, 100, 20}, {10000, 10, 5}};
	char dir[] = "/tmp/bench_sink.XXXXXX", command[64];
	if (unshare(CLONE_NEWNET) < 0 || !mkdtemp(dir))
		die("a network namespace (root?) or a directory");
	printf("bans per second, best of %d\n%8s %9s %9s %15s\n", ROUNDS, "per tx", "sink",
	       "libnftnl", "nft -f");
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		double best[3] = {1e9, 1e9, 1e9};
		for (unsigned i = 0; i < ROUNDS; i++) {
			const unsigned size = rows[r].size;
			double took = by_sink(size, rows[r].transactions) / rows[r].transactions;
			best[0] = MIN(best[0], took);
			bench_table(true);
			took = by_libnftnl(size, rows[r].transactions) / rows[r].transactions;
			best[1] = MIN(best[1], took);
			bench_table(false);
			bench_table(true);
			took = by_nft(size, rows[r].of_nft, dir) / rows[r].of_nft;
			best[2] = MIN(best[2], took);
			bench_table(false);
		}
		printf("%8u %7.0f/s %7.0f/s %5.2f x %7.0f/s %6.2f x\n", rows[r].size,
		       rows[r].size / best[0], rows[r].size / best[1], best[1] / best[0],
		       rows[r].size / best[2], best[2] / best[0]);
	}
	one_among(0);
	one_among(1000);
	one_among(100000);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) == 0 ? 0 : 1;
}
