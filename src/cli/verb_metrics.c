/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tcpguard metrics: the daemon's numbers as Prometheus text, or as a file for node_exporter. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli.h"
#include "client.h"
#include "client/metrics.h"

enum { OPTION_TEXTFILE };

static void add_record(void *data, const struct tg_record *record)
{
	metrics_add(data, record);
}

static int write_all(int fd, const struct tg_strbuf *page)
{
	for (size_t done = 0; done < page->len;) {
		ssize_t wrote = write(fd, page->text + done, page->len - done);
		if (wrote < 0 && errno != EINTR)
			return -errno;
		done += wrote > 0 ? (size_t)wrote : 0;
	}
	/* The collector reads it, as whoever that is. */
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

/*
 * Whoever reads path finds the page before or this one, and never a part; 0 or -errno. The name
 * in between does not end in .prom, which is what node_exporter looks for.
 */
static int replace_file(const char *path, const struct tg_strbuf *page)
{
	struct tg_strbuf name;
	tg_strbuf_init(&name);
	tg_strbuf_printf(&name, "%s.XXXXXX", path);
	int fd = name.failed ? -1 : mkostemp(name.text, O_CLOEXEC);
	int err = fd < 0 ? (name.failed ? -ENOMEM : -errno) : write_all(fd, page);
	if (fd >= 0 && close(fd) < 0 && !err)
		err = -errno;
	if (!err && rename(name.text, path) < 0)
		err = -errno;
	if (err && fd >= 0)
		(void)unlink(name.text); /* what matters is why it failed */
	tg_strbuf_finish(&name);
	return err;
}

static int put_page(const char *path, const struct tg_strbuf *page)
{
	if (!path) {
		(void)fwrite(page->text, 1, page->len, stdout); /* main looks at stdout */
		return CLI_OK;
	}
	int err = replace_file(path, page);
	if (!err)
		return CLI_OK;
	cli_complain("cannot write %s: %s", path, strerror(-err));
	return CLI_USAGE;
}

static int run(const struct cli *cli, const struct cli_args *args)
{
	const char *path = args->values[OPTION_TEXTFILE];
	if (path && !path[0]) {
		cli_complain("--textfile takes the path of a file, such as "
			     "/var/lib/prometheus/node-exporter/tcpguard.prom");
		return CLI_USAGE;
	}
	struct metrics *metrics = metrics_create();
	int status = metrics ? client_ask_simple(cli, "metrics", add_record, metrics) : CLI_NO;
	/* Half of an answer would look like counters that are gone; and a file that stays as it
	 * was like a daemon that is at work. */
	if (status != CLI_OK) {
		metrics_destroy(metrics);
		metrics = metrics_create();
	}
	struct tg_strbuf page;
	tg_strbuf_init(&page);
	int put = CLI_NO;
	if (metrics && metrics_print(metrics, &page))
		put = status == CLI_OK || path ? put_page(path, &page) : status;
	else
		cli_complain("out of memory");
	tg_strbuf_finish(&page);
	metrics_destroy(metrics);
	return status != CLI_OK ? status : put;
}

const struct cli_verb verb_metrics = {
	.name = "metrics",
	.operands = "",
	.summary = "Print the daemon's numbers as Prometheus text",
	.options = {{"textfile", "PATH", "write them there at once, for node_exporter"}},
	.run = run,
};
