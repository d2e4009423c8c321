/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the kernel's counters. The files name their columns, or have had the same ones for long;
 * what a kernel does not count stays unknown. */
#include "host/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "base/util.h"

enum file { NETSTAT, SOFTNET, CONNTRACK, SYNPROXY };

static const struct {
	const char *name;
	enum file file;
	const char *column;
} counters[COUNTER_COUNT] = {
	[COUNTER_SYNCOOKIES_SENT] = {"SyncookiesSent", NETSTAT, "SyncookiesSent"},
	[COUNTER_LISTEN_OVERFLOWS] = {"ListenOverflows", NETSTAT, "ListenOverflows"},
	[COUNTER_LISTEN_DROPS] = {"ListenDrops", NETSTAT, "ListenDrops"},
	[COUNTER_REQQ_COOKIES] = {"TCPReqQFullDoCookies", NETSTAT, "TCPReqQFullDoCookies"},
	[COUNTER_REQQ_DROPS] = {"TCPReqQFullDrop", NETSTAT, "TCPReqQFullDrop"},
	[COUNTER_TW_OVERFLOW] = {"TCPTimeWaitOverflow", NETSTAT, "TCPTimeWaitOverflow"},
	[COUNTER_MEMORY_PRESSURES] = {"TCPMemoryPressures", NETSTAT, "TCPMemoryPressures"},
	[COUNTER_ABORT_ON_MEMORY] = {"TCPAbortOnMemory", NETSTAT, "TCPAbortOnMemory"},
	[COUNTER_SOFTNET_DROPPED] = {"softnet dropped", SOFTNET, NULL},
	[COUNTER_SOFTNET_SQUEEZED] = {"softnet time_squeeze", SOFTNET, NULL},
	[COUNTER_CT_DROP] = {"conntrack drop", CONNTRACK, "drop"},
	[COUNTER_SYNPROXY_FINISHED] = {"synproxy cookie_valid", SYNPROXY, "cookie_valid"},
	[COUNTER_CT_EARLY_DROP] = {"conntrack early_drop", CONNTRACK, "early_drop"},
};

const char *counter_name(enum counter counter)
{
	return counters[counter].name;
}

static void add(struct counter_value *value, uint64_t number)
{
	value->known = true;
	value->value += number;
}

/* The next word of the line at *at, or false at its end. */
static bool next_word(const char **at, const char **ret_word, size_t *ret_len)
{
	*at += strspn(*at, " \t");
	size_t len = strcspn(*at, " \t\n");
	if (len == 0)
		return false;
	*ret_word = *at;
	*ret_len = len;
	*at += len;
	return true;
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return line + (*line == '\n');
}

/* A line of numbers below a line of names. */
static void add_row(enum file file, const char *names, const char *numbers, int base,
		    struct counter_value *values)
{
	const char *name, *number;
	size_t name_len, number_len;
	while (next_word(&names, &name, &name_len) && next_word(&numbers, &number, &number_len))
		for (size_t i = 0; i < COUNTER_COUNT; i++)
			if (counters[i].file == file && strlen(counters[i].column) == name_len &&
			    memcmp(counters[i].column, name, name_len) == 0)
				add(&values[i], strtoull(number, NULL, base));
}

void counters_parse_netstat(const char *text, struct counter_value values[static COUNTER_COUNT])
{
	static const char prefix[] = "TcpExt:";
	const size_t len = sizeof(prefix) - 1;
	for (; *text; text = next_line(text)) {
		const char *numbers = next_line(text);
		if (strncmp(text, prefix, len) != 0 || strncmp(numbers, prefix, len) != 0)
			continue;
		add_row(NETSTAT, text + len, numbers + len, 10, values);
		return;
	}
}

/* A line for each CPU: processed, dropped, time_squeeze and more, in hexadecimal. */
void counters_parse_softnet(const char *text, struct counter_value values[static COUNTER_COUNT])
{
	for (; *text; text = next_line(text)) {
		char *end;
		(void)strtoull(text, &end, 16); /* what it has processed is no fault */
		if (end == text)
			return;
		const uint64_t dropped = strtoull(end, &end, 16);
		add(&values[COUNTER_SOFTNET_DROPPED], dropped);
		add(&values[COUNTER_SOFTNET_SQUEEZED], strtoull(end, &end, 16));
	}
}

/* Names, then a line for each CPU, in hexadecimal. */
static void add_rows(enum file file, const char *text, struct counter_value *values)
{
	for (const char *line = next_line(text); *line; line = next_line(line))
		add_row(file, text, line, 16, values);
}

void counters_parse_conntrack(const char *text, struct counter_value values[static COUNTER_COUNT])
{
	add_rows(CONNTRACK, text, values);
}

void counters_parse_synproxy(const char *text, struct counter_value values[static COUNTER_COUNT])
{
	add_rows(SYNPROXY, text, values);
}

/* All of a file of /proc; false when there is none that can be read. */
static bool read_file(const char *path, struct tg_strbuf *text)
{
	char bytes[4096];
	ssize_t len = 0;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	tg_strbuf_clear(text);
	while (fd >= 0 && (len = read(fd, bytes, sizeof(bytes))) > 0)
		tg_strbuf_append(text, bytes, (size_t)len);
	return fd >= 0 && len == 0 && !text->failed;
}

void counters_read(struct counter_value values[static COUNTER_COUNT])
{
	static const struct {
		const char *path;
		void (*parse)(const char *text, struct counter_value *values);
	} files[] = {
		{"/proc/net/netstat", counters_parse_netstat},
		{"/proc/net/softnet_stat", counters_parse_softnet},
		{"/proc/net/stat/nf_conntrack", counters_parse_conntrack},
		{"/proc/net/stat/synproxy", counters_parse_synproxy},
	};
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	memset(values, 0, COUNTER_COUNT * sizeof(*values));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (read_file(files[i].path, &text))
			files[i].parse(text.text, values);
	tg_strbuf_finish(&text);
}

void counters_subtract(struct counter_value values[static COUNTER_COUNT],
		       const struct counter_value before[static COUNTER_COUNT])
{
	for (size_t i = 0; i < COUNTER_COUNT; i++) {
		values[i].known = values[i].known && before[i].known;
		values[i].value -= MIN(values[i].value, before[i].value);
	}
}

bool sockstat_parse(const char *text, struct sockstat *ret_stat)
{
	for (; *text; text = next_line(text)) {
		const char *name, *number;
		size_t name_len, number_len;
		const char *at = text + 4;
		if (strncmp(text, "TCP:", 4) != 0)
			continue;
		while (next_word(&at, &name, &name_len) && next_word(&at, &number, &number_len)) {
			if (name_len != 3 || memcmp(name, "mem", 3) != 0)
				continue;
			*ret_stat = (struct sockstat){.known = true,
						      .tcp_pages = strtoull(number, NULL, 10)};
			return true;
		}
	}
	return false;
}

void sockstat_read(struct sockstat *ret_stat)
{
	struct tg_strbuf text;
	tg_strbuf_init(&text);
	*ret_stat = (struct sockstat){.known = false};
	if (read_file("/proc/net/sockstat", &text))
		(void)sockstat_parse(text.text, ret_stat); /* unknown then */
	tg_strbuf_finish(&text);
}
