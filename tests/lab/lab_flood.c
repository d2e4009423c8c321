/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lab-flood: SYNs, ACKs of nothing, or handshakes finished by guessing, from forged
 * sources that never answer. Writes whole frames to an interface, so that neither the
 * routes nor the conntrack of its own namespace have a say.
 */
#include "lab_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif

#define BATCH 64
#define TCP_MAX 40
#define FRAME_MAX (14 + 40 + TCP_MAX)
#define FIRST_PORT 1024
/* conntrack takes an ACK for the answer to a SYN-ACK when it is up to 66,000 below the right one:
 * so many guesses, a little closer, find it among all numbers. */
#define SWEEP_STEP 65900
#define SWEEP_FRAMES (1 + (UINT32_MAX / SWEEP_STEP + 1)) /* a SYN before them */

struct flood {
	struct sockaddr_storage to, from;
	uint64_t count, sources, stride, rate;
	uint64_t first_port;
	const char *dev;
	struct ether_addr mac, own_mac;
	bool has_mac;
	bool ack, sweep, odd;
	int ifindex;
	int fd;
	uint64_t sent, refused;
};

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len;
};

static const char usage_text[] =
	"usage: lab-flood --to ADDRESS:PORT --from ADDRESS --dev DEV --mac MAC [options]\n"
	"Sends SYNs (or ACKs) with forged sources. Prints 'sent=N refused=N ns=N'.\n"
	"  --to ADDRESS:PORT   where to; IPv6 as [ADDRESS]:PORT\n"
	"  --from ADDRESS      the first source\n"
	"  --sources N         sources, in turn (1)\n"
	"  --stride LEN        sources are neighbours of this prefix length (one address)\n"
	"  --count N           SYNs (1); every one has a source and port of its own up to\n"
	"                      64,511 for each source, then ports come again\n"
	"  --ack               bare ACKs in place of SYNs\n"
	"  --sweep             after each SYN, ACKs that guess the answer that it got\n"
	"  --odd               SYNs as captured floods have them: ports, sequence numbers and\n"
	"                      windows as if drawn, options of all sorts, some with ECE and CWR\n"
	"  --first-port N      first source port (1024)\n"
	"  --rate N            a second (as fast as it can)\n"
	"  --dev DEV           interface to send by\n"
	"  --mac MAC           of the next host\n"
	"  --help\n";

static uint32_t sum_words(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* The IP header; returns its length, and the sum over both addresses in *ret_sum. */
static size_t put_ip(uint8_t *ip, const struct sockaddr_storage *from,
		     const struct sockaddr_storage *to, size_t tcp_len, uint32_t *ret_sum)
{
	if (to->ss_family == AF_INET) {
		struct sockaddr_in src, dst;

		memcpy(&src, from, sizeof(src));
		memcpy(&dst, to, sizeof(dst));
		ip[0] = 0x45;
		put_u16(ip + 2, (uint32_t)(20 + tcp_len));
		put_u16(ip + 6, 0x4000);
		ip[8] = 64;
		ip[9] = IPPROTO_TCP;
		memcpy(ip + 12, &src.sin_addr, 4);
		memcpy(ip + 16, &dst.sin_addr, 4);
		put_u16(ip + 10, fold(sum_words(ip, 20, 0)));
		*ret_sum = sum_words(ip + 12, 8, 0);
		return 20;
	}
	struct sockaddr_in6 src, dst;

	memcpy(&src, from, sizeof(src));
	memcpy(&dst, to, sizeof(dst));
	ip[0] = 0x60;
	put_u16(ip + 4, (uint32_t)tcp_len);
	ip[6] = IPPROTO_TCP;
	ip[7] = 64;
	memcpy(ip + 8, &src.sin6_addr, 16);
	memcpy(ip + 24, &dst.sin6_addr, 16);
	*ret_sum = sum_words(ip + 8, 32, 0);
	return 40;
}

static void put_tcp(uint8_t *tcp, const struct flood *flood, uint64_t n, uint64_t guess)
{
	bool syn = flood->sweep ? guess == 0 : !flood->ack;
	uint32_t seq = (uint32_t)(n * 2654435761u) + (guess > 0);
	uint32_t ack = flood->sweep ? (uint32_t)(guess * SWEEP_STEP) : (uint32_t)(n * 2246822519u);
	uint64_t span = 65536 - flood->first_port;

	put_u16(tcp, (uint32_t)(flood->first_port + n / flood->sources % span));
	put_u16(tcp + 2, lab_address_port(&flood->to));
	put_u16(tcp + 4, seq >> 16);
	put_u16(tcp + 6, seq);
	if (!syn) {
		put_u16(tcp + 8, ack >> 16);
		put_u16(tcp + 10, ack);
	}
	tcp[12] = 5 << 4;
	tcp[13] = syn ? TH_SYN : TH_ACK;
	put_u16(tcp + 14, 64240);
}

static const struct {
	uint8_t bytes[TCP_MAX - 20];
	size_t len;
} odd_options[] = {
	{{0}, 0},
	{{2, 4, 5, 0xb4}, 4},
	{{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7}, 20},
	{{2, 4, 0, 0, 1, 1, 3, 3, 14, 0, 0, 0}, 12}, /* an MSS of 0, and the list cut off */
	{{254, 4, 0xf9, 0x89, 1, 1, 1, 1}, 8},       /* an experiment's */
	{{2, 0, 0, 0}, 4},                           /* a length that cannot be */
};

/* The same for the same n: what is drawn is its hash. */
static size_t put_odd(uint8_t *tcp, uint64_t n)
{
	uint64_t drawn = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	drawn ^= drawn >> 29;
	drawn *= UINT64_C(0xbf58476d1ce4e5b9);
	drawn ^= drawn >> 32;
	const size_t kinds = sizeof(odd_options) / sizeof(odd_options[0]);
	const size_t kind = drawn % kinds, len = odd_options[kind].len;

	put_u16(tcp, (uint32_t)(FIRST_PORT + (drawn >> 8) % (65536 - FIRST_PORT)));
	put_u16(tcp + 4, (uint32_t)(drawn >> 40));
	put_u16(tcp + 6, (uint32_t)(drawn >> 24));
	tcp[12] = (uint8_t)((5 + len / 4) << 4);
	if ((drawn >> 4) % 5 == 0)
		tcp[13] |= 0xc0; /* ECE, CWR */
	put_u16(tcp + 14, (uint32_t)(drawn >> 16));
	memcpy(tcp + 20, odd_options[kind].bytes, len);
	return 20 + len;
}

/* The index-th frame of the whole run. */
static void frame_build(const struct flood *flood, uint64_t index, struct frame *frame)
{
	uint64_t n = flood->sweep ? index / SWEEP_FRAMES : index;
	struct sockaddr_storage source =
		lab_address_nth(&flood->from, (unsigned int)flood->stride, n % flood->sources);
	uint8_t tcp[TCP_MAX] = {0};
	size_t tcp_len = 20;
	uint32_t sum;

	put_tcp(tcp, flood, n, flood->sweep ? index % SWEEP_FRAMES : 0);
	if (flood->odd)
		tcp_len = put_odd(tcp, n);
	memset(frame->bytes, 0, sizeof(frame->bytes));
	memcpy(frame->bytes, &flood->mac, 6);
	memcpy(frame->bytes + 6, &flood->own_mac, 6);
	put_u16(frame->bytes + 12, flood->to.ss_family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	size_t ip_len = put_ip(frame->bytes + 14, &source, &flood->to, tcp_len, &sum);
	put_u16(tcp + 16, fold(sum_words(tcp, tcp_len, sum + IPPROTO_TCP + (uint32_t)tcp_len)));
	memcpy(frame->bytes + 14 + ip_len, tcp, tcp_len);
	frame->len = 14 + ip_len + tcp_len;
}

static int flood_open(struct flood *flood)
{
	struct ifreq request = {0};
	int one = 1;

	/* Protocol 0: this socket never receives. */
	flood->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (flood->fd < 0)
		return -errno;
	(void)setsockopt(flood->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", flood->dev);
	if (ioctl(flood->fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(&flood->own_mac, request.ifr_hwaddr.sa_data, 6);
	flood->ifindex = (int)if_nametoindex(flood->dev);
	return flood->ifindex ? 0 : -errno;
}

static void flood_batch(struct flood *flood, uint64_t first, unsigned int count)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = flood->ifindex, .sll_halen = 6};
	struct frame frames[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];

	memset(messages, 0, sizeof(messages));
	for (unsigned int i = 0; i < count; i++) {
		frame_build(flood, first + i, &frames[i]);
		iov[i] = (struct iovec){frames[i].bytes, frames[i].len};
		messages[i].msg_hdr.msg_name = &to;
		messages[i].msg_hdr.msg_namelen = sizeof(to);
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (unsigned int done = 0; done < count;) {
		int sent = sendmmsg(flood->fd, messages + done, count - done, 0);

		if (sent > 0) {
			done += (unsigned int)sent;
			flood->sent += (unsigned int)sent;
		} else {
			/* The interface's queue is full: this one is lost, as on a wire. */
			done++;
			flood->refused++;
		}
	}
}

static void flood_run(struct flood *flood, int signals)
{
	uint64_t start = lab_now(), done = 0;

	while (done < flood->count && !lab_signal_take(signals)) {
		uint64_t due = lab_paced(start, lab_now(), flood->rate, flood->count);
		uint64_t todo = due > done ? due - done : 0;

		if (!todo) {
			usleep(100);
			continue;
		}
		if (todo > BATCH)
			todo = BATCH;
		flood_batch(flood, done, (unsigned int)todo);
		done += todo;
	}
	printf("sent=%llu refused=%llu ns=%llu\n", (unsigned long long)flood->sent,
	       (unsigned long long)flood->refused, (unsigned long long)(lab_now() - start));
}

static bool flood_option(struct flood *flood, int c)
{
	switch (c) {
	case 't':
		return lab_endpoint("to", optarg, &flood->to);
	case 'f':
		return lab_address("from", optarg, &flood->from);
	case 's':
		return lab_number("sources", optarg, 1 << 30, &flood->sources);
	case 'p':
		return lab_number("stride", optarg, 128, &flood->stride);
	case 'c':
		return lab_number("count", optarg, UINT32_MAX, &flood->count);
	case 'a':
		return flood->ack = true;
	case 'w':
		return flood->sweep = true;
	case 'O':
		return flood->odd = true;
	case 'o':
		return lab_number("first-port", optarg, 65535, &flood->first_port);
	case 'r':
		return lab_number("rate", optarg, 100000000, &flood->rate);
	case 'd':
		flood->dev = optarg;
		return true;
	case 'm':
		flood->has_mac = ether_aton_r(optarg, &flood->mac);
		return flood->has_mac;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'f'},
		{"sources", required_argument, NULL, 's'},
		{"stride", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'c'},
		{"ack", no_argument, NULL, 'a'},
		{"sweep", no_argument, NULL, 'w'},
		{"odd", no_argument, NULL, 'O'},
		{"first-port", required_argument, NULL, 'o'},
		{"rate", required_argument, NULL, 'r'},
		{"dev", required_argument, NULL, 'd'},
		{"mac", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct flood flood = {.count = 1, .sources = 1, .stride = 128, .first_port = FIRST_PORT};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h')
			return fputs(usage_text, stdout), 0;
		if (!flood_option(&flood, c))
			return fputs(usage_text, stderr), 2;
	}
	if (!flood.to.ss_family || flood.to.ss_family != flood.from.ss_family || !flood.dev ||
	    !flood.has_mac || !flood.sources || optind != argc)
		return fputs(usage_text, stderr), 2;
	if (flood.sweep)
		flood.count *= SWEEP_FRAMES;
	int signals = lab_signals();
	int error = signals < 0 ? signals : flood_open(&flood);
	if (error < 0) {
		fprintf(stderr, "lab-flood: %s: %s\n", flood.dev, strerror(-error));
		return 1;
	}
	flood_run(&flood, signals);
	return flood.sent ? 0 : 1;
}
