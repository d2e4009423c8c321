/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a source is read from the command line, so that a typing mistake needs no daemon. */
#include <stdio.h>
#include <string.h>

#include <tcpguard/addr.h>

#include "cli.h"

/* Which prefix was meant by one with host bits? */
static void suggest(const char *text)
{
	char address[TG_ADDR_STRLEN], network[TG_PREFIX_STRLEN], host[TG_PREFIX_STRLEN];
	const char *slash = strchr(text, '/');
	struct tg_addr addr;
	unsigned len = 0;
	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    sscanf(slash + 1, "%3u", &len) != 1)
		return;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (!tg_addr_parse(address, &addr) || len > tg_family_bits(addr.family))
		return;
	struct tg_prefix wide = tg_addr_mask(&addr, (uint8_t)len);
	struct tg_prefix narrow = tg_addr_mask(&addr, tg_family_bits(addr.family));
	cli_complain("did you mean %s or %s?", tg_prefix_format(&wide, network),
		     tg_prefix_format(&narrow, host));
}

bool cli_read_source(const char *text, struct tg_prefix *ret_source)
{
	const char *wrong = tg_prefix_parse(text, ret_source);
	if (!wrong)
		return true;
	cli_complain("'%s': %s", text, wrong);
	suggest(text);
	return false;
}
