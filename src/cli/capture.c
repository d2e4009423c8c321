/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns what libpcap has open. libpcap knows pcap and pcapng in every byte order and resolution of
 * time; what is in a frame is packet.c's.
 */
#include "capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "cli.h"

struct capture {
	const char *path;
	pcap_t *pcap;
	enum packet_link link;
	uint64_t size; /* 0: not known */
};

static bool find_link(int type, enum packet_link *ret_link)
{
	static const struct {
		int type;
		enum packet_link link;
	} known[] = {
		{DLT_EN10MB, PACKET_LINK_ETHERNET}, {DLT_LINUX_SLL, PACKET_LINK_SLL},
		{DLT_LINUX_SLL2, PACKET_LINK_SLL2}, {DLT_RAW, PACKET_LINK_RAW},
		{DLT_IPV4, PACKET_LINK_RAW},        {DLT_IPV6, PACKET_LINK_RAW},
		{DLT_NULL, PACKET_LINK_NULL},       {DLT_LOOP, PACKET_LINK_NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].type != type)
			continue;
		*ret_link = known[i].link;
		return true;
	}
	return false;
}

/* Takes ownership of file. */
static pcap_t *open_pcap(const char *path, FILE *file, enum packet_link *ret_link)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap =
		pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!pcap) {
		cli_complain("cannot read %s: %s", path, why);
		(void)fclose(file); /* only read from */
		return NULL;
	}
	const int type = pcap_datalink(pcap);
	if (find_link(type, ret_link))
		return pcap;
	const char *name = pcap_datalink_val_to_name(type);
	cli_complain("cannot read %s: frames of type %s (%d) are not known", path,
		     name ? name : "without a name", type);
	pcap_close(pcap);
	return NULL;
}

struct capture *capture_open(const char *path)
{
	FILE *file = fopen(path, "re");
	if (!file) {
		cli_complain("cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	enum packet_link link;
	pcap_t *pcap = open_pcap(path, file, &link);
	if (!pcap)
		return NULL;
	struct capture *capture = malloc(sizeof(*capture));
	if (!capture) {
		cli_complain("out of memory");
		pcap_close(pcap);
		return NULL;
	}
	struct stat st;
	const bool sized = fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode);
	*capture = (struct capture){
		.path = path, .pcap = pcap, .link = link, .size = sized ? (uint64_t)st.st_size : 0};
	return capture;
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	pcap_close(capture->pcap);
	free(capture);
}

static uint64_t nanoseconds(const struct pcap_pkthdr *header)
{
	const int64_t seconds = header->ts.tv_sec, part = header->ts.tv_usec; /* ns, as asked for */
	if (seconds < 0 || part < 0 || part >= 1000000000)
		return 0;
	/* Far beyond what a trace can tell, and no overflow. */
	return (uint64_t)MIN(seconds, INT64_MAX / 1000000000 - 1) * 1000000000 + (uint64_t)part;
}

int capture_next(struct capture *capture, struct capture_frame *ret_frame)
{
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	const int result = pcap_next_ex(capture->pcap, &header, &bytes);
	if (result == PCAP_ERROR_BREAK)
		return 0;
	if (result != 1) {
		cli_complain("%s: %s", capture->path, pcap_geterr(capture->pcap));
		return -1;
	}
	*ret_frame = (struct capture_frame){.link = capture->link,
					    .bytes = bytes,
					    .len = header->caplen,
					    .wire_len = header->len,
					    .ns = nanoseconds(header)};
	return 1;
}

uint64_t capture_position(const struct capture *capture, uint64_t *ret_size)
{
	const long at = ftell(pcap_file(capture->pcap));
	*ret_size = capture->size;
	return at > 0 ? (uint64_t)at : 0;
}
