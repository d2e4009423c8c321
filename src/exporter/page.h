/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef EXPORTER_PAGE_H
#define EXPORTER_PAGE_H

struct tg_strbuf;

/*
 * Asks the daemon at path and appends its numbers as a page. 0, or -errno with the page that says
 * that no daemon answers. -ENOMEM: there may be none.
 */
int page_ask(const char *path, struct tg_strbuf *out);

#endif
