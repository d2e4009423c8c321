/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the socket that the rules of the fuses log to, and how such a message becomes an event: its
 * prefix names policy and limit, its packet the source. Each is sent at once: there is one for a
 * source that ran over a limit, and no more, however many packets it sends.
 */
#include "netfilter/fuse_log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host/nl_reader.h"
#include "host/nlsock.h"
#include "layout/layout.h"

/* Some 300 bytes, of which the kernel takes twice as much: 10,000 sources at once. */
#define RECEIVE_BUFFER (8u << 20)
#define MESSAGE_MAX 2048
#define MESSAGES 64
/* An IPv6 header; of IPv4 the source is within it, too. */
#define COPY_BYTES 40
#define CONFIG_MAX 256

struct fuse_log {
	struct nlsock sock;
	struct nl_reader reader;
	uint32_t drops; /* as the kernel last told */
	struct fuse_log_stats stats;
};

/* Waits for no batch, which would be a second, and takes of each no more memory than it has. */
static int subscribe(const struct nlsock *sock)
{
	char buffer[CONFIG_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	message->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->nfgen_family = AF_UNSPEC;
	header->version = NFNETLINK_V0;
	header->res_id = htons(LAYOUT_LOG_GROUP);
	const struct nfulnl_msg_config_cmd bind = {.command = NFULNL_CFG_CMD_BIND};
	const struct nfulnl_msg_config_mode mode = {.copy_range = htonl(COPY_BYTES),
						    .copy_mode = NFULNL_COPY_PACKET};
	mnl_attr_put(message, NFULA_CFG_CMD, sizeof(bind), &bind);
	mnl_attr_put(message, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u32(message, NFULA_CFG_NLBUFSIZ, htonl(1));
	mnl_attr_put_u32(message, NFULA_CFG_QTHRESH, htonl(1));
	return nlsock_send(sock, message, message->nlmsg_len);
}

/* The kernel has answered when the request is sent; a message or two may stand before that. */
static int await_answer(struct fuse_log *log)
{
	for (;;) {
		const struct nlmsghdr *message;
		int got = nl_reader_fill(&log->reader, log->sock.fd, log->reader.slots);
		if (got <= 0)
			return got < 0 ? got : -EPROTO;
		while ((message = nl_reader_next(&log->reader))) {
			const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
			if (message->nlmsg_type != NLMSG_ERROR)
				log->stats.lost++; /* told again when it goes on */
			else
				return message->nlmsg_len < NLMSG_LENGTH(sizeof(*answer))
					       ? -EPROTO
					       : answer->error;
		}
	}
}

int fuse_log_create(struct fuse_log **ret_log)
{
	uint32_t granted;
	struct fuse_log *log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->sock = NLSOCK_CLOSED;
	int err = nl_reader_init(&log->reader, MESSAGES, MESSAGE_MAX);
	if (!err)
		err = nlsock_open(NETLINK_NETFILTER, &log->sock);
	if (!err)
		err = nlsock_set_receive_buffer(&log->sock, RECEIVE_BUFFER, &granted);
	if (!err)
		err = nlsock_set_no_enobufs(&log->sock);
	if (!err)
		err = subscribe(&log->sock);
	if (!err)
		err = await_answer(log);
	/* Who owns a table of nf_tables may do this; but for a group that another socket has. */
	if (err == -EPERM)
		err = -EBUSY;
	if (err) {
		fuse_log_destroy(log);
		return err;
	}
	*ret_log = log;
	return 0;
}

void fuse_log_destroy(struct fuse_log *log)
{
	if (!log)
		return;
	nlsock_close(&log->sock);
	nl_reader_finish(&log->reader);
	free(log);
}

unsigned fuse_log_group(void)
{
	return LAYOUT_LOG_GROUP;
}

int fuse_log_fd(const struct fuse_log *log)
{
	return log->sock.fd;
}

/* A name that ends at that character: what is behind it; NULL: there is none. */
static const char *read_name(const char *text, char end, char name[static TG_NAME_MAX + 1])
{
	const char *found = strchrnul(text, end);
	const size_t len = (size_t)(found - text);
	if (*found != end || len == 0 || len > TG_NAME_MAX)
		return NULL;
	memcpy(name, text, len);
	name[len] = '\0';
	return end ? found + 1 : found;
}

/* A number that ends at that character, alike. */
static const char *read_number(const char *text, char end, uint32_t *ret_number)
{
	char *found;
	const unsigned long number = strtoul(text, &found, 10);
	if (*text < '0' || *text > '9' || *found != end || number > UINT32_MAX)
		return NULL;
	*ret_number = (uint32_t)number;
	return end ? found + 1 : found;
}

/* "full POLICY/LIMIT" */
static bool read_full(const char *text, struct tg_fuse *fuse)
{
	if (strncmp(text, LAYOUT_LOG_FULL, strlen(LAYOUT_LOG_FULL)) != 0)
		return false;
	text = read_name(text + strlen(LAYOUT_LOG_FULL), '/', fuse->policy);
	return text && read_name(text, '\0', fuse->limit);
}

/* "fuse POLICY/LIMIT N/MS BURST" */
static bool read_fuse(const char *text, struct tg_fuse *fuse)
{
	if (strncmp(text, LAYOUT_LOG_FUSE, strlen(LAYOUT_LOG_FUSE)) != 0)
		return false;
	text = read_name(text + strlen(LAYOUT_LOG_FUSE), '/', fuse->policy);
	text = text ? read_name(text, ' ', fuse->limit) : NULL;
	text = text ? read_number(text, '/', &fuse->threshold) : NULL;
	text = text ? read_number(text, ' ', &fuse->window_ms) : NULL;
	return text && read_number(text, '\0', &fuse->burst);
}

static bool read_source(const struct nlattr *packet, struct tg_addr *ret_addr)
{
	const uint8_t *bytes = mnl_attr_get_payload(packet);
	const size_t len = mnl_attr_get_payload_len(packet);
	if (len >= 20 && bytes[0] >> 4 == 4)
		*ret_addr = tg_addr_from_ipv4(bytes + 12);
	else if (len >= 40 && bytes[0] >> 4 == 6)
		*ret_addr = tg_addr_from_ipv6(bytes + 8);
	else
		return false;
	return true;
}

enum fuse_kind fuse_log_decode(const struct nlmsghdr *message, struct tg_fuse *ret_fuse)
{
	const struct nlattr *attr, *prefix = NULL, *packet = NULL;
	struct tg_fuse fuse = {0};
	if (message->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
	    message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
		return FUSE_MALFORMED;
	mnl_attr_for_each (attr, message, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFULA_PREFIX)
			prefix = attr;
		else if (mnl_attr_get_type(attr) == NFULA_PAYLOAD)
			packet = attr;
	}
	if (!prefix || mnl_attr_validate(prefix, MNL_TYPE_NUL_STRING) < 0)
		return FUSE_MALFORMED;
	const char *text = mnl_attr_get_str(prefix);
	if (read_full(text, &fuse)) {
		*ret_fuse = fuse;
		return FUSE_FULL;
	}
	if (!read_fuse(text, &fuse) || !packet || !read_source(packet, &fuse.source))
		return FUSE_MALFORMED;
	*ret_fuse = fuse;
	return FUSE_BLOWN;
}

static void count_losses(struct fuse_log *log)
{
	struct nlsock_load load;
	if (nlsock_load(&log->sock, &load) < 0)
		return;
	log->stats.lost += (uint32_t)(load.drops - log->drops); /* wraps */
	log->drops = load.drops;
}

int fuse_log_receive(struct fuse_log *log, tg_time now, struct tg_event *out, size_t cap,
		     bool *ret_more, fuse_log_full_fn *full, void *data)
{
	size_t count = 0;
	*ret_more = false;
	int got = nl_reader_fill(&log->reader, log->sock.fd,
				 (unsigned)MIN(cap, (size_t)log->reader.slots));
	if (got < 0)
		return got;
	*ret_more = (size_t)got == MIN(cap, (size_t)log->reader.slots);
	const struct nlmsghdr *message;
	/* One message stands in a datagram, but nothing depends on it. */
	while (count < cap && (message = nl_reader_next(&log->reader))) {
		struct tg_event event = {.type = TG_EVENT_FUSE, .at = now};
		log->stats.received++;
		switch (fuse_log_decode(message, &event.fuse)) {
		case FUSE_BLOWN:
			out[count++] = event;
			break;
		case FUSE_FULL:
			log->stats.full++;
			full(data, event.fuse.policy, event.fuse.limit);
			break;
		case FUSE_MALFORMED:
			log->stats.malformed++;
			break;
		}
	}
	count_losses(log);
	return (int)count;
}

void fuse_log_stats(const struct fuse_log *log, struct fuse_log_stats *ret_stats)
{
	*ret_stats = log->stats;
	ret_stats->malformed += log->reader.malformed;
	ret_stats->foreign = log->reader.foreign;
}
